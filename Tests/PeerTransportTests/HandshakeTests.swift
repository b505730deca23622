import ConsensusTypes
import Logging
import NIOCore
import Testing
import TransportSecurity

@testable import PeerTransport

@Suite struct HandshakeTests {
    static let hello = Hello(cluster: ClusterID(1), sender: NodeID(2), receiver: NodeID(3), incarnation: 4)

    @Test func everyTruncationIsAnError() {
        let bytes = Self.hello.encoded()
        for count in 0..<bytes.count {
            #expect(throws: ByteDecodingError.self) { try Hello(decoding: ByteSlice(bytes, 0..<count)) }
        }
    }

    @Test func featuresOfLaterVersionsAreIgnored() throws {
        var bytes = Array(Self.hello.encoded().dropLast(8))
        bytes += [0xff, 0, 0, 0x80, 3, 0, 0, 0, 7, 8, 9]
        #expect(try Hello(decoding: ByteSlice(bytes)) == Self.hello)
    }

    @Test func highestCommonVersionIsChosen() {
        var hello = Self.hello
        hello.highestVersion = 9
        #expect(hello.commonVersion == 1)
        hello.lowestVersion = 2
        #expect(hello.commonVersion == nil)
        hello.lowestVersion = 0
        hello.highestVersion = 0
        #expect(hello.commonVersion == nil)
    }

    @Test func refusalsDoNotBringControlCharactersIntoTheLog() throws {
        let refusal = Refusal(.sender, "a\n\u{1b}[31mb")
        #expect(try Refusal(decoding: ByteSlice(refusal.encoded())).reason == "a  [31mb")
    }

    @Test func refusalTextIsBounded() {
        let refusal = Refusal(.sender, String(repeating: "x", count: 100_000))
        #expect(refusal.encoded().count <= ProtocolVersion.maximumHandshakeBytes)
    }
}

@Suite struct RedialScheduleTests {
    @Test func delaysDoubleUpToTheMaximumWithJitter() {
        var schedule = RedialSchedule(minimumMilliseconds: 2, maximumMilliseconds: 500, seed: 1)
        for nominal in [2, 4, 8, 16, 32, 64, 128, 256, 500, 500, 500] {
            let delay = schedule.nextDelayMicroseconds()
            #expect((nominal * 500...nominal * 1_000).contains(delay))
        }
        schedule.reset()
        #expect(schedule.nextDelayMicroseconds() <= 2_000)
    }

    @Test func sameSeedGivesTheSameDelays() {
        var first = RedialSchedule(minimumMilliseconds: 2, maximumMilliseconds: 500, seed: 5)
        var second = first
        var other = RedialSchedule(minimumMilliseconds: 2, maximumMilliseconds: 500, seed: 6)
        let delays = (0..<10).map { _ in first.nextDelayMicroseconds() }
        #expect(delays == (0..<10).map { _ in second.nextDelayMicroseconds() })
        #expect(delays != (0..<10).map { _ in other.nextDelayMicroseconds() })
    }
}

@Suite struct LogLimiterTests {
    @Test func linesBeyondTheBurstAreCounted() {
        var limiter = LogLimiter(burst: 2, windowSeconds: 10)
        let start = NIODeadline.uptimeNanoseconds(0)
        #expect((0..<5).map { _ in limiter.admit(now: start) } == [0, 0, nil, nil, nil])
        #expect(limiter.admit(now: start + .seconds(9)) == nil)
        #expect(limiter.admit(now: start + .seconds(10)) == 4)
        #expect(limiter.admit(now: start + .seconds(10)) == 0)
    }
}

@Suite struct PeerTransportLimitsTests {
    @Test func defaultsWork() {
        #expect(PeerTransportLimits().problem == nil)
    }

    @Test func problemsAreNamed() {
        func problem(_ change: (inout PeerTransportLimits) -> Void) -> String? {
            var limits = PeerTransportLimits()
            change(&limits)
            return limits.problem
        }
        #expect(problem { $0.maximumPayloadBytes = 0 }?.contains("payload") == true)
        #expect(problem { $0.maximumQueuedBytesPerPeer = $0.maximumPayloadBytes }?.contains("queue") == true)
        #expect(problem { $0.maximumPendingConnections = 0 }?.contains("connection") == true)
        #expect(problem { $0.connectTimeoutMilliseconds = 0 }?.contains("timeouts") == true)
        #expect(problem { $0.pingTimeoutMilliseconds = 1_999 }?.contains("ping") == true)
        #expect(problem { $0.maximumRedialDelayMilliseconds = 1 }?.contains("redial") == true)
    }
}
