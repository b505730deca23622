import ConsensusTypes
import EtcdAPI
import KeyValueCore
import ReplicaRuntime

/// A node's key-value group as etcd's API sees it, together with what only the program knows: the members'
/// names and addresses.
final class NodeService: KeyValueService {
    let node: KeyValueNode
    let group: KeyValueGroup
    let options: ServeOptions
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
            members: memberList, isSpaceExhausted: group.isOutOfSpace,
            isLearner: node.membership.learners.contains(options.ownMember.id),
            leaderChangeCount: group.leaderChangeCount, pendingProposalCount: group.pendingProposalCount,
            electionTimeoutMilliseconds: Int(
                group.replica.core.electionTimeout.nanoseconds / 1_000_000))
    }

    var membersWithData: [String]? {
        guard group.replica.isWitness else { return nil }
        return memberList.filter { !node.membership.isWitness(NodeID($0.id)) && !$0.isLearner }
            .map { $0.name.isEmpty ? "\($0.id)" : $0.name }.sorted()
    }

    func propose(
        _ command: Command, completion: @escaping (Result<CommandResult, ServiceError>) -> Void
    ) {
        group.propose(command, completion: completion)
    }

    func linearizableRead(_ completion: @escaping (ServiceError?) -> Void) {
        if options.readsUnderLease {
            group.leaseRead(completion)
        } else {
            group.linearizableRead(completion)
        }
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

/// What nodes tell each other of themselves: their client addresses and their names.
struct Announcement: Hashable {
    static let maximumURLs = 64

    var name = ""
    var clientURLs: [String] = []

    func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt32(clientURLs.count))
        for url in clientURLs {
            writer.writeSized(Array(url.utf8))
        }
        writer.writeSized(Array(name.utf8))
        return writer.bytes
    }

    /// What can be read of an announcement, as it only informs people. The name came later than the addresses.
    static func decode(_ bytes: ByteSlice) -> Announcement {
        var reader = ByteReader(bytes)
        guard let count = try? reader.readUInt32(), count <= maximumURLs else { return Announcement() }
        var announcement = Announcement()
        for _ in 0..<count {
            guard let text = try? reader.readSized() else { return Announcement() }
            announcement.clientURLs.append(String(decoding: text.bytes, as: UTF8.self))
        }
        if let name = try? reader.readSized() {
            announcement.name = String(decoding: name.bytes, as: UTF8.self)
        }
        return announcement
    }
}
