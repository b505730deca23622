import ConsensusTypes
import EtcdClient
import NIOCore
import Testing
import TestSupport

@testable import EtcdAPI

/// What no client of good will sends. Each ends with a clear error or a closed connection, and the server
/// goes on for everybody else.
@Suite struct AbuseTests {
    private static let putPath = "/etcdserverpb.KV/Put"

    @Test func randomBytes() async throws {
        var limits = TestServer.patientLimits
        limits.handshakeTimeoutMilliseconds = 300
        try await TestServer.run(limits: limits) { server in
            var random = SeededRandom(seed: 21)
            for round in 0..<60 {
                let socket = try await server.socket()
                var bytes = (0..<(1 + random.next(below: 3_000))).map { _ in
                    UInt8(truncatingIfNeeded: random.next())
                }
                switch round % 3 {
                case 1: bytes = WireFrame.preface + bytes
                case 2: bytes = WireFrame.preface + WireFrame.settings().bytes + bytes
                default: break
                }
                await socket.send(bytes)
                if round % 2 == 0 { await socket.close() }
                #expect(await socket.untilClosed())
            }
            try await server.expectAlive()
            try await server.until("every connection is gone") { core, _ in core.connectionCount <= 1 }
        }
    }

    @Test func truncatedFrames() async throws {
        try await TestServer.run { server in
            let whole =
                WireFrame.preface + WireFrame.settings().bytes
                + WireFrame.call(AbuseTests.putPath, stream: 1).bytes
                + WireFrame.message([0x0A, 1, 0x61], stream: 1).bytes
            for count in 0..<whole.count {
                let socket = try await server.socket()
                await socket.send(Array(whole.prefix(count)))
                await socket.close()
            }
            try await server.expectAlive()
            #expect(try await server.with { $0.store.keyValue([0x61]) } == nil)
        }
    }

    /// Every single byte of a good conversation replaced.
    @Test func changedBytes() async throws {
        var limits = TestServer.patientLimits
        limits.handshakeTimeoutMilliseconds = 300
        try await TestServer.run(limits: limits) { server in
            let whole =
                WireFrame.preface + WireFrame.settings().bytes
                + WireFrame.call(AbuseTests.putPath, stream: 1).bytes
                + WireFrame.message([0x0A, 1, 0x61], stream: 1).bytes
            for index in stride(from: 0, to: whole.count, by: 1) {
                let socket = try await server.socket()
                var bytes = whole
                bytes[index] ^= UInt8(1 << (index % 8))
                await socket.send(bytes)
                await socket.close()
            }
            try await server.expectAlive()
        }
    }

    private func expectGoAway(
        _ code: UInt8?, server: TestServer, limits: ServerLimits = ServerLimits(), _ bytes: [[UInt8]],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let socket = try await server.socket()
        await socket.send(WireFrame.preface)
        await socket.send(WireFrame.settings())
        // The server's own settings come first, so that it is known to listen.
        #expect(await socket.until { !$0.frames.isEmpty }, sourceLocation: sourceLocation)
        for chunk in bytes where !socket.isClosed {
            await socket.send(chunk)
        }
        #expect(await socket.untilClosed(), sourceLocation: sourceLocation)
        if let code {
            let goAway = socket.frames.first { $0.kind == WireFrame.Kind.goAway }
            #expect(goAway?.errorCode == code, sourceLocation: sourceLocation)
        }
        try await server.expectAlive(sourceLocation: sourceLocation)
    }

    @Test func oversizedFrame() async throws {
        try await TestServer.run { server in
            // FRAME_SIZE_ERROR
            try await expectGoAway(6, server: server, [[0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 1]])
        }
    }

    @Test func rapidReset() async throws {
        var limits = TestServer.patientLimits
        limits.maximumResetsPerTenSeconds = 100
        try await TestServer.run(limits: limits) { server in
            var bytes: [UInt8] = []
            for number in 0..<300 {
                let stream = UInt32(number * 2 + 1)
                bytes +=
                    WireFrame.call(AbuseTests.putPath, stream: stream).bytes + WireFrame.reset(stream).bytes
            }
            // ENHANCE_YOUR_CALM
            try await expectGoAway(11, server: server, [bytes])
        }
    }

    /// Requests that are sent whole and then reset still run; there is a bound on how many.
    @Test func resetRequestsStillCount() async throws {
        var limits = TestServer.patientLimits
        limits.maximumConcurrentStreams = 10
        try await TestServer.run(limits: limits) { server in
            try await server.with { $0.isHolding = true }
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(WireFrame.settings())
            for number in 0..<100 {
                let stream = UInt32(number * 2 + 1)
                await socket.send(
                    .call(AbuseTests.putPath, stream: stream), .message([0x0A, 1, 0x61], stream: stream),
                    .reset(stream))
            }
            await socket.send(WireFrame.ping())
            #expect(await socket.until { $0.frames.contains { $0.kind == WireFrame.Kind.ping } })
            #expect(try await server.with { $0.heldCount } == 20)
            try await server.with { $0.release() }
            try await server.expectAlive()
        }
    }

    @Test func endlessHeaders() async throws {
        try await TestServer.run { server in
            let start = WireFrame.call(AbuseTests.putPath, stream: 1, flags: 0).bytes
            let more = (0..<200).map { number in
                WireFrame(
                    kind: WireFrame.Kind.continuation, stream: 1,
                    payload: WireFrame.literal("x-\(number)", String(repeating: "y", count: 1_000))
                ).bytes
            }
            try await expectGoAway(11, server: server, [start] + more)
            // Without any content, too.
            let empty = (0..<200).map { _ in WireFrame(kind: WireFrame.Kind.continuation, stream: 1).bytes }
            try await expectGoAway(nil, server: server, [start] + empty)
        }
    }

    @Test func hugeHeaders() async throws {
        try await TestServer.run { server in
            let extra = (0..<15).map { ("x-\($0)", String(repeating: "y", count: 1_050)) }
            try await expectGoAway(
                nil, server: server,
                [WireFrame.call(AbuseTests.putPath, stream: 1, extra: extra + extra).bytes])
        }
    }

    @Test func floodOfPings() async throws {
        var limits = TestServer.patientLimits
        limits.maximumIdleControlFrames = 100
        try await TestServer.run(limits: limits) { server in
            try await expectGoAway(11, server: server, (0..<300).map { _ in WireFrame.ping().bytes })
        }
    }

    @Test func floodOfSettings() async throws {
        var limits = TestServer.patientLimits
        limits.maximumIdleControlFrames = 100
        try await TestServer.run(limits: limits) { server in
            try await expectGoAway(
                11, server: server, (0..<300).map { _ in WireFrame.settings([(4, 1_000)]).bytes })
        }
    }

    @Test func tooManyStreams() async throws {
        var limits = TestServer.patientLimits
        limits.maximumConcurrentStreams = 10
        try await TestServer.run(limits: limits) { server in
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(WireFrame.settings())
            for number in 0..<20 {
                await socket.send(WireFrame.call("/etcdserverpb.Watch/Watch", stream: UInt32(number * 2 + 1)))
            }
            // Also by a client that has not acknowledged the settings that say so.
            #expect(await socket.until { $0.frames.count { $0.kind == WireFrame.Kind.reset } == 10 })
            #expect(socket.frames.last { $0.kind == WireFrame.Kind.reset }?.errorCode == 7)
            #expect(try await server.withCore { $0.openStreamCount } == 10)
            try await server.expectAlive()
        }
    }

    @Test func tooManyConnections() async throws {
        var limits = TestServer.patientLimits
        limits.maximumConnections = 3
        try await TestServer.run(limits: limits) { server in
            var sockets: [WireConnection] = []
            for _ in 0..<3 {
                let socket = try await server.socket()
                await socket.send(WireFrame.preface)
                await socket.send(WireFrame.settings())
                #expect(await socket.until { !$0.frames.isEmpty })
                sockets.append(socket)
            }
            let refused = try await server.socket()
            #expect(await refused.untilClosed())
            for socket in sockets {
                #expect(!socket.isClosed)
                await socket.close()
            }
            try await server.until("they are gone") { core, _ in core.connectionCount == 0 }
            try await server.expectAlive()
        }
    }

    @Test(arguments: [[], Array("PRI * HT".utf8), WireFrame.preface, Array("GET /hea".utf8)]) func silence(
        _ beginning: [UInt8]
    ) async throws {
        var limits = TestServer.patientLimits
        limits.handshakeTimeoutMilliseconds = 500
        try await TestServer.run(limits: limits) { server in
            let socket = try await server.socket()
            if !beginning.isEmpty { await socket.send(beginning) }
            #expect(await socket.untilClosed())
            try await server.expectAlive()
        }
    }

    @Test func keepaliveThatIsNotAnswered() async throws {
        var limits = TestServer.patientLimits
        limits.keepaliveIntervalMilliseconds = 10
        limits.keepaliveTimeoutMilliseconds = 10
        try await TestServer.run(limits: limits) { server in
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(WireFrame.settings())
            #expect(await socket.untilClosed())
            #expect(socket.frames.contains { $0.kind == WireFrame.Kind.ping && $0.flags == 0 })
        }
    }

    // MARK: Calls that are wrong

    /// The status of a call made by hand.
    private func call(
        _ server: TestServer, _ head: WireFrame, _ frames: [WireFrame],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> RawAnswer {
        let socket = try await server.socket()
        await socket.send(WireFrame.preface)
        await socket.send(WireFrame.settings())
        await socket.send(head)
        for frame in frames { await socket.send(frame) }
        #expect(
            await socket.until {
                $0.isClosed
                    || $0.frames.contains {
                        $0.stream == 1 && $0.kind == WireFrame.Kind.headers
                            && $0.flags & WireFrame.endStream != 0
                    }
            }, sourceLocation: sourceLocation)
        let answer = try RawAnswer(socket.frames)
        await socket.close()
        try await server.expectAlive(sourceLocation: sourceLocation)
        return answer
    }

    @Test func malformedProtobuf() async throws {
        try await TestServer.run { server in
            for path in [
                "KV/Put", "KV/Range", "KV/DeleteRange", "KV/Txn", "KV/Compact", "Lease/LeaseGrant",
                "Watch/Watch", "Lease/LeaseKeepAlive", "Maintenance/HashKV",
            ] {
                let answer = try await call(
                    server, .call("/etcdserverpb." + path, stream: 1),
                    [.message([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0x01], stream: 1)])
                #expect(answer.code == 13, "\(path)")
                #expect(answer.message.hasPrefix("grpc: error unmarshalling request"), "\(path)")
            }
        }
    }

    @Test func deeplyNestedTransaction() async throws {
        try await TestServer.run { server in
            var bytes: [UInt8] = []
            for _ in 0..<20_000 {
                // success { request_txn { ... } }
                bytes = [0x22] + length(bytes) + bytes
                bytes = [0x12] + length(bytes) + bytes
                if bytes.count > 100_000 { break }
            }
            let chunks = stride(from: 0, to: bytes.count, by: 16_000).map { start in
                WireFrame(
                    kind: WireFrame.Kind.data, stream: 1,
                    payload: (start == 0 ? [0] + WireFrame.big(UInt32(bytes.count)) : [])
                        + bytes[start..<min(start + 16_000, bytes.count)])
            }
            let answer = try await call(
                server, .call("/etcdserverpb.KV/Txn", stream: 1),
                chunks + [WireFrame(kind: WireFrame.Kind.data, flags: WireFrame.endStream, stream: 1)])
            #expect(answer.code == 13)
        }
    }

    private func length(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var rest = bytes.count
        while rest >= 0x80 {
            result.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return result + [UInt8(rest)]
    }

    @Test func wrongHeads() async throws {
        try await TestServer.run { server in
            let body = [WireFrame.message([0x0A, 1, 0x61], stream: 1)]
            let type = try await call(
                server, .call(AbuseTests.putPath, stream: 1, contentType: "application/json"), body)
            #expect(type.http == "415" && type.code == 3)
            #expect(type.message == "invalid gRPC request content-type \"application/json\"")
            let method = try await call(server, .call(AbuseTests.putPath, stream: 1, method: "GET"), body)
            #expect(method.http == "405" && method.code == 13)
            let timeout = try await call(
                server, .call(AbuseTests.putPath, stream: 1, extra: [("grpc-timeout", "tomorrow")]), body)
            #expect(timeout.http == "400" && timeout.code == 13)
            #expect(timeout.message == "malformed grpc-timeout: \"tomorrow\"")
            let encoding = try await call(
                server, .call(AbuseTests.putPath, stream: 1, extra: [("grpc-encoding", "gzip")]), body)
            #expect(encoding.code == 12)
            #expect(encoding.headers["grpc-accept-encoding"] == "identity")
            let huge = try await call(
                server, .call(AbuseTests.putPath, stream: 1, extra: [("grpc-timeout", "99999999H")]), body)
            #expect(huge.code == 0)
        }
    }

    @Test func wrongMessages() async throws {
        try await TestServer.run { server in
            let head = WireFrame.call(AbuseTests.putPath, stream: 1)
            let good: [UInt8] = [0x0A, 1, 0x61]
            #expect(try await call(server, head, [.message(good, stream: 1, flag: 1)]).code == 12)
            #expect(try await call(server, head, [.message(good, stream: 1, flag: 7)]).code == 13)
            let two = try await call(
                server, head, [.message(good, stream: 1, endStream: false), .message(good, stream: 1)])
            #expect(two.code == 13)
            let half = WireFrame(
                kind: WireFrame.Kind.data, flags: WireFrame.endStream, stream: 1,
                payload: [0, 0, 0, 0, 9, 1, 2])
            #expect(try await call(server, head, [half]).code == 13)
            let none = WireFrame(kind: WireFrame.Kind.data, flags: WireFrame.endStream, stream: 1)
            #expect(try await call(server, head, [none]).code == 13)
            // Only the length of a message that is far too large has to be seen.
            let large = WireFrame(
                kind: WireFrame.Kind.data, stream: 1, payload: [0, 0x7F, 0xFF, 0xFF, 0xFF, 1, 2, 3])
            let answer = try await call(server, head, [large])
            #expect(answer.code == 8)
            #expect(
                answer.message
                    == "grpc: received message larger than max (2147483647 vs. \(ServerLimits().maximumMessageSizeBytes))"
            )
        }
    }

    /// A call that failed before the client had ended its side is reset, so that the client stops sending.
    @Test func resetAfterAnEarlyAnswer() async throws {
        try await TestServer.run { server in
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(.settings(), .call("/etcdserverpb.KV/Nothing", stream: 1))
            #expect(await socket.until { $0.frames.contains { $0.kind == WireFrame.Kind.reset } })
            let kinds = socket.frames.filter { $0.stream == 1 }.map(\.kind)
            #expect(kinds == [WireFrame.Kind.headers, WireFrame.Kind.reset])
            #expect(socket.frames.last { $0.stream == 1 }?.errorCode == 0)
            // What was on its way to that stream does no harm.
            await socket.send(
                .message([1], stream: 1), .call(AbuseTests.putPath, stream: 3),
                .message([0x0A, 1, 0x61], stream: 3))
            #expect(
                await socket.until { $0.frames.contains { $0.stream == 3 && $0.kind == WireFrame.Kind.data } }
            )
        }
    }
}
