import ConsensusTypes
import Logging
import NIOCore
import PeerTransport
import RaftCore
import WriteAheadLog

// Letting nodes join that ask for it. Any member can be asked; the leader decides.
extension ReplicaNode {
    /// Less than ``PeerTransport/PeerTransportLimits/questionTimeoutMilliseconds``.
    private static var joinPatience: Interval { .milliseconds(10_000) }
    private static var joinRetryDelay: TimeAmount { .milliseconds(100) }

    public func transport(asked question: ByteSlice, answer: @escaping ([UInt8]) -> Void) -> Bool {
        answerJoin(question, until: Self.now() + Self.joinPatience) { answer($0.encode()) }
        return true
    }

    private func answerJoin(
        _ bytes: ByteSlice, until deadline: Instant, _ answer: @escaping (JoinAnswer) -> Void
    ) {
        let question: JoinQuestion
        do throws(ByteDecodingError) {
            question = try JoinQuestion.decode(bytes)
        } catch {
            return answer(.refused(.malformed, "the question cannot be read: \(error)"))
        }
        guard options.acceptsJoins else {
            return answer(
                .refused(
                    .notAccepted,
                    "this cluster lets nobody join by asking: add the node as a member first, or let the members "
                        + "accept joins (serve --accept-joins, acceptsJoins in the library)"))
        }
        guard question.clusterName == options.clusterName else {
            return answer(
                .refused(
                    .otherCluster,
                    "the node asked for is of another cluster or election: use the same name or token, or another "
                        + "seed"))
        }
        decideJoin(question, until: deadline, answer)
    }

    private func decideJoin(
        _ question: JoinQuestion, until deadline: Instant, _ answer: @escaping (JoinAnswer) -> Void
    ) {
        // The first group decides who the members are.
        guard !isStopped, let leader = groups[0].leader else {
            return answer(.refused(.noLeader, "no member is known to lead at the moment"))
        }
        guard leader == options.nodeID, let clusterID else {
            let addresses = membership.description(of: leader)?.memberInformation?.peerAddresses ?? []
            return answer(.askLeader(leader, addresses))
        }
        let rules = JoinRules(membership: membership, isAddressed: options.network.isAddressed) {
            [self] node in
            if node == options.nodeID { return opened.directory.directoryID }
            guard transport.isConnected(to: node) else { return nil }
            return opened.memory.records.first { $0.node == node && $0.startCount > 0 }?.directory
        }
        let change: MembershipChange
        switch rules.decide(question) {
        case .refuse(let refusal, let reason):
            logger.notice(
                "does not let a node join: \(reason)",
                metadata: ["name": "\(question.information.name)", "node": "\(question.node)"])
            return answer(.refused(refusal, reason))
        case .change(let decided):
            change = decided
        }
        let patience = deadline - Self.now()
        changeMembership(change, timeoutMilliseconds: max(1, Int(patience.nanoseconds / 1_000_000))) {
            [self] result in
            joinChanged(question, clusterID, result, until: deadline, answer)
        }
    }

    private func joinChanged(
        _ question: JoinQuestion, _ cluster: ClusterID, _ result: Result<Membership, MembershipChangeError>,
        until deadline: Instant, _ answer: @escaping (JoinAnswer) -> Void
    ) {
        switch result {
        case .success(let membership):
            logger.notice(
                "a node joins",
                metadata: ["name": "\(question.information.name)", "node": "\(question.node)"])
            answer(.accepted(cluster: cluster, membership))
        case .failure(.invalid(.tooManyMembers)):
            answer(
                .refused(
                    .tooManyMembers,
                    "the cluster has \(MembershipChange.maximumMembers) members, which is the most: remove one "
                        + "first"))
        case .failure(.changeUnderWay), .failure(.invalid(.alreadyMember)),
            .failure(.invalid(.unknownMember)), .failure(.invalid(.notSettled)):
            // Others change the membership at the same time: decided anew by what it is then.
            guard Self.now() + .milliseconds(1_000) < deadline else { fallthrough }
            loop.assumeIsolated().scheduleTask(in: Self.joinRetryDelay) {
                self.decideJoin(question, until: deadline, answer)
            }
        case .failure:
            answer(.refused(.busy, "the membership could not be changed at the moment"))
        }
    }
}
