import ConsensusTypes
import PeerTransport
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// Whom a node keeps links to while memberships change.
@Suite struct KnownMembersTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    private func membership(_ voters: [UInt64], evicted: [UInt64] = []) -> Membership {
        let all = voters + evicted
        return Membership(
            voters: voters.map { NodeID($0) }, evicted: evicted.map { NodeID($0) },
            descriptions: all.map { id in
                MemberDescription(
                    node: NodeID(id),
                    MemberInformation(name: "", peerAddresses: [.init(host: "h\(id)", port: Int(id))]))
            })
    }

    private func members(
        _ own: UInt64, _ first: Membership, isJoined: Bool = false, routes: [PeerAddress] = []
    ) -> KnownMembers {
        KnownMembers(
            nodeID: NodeID(own),
            record: ClusterRecord(
                cluster: ClusterID(1), isJoined: isJoined, first: first, latest: first),
            given: [], routes: routes, patience: .milliseconds(100))
    }

    private func ids(_ members: KnownMembers) -> [UInt64] { members.nodes.map(\.rawValue) }

    @Test func oneThatIsAddedIsKnownBeforeThatIsCommitted() {
        var members = members(1, membership([1, 2]))
        members.changed(membership([1, 2, 3]))
        #expect(ids(members) == [2, 3])
        // The entry was replaced by another.
        members.changed(membership([1, 2]))
        #expect(ids(members) == [2])
        #expect(members.departed.isEmpty)
    }

    @Test func oneThatIsRemovedKeepsItsLinkForAWhile() {
        var members = members(1, membership([1, 2, 3]))
        members.changed(membership([1, 2]))
        #expect(ids(members) == [2, 3])
        let isNew = members.committed(membership([1, 2]), index: LogIndex(7), now: start)
        #expect(isNew)
        #expect(ids(members) == [2, 3])
        #expect(members.nextDeadline == start + .milliseconds(100))
        var over = members.expire(connected: [], now: start + .milliseconds(99))
        #expect(over == [])
        over = members.expire(connected: [], now: start + .milliseconds(100))
        #expect(over == [NodeID(3)])
        #expect(ids(members) == [2])
        #expect(members.departedPeers == [DepartedPeer(node: NodeID(3), position: 8)])
        #expect(members.memberSince == 8)
        #expect(!members.isRemoved)
    }

    @Test func oneThatIsAddedAgainIsNotToldOfItsRemoval() {
        var members = members(1, membership([1, 2, 3]))
        for (index, voters) in [(7, [1, 2]), (9, [1, 2, 3])] as [(UInt64, [UInt64])] {
            members.changed(membership(voters))
            _ = members.committed(membership(voters), index: LogIndex(index), now: start)
        }
        #expect(members.departedPeers.isEmpty)
        let over = members.expire(connected: [], now: start + .milliseconds(200))
        #expect(over == [])
        #expect(ids(members) == [2, 3])
    }

    @Test func evictedNodesKeepTheirLinks() {
        var members = members(1, membership([1, 2, 3]))
        members.changed(membership([1, 2], evicted: [3]))
        _ = members.committed(membership([1, 2], evicted: [3]), index: LogIndex(7), now: start)
        let over = members.expire(connected: [], now: start + .milliseconds(200))
        #expect(over == [])
        #expect(ids(members) == [2, 3])
        #expect(members.departed.isEmpty)
        #expect(members.addresses.contains(PeerAddress(node: NodeID(3), host: "h3", port: 3)))
    }

    @Test func theOwnRemovalIsKnownWhenItIsCommitted() {
        var members = members(1, membership([1, 2]))
        members.start(
            inForce: membership([1, 2]), committed: membership([1, 2]), through: LogIndex(5), now: start)
        members.changed(membership([2]))
        #expect(!members.isRemoved)
        _ = members.committed(membership([2]), index: LogIndex(6), now: start)
        #expect(members.isRemoved)
        #expect(members.memberSince == 6)
    }

    /// A removal that was committed and not yet written down is found at the start; what was written down and is
    /// ahead of the commit index is believed.
    @Test func whatIsFoundAtTheStartIsComparedWithWhatWasWrittenDown() {
        var members = members(1, membership([1, 2, 3]))
        members.start(
            inForce: membership([1, 2]), committed: membership([1, 2]), through: LogIndex(9), now: start)
        #expect(members.departedPeers == [DepartedPeer(node: NodeID(3), position: 10)])
        var ahead = KnownMembers(
            nodeID: NodeID(1),
            record: ClusterRecord(
                cluster: ClusterID(1), isJoined: false, first: membership([1, 2]),
                latest: membership([1, 2, 3]), latestIndex: LogIndex(20)),
            given: [], routes: [], patience: .milliseconds(100))
        ahead.start(
            inForce: membership([1, 2, 3]), committed: membership([1, 2]), through: LogIndex(9), now: start)
        #expect(ahead.departedPeers.isEmpty)
        #expect(ids(ahead) == [2, 3])
    }

    /// The log of before tells of memberships that do not have it: a node that joins is not removed by them, and
    /// does not forget whom it asked.
    @Test func oneThatJoinsReadsOfOthers() {
        var members = members(5, membership([1, 4]), isJoined: true)
        for (index, voters) in [(2, [1, 2, 3]), (4, [2, 3]), (6, [2, 3, 4])] as [(UInt64, [UInt64])] {
            members.changed(membership(voters))
            _ = members.committed(membership(voters), index: LogIndex(index), now: start)
            _ = members.expire(connected: [], now: start + .milliseconds(200))
            #expect(!members.isRemoved)
            #expect(members.memberSince == 0)
            #expect(ids(members).contains(4) && ids(members).contains(1))
        }
        members.changed(membership([3, 4, 5]))
        _ = members.committed(membership([3, 4, 5]), index: LogIndex(8), now: start)
        _ = members.expire(connected: [], now: start + .milliseconds(200))
        #expect(ids(members) == [3, 4])
        #expect(members.memberSince == 9)
    }

    @Test func strangersAreLetInForAsLongAsTheyAreConnected() {
        var members = members(1, membership([1, 2]))
        let stranger = PeerAddress(node: NodeID(9), host: "h9", port: 9)
        let answers = [stranger, stranger, PeerAddress(node: NodeID(2), host: "x", port: 1)].map {
            members.letIn($0, now: start)
        }
        #expect(answers == [true, false, false])
        #expect(members.addresses.contains(stranger))
        _ = members.expire(connected: [NodeID(9)], now: start + .milliseconds(30_000))
        #expect(ids(members) == [2, 9])
        _ = members.expire(connected: [], now: start + .milliseconds(60_000))
        #expect(ids(members) == [2])
    }

    @Test func strangersAreBounded() {
        var members = members(1, membership([1]))
        let answers = (10..<40).map { id in
            members.letIn(PeerAddress(node: NodeID(UInt64(id)), host: "h", port: 1), now: start)
        }
        #expect(answers.filter { $0 }.count == KnownMembers.maximumVisitors)
    }

    @Test func routesGoBeforeWhatTheMembershipSays() {
        let route = PeerAddress(node: NodeID(2), host: "proxy", port: 1)
        let members = members(1, membership([1, 2, 3]), routes: [route])
        #expect(members.addresses.first { $0.node == NodeID(2) } == route)
        #expect(members.addresses.first { $0.node == NodeID(3) }?.host == "h3")
        #expect(members.addresses.first { $0.node == NodeID(1) }?.host == "h1")
    }
}
