import ConsensusTypes
import EtcdAPI
import KeyValueCore
import ReplicaRuntime

/// A node's key-value group as etcd's API sees it, together with what only the program knows: the members'
/// names and addresses.
final class NodeService: KeyValueService {
    private let node: KeyValueNode
    private let group: KeyValueGroup
    private let options: ServeOptions
    private let clusterID: UInt64
    private let memberID: UInt64

    init(node: KeyValueNode, options: ServeOptions) {
        self.node = node
        group = node.group
        self.options = options
        clusterID = node.clusterID?.rawValue ?? options.cluster.clusterID
        memberID = options.ownMember.id.rawValue
    }

    var store: KeyValueStore { group.store }

    var header: ServiceHeader {
        ServiceHeader(clusterID: clusterID, memberID: memberID, term: group.leadership.term.rawValue)
    }

    var status: ServiceStatus {
        ServiceStatus(
            clusterID: clusterID, memberID: memberID, leader: group.leadership.leader?.rawValue,
            term: group.leadership.term.rawValue, commitIndex: group.replica.core.commitIndex.rawValue,
            appliedIndex: group.replica.appliedIndex.rawValue, databaseSizeBytes: group.store.sizeBytes,
            members: node.membership.members.map(member), isSpaceExhausted: group.isOutOfSpace,
            isLearner: node.membership.learners.contains(options.ownMember.id),
            leaderChangeCount: group.leaderChangeCount, pendingProposalCount: group.pendingProposalCount)
    }

    private func member(_ id: NodeID) -> MemberInfo {
        let information = information(id)
        let clientURLs: [String]
        if id == options.ownMember.id {
            clientURLs = options.advertiseClientURLs.map(\.text)
        } else {
            clientURLs = node.announcements[id].map(Announcement.clientURLs) ?? information?.clientURLs ?? []
        }
        return MemberInfo(
            id: id.rawValue, name: information?.name ?? "",
            peerURLs: information?.peerAddresses.map { peerScheme + "\($0)" } ?? [], clientURLs: clientURLs,
            isLearner: node.membership.learners.contains(id))
    }

    /// All nodes of a cluster speak the same.
    private var peerScheme: String { options.peerSecurity == .plaintext ? "http://" : "https://" }

    /// What the membership says; data of a version that wrote down only ids has the rest in the options.
    private func information(_ id: NodeID) -> MemberInformation? {
        node.membership.description(of: id)?.memberInformation
            ?? options.cluster.members.first { $0.id == id }.flatMap {
                (try? $0.description)?.memberInformation
            }
    }

    func propose(
        _ command: Command, completion: @escaping (Result<CommandResult, ServiceError>) -> Void
    ) {
        group.propose(command, completion: completion)
    }

    func linearizableRead(_ completion: @escaping (ServiceError?) -> Void) {
        group.linearizableRead(completion)
    }

    func renewLease(_ id: LeaseID, completion: @escaping (Result<Int64, ServiceError>) -> Void) {
        group.renewLease(id, completion: completion)
    }

    func leaseTimeToLive(
        _ id: LeaseID,
        completion: @escaping (Result<(remainingSeconds: Int64, grantedSeconds: Int64), ServiceError>) -> Void
    ) {
        group.leaseTimeToLive(id, completion: completion)
    }

    func watch(_ request: WatchRequest, onPending: @escaping () -> Void) throws(WatchError) -> WatchID {
        try group.watch(request, onPending: onPending)
    }

    func pull(_ id: WatchID, limits: EventLimits) throws(WatchError) -> WatchBatch {
        try group.pull(id, limits: limits)
    }

    func cancelWatch(_ id: WatchID) {
        group.cancelWatch(id)
    }

    func watchProgress(_ id: WatchID) -> Int64? {
        group.watchProgress(id)
    }
}

/// What nodes tell each other of themselves: their client addresses.
enum Announcement {
    static let maximumURLs = 64

    static func encode(_ urls: [ClusterURL]) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt32(urls.count))
        for url in urls {
            writer.writeSized(Array(url.text.utf8))
        }
        return writer.bytes
    }

    /// The addresses in an announcement; none where it cannot be read, as it only informs people.
    static func clientURLs(_ bytes: ByteSlice) -> [String] {
        var reader = ByteReader(bytes)
        guard let count = try? reader.readUInt32(), count <= maximumURLs else { return [] }
        var urls: [String] = []
        for _ in 0..<count {
            guard let text = try? reader.readSized() else { return [] }
            urls.append(String(decoding: text.bytes, as: UTF8.self))
        }
        return urls
    }
}
