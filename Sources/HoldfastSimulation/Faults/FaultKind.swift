/// What can go wrong in the simulated world. ``Fault/amount`` means something else for each.
public enum FaultKind: String, Hashable, Sendable, CaseIterable {
    // Links, from the nodes of `nodes` to those of `peers`; both empty: all links.

    /// Messages are lost: `amount` of 1,000.
    case loss
    /// Messages arrive twice: `amount` of 1,000.
    case duplication
    /// Messages take much longer than others, which overtake them: `amount` of 1,000.
    case reordering
    /// Messages take up to `amount` microseconds more.
    case delay
    /// A link carries `amount` bytes a second, one message after the other.
    case bandwidth
    /// Nothing arrives. `amount` holds the links that are cut, see ``LinkSet``.
    case cut
    /// The links in `amount` fail and recover, again and again.
    case flapping
    /// Connections break: what is under way is lost, both sides notice and connect anew.
    case reset

    // Processes, each of `nodes`.

    /// The process dies and starts again after the fault's duration. `amount`: see ``CrashManner``.
    case crash
    /// As `crash`, within the `amount`-th operation on the disk from now on.
    case crashAtOperation = "crash-at-operation"
    /// Nothing happens in the process (SIGSTOP); afterwards everything happens at once, timers late.
    case pause

    // Disks, each of `nodes`.

    /// Syncs of the log and of snapshots report success and make nothing durable, for the fault's duration. At a
    /// power cut what was not synced honestly since may be gone; that the anchor had reached the disk by then
    /// is what decision 4 asks for.
    case lyingSync = "lying-sync"
    /// The next sync fails. The process has to end; it starts again after the duration.
    case syncFailure = "sync-failure"
    /// Syncs do not return for the fault's duration.
    case syncStall = "sync-stall"
    /// Only `amount` bytes are free for the fault's duration.
    case diskFull = "disk-full"

    /// What the disk holds is damaged at rest. `amount`: see ``DiskDamage``. The process dies first, and
    /// starts again after the duration; with a duration of zero it goes on and does not notice.
    case damage
    /// The next write to the disk is reported as done and is not.
    case lostWrite = "lost-write"
    /// The next write to the disk ends up `amount` sectors into the file.
    case misdirectedWrite = "misdirected-write"
    /// The process dies, everything on the disk is gone, and the process starts after the duration.
    case wipe
    /// The disk is put back to what it was when the fault began, after the fault's duration.
    case rollBack = "roll-back"

    /// The disk is copied, the process is started again, and when all others know of that start a second
    /// process is started from the copy, under the same name and at the same addresses. Until the fault's
    /// duration is over or it ends by itself, each peer is connected to the one or the other by turns.
    case secondProcess = "second-process"

    // Clocks, each of `nodes`.

    /// The clock runs too fast or too slow by `amount` parts per million: even numbers are twice how much
    /// too fast, odd ones twice how much too slow, and one.
    case drift

    // What operators do, in plans with ``FaultPlan/changesMembers``. Where the node cannot take part in it, the
    // next one in the order of numbers that can does; where none can, nothing happens.

    /// A node joins, with an empty disk. `amount`, bit 0: as a voter at once; bit 1: else to be promoted by the
    /// leader when it has caught up.
    case addMember = "add-member"
    /// A member leaves for good.
    case removeMember = "remove-member"
    /// A learner becomes a voter.
    case promoteMember = "promote-member"
    /// A voter becomes a learner.
    case demoteMember = "demote-member"
    /// Several members change at once. `amount` says which.
    case changeMembers = "change-members"
    /// A member gets the priority 0, 50, 100 or 200: `amount` modulo 4.
    case setPriority = "set-priority"
    /// The leader hands over: to the best of the voters where `amount` is even, else to the node.
    case transfer
    /// The process ends as an operator ends it, which hands the leadership over, and starts after the duration.
    case gracefulRestart = "graceful-restart"

    /// Whether it is something that operators do.
    public var isOperation: Bool {
        switch self {
        case .addMember, .removeMember, .promoteMember, .demoteMember, .changeMembers, .setPriority,
            .transfer,
            .gracefulRestart:
            true
        default: false
        }
    }
}

/// How a process dies.
public struct CrashManner: Hashable, Sendable {
    /// Everything that was not synced may be gone too.
    public var losesPower: Bool
    /// The disk is caught within a write.
    public var isWithinWrite: Bool

    public init(losesPower: Bool, isWithinWrite: Bool) {
        self.losesPower = losesPower
        self.isWithinWrite = isWithinWrite
    }

    public init(amount: UInt64) {
        losesPower = amount & 1 != 0
        isWithinWrite = amount & 2 != 0
    }

    public var amount: UInt64 { (losesPower ? 1 : 0) | (isWithinWrite ? 2 : 0) }
}

/// What is damaged, and how.
public struct DiskDamage: Hashable, Sendable {
    public enum Place: UInt64, Hashable, Sendable, CaseIterable {
        /// Any segment of the log.
        case log = 0
        /// Any snapshot.
        case snapshot = 1
        /// What says how far the log was durable.
        case anchor = 2
        /// What the node remembers of the others.
        case members = 3
    }

    public enum Manner: UInt64, Hashable, Sendable, CaseIterable {
        case flippedBit = 0
        case zeroedSector = 1
        case zeroedBlock = 2
        /// A block cannot be read any more.
        case unreadableBlock = 3
    }

    public var place: Place
    public var manner: Manner
    /// Each node in another part of its log: no part is damaged on two.
    public var isHelix: Bool

    public init(_ place: Place, _ manner: Manner, isHelix: Bool = false) {
        self.place = place
        self.manner = manner
        self.isHelix = isHelix
    }

    public init(amount: UInt64) {
        place = Place(rawValue: amount & 3)!
        manner = Manner(rawValue: amount >> 2 & 3)!
        isHelix = amount & 16 != 0
    }

    public var amount: UInt64 { place.rawValue | manner.rawValue << 2 | (isHelix ? 16 : 0) }
}
