import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import PeerTransport
import Synchronization
import Testing

@testable import ReplicaRuntime

/// The links between nodes of one process.
@Suite(.serialized) struct InMemoryNetworkTests {
    /// A transport on a loop of its own, and what it reported.
    private final class Party: Sendable {
        enum Event: Hashable, Sendable {
            case message([UInt8], from: NodeID)
            case connected(NodeID)
            case disconnected(NodeID)
            case stopped(NodeID)
        }

        private final class Recorder: PeerTransportDelegate, Sendable {
            let events = Mutex<[Event]>([])
            func add(_ event: Event) { events.withLock { $0.append(event) } }
            func transport(didReceive payload: ByteSlice, kind: UInt8, from peer: NodeID) {
                add(.message(payload.bytes, from: peer))
            }
            func transportDidFinishReading() {}
            func transport(peerConnected peer: NodeID) { add(.connected(peer)) }
            func transport(peerDisconnected peer: NodeID) { add(.disconnected(peer)) }
            func transport(peerStopped peer: NodeID) { add(.stopped(peer)) }
        }

        let id: NodeID
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        private let recorder = Recorder()
        private let transport: NIOLoopBound<any NodeTransport>

        init(
            _ id: UInt64, incarnation: UInt64 = 1, cluster: UInt64 = 1, peers: [UInt64],
            _ network: InMemoryNetwork
        ) async throws {
            self.id = NodeID(id)
            let start = TransportStart(
                nodeID: NodeID(id), clusterID: ClusterID(cluster), incarnation: incarnation,
                peers: Party.addresses(peers))
            transport = try await loop.submit { [loop, recorder] in
                let made = network.makeTransport(
                    start, loop: loop, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
                made.delegate = recorder
                _ = made.start()
                return NIOLoopBound(made, eventLoop: loop)
            }.get()
        }

        static func addresses(_ ids: [UInt64]) -> [PeerAddress] {
            ids.map { PeerAddress(node: NodeID($0), host: "memory", port: 1) }
        }

        func run<Value: Sendable>(
            _ body: @escaping @Sendable (any NodeTransport) -> Value
        ) async throws -> Value {
            try await loop.submit { [transport] in body(transport.value) }.get()
        }

        func send(_ bytes: [UInt8], to peer: UInt64) async throws -> Bool {
            try await run { transport in
                defer { transport.flush() }
                return transport.send(bytes, kind: 1, to: NodeID(peer))
            }
        }

        var events: [Event] { recorder.events.withLock { $0 } }
        var messages: [Event] {
            events.filter { if case .message = $0 { true } else { false } }
        }

        func wait(for event: Event, count: Int = 1) async throws {
            let end = NIODeadline.now() + .seconds(20)
            while events.filter({ $0 == event }).count < count {
                guard NIODeadline.now() < end else {
                    throw NeverHappened(description: "\(event) never happened to \(id): \(events)")
                }
                try await Task.sleep(for: .milliseconds(2))
            }
        }

        func shutDown() async throws { _ = try await run { $0.shutdown() } }
    }

    private func connected(_ network: InMemoryNetwork) async throws -> (Party, Party) {
        let one = try await Party(1, peers: [1, 2], network)
        let two = try await Party(2, peers: [1, 2], network)
        try await one.wait(for: .connected(two.id))
        try await two.wait(for: .connected(one.id))
        return (one, two)
    }

    @Test func messagesArriveInOrder() async throws {
        let (one, two) = try await connected(InMemoryNetwork())
        for number in 0..<100 as Range<UInt8> { #expect(try await one.send([number], to: 2)) }
        try await two.wait(for: .message([99], from: one.id))
        #expect(two.messages == (0..<100).map { .message([$0], from: one.id) })
    }

    @Test func whatIsNotFlushedLeavesAtTheEndOfTheTurn() async throws {
        let (one, two) = try await connected(InMemoryNetwork())
        _ = try await one.run { $0.send([1], kind: 1, to: NodeID(2)) }
        try await two.wait(for: .message([1], from: one.id))
    }

    @Test func aCutLinkIsDisconnectedButNotStopped() async throws {
        let network = InMemoryNetwork()
        let (one, two) = try await connected(network)
        network.cut(one.id, two.id)
        try await one.wait(for: .disconnected(two.id))
        try await two.wait(for: .disconnected(one.id))
        #expect(try await !one.send([1], to: 2))
        network.heal(one.id, two.id)
        try await one.wait(for: .connected(two.id), count: 2)
        #expect(try await one.send([2], to: 2))
        try await two.wait(for: .message([2], from: one.id))
        #expect(!one.events.contains(.stopped(two.id)))
        #expect(two.messages == [.message([2], from: one.id)])
    }

    @Test func aNodeThatShutsDownIsReportedAsStopped() async throws {
        let network = InMemoryNetwork()
        let (one, two) = try await connected(network)
        try await two.shutDown()
        try await one.wait(for: .stopped(two.id))
        #expect(one.events.suffix(2) == [.disconnected(two.id), .stopped(two.id)])
        let again = try await Party(2, incarnation: 2, peers: [1, 2], network)
        try await one.wait(for: .connected(two.id), count: 2)
        try await again.wait(for: .connected(one.id))
        #expect(one.events.filter { $0 == .stopped(two.id) }.count == 1)
    }

    /// Nobody can tell behind a cut link whether the process lives.
    @Test func aStopBehindACutIsFoundWhenItHeals() async throws {
        let network = InMemoryNetwork()
        let (one, two) = try await connected(network)
        network.cut(one.id, two.id)
        try await one.wait(for: .disconnected(two.id))
        try await two.shutDown()
        let again = try await Party(2, incarnation: 2, peers: [1, 2], network)
        #expect(!one.events.contains(.stopped(two.id)))
        network.healAll()
        try await one.wait(for: .connected(two.id), count: 2)
        #expect(one.events.contains(.stopped(two.id)))
        try await again.wait(for: .connected(one.id))
    }

    @Test func strangersAndOtherClustersDoNotConnect() async throws {
        let network = InMemoryNetwork()
        let one = try await Party(1, peers: [1, 2], network)
        let stranger = try await Party(3, peers: [1, 2, 3], network)
        let other = try await Party(2, cluster: 9, peers: [1, 2, 3], network)
        // Both have looked at node 1 by the time that a change after theirs was seen.
        network.healAll()
        #expect(try await !stranger.send([1], to: 1))
        #expect(try await !other.send([1], to: 1))
        #expect(try await one.run { $0.connectedPeers } == [])
    }

    @Test func aPeerThatIsAddedConnectsAndOneThatIsRemovedDoesNot() async throws {
        let network = InMemoryNetwork()
        let one = try await Party(1, peers: [1], network)
        let two = try await Party(2, peers: [1, 2], network)
        _ = try await one.run { $0.update(peers: Party.addresses([1, 2]), departed: [], memberSince: 0) }
        try await two.wait(for: .connected(one.id))
        try await one.wait(for: .connected(two.id))
        _ = try await one.run { $0.update(peers: Party.addresses([1]), departed: [], memberSince: 0) }
        try await two.wait(for: .disconnected(one.id))
        #expect(!two.events.contains(.stopped(one.id)))
        #expect(try await one.run { $0.connectedPeers } == [])
    }

    @Test func whatWaitsForAPeerIsBounded() async throws {
        let (one, _) = try await connected(InMemoryNetwork(maximumQueuedSizeBytes: 100))
        let answers = try await one.run { transport in
            (0..<12).map { _ in transport.send([UInt8](repeating: 0, count: 10), kind: 1, to: NodeID(2)) }
        }
        #expect(answers == Array(repeating: true, count: 10) + [false, false])
    }
}
