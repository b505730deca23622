import ConsensusTypes
import NIOCore
import Testing

@testable import PeerTransport

/// Bytes that no Holdfast node sends. Whatever they are, the connection is closed and the real peers go on.
@Suite struct AbuseTests {
    /// A node with one peer that is not there, and what it does with these bytes from a stranger.
    private func closes(_ bytes: [UInt8], limits: PeerTransportLimits = TestNode.fastLimits) async throws
        -> [String]
    {
        let node = try await TestNode.start(1, limits: limits)
        let server = try await RawServer.start { _, _ in }
        try await node.setPeers([server.address(as: 2)])
        let client = try await RawClient.connect(to: node.port)
        await client.write(bytes)
        _ = try await client.bytesUntilClosed()
        let messages = try await node.events().filter(\.isMessage)
        #expect(messages.isEmpty)
        try await node.shutdown()
        await server.close()
        return node.log.lines
    }

    @Test func strangersProtocol() async throws {
        let lines = try await closes(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
        #expect(
            lines.contains {
                $0.hasPrefix("warning") && $0.contains("does not begin as one between Holdfast")
            })
    }

    @Test func oversizedHello() async throws {
        let hello = frame(.hello, [UInt8](repeating: 0, count: 5_000))
        let lines = try await closes(FrameDecoder.preamble + hello.prefix(12))
        #expect(lines.contains { $0.contains("announces 5000 bytes") })
    }

    @Test func oversizedMessage() async throws {
        var limits = TestNode.fastLimits
        limits.maximumPayloadBytes = 1_000
        let message = frame(.message, [UInt8](repeating: 0, count: 1_001))
        let lines = try await closes(helloBytes(from: 2, to: 1) + message.prefix(12), limits: limits)
        #expect(lines.contains { $0.contains("announces 1001 bytes") })
    }

    @Test func damagedMessage() async throws {
        var message = frame(.message, [1, 2, 3])
        message[13] ^= 1
        let lines = try await closes(helloBytes(from: 2, to: 1) + message)
        #expect(lines.contains { $0.contains("wrong checksum") })
    }

    @Test func messageBeforeTheHello() async throws {
        let lines = try await closes(FrameDecoder.preamble + frame(.message, [1]))
        #expect(lines.contains { $0.contains("out of place") })
    }

    @Test func secondHello() async throws {
        let hello = helloBytes(from: 2, to: 1)
        let lines = try await closes(hello + hello.dropFirst(FrameDecoder.preamble.count))
        #expect(lines.contains { $0.contains("out of place") })
    }

    @Test func pongWithoutAPing() async throws {
        _ = try await closes(helloBytes(from: 2, to: 1) + frame(.pong, []))
    }

    @Test func pingWithAPayload() async throws {
        _ = try await closes(helloBytes(from: 2, to: 1) + frame(.ping, [1]))
    }

    @Test func handshakeThatNeverComes() async throws {
        var limits = TestNode.fastLimits
        limits.handshakeTimeoutMilliseconds = 30
        let lines = try await closes(Array(FrameDecoder.preamble.prefix(3)), limits: limits)
        #expect(lines.contains { $0.contains("the handshake was not finished") })
    }

    /// The oldest connection that says nothing makes room for the next one, so a real peer still gets in.
    @Test func connectionsWithoutHandshakeAreBounded() async throws {
        var limits = TestNode.fastLimits
        limits.maximumPendingConnections = 4
        limits.handshakeTimeoutMilliseconds = 3_600_000
        let nodes = [try await TestNode.start(1, limits: limits), try await TestNode.start(2)]
        var clients: [RawClient] = []
        for _ in 0..<20 {
            clients.append(try await RawClient.connect(to: nodes[0].port))
        }
        for client in clients.prefix(16) {
            #expect(try await client.bytesUntilClosed() == [])
        }
        #expect(try await nodes[0].run { transport, _ in transport.pendingConnectionCount } == 4)
        try await connect(nodes)
        for client in clients { await client.close() }
        for node in nodes { try await node.shutdown() }
    }

    /// Two hundred connections of random bytes, some behind a proper beginning, while two nodes talk.
    @Test func randomBytesDoNotDisturbThePeers() async throws {
        let nodes = try await connectedNodes(2)
        var random = SeededRandom(seed: 11)
        for round in 0..<200 {
            var bytes: [UInt8] =
                switch round % 3 {
                case 0: []
                case 1: FrameDecoder.preamble
                default: Array(helloBytes(from: 9, to: 1))
                }
            for _ in 0..<random.next(below: 400) {
                bytes.append(UInt8(random.next(below: 256)))
            }
            let client = try await RawClient.connect(to: nodes[0].port)
            await client.write(bytes)
            await client.close()
            try await nodes[1].send([UInt8(round)], to: nodes[0].id)
        }
        try await nodes[0].waitForMessages(200)
        let events = try await nodes[0].events()
        #expect(!events.contains(.disconnected(NodeID(2))) && !events.contains(.stopped(NodeID(2))))
        let warnings = nodes[0].log.lines.filter { $0.hasPrefix("warning") }
        #expect(!warnings.isEmpty && warnings.count < 60, "the log is not filled by strangers")
        for node in nodes { try await node.shutdown() }
    }
}
