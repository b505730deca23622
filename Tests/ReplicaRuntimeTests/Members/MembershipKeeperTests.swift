import ConsensusTypes
import ReplicaRuntime
import Testing

@Suite("What a leader does about its members")
struct MembershipKeeperTests {
    private static let leader = NodeID(1)
    private static let now = Instant(nanoseconds: 1_000_000_000_000)

    private static func keeper(evictAfter: Int? = 30_000, minimumVoters: Int = 3) -> MembershipKeeper {
        var settings = MembershipKeeperSettings()
        settings.evictAfterMilliseconds = evictAfter
        settings.minimumVoters = minimumVoters
        return MembershipKeeper(settings: settings)
    }

    private static func seen(
        _ node: UInt64, silenceSeconds: Int = 0, isCaughtUp: Bool = true
    ) -> MembershipKeeper.Observation {
        MembershipKeeper.Observation(
            node: NodeID(node), silence: .milliseconds(silenceSeconds * 1_000),
            isRecentlyActive: silenceSeconds == 0, isCaughtUp: isCaughtUp)
    }

    private static func members(_ count: UInt64) -> Membership {
        Membership(voters: (1...count).map { NodeID($0) })
    }

    private func decide(
        _ keeper: inout MembershipKeeper, _ membership: Membership,
        _ observations: [MembershipKeeper.Observation], connected: [NodeID] = [],
        isChangeUnderWay: Bool = false, at time: Instant = now
    ) -> [MembershipChange.Step]? {
        keeper.decide(
            leader: Self.leader, membership: membership, isChangeUnderWay: isChangeUnderWay,
            observations: observations, connected: connected, now: time)?.change.steps
    }

    @Test("The longest silent goes first, one at a time, and not before the last change has had its time")
    func oneAtATime() {
        var keeper = Self.keeper()
        let seen = [
            Self.seen(2), Self.seen(3), Self.seen(4, silenceSeconds: 40), Self.seen(5, silenceSeconds: 50),
        ]
        #expect(decide(&keeper, Self.members(5), seen) == [.evict(NodeID(5))])
        #expect(decide(&keeper, Self.members(5), seen) == nil)
        let later = Self.now + .milliseconds(600)
        let four = Membership(voters: (1...4).map { NodeID($0) }, evicted: [NodeID(5)])
        #expect(decide(&keeper, four, Array(seen.dropLast()), at: later) == [.evict(NodeID(4))])
    }

    @Test(
        "Nobody is evicted too early, below the minimum, or where the others could not decide",
        arguments: [
            // Not silent for long enough.
            (5, 3, [0, 0, 0, 29]),
            // Three voters must remain.
            (3, 3, [0, 31]),
            // Of the four that would remain, two live.
            (5, 3, [0, 31, 31, 31]),
            // Of the two that would remain, one lives.
            (3, 2, [31, 31]),
        ])
    func notEvicted(_ count: Int, _ minimumVoters: Int, _ silences: [Int]) {
        var keeper = Self.keeper(minimumVoters: minimumVoters)
        let seen = silences.enumerated().map {
            Self.seen(UInt64($0.offset + 2), silenceSeconds: $0.element)
        }
        #expect(decide(&keeper, Self.members(UInt64(count)), seen) == nil)
    }

    @Test("Who never asked for eviction has none")
    func off() {
        var keeper = Self.keeper(evictAfter: nil)
        #expect(decide(&keeper, Self.members(5), (2...5).map { Self.seen($0, silenceSeconds: 9_999) }) == nil)
    }

    @Test("A node that was evicted comes back as a learner, is promoted when it caught up, or evicted again")
    func comeBack() {
        let five = NodeID(5)
        let description = MemberDescription(node: five, priority: 3, information: ByteSlice([1]))
        let gone = Membership(
            voters: (1...4).map { NodeID($0) }, evicted: [five], descriptions: [description])
        let living = (2...4).map { Self.seen($0) }
        var keeper = Self.keeper()
        #expect(decide(&keeper, gone, living) == nil)
        let back = MemberDescription(
            node: five, priority: 3, isPromotedWhenReady: true, information: ByteSlice([1]))
        #expect(decide(&keeper, gone, living, connected: [five]) == [.addLearner(back)])
        let learning = Membership(
            voters: (1...4).map { NodeID($0) }, learners: [five], descriptions: [back])
        var second = Self.keeper()
        #expect(decide(&second, learning, living + [Self.seen(5, isCaughtUp: false)]) == nil)
        #expect(decide(&second, learning, living + [Self.seen(5)]) == [.promote(five)])
        var third = Self.keeper()
        #expect(decide(&third, learning, living + [Self.seen(5, silenceSeconds: 31)]) == [.evict(five)])
    }

    @Test("A learner that somebody added by hand is neither promoted nor evicted")
    func learnersOfOthers() {
        let membership = Membership(voters: (1...3).map { NodeID($0) }, learners: [NodeID(4)])
        var keeper = Self.keeper()
        #expect(decide(&keeper, membership, (2...4).map { Self.seen($0) }) == nil)
        let silent = [Self.seen(2), Self.seen(3), Self.seen(4, silenceSeconds: 99)]
        #expect(decide(&keeper, membership, silent) == nil)
    }

    @Test("Nothing is begun while a change is under way")
    func underWay() {
        var keeper = Self.keeper()
        let seen = (2...4).map { Self.seen($0) } + [Self.seen(5, silenceSeconds: 99)]
        #expect(decide(&keeper, Self.members(5), seen, isChangeUnderWay: true) == nil)
        let joint = Membership(
            voters: (1...5).map { NodeID($0) }, outgoingVoters: (1...3).map { NodeID($0) })
        #expect(decide(&keeper, joint, seen) == nil)
        #expect(decide(&keeper, Self.members(5), seen) == [.evict(NodeID(5))])
    }
}
