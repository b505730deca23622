import ConsensusTypes
import ReplicaRuntime
import Synchronization
import WriteAheadLog

/// The network and the disks of nodes that live in one process, so that a service can be tested without ports
/// and files.
///
/// Give one of these to the ``NodeConfiguration/transport`` of every node. Links can be cut and healed; a disk
/// stays when its node stops, and is found again by a node of the same name.
public final class InMemoryCluster: Sendable {
    let network = InMemoryNetwork()
    private let state = Mutex(State())

    private struct State {
        var disks: [String: SimulatedFileSystem] = [:]
        var nodes: [String: Set<NodeID>] = [:]
    }

    /// Without members: each node that is made with it is one more.
    public init() {}

    // MARK: Faults

    /// Cuts the link between two nodes, until it is healed. Neither learns of it.
    public func cut(_ first: String, _ second: String) {
        forEachPair(first, second) { network.cut($0, $1) }
    }

    /// Ends a cut between two nodes.
    public func heal(_ first: String, _ second: String) {
        forEachPair(first, second) { network.heal($0, $1) }
    }

    /// Cuts all links of a node to the others that run.
    public func isolate(_ name: String) {
        for node in nodes(name) { network.isolate(node) }
    }

    /// Heals every link.
    public func healAll() {
        network.healAll()
    }

    /// Forgets everything that lies on the node's disk, as if it had been replaced. The node must not run.
    public func wipeDisk(of name: String) {
        state.withLock { $0.disks[name] = nil }
    }

    // MARK: The nodes' side

    func disk(of name: String) -> SimulatedFileSystem {
        state.withLock { state in
            if let disk = state.disks[name] { return disk }
            let disk = SimulatedFileSystem(seed: StableHash.of(name))
            state.disks[name] = disk
            return disk
        }
    }

    func register(_ node: NodeID, name: String) {
        state.withLock { state in _ = state.nodes[name, default: []].insert(node) }
    }

    private func nodes(_ name: String) -> [NodeID] {
        state.withLock { $0.nodes[name, default: []].sorted() }
    }

    private func forEachPair(_ first: String, _ second: String, _ body: (NodeID, NodeID) -> Void) {
        for one in nodes(first) {
            for other in nodes(second) { body(one, other) }
        }
    }
}
