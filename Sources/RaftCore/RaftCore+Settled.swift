import ConsensusTypes

extension RaftCore {
    /// Whether this node leads and would take a change of the membership now: it has committed an entry of its
    /// own term, no change is under way, and it is not handing over.
    public var isMembershipSettled: Bool {
        isReadyToLead && isLastMembershipCommitted && !membership.isJoint && transferTarget == nil
    }
}
