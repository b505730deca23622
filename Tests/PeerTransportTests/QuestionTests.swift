import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import PeerTransport

/// What strangers ask.
@Suite struct QuestionTests {
    private static func ask(_ question: [UInt8], _ node: TestNode) async throws -> [UInt8] {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        return try await PeerQuestion.ask(
            question, host: "127.0.0.1", port: node.port, loop: loop,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ).get()
    }

    private static func questionBytes(versions: ClosedRange<UInt32> = 1...1, _ body: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(versions.lowerBound)
        writer.write(versions.upperBound)
        writer.writeSized(body)
        return FrameDecoder.preamble + frame(.question, writer.bytes)
    }

    private static func refusal(of bytes: [UInt8], by node: TestNode) async throws -> Refusal {
        let client = try await RawClient.connect(to: node.port)
        await client.write(bytes)
        let answer = try frames(in: try await client.bytesUntilClosed())
        #expect(answer.map(\.kind) == [.refusal])
        return try Refusal(decoding: try #require(answer.first).payload)
    }

    @Test func aQuestionIsAnswered() async throws {
        let node = try await TestNode.start(1)
        // The largest of both.
        let question = [UInt8](repeating: 7, count: PeerQuestion.maximumSizeBytes)
        try await node.run { _, recorder in
            recorder.answerQuestion = { question, answer in
                answer([UInt8](repeating: question.bytes[0], count: PeerQuestion.maximumAnswerSizeBytes))
            }
        }
        #expect(
            try await Self.ask(question, node)
                == [UInt8](repeating: 7, count: PeerQuestion.maximumAnswerSizeBytes))
        // Who asks is no peer.
        #expect(try await node.events() == [])
        try await node.shutdown()
    }

    /// As links are: certificates of both sides, or nothing is said.
    @Test func questionsAreSecuredAsLinksAre() async throws {
        let authority = try TestAuthority()
        let other = try TestAuthority(named: "Another Authority")
        let node = try await TestNode.start(1, security: authority.security("one"))
        try await node.run { _, recorder in
            recorder.answerQuestion = { question, answer in answer(question.bytes) }
        }
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        @Sendable func ask(_ security: PeerSecurity) async throws -> [UInt8] {
            try await PeerQuestion.ask(
                [7], host: "127.0.0.1", port: node.port, security: security, loop: loop,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            ).get()
        }
        #expect(try await ask(authority.security("two")) == [7])
        let stranger = try other.security("three")
        await #expect {
            _ = try await ask(stranger)
        } throws: { error in
            if case PeerQuestionError.notSecure = error { true } else { false }
        }
        await #expect(throws: PeerQuestionError.self) { try await ask(.plaintext) }
        let missing = PeerSecurity.mutualTLS(certificateFile: "/none", keyFile: "/none", trustFile: "/none")
        await #expect {
            _ = try await ask(missing)
        } throws: { error in
            if case PeerQuestionError.notSecure(let reason) = error {
                reason.contains("/none")
            } else {
                false
            }
        }
        try await node.shutdown()
    }

    @Test func anAnswerMayTakeItsTime() async throws {
        let node = try await TestNode.start(1)
        let loop = node.loop
        try await node.run { _, recorder in
            recorder.answerQuestion = { question, answer in
                loop.assumeIsolated().scheduleTask(in: .milliseconds(30)) { answer(question.bytes) }
            }
        }
        #expect(try await Self.ask([1, 2, 3], node) == [1, 2, 3])
        try await node.shutdown()
    }

    @Test func whoAnswersNoQuestionsSaysSo() async throws {
        let node = try await TestNode.start(1)
        await #expect(throws: PeerQuestionError.refused(reason: "node 1 answers no questions")) {
            try await Self.ask([1], node)
        }
        try await node.shutdown()
    }

    @Test func nobodyThereIsSaid() async throws {
        let node = try await TestNode.start(1)
        try await node.shutdown()
        await #expect(throws: PeerQuestionError.unreachable(reason: "nothing listens there")) {
            try await Self.ask([1], node)
        }
    }

    @Test func tooManyAtOnceAreRefused() async throws {
        var limits = TestNode.fastLimits
        limits.maximumQuestionsAtOnce = 2
        let node = try await TestNode.start(1, limits: limits)
        try await node.run { _, recorder in recorder.answerQuestion = { _, _ in } }
        let first = try await RawClient.connect(to: node.port)
        let second = try await RawClient.connect(to: node.port)
        for client in [first, second] { await client.write(Self.questionBytes([1])) }
        let loop = node.loop
        try await node.run { _, recorder in
            recorder.waitForQuestions(2, on: loop)
        }.get()
        await #expect(throws: PeerQuestionError.busy) { try await Self.ask([1], node) }
        await first.close()
        try await node.run { _, recorder in recorder.answerQuestion = { _, answer in answer([9]) } }
        // The place of who went away is free as soon as that was noticed.
        var answer: [UInt8]?
        for _ in 0..<2_000 where answer == nil {
            answer = try? await Self.ask([1], node)
            if answer == nil { try await Task.sleep(for: .milliseconds(5)) }
        }
        #expect(answer == [9])
        await second.close()
        try await node.shutdown()
    }

    @Test func tooManyInASecondAreRefused() {
        var limits = PeerTransportLimits()
        limits.maximumQuestionsPerSecond = 3
        var bounds = QuestionBounds()
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
        for _ in 0..<3 {
            let isAdmitted = bounds.admit(limits, now: start)
            #expect(isAdmitted)
            bounds.ended()
        }
        let isAdmittedTooSoon = bounds.admit(limits, now: start + .milliseconds(999))
        #expect(!isAdmittedTooSoon)
        let isAdmittedLater = bounds.admit(limits, now: start + .seconds(1))
        #expect(isAdmittedLater)
    }

    /// A place is not held by who does not read the answer, nor by who never answers.
    @Test func questionsEndAfterATime() async throws {
        var limits = TestNode.fastLimits
        limits.questionTimeoutMilliseconds = 30
        let node = try await TestNode.start(1, limits: limits)
        try await node.run { _, recorder in recorder.answerQuestion = { _, _ in } }
        let client = try await RawClient.connect(to: node.port)
        await client.write(Self.questionBytes([1]))
        #expect(try await client.bytesUntilClosed() == [])
        #expect(node.log.lines.contains { $0.contains("a question was not answered") })
        try await node.shutdown()
    }

    @Test func malformedQuestionsAndOtherVersionsAreRefused() async throws {
        let node = try await TestNode.start(1)
        let malformed = try await Self.refusal(
            of: FrameDecoder.preamble + frame(.question, [1, 2, 3]), by: node)
        #expect(malformed.code == Refusal.Code.malformed.rawValue)
        let later = try await Self.refusal(of: Self.questionBytes(versions: 2...3, [1]), by: node)
        #expect(later.code == Refusal.Code.version.rawValue)
        // Nothing more is taken on the connection of a question.
        let client = try await RawClient.connect(to: node.port)
        try await node.run { _, recorder in recorder.answerQuestion = { _, _ in } }
        await client.write(Self.questionBytes([1]) + frame(.message, [1]))
        #expect(try await client.bytesUntilClosed() == [])
        #expect(try await node.events() == [])
        try await node.shutdown()
    }
}
