/// What a membership says of one member beside its rights.
public struct MemberDescription: Hashable, Sendable {
    /// The priority of members that nothing is said of.
    public static let defaultPriority: UInt8 = 100
    /// The most bytes of ``information``.
    public static let maximumInformationSizeBytes = 4_096

    public let node: NodeID
    /// Among voters that are equally fit to lead, the one with the highest priority should. A voter with the
    /// priority 0 leads only where no other can, until another has caught up.
    public let priority: UInt8
    /// Whether the leader's owner promotes it by itself once it has caught up. Only of learners does it say
    /// anything.
    public let isPromotedWhenReady: Bool
    /// Whether the member keeps of the log only what voting and counting need, and no data: it never leads and
    /// answers no reads. It stays so as long as it is a member.
    public let isWitness: Bool
    /// The owner's encoding of name and addresses. No core looks into it.
    public let information: ByteSlice

    public init(
        node: NodeID, priority: UInt8 = MemberDescription.defaultPriority,
        isPromotedWhenReady: Bool = false, isWitness: Bool = false, information: ByteSlice = ByteSlice()
    ) {
        self.node = node
        self.priority = priority
        self.isPromotedWhenReady = isPromotedWhenReady
        self.isWitness = isWitness
        self.information = information
    }
}
