import ConsensusTypes
import RaftCore
import ReplicaRuntime

/// What runs above the replicas of a simulated cluster, with its clients and its own checks. One object per
/// run.
///
/// A run is specialised to its service: nothing is called through an existential for each event.
protocol SimulatedService: AnyObject {
    associatedtype Machine: ReplicaMachine

    // MARK: Nodes

    /// Builds a state from a snapshot's bytes, when a node starts from its disk.
    func makeRestorer() -> any SnapshotRestorer

    /// The machine of a node that starts: empty, or with the state that `restored`, which came from
    /// ``makeRestorer()`` and has finished, has built.
    func makeMachine(_ context: MachineContext, restored: (any SnapshotRestorer)?) -> Machine

    /// The replica that drives the machine is there now.
    func attach(_ machine: Machine, _ replica: Replica<Machine>)

    /// The log of the node has more or less room.
    func spaceChanged(_ machine: Machine, _ space: DiskSpace, now: Instant)

    /// The node has started and takes requests from now on.
    func nodeStarted(_ number: Int, in run: SimulationRun<Self>)

    /// The node died: what it was asked and has not answered will never be answered.
    func nodeStopped(_ number: Int, in run: SimulationRun<Self>)

    // MARK: Clients

    /// Schedules the clients' first events with ``SimulationRun/wakeClient(_:afterMicroseconds:)``.
    func begin(in run: SimulationRun<Self>)

    /// A client that was scheduled goes on.
    func act(_ client: Int, in run: SimulationRun<Self>)

    /// The faults stopped: from now on clients do only what shows that the cluster serves.
    func endingBegins(in run: SimulationRun<Self>)

    /// Whether the clients have seen all that they want to see at the end.
    func hasEnded(in run: SimulationRun<Self>) -> Bool

    // MARK: Checks

    /// An entry is committed. Called once for each, in the order of the log, before ``check(_:in:)`` of the
    /// step in which it was seen.
    func noteCommitted(_ entry: Entry, in run: SimulationRun<Self>) throws(SimulationFailure)

    /// The node has done something.
    func check(_ node: SimulatedNode<Machine>, in run: SimulationRun<Self>) throws(SimulationFailure)

    /// The run is over, all nodes run and have applied the same.
    func checkEnd(in run: SimulationRun<Self>) throws(SimulationFailure)

    /// The branches that only faults reach, as far as this machine reached them.
    func rarePaths(of machine: Machine) -> RarePathSet

    /// For the run's summary and for failures.
    var counts: ServiceCounts { get }
    var description: String { get }
}

extension SimulatedService {
    func rarePaths(of machine: Machine) -> RarePathSet { RarePathSet() }
}

/// What clients did and were told.
struct ServiceCounts: Hashable, Sendable {
    var acknowledgedWrites = 0
    var unknownWrites = 0
    var reads = 0
    var watchEvents = 0
    var leasesExpired = 0
    /// Histories too entangled to be searched for an order.
    var undecidedHistories = 0
}
