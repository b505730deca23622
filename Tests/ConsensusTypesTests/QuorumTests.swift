import ConsensusTypes
import Testing

/// Quorums against their definition, for every small membership: a quorum is a set of nodes that contains more
/// than half of the voters and, during a change, more than half of the outgoing voters.
@Suite struct QuorumTests {
    /// Every set of up to five nodes, as a list of ids.
    private static func sets(of count: Int) -> [[NodeID]] {
        (0..<(1 << count)).map { bits in
            (0..<count).filter { bits >> $0 & 1 == 1 }.map { NodeID(UInt64($0 + 1)) }
        }
    }

    private static func isQuorum(_ set: [NodeID], of membership: Membership) -> Bool {
        func holds(_ group: [NodeID]) -> Bool {
            2 * group.count { set.contains($0) } > group.count
        }
        guard !membership.voters.isEmpty, holds(membership.voters) else { return false }
        return membership.outgoingVoters.isEmpty || holds(membership.outgoingVoters)
    }

    private static let memberships: [Membership] = sets(of: 5).flatMap { voters in
        sets(of: 5).filter { $0.count <= 3 || voters.count <= 3 }.map {
            Membership(voters: voters, outgoingVoters: $0)
        }
    }

    @Test func majorities() {
        #expect((0...7).map(Membership.majority(of:)) == [1, 1, 2, 2, 3, 3, 4, 4])
    }

    @Test func quorumsAreThoseOfTheDefinition() {
        for membership in Self.memberships {
            for set in Self.sets(of: 5) {
                let expected = Self.isQuorum(set, of: membership)
                if membership.isQuorum({ set.contains($0) }) != expected {
                    Issue.record("\(set) in \(membership): expected \(expected)")
                    return
                }
            }
        }
    }

    /// Two quorums of one membership, or of a joint one and either of its halves, always share a node.
    @Test func quorumsIntersect() {
        for joint in Self.memberships where joint.isJoint && !joint.voters.isEmpty {
            let halves = [
                joint, Membership(voters: joint.voters), Membership(voters: joint.outgoingVoters),
            ]
            for set in Self.sets(of: 5) where joint.isQuorum({ set.contains($0) }) {
                for half in halves {
                    // Those that are not in the set are no quorum of any of them.
                    if half.isQuorum({ !set.contains($0) }) {
                        Issue.record("\(set) and its complement are quorums of \(joint) and \(half)")
                        return
                    }
                }
            }
        }
    }

    /// The value of a quorum is the largest that all nodes of some quorum have reached.
    @Test func quorumValuesAreThoseOfTheDefinition() {
        for membership in Self.memberships
        where membership.voters.count + membership.outgoingVoters.count <= 6 {
            for assignment in 0..<243 {
                func value(_ node: NodeID) -> Int {
                    var rest = assignment
                    for _ in 1..<node.rawValue { rest /= 3 }
                    return rest % 3
                }
                let expected = (0...2).last { limit in
                    Self.isQuorum(
                        (1...5).map { NodeID(UInt64($0)) }.filter { value($0) >= limit }, of: membership)
                }
                if membership.quorumValue(value) != expected {
                    Issue.record(
                        "\(membership), \(assignment): \(String(describing: membership.quorumValue(value)))")
                    return
                }
            }
        }
    }

    /// A vote is won when those that agreed are a quorum, lost when those that may still agree are none.
    @Test func voteOutcomesAreThoseOfTheDefinition() {
        for membership in Self.memberships
        where membership.voters.count + membership.outgoingVoters.count <= 6 {
            guard !membership.voters.isEmpty else { continue }
            for assignment in 0..<243 {
                func answer(_ node: NodeID) -> Bool? {
                    var rest = assignment
                    for _ in 1..<node.rawValue { rest /= 3 }
                    return [nil, true, false][rest % 3]
                }
                let all = (1...5).map { NodeID(UInt64($0)) }
                let expected: VoteOutcome =
                    Self.isQuorum(all.filter { answer($0) == true }, of: membership)
                    ? .won
                    : Self.isQuorum(all.filter { answer($0) != false }, of: membership) ? .pending : .lost
                if membership.voteOutcome(answer) != expected {
                    Issue.record("\(membership), \(assignment): expected \(expected)")
                    return
                }
            }
        }
    }

    @Test func nobodyDecidesWhereNobodyVotes() {
        let empty = Membership(voters: [], learners: [NodeID(1)])
        #expect(empty.quorumValue { _ in 5 } == nil)
        #expect(!empty.isQuorum { _ in true })
    }
}
