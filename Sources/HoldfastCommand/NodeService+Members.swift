import ConsensusTypes
import EtcdAPI
import NIOCore
import ReplicaRuntime

// What clients see and change of the members. Ids follow from the addresses, as those of --initial-cluster do, so
// that a node which is started with its addresses knows its id.
extension NodeService {
    private static let retryDelay = TimeAmount.milliseconds(100)

    /// Voters and learners, sorted by id.
    var memberList: [MemberInfo] {
        let membership = node.membership
        return membership.members.map { info(of: $0, in: membership) }
    }

    private func info(of id: NodeID, in membership: Membership) -> MemberInfo {
        // Data of a version that wrote down only ids has the rest in the options.
        let information =
            membership.description(of: id)?.memberInformation
            ?? options.cluster.members.first { $0.id == id }.flatMap {
                (try? $0.description)?.memberInformation
            }
        let announced = announcement(of: id)
        let name = information?.name ?? ""
        return MemberInfo(
            id: id.rawValue, name: name.isEmpty ? announced.name : name,
            peerURLs: information?.peerAddresses.map { peerScheme + "\($0)" } ?? [],
            clientURLs: announced.clientURLs.isEmpty ? information?.clientURLs ?? [] : announced.clientURLs,
            isLearner: membership.learners.contains(id))
    }

    /// All nodes of a cluster speak the same.
    private var peerScheme: String { options.peerSecurity == .plaintext ? "http://" : "https://" }

    /// Only a member itself knows where clients reach it, and one that was added has its name from its start.
    private func announcement(of id: NodeID) -> Announcement {
        guard id != options.ownMember.id else {
            return Announcement(
                name: options.ownMember.name, clientURLs: options.advertiseClientURLs.map(\.text))
        }
        return node.announcements[id].map(Announcement.decode) ?? Announcement()
    }

    func changeMembers(
        _ change: MemberChange, completion: @escaping (Result<MemberChangeOutcome, ClusterError>) -> Void
    ) {
        let membership = node.membership
        let translated: (change: MembershipChange, added: NodeID?)
        do throws(ClusterError) {
            translated = try translate(change, in: membership)
        } catch {
            return completion(.failure(error))
        }
        let deadline = NIODeadline.now() + .milliseconds(Int64(group.settings.requestTimeoutMilliseconds))
        attempt(translated.change, until: deadline) { [self] result in
            switch result {
            case .success:
                let members = memberList
                let added = translated.added.flatMap { id in members.first { $0.id == id.rawValue } }
                completion(.success(MemberChangeOutcome(added: added, members: members)))
            case .failure(let error):
                completion(.failure(error))
            }
        }
    }

    /// Waits while another change is under way.
    private func attempt(
        _ change: MembershipChange, until deadline: NIODeadline,
        completion: @escaping (Result<Void, ClusterError>) -> Void
    ) {
        let remaining = deadline - NIODeadline.now()
        guard remaining > .zero else { return completion(.failure(.service(.timeout))) }
        node.changeMembership(change, timeoutMilliseconds: Int(remaining.nanoseconds / 1_000_000) + 1) {
            [self] result in
            switch result {
            case .success:
                completion(.success(()))
            case .failure(.changeUnderWay):
                node.loop.assumeIsolated().scheduleTask(in: Self.retryDelay) {
                    self.attempt(change, until: deadline, completion: completion)
                }
            case .failure(let error):
                completion(.failure(ClusterError(error)))
            }
        }
    }

    private func translate(
        _ change: MemberChange, in membership: Membership
    ) throws(ClusterError) -> (change: MembershipChange, added: NodeID?) {
        switch change {
        case .add(let peerURLs, let isLearner):
            let urls = try parse(peerURLs)
            try requireUnused(urls, besides: nil, in: membership)
            let id = InitialCluster.memberID(token: options.clusterToken, peerURLs: urls)
            guard !membership.isMember(id) else { throw .memberExists }
            // Witnesses are named when a cluster is formed. One that was evicted comes back as one.
            let description = MemberDescription(
                node: id, isWitness: membership.isWitness(id),
                information: try information(name: "", urls).encode())
            let step =
                isLearner
                ? MembershipChange.Step.addLearner(description) : .addVoter(description)
            return (MembershipChange([step]), id)
        case .remove(let id):
            return (MembershipChange([.remove(try known(id, in: membership))]), nil)
        case .promote(let id):
            return (MembershipChange([.promote(try known(id, in: membership))]), nil)
        case .update(let id, let peerURLs):
            let member = try known(id, in: membership)
            let urls = try parse(peerURLs)
            try requireUnused(urls, besides: member, in: membership)
            let before = membership.description(of: member)
            let description = MemberDescription(
                node: member, priority: before?.priority ?? MemberDescription.defaultPriority,
                isPromotedWhenReady: before?.isPromotedWhenReady ?? false,
                isWitness: before?.isWitness ?? false,
                information: try information(
                    name: info(of: member, in: membership).name, urls
                ).encode())
            return (MembershipChange([.describe(description)]), nil)
        }
    }

    private func known(_ id: UInt64, in membership: Membership) throws(ClusterError) -> NodeID {
        let node = NodeID(id)
        guard membership.isMember(node) || membership.evicted.contains(node) else { throw .memberNotFound }
        return node
    }

    private func parse(_ texts: [String]) throws(ClusterError) -> [ClusterURL] {
        guard !texts.isEmpty else { throw .invalidURLs }
        var urls: [ClusterURL] = []
        for text in texts {
            // All nodes speak TLS, or none.
            guard let url = try? ClusterURL(text, flag: "peerURLs"),
                url.isSecure == (options.peerSecurity != .plaintext)
            else { throw .invalidURLs }
            urls.append(url)
        }
        return urls
    }

    private func information(name: String, _ urls: [ClusterURL]) throws(ClusterError) -> MemberInformation {
        let information = MemberInformation(
            name: name, peerAddresses: urls.map { MemberInformation.Address(host: $0.host, port: $0.port) })
        guard information.problem == nil else { throw .invalidURLs }
        return information
    }

    private func requireUnused(
        _ urls: [ClusterURL], besides own: NodeID?, in membership: Membership
    ) throws(ClusterError) {
        for member in membership.members where member != own {
            let taken = info(of: member, in: membership).peerURLs
            if urls.contains(where: { taken.contains($0.text) }) { throw .peerURLExists }
        }
    }

    // MARK: Moving the leadership

    func moveLeadership(to member: UInt64, completion: @escaping (ClusterError?) -> Void) {
        node.beginHandOver(to: NodeID(member)).assumeIsolated().whenSuccess { result in
            switch result {
            case .success, .failure(.refused(.alreadyLeader)): completion(nil)
            case .failure(.refused(.notLeader)): completion(.notLeader)
            case .failure(.refused(.underWay)): completion(.service(.tooManyRequests))
            case .failure(.refused): completion(.cannotLead)
            case .failure(.gaveUp): completion(.service(.timeout))
            case .failure(.stopped): completion(.service(.stopped))
            }
        }
    }
}

extension ClusterError {
    init(_ error: MembershipChangeError) {
        switch error {
        case .invalid(let problem): self = ClusterError(problem)
        case .learnerNotReady: self = .learnerNotReady
        case .changeUnderWay: self = .service(.timeout)
        case .service(let error): self = .service(error)
        }
    }

    private init(_ problem: MembershipChangeProblem) {
        switch problem {
        case .unknownMember: self = .memberNotFound
        // Who was evicted as a witness is remembered as one.
        case .alreadyMember, .witnessFixed: self = .memberExists
        case .notLearner: self = .notLearner
        case .noVoterLeft, .notVoter, .tooManyWitnesses: self = .noVoterLeft
        case .tooManyMembers: self = .tooManyMembers
        case .informationTooLarge: self = .invalidURLs
        case .notSettled: self = .service(.timeout)
        case .emptyChange, .malformed:
            preconditionFailure("a change that this node made itself was refused: \(problem)")
        }
    }
}
