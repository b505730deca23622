import ConsensusTypes

/// A deterministic state machine that a group of nodes replicates: a service's own state, in the service's
/// own terms.
///
/// Every node applies the same commands in the same order, each once, and so holds the same state. That holds
/// only if the machine depends on nothing else:
///
/// - no clock, no randomness, no input or output, nothing of the node it runs on; whoever proposes a command
///   puts into it what of these it needs;
/// - no order of a `Set` or `Dictionary`, which differs from node to node, neither in effects nor in results
///   nor in snapshots;
/// - nothing that a snapshot does not hold: after ``init(restoring:)`` the machine goes on as if it had
///   applied the commands itself.
///
/// Bytes that are not a command the machine knows are answered like every other command, by a result that
/// says so, the same on every node: they are in the log already, and refusing to go on would stop all nodes.
///
/// Machines are values: a copy is a frozen state, which a snapshot reads on another thread while the original
/// goes on. Use structs of standard collections, whose copies cost nothing until they are changed. A class
/// must not be used, unless it never changes.
///
/// `HoldfastSimulation` runs a machine in a simulated world and shows where it breaks these rules.
public protocol StateMachine: Sendable {
    /// The state before the first command.
    init()

    /// The state that ``snapshot()`` turned into these bytes. They have been checked against damage, but may
    /// come from another version of the program: throw where they cannot be understood.
    init(restoring snapshot: ByteSlice) throws(ByteDecodingError)

    /// Carries out a command and answers whoever proposed it. Called once for each command on every node, and
    /// again after a restart for those that no snapshot holds.
    mutating func apply(_ command: ByteSlice) -> [UInt8]

    /// Answers a question without changing anything. Asked on one node only.
    func answer(_ query: ByteSlice) -> [UInt8]

    /// The whole state as bytes, the same for equal states.
    func snapshot() -> [UInt8]
}

/// A command that is larger than the group takes. Nothing was done.
public struct CommandTooLargeError: Error, Hashable, Sendable, CustomStringConvertible {
    public let sizeBytes: Int
    public let maximumSizeBytes: Int

    public init(sizeBytes: Int, maximumSizeBytes: Int) {
        self.sizeBytes = sizeBytes
        self.maximumSizeBytes = maximumSizeBytes
    }

    public var description: String {
        "the command has \(sizeBytes) bytes, and the group takes at most \(maximumSizeBytes): split it, or "
            + "raise StateMachineGroupSettings.maximumCommandSizeBytes"
    }
}

extension ServiceError {
    /// Whether the request may still have taken, or take, effect: asking again could do it twice.
    public var isOutcomeUnknown: Bool {
        switch self {
        case .timeout, .timeoutLeaderFailure: true
        case .keyValue, .noLeader, .noSpace, .tooManyRequests, .stopped, .leaderChanged, .witness: false
        }
    }
}
