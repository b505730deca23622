import ConsensusTypes
import NIOCore
import Synchronization
import Testing

@testable import PeerTransport

final class NIOLockedCounter: Sendable {
    private let value = Mutex(0)

    /// 1, 2, 3 and so on.
    func next() -> Int {
        value.withLock {
            $0 += 1
            return $0
        }
    }
}

/// Waits until the node has logged a line with this text.
func waitForLog(_ node: TestNode, _ text: String) async throws {
    for _ in 0..<4_000 {
        if node.log.lines.contains(where: { $0.contains(text) }) {
            return
        }
        try await Task.sleep(for: .milliseconds(5))
    }
    throw NeverHappened(description: "a log line with \(text); the log has \(node.log.lines)")
}

@Suite struct RefusalTests {
    private func refusal(of hello: [UInt8]) async throws -> Refusal {
        let node = try await TestNode.start(1)
        let server = try await RawServer.start { _, _ in }
        try await node.setPeers([server.address(as: 2)])
        let client = try await RawClient.connect(to: node.port)
        await client.write(hello)
        let answer = try frames(in: try await client.bytesUntilClosed())
        #expect(answer.map(\.kind) == [.refusal])
        #expect(node.log.lines.contains { $0.hasPrefix("warning") && $0.contains("refused") })
        try await node.shutdown()
        await server.close()
        return try Refusal(decoding: try #require(answer.first).payload)
    }

    @Test func otherCluster() async throws {
        let refusal = try await refusal(of: helloBytes(from: 2, to: 1, cluster: ClusterID(0xbad)))
        #expect(refusal.code == Refusal.Code.cluster.rawValue)
        #expect(refusal.reason.contains("cluster bad"))
    }

    @Test func otherReceiver() async throws {
        let refusal = try await refusal(of: helloBytes(from: 2, to: 3))
        #expect(refusal.code == Refusal.Code.receiver.rawValue)
    }

    @Test func unknownSender() async throws {
        let refusal = try await refusal(of: helloBytes(from: 4, to: 1))
        #expect(refusal.code == Refusal.Code.sender.rawValue)
    }

    @Test func ownIdentityAsSender() async throws {
        let refusal = try await refusal(of: helloBytes(from: 1, to: 1))
        #expect(refusal.code == Refusal.Code.sender.rawValue)
    }

    @Test func laterVersion() async throws {
        let refusal = try await refusal(of: helloBytes(from: 2, to: 1, versions: 2...3))
        #expect(refusal.code == Refusal.Code.version.rawValue)
    }

    @Test func malformedHello() async throws {
        let refusal = try await refusal(of: FrameDecoder.preamble + frame(.hello, [1, 2, 3]))
        #expect(refusal.code == Refusal.Code.malformed.rawValue)
    }

    @Test func refusedNodeSaysWhyAndKeepsTrying() async throws {
        let first = try await TestNode.start(1, cluster: ClusterID(1))
        let second = try await TestNode.start(2, cluster: ClusterID(2))
        try await first.setPeers([second.address])
        try await second.setPeers([first.address])
        try await waitForLog(first, "it refuses this node: node 1 belongs to cluster 1, node 2 to cluster 2")
        #expect(try await first.events() == [])
        try await second.shutdown()
        let repaired = try await TestNode.start(2, cluster: ClusterID(1), port: second.port)
        try await repaired.setPeers([first.address])
        try await first.wait(for: .connected(NodeID(2)))
        try await first.shutdown()
        try await repaired.shutdown()
    }

    /// Another node answers at the peer's address.
    @Test func welcomeOfAnotherNodeIsNotAccepted() async throws {
        let server = try await RawServer.start { channel, bytes in
            if bytes.readableBytes == helloBytes(from: 1, to: 2).count {
                channel.writeAndFlush(
                    ByteBuffer(bytes: helloBytes(from: 3, to: 1, kind: .welcome)), promise: nil)
            }
        }
        let node = try await TestNode.start(1)
        try await node.setPeers([server.address(as: 2)])
        try await waitForLog(node, "was expected, node 3 of cluster c1 answered")
        #expect(try await node.events() == [])
        try await node.shutdown()
        await server.close()
    }

    @Test func silentAcceptorTimesOut() async throws {
        var limits = TestNode.fastLimits
        limits.handshakeTimeoutMilliseconds = 30
        let server = try await RawServer.start { _, _ in }
        let node = try await TestNode.start(1, limits: limits)
        try await node.setPeers([server.address(as: 2)])
        try await waitForLog(node, "the handshake was not finished within 30 ms")
        try await node.shutdown()
        await server.close()
    }
}
