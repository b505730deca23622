import ConsensusTypes
import NIOCore
import Testing

@testable import PeerTransport

@Suite struct FailureTests {
    @Test func stoppedPeerIsReportedOnce() async throws {
        let nodes = try await connectedNodes(2)
        try await nodes[1].shutdown()
        try await nodes[0].wait(for: .stopped(nodes[1].id))
        let failures = try await nodes[0].events().filter {
            $0 == .disconnected(NodeID(2)) || $0 == .stopped(NodeID(2))
        }
        #expect(failures == [.disconnected(NodeID(2)), .stopped(NodeID(2))])
        #expect(try await nodes[0].send([1], to: nodes[1].id) == false)
        try await nodes[0].shutdown()
    }

    @Test func peerThatWasNeverSeenIsNotReportedAsStopped() async throws {
        // A port that nothing listens at: it was just given back.
        let server = try await RawServer.start { _, _ in }
        let address = server.address(as: 2)
        await server.close()
        let node = try await TestNode.start(1)
        try await node.setPeers([address])
        try await waitForLog(node, "nothing listens there")
        #expect(try await node.events() == [])
        try await node.shutdown()
    }

    /// A port that nothing listens at: it was just given back.
    private static func deadPort() async throws -> Int {
        let server = try await RawServer.start { _, _ in }
        let port = server.port
        await server.close()
        return port
    }

    /// Node 2 does not know node 1's port, so that only its addresses lead to it.
    @Test(arguments: [0, 1, 2]) func aPeerIsFoundAtAnyOfItsAddresses(_ place: Int) async throws {
        let first = try await TestNode.start(1)
        let second = try await TestNode.start(2)
        try await second.setPeers([.unknown(NodeID(1))])
        var ports: [Int] = []
        for index in 0..<3 { ports.append(index == place ? second.port : try await Self.deadPort()) }
        let address = PeerAddress(
            node: NodeID(2), host: "127.0.0.1", port: ports[0],
            alternatives: ports[1...].map { PeerAddress.Alternative(host: "127.0.0.1", port: $0) })
        try await first.setPeers([address])
        try await first.wait(for: .connected(NodeID(2)))
        // That nobody listens at the others says nothing.
        #expect(try await first.events() == [.connected(NodeID(2))])
        // A link that breaks is made again where it was.
        try await second.setPeers([])
        try await first.wait(for: .disconnected(NodeID(2)))
        try await second.setPeers([.unknown(NodeID(1))])
        try await first.wait("another link") { events in
            events.filter { $0 == .connected(NodeID(2)) }.count == 2
        }
        #expect(try await !first.events().contains(.stopped(NodeID(2))))
        try await second.shutdown()
        try await first.wait(for: .stopped(NodeID(2)))
        try await first.shutdown()
    }

    /// At the first address another node answers, which is refused; the next one is right.
    @Test func anAddressOfAnotherNodeIsPassedOver() async throws {
        let first = try await TestNode.start(1)
        let second = try await TestNode.start(2)
        let third = try await TestNode.start(3)
        try await second.setPeers([.unknown(NodeID(1))])
        try await first.setPeers([
            PeerAddress(
                node: NodeID(2), host: "127.0.0.1", port: third.port,
                alternatives: [PeerAddress.Alternative(host: "127.0.0.1", port: second.port)])
        ])
        try await first.wait(for: .connected(NodeID(2)))
        try await waitForLog(first, "but this is node 3")
        for node in [first, second, third] { try await node.shutdown() }
    }

    /// The peer comes up later and does not dial itself: only this node's schedule finds it.
    @Test func refusedPeerIsDialledAgain() async throws {
        let reserved = try await RawServer.start { _, _ in }
        let address = reserved.address(as: 2)
        await reserved.close()
        let node = try await TestNode.start(1)
        try await node.setPeers([address])
        try await waitForLog(node, "nothing listens there")
        let server = try await RawServer.start(port: address.port) { channel, bytes in
            if bytes.readableBytes == helloBytes(from: 1, to: 2).count {
                let welcome = helloBytes(from: 2, to: 1, kind: .welcome)
                channel.writeAndFlush(ByteBuffer(bytes: welcome), promise: nil)
            }
        }
        try await node.wait(for: .connected(NodeID(2)))
        try await node.shutdown()
        await server.close()
    }

    @Test func restartedPeerIsReportedAndConnectedAgain() async throws {
        let nodes = try await connectedNodes(2)
        try await nodes[1].shutdown()
        let restarted = try await TestNode.start(2, incarnation: 2, port: nodes[1].port)
        try await restarted.setPeers([nodes[0].address])
        try await nodes[0].wait("a second connection") { events in
            events.count { $0 == .connected(NodeID(2)) } == 2
        }
        let events = try await nodes[0].events().filter { !$0.isMessage }
        #expect(
            events == [
                .connected(NodeID(2)), .disconnected(NodeID(2)), .stopped(NodeID(2)), .connected(NodeID(2)),
            ])
        #expect(try await nodes[0].send([5], to: NodeID(2)))
        try await restarted.waitForMessages(1)
        try await nodes[0].shutdown()
        try await restarted.shutdown()
    }

    /// The peer restarts so fast that dialling it is never refused: only its incarnation tells.
    @Test func newIncarnationAloneTellsThatThePeerStopped() async throws {
        let connections = Counter()
        let server = try await RawServer.start { channel, bytes in
            guard bytes.readableBytes == helloBytes(from: 1, to: 2).count else {
                return
            }
            let number = connections.next()
            let welcome = helloBytes(from: 2, to: 1, incarnation: number < 3 ? 7 : 8, kind: .welcome)
            channel.writeAndFlush(ByteBuffer(bytes: welcome)).whenComplete { _ in
                if number < 3 { channel.close(promise: nil) }
            }
        }
        let node = try await TestNode.start(1)
        try await node.setPeers([server.address(as: 2)])
        try await node.wait(for: .stopped(NodeID(2)))
        try await node.wait("the third connection") { $0.count { $0 == .connected(NodeID(2)) } == 3 }
        let link: [Event] = [.connected(NodeID(2)), .disconnected(NodeID(2))]
        #expect(try await node.events() == link + link + [.stopped(NodeID(2)), .connected(NodeID(2))])
        try await node.shutdown()
        await server.close()
    }

    /// A new process of the peer introduces itself while the link to the old one still looks alive.
    @Test func acceptedConnectionOfANewIncarnationEndsTheOldLink() async throws {
        let nodes = try await connectedNodes(2)
        let stranger = try await RawClient.connect(to: nodes[0].port)
        await stranger.write(helloBytes(from: 2, to: 1, incarnation: 99))
        try await nodes[0].wait(for: .stopped(NodeID(2)))
        let events = try await nodes[0].events()
        #expect(events.prefix(3) == [.connected(NodeID(2)), .disconnected(NodeID(2)), .stopped(NodeID(2))])
        await stranger.close()
        for node in nodes { try await node.shutdown() }
    }

    @Test func newestAcceptedConnectionWins() async throws {
        let node = try await TestNode.start(1)
        let server = try await RawServer.start { _, _ in }
        try await node.setPeers([server.address(as: 2)])
        let older = try await RawClient.connect(to: node.port)
        await older.write(helloBytes(from: 2, to: 1) + frame(.message, [1]))
        try await node.waitForMessages(1)
        let newer = try await RawClient.connect(to: node.port)
        await newer.write(helloBytes(from: 2, to: 1) + frame(.message, [2]))
        try await node.waitForMessages(2)
        #expect(try frames(in: try await older.bytesUntilClosed()).map(\.kind) == [.welcome])
        await newer.write(frame(.message, [3]))
        try await node.waitForMessages(3)
        await newer.close()
        try await node.shutdown()
        await server.close()
    }

    @Test func removedPeerIsDisconnected() async throws {
        let nodes = try await connectedNodes(3)
        try await nodes[0].setPeers([nodes[1].address])
        #expect(try await nodes[0].run { transport, _ in transport.connectedPeers } == [NodeID(2)])
        try await nodes[2].wait(for: .disconnected(NodeID(1)))
        try await nodes[0].send([1], to: NodeID(2))
        try await nodes[1].waitForMessages(1)
        for node in nodes { try await node.shutdown() }
    }

    @Test func unansweredPingEndsTheLink() async throws {
        var limits = TestNode.fastLimits
        limits.pingIntervalMilliseconds = 20
        limits.pingTimeoutMilliseconds = 60
        let server = try await RawServer.start { channel, bytes in
            if bytes.readableBytes == helloBytes(from: 1, to: 2).count {
                channel.writeAndFlush(
                    ByteBuffer(bytes: helloBytes(from: 2, to: 1, kind: .welcome)), promise: nil)
            }
        }
        let node = try await TestNode.start(1, limits: limits)
        try await node.setPeers([server.address(as: 2)])
        try await node.wait(for: .disconnected(NodeID(2)))
        #expect(node.log.lines.contains { $0.contains("answers no ping") })
        #expect(try await !node.events().contains(.stopped(NodeID(2))), "a silent peer may be alive")
        try await node.shutdown()
        await server.close()
    }

    @Test func silentAcceptedConnectionIsClosed() async throws {
        var limits = TestNode.fastLimits
        limits.pingIntervalMilliseconds = 10
        limits.pingTimeoutMilliseconds = 20
        let node = try await TestNode.start(1, limits: limits)
        let server = try await RawServer.start { _, _ in }
        try await node.setPeers([server.address(as: 2)])
        let client = try await RawClient.connect(to: node.port)
        await client.write(helloBytes(from: 2, to: 1))
        _ = try await client.bytesUntilClosed()
        #expect(node.log.lines.contains { $0.contains("is silent") })
        try await node.shutdown()
        await server.close()
    }

    @Test func noCallbackComesAfterShutdown() async throws {
        let nodes = try await connectedNodes(2)
        let before = try await nodes[0].events().count
        try await nodes[0].shutdown()
        try await nodes[1].wait(for: .stopped(NodeID(1)))
        #expect(try await nodes[0].events().count == before)
        try await nodes[1].shutdown()
    }
}

/// Counts on one loop and is read on it.
final class Counter: Sendable {
    private let value = NIOLockedCounter()

    func next() -> Int { value.next() }
}
