/// A branch of the code that only faults, or rare orders of events, reach. The simulator reports which of
/// them no run has reached: a check of such a branch that never runs proves nothing.
public enum RarePath: UInt8, CaseIterable, Hashable, Sendable {
    // Elections.
    case leaderStepsDownWithoutQuorum
    case termLearnedFromPreVoteRefusal
    case loyalFollowerIgnoresHigherTerm
    case loyalFollowerRefusesVote
    case voteRefusedAfterVotingForAnother
    case voteRefusedToShorterLog
    case electionLost
    case hurriedCampaign
    // Replication.
    case conflictingSuffixReplaced
    case conflictReplacedWhilePersisting
    case previousEntryMissing
    case previousEntryConflicts
    case acknowledgedEntryMissing
    case staleLeaderAnswered
    case commitWaitsForOwnTerm
    case answerHeldForEarlierPersist
    case entriesWithinSnapshotSkipped
    case appendRefusedWithoutRoom
    case forwardedProposalRepeated
    case forwardedProposalRefused
    // Reads.
    case readWaitsForOwnTerm
    case readBatchOutlived
    case readAskedAgain
    case leaderReadsFailed
    // Snapshots.
    case snapshotNotNeeded
    case snapshotKeepsSuffix
    case snapshotDropsSuffix
    case snapshotTransferRestarted
    case snapshotChunkAnsweredTwice
    case snapshotUnavailable
    case snapshotRefused
    case ownSnapshotOvertaken
    case receivedSnapshotObsolete
    // The state machine's shell.
    case proposalProposedAgain
    case proposalsSentAgain
    case proposalsUnknownAfterSnapshot
    case requestTimedOut
    case readTimedOut
    case leaderCallRefused
    case leaseClocksPromoted
    case leaseExpiryProposed
    case quotaExceeded
    // Storage.
    case tornTailRemoved
    case logDamageFound
    case snapshotDamageFound
    case restoredExactly
    case adoptedByLeader
    case wipedNodeReturned
    case rolledBackNodeReturned
    case copyOfNodeRefused

    /// The mark of the case, for ``RarePathSet``.
    var bit: UInt64 { 1 << UInt64(rawValue) }
}

/// Which rare paths were reached.
public struct RarePathSet: Hashable, Sendable {
    private var bits: UInt64 = 0

    public init() {}

    public var isEmpty: Bool { bits == 0 }

    public mutating func insert(_ path: RarePath) {
        bits |= path.bit
    }

    public mutating func formUnion(_ other: RarePathSet) {
        bits |= other.bits
    }

    public func contains(_ path: RarePath) -> Bool {
        bits & path.bit != 0
    }

    /// Those that were never reached, in the order of their declaration.
    public var missing: [RarePath] {
        RarePath.allCases.filter { !contains($0) }
    }
}
