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
    case preCandidateGivesWay
    case electionTimeoutRaised
    case electionTimeoutLowered
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
    // Membership.
    case membershipTruncated
    case membershipChangeRefused
    case jointMembershipLeft
    case jointMembershipLeftByNewLeader
    case leavingMemberTold
    case leavingMemberGivenUp
    case removedLeaderHandedOver
    case removedMemberReminded
    // Transfers.
    case transferRequested
    case transferGivenUp
    case transferVoteDespiteLoyalty
    case proposalHeldInTransfer
    case steppedAside
    case priorityTransferStarted
    case termRenewedAfterTransfer
    // Leases.
    case loyalAfterStart
    case leaseReadAnswered
    case leaseReadRefused
    case leasesVoided
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
    case snapshotWaitsForTurn
    case snapshotRefused
    case ownSnapshotOvertaken
    case receivedSnapshotObsolete
    // Witnesses.
    case witnessWithTooFewData
    case withheldSnapshotSent
    case withheldRefusedByDataMember
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
    case diskStalled
    // Storage.
    case tornTailRemoved
    case logDamageFound
    case snapshotDamageFound
    case restoredExactly
    case adoptedByLeader
    case wipedNodeReturned
    case rolledBackNodeReturned
    case copyOfNodeRefused
}

/// Which rare paths were reached.
public struct RarePathSet: Hashable, Sendable {
    /// One bit for each case, by its raw value.
    private var low: UInt64 = 0
    private var high: UInt64 = 0

    public init() {}

    public var isEmpty: Bool { low | high == 0 }

    public mutating func insert(_ path: RarePath) {
        if path.rawValue < 64 {
            low |= 1 << UInt64(path.rawValue)
        } else {
            precondition(path.rawValue < 128, "there are more rare paths than bits")
            high |= 1 << UInt64(path.rawValue - 64)
        }
    }

    public mutating func formUnion(_ other: RarePathSet) {
        low |= other.low
        high |= other.high
    }

    public func contains(_ path: RarePath) -> Bool {
        path.rawValue < 64
            ? low & 1 << UInt64(path.rawValue) != 0 : high & 1 << UInt64(path.rawValue - 64) != 0
    }

    /// Those that were never reached, in the order of their declaration.
    public var missing: [RarePath] {
        RarePath.allCases.filter { !contains($0) }
    }
}
