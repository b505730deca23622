import ConsensusTypes
import Testing

@testable import ReplicaRuntime

@Suite struct MembershipFollowerTests {
    private static func membership(
        _ voters: [UInt64], learners: [UInt64] = [], evicted: [UInt64] = []
    ) -> Membership {
        Membership(
            voters: voters.map { NodeID($0) }, learners: learners.map { NodeID($0) },
            evicted: evicted.map { NodeID($0) },
            descriptions: (voters + learners + evicted).map {
                MemberDescription(node: NodeID($0), information: ByteSlice([UInt8($0)]))
            })
    }

    private static func observations(
        _ membership: Membership, silent: [UInt64] = [], behind: [UInt64] = []
    ) -> [MembershipKeeper.Observation] {
        membership.members.map { node in
            let isSilent = silent.contains(node.rawValue)
            return MembershipKeeper.Observation(
                node: node, silence: isSilent ? .milliseconds(60_000) : .zero, isRecentlyActive: !isSilent,
                isCaughtUp: !behind.contains(node.rawValue))
        }
    }

    private func next(
        _ present: Membership, _ target: Membership, silent: [UInt64] = [], behind: [UInt64] = []
    ) -> [MembershipChange.Step] {
        MembershipFollower.decide(
            from: present, to: target, leader: present.voters[0],
            observations: Self.observations(present, silent: silent, behind: behind))?.change.steps ?? []
    }

    @Test func aNewVoterLearnsFirst() {
        let target = Self.membership([1, 2, 3, 4])
        let step = next(Self.membership([1, 2, 3]), target)
        #expect(step == [.addLearner(MemberDescription(node: NodeID(4), information: ByteSlice([4])))])
        let learning = Self.membership([1, 2, 3], learners: [4])
        #expect(next(learning, target, behind: [4]) == [])
        #expect(next(learning, target) == [.promote(NodeID(4))])
        #expect(!MembershipFollower.isFollowed(target, by: learning))
        #expect(MembershipFollower.isFollowed(target, by: target))
    }

    private static func witnessing(_ witnesses: [UInt64], in voters: [UInt64]) -> Membership {
        Membership(
            voters: voters.map { NodeID($0) },
            descriptions: witnesses.map { MemberDescription(node: NodeID($0), isWitness: true) })
    }

    /// Witnesses are witnesses in every group, and on the way there never too many of them.
    @Test func witnessesComeLastAndStayWitnesses() {
        let target = Self.witnessing([2, 3], in: [1, 2, 3, 4, 5])
        var present = Membership(voters: [NodeID(1)])
        var rounds = 0
        while !MembershipFollower.isFollowed(target, by: present), rounds < 20 {
            rounds += 1
            let steps = next(present, target)
            guard case .simple(let following)? = try? MembershipChange(steps).applied(to: present) else {
                Issue.record("\(steps) cannot be done to \(present)")
                return
            }
            present = following
        }
        #expect(present.voters == target.voters && present.witnesses == target.witnesses)
        // One that keeps data from now on begins anew.
        let changed = Self.witnessing([2], in: [1, 2, 3, 4, 5])
        #expect(next(present, changed) == [.remove(NodeID(3))])
    }

    /// A voter that helps to decide goes when the one that takes its place votes; a silent one at once.
    @Test func whoLeavesWaitsForWhoComes() {
        let present = Self.membership([1, 2, 3], learners: [4])
        let target = Self.membership([1, 2, 4])
        #expect(next(present, target, behind: [4]) == [])
        #expect(next(present, target, silent: [3], behind: [4]) == [.remove(NodeID(3))])
        #expect(next(Self.membership([1, 2, 3, 4]), target) == [.remove(NodeID(3))])
    }

    /// Never below a majority that lives.
    @Test func nobodyGoesWhoIsNeeded() {
        let present = Self.membership([1, 2, 3, 4])
        let target = Self.membership([1, 2, 3])
        #expect(next(present, target, silent: [2, 3]) == [])
        #expect(next(present, target, silent: [2]) == [.remove(NodeID(4))])
    }

    @Test func theEvictedStayKnown() {
        let present = Self.membership([1, 2, 3, 4])
        let target = Self.membership([1, 2, 3], evicted: [4])
        #expect(next(present, target, silent: [4]) == [.evict(NodeID(4))])
        #expect(
            next(Self.membership([1, 2, 3], evicted: [4]), Self.membership([1, 2, 3])) == [
                .remove(NodeID(4))
            ])
        let back = Self.membership([1, 2, 3], learners: [4])
        #expect(
            next(Self.membership([1, 2, 3], evicted: [4]), back) == [
                .addLearner(MemberDescription(node: NodeID(4), information: ByteSlice([4])))
            ])
    }

    /// A witness is one in every group, and is never made of a member with data.
    @Test func witnessesAreWitnessesEverywhere() {
        func membership(_ voters: [UInt64], witness: UInt64?) -> Membership {
            Membership(
                voters: voters.map { NodeID($0) },
                descriptions: voters.map { MemberDescription(node: NodeID($0), isWitness: $0 == witness) })
        }
        let target = membership([1, 2, 3], witness: 3)
        #expect(
            next(membership([1, 2], witness: nil), target) == [
                .addLearner(MemberDescription(node: NodeID(3), isWitness: true))
            ])
        let other = membership([1, 2, 3], witness: nil)
        #expect(!MembershipFollower.isFollowed(target, by: other))
        #expect(next(other, target) == [.remove(NodeID(3))])
    }

    /// From anywhere to anywhere, by changes that are allowed, in a bounded number of steps.
    @Test(arguments: 1...300) func everyTargetIsReached(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        func any() -> Membership {
            var roles: [[UInt64]] = [[], [], []]
            for node in 1...7 as ClosedRange<UInt64> {
                let role = Int(random.next() % 4)
                if role < 3 { roles[role].append(node) }
            }
            if roles[0].isEmpty {
                roles[0] = [8]
            }
            return Self.membership(roles[0], learners: roles[1], evicted: roles[2])
        }
        var present = any()
        let target = any()
        for _ in 0..<40 {
            let steps = next(present, target)
            if steps.isEmpty { break }
            switch try MembershipChange(steps).applied(to: present) {
            case .simple(let membership): present = membership
            case .joint: Issue.record("a single step never needs two majorities")
            }
        }
        #expect(present.voters == target.voters)
        #expect(present.learners == target.learners)
        #expect(MembershipFollower.isFollowed(target, by: present))
    }
}
