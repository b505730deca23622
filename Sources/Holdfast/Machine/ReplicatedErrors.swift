import ReplicaRuntime

/// Why a command has no result. Every case but ``outcomeUnknown(_:)`` and ``resultUnreadable(_:)`` says that the
/// command was not executed and never will be.
public enum SubmitError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The command cannot be turned into bytes.
    case notEncodable(ValueEncodingError)
    /// The command has more bytes than ``ReplicatedStateMachineSettings/maximumCommandSizeBytes``.
    case tooLarge(sizeBytes: Int, maximumSizeBytes: Int)
    /// Too many callers wait on this node. Try again later, or use fewer at once.
    case overloaded
    /// A disk has no room for the command.
    case noSpace
    /// No leader was found in time.
    case noLeader
    /// This node is a witness: ask one that has data.
    case witness
    /// This node does not run, or stops.
    case stopped
    /// The calling task was cancelled before the command was on its way.
    case cancelled
    /// The command was handed over and no answer came. It was executed once, or will be, or never: what its
    /// effect is must be found out by a query.
    case outcomeUnknown(UnknownOutcomeReason)
    /// The nodes cannot read the command: they run another version of the state.
    case notUnderstood
    /// The command was executed, and its result cannot be read.
    case resultUnreadable(String)

    /// Why no answer came.
    public enum UnknownOutcomeReason: String, Hashable, Sendable {
        /// The time was over.
        case timeout
        /// The calling task was cancelled.
        case cancelled
        /// This node stops.
        case stopped
        /// This client was silent while more than ``SessionedMachine/maximumSessions`` others were not, so that
        /// the cluster has forgotten which of its commands it executed.
        case sessionExpired
    }

    public var description: String {
        switch self {
        case .notEncodable(let error): "\(error)"
        case .tooLarge(let sizeBytes, let maximumSizeBytes):
            "the command has \(sizeBytes) bytes and may have \(maximumSizeBytes): split it, or raise "
                + "maximumCommandSizeBytes on all nodes"
        case .overloaded: "too many callers wait on this node: use fewer at once, or try again later"
        case .noSpace: "a disk has no room for the command; nothing was done"
        case .noLeader: "no leader was found in time; nothing was done"
        case .witness: "this node is a witness, without data: submit to another member; nothing was done"
        case .stopped: "this node does not run; nothing was done"
        case .cancelled: "cancelled before the command was on its way; nothing was done"
        case .outcomeUnknown(let reason):
            "no answer to the command (\(reason.rawValue)); it was executed once, will be, or never"
        case .notUnderstood:
            "the nodes cannot read the command: bring all of them to the same version before it is used"
        case .resultUnreadable(let reason):
            "the command was executed, and its result cannot be read: \(reason)"
        }
    }
}

/// Why a query has no answer. Asking again harms nothing.
public enum ReadError: Error, Hashable, Sendable, CustomStringConvertible {
    case notEncodable(ValueEncodingError)
    /// Too many reads wait on this node.
    case overloaded
    /// The time was over before a leader confirmed that the state here is fresh.
    case timeout
    /// This node is a witness: ask one that has data.
    case witness
    /// This node does not run, or stops.
    case stopped
    /// The calling task was cancelled.
    case cancelled
    /// This node cannot read the query: the types do not fit together.
    case notUnderstood
    /// The answer cannot be read.
    case answerUnreadable(String)

    public var description: String {
        switch self {
        case .notEncodable(let error): "\(error)"
        case .overloaded: "too many reads wait on this node: try again later"
        case .timeout: "no leader confirmed in time that this node's state is fresh"
        case .witness: "this node is a witness, without data: ask another member"
        case .stopped: "this node does not run"
        case .cancelled: "the reading task was cancelled"
        case .notUnderstood: "the query cannot be read: its encoding and decoding do not fit together"
        case .answerUnreadable(let reason): "the answer cannot be read: \(reason)"
        }
    }
}

/// How fresh an answer must be.
public enum ReadConsistency: String, Hashable, Sendable {
    /// It holds every command whose result anybody had before the question: a leader is asked, which asks a
    /// majority. Always right.
    case linearizable
    /// The same, but a leader answers alone while its lease is valid, without asking anybody. Right as long as
    /// clocks do not differ in speed by more than ``NodeConfiguration/maximumClockDriftPartsPerMillion``. Other
    /// nodes, and a leader without a lease, answer as for ``linearizable``.
    case lease
    /// What this node has at the moment, which may be old: how old is not known.
    case stale
}

/// Bounds of a ``ReplicatedStateMachine``. The first two must be the same on every node.
public struct ReplicatedStateMachineSettings: Hashable, Sendable {
    /// The most bytes that a command may have.
    public var maximumCommandSizeBytes = 1 << 20
    /// A snapshot is taken after so many commands.
    public var snapshotEntryCount = 100_000
    /// How many commands of this node may be on their way at once; more wait. At most
    /// ``SessionedMachine/maximumOutstandingPerSession``.
    public var maximumOutstandingCommands = 512
    /// How many more may wait; beyond that ``SubmitError/overloaded`` is thrown at once.
    public var maximumWaitingCommands = 10_000

    /// The defaults that each property states.
    public init() {}
}
