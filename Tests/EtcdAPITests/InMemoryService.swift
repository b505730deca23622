import ConsensusTypes
import EtcdAPI
import KeyValueCore
import NIOCore
import ReplicaRuntime

/// A real store without a cluster around it: what is proposed is applied at once. Tests can make it fail,
/// hold answers back, or lose its leader.
final class InMemoryService: KeyValueService {
    var store = KeyValueStore()
    var leader: UInt64? = 0xA1
    var isSpaceExhausted = false
    var membersWithData: [String]?
    /// Answers every proposal, read and lease call.
    var failure: ServiceError?
    /// Watches are not told of what was applied.
    var keepsWatchersWaiting = false
    /// Nothing is answered until ``release()``.
    var isHolding = false
    var members = [
        MemberInfo(
            id: 0xA1, name: "one", peerURLs: ["http://127.0.0.1:2380"], clientURLs: ["http://127.0.0.1:2379"])
    ]

    private let eventLoop: any EventLoop
    private var watches: WatchRegistry
    private var handlers: [WatchID: () -> Void] = [:]
    private var held: [() -> Void] = []
    private(set) var proposalCount = 0

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        watches = WatchRegistry(store: store)
    }

    var header: ServiceHeader { ServiceHeader(clusterID: 0xC1, memberID: 0xA1, term: 7) }

    var status: ServiceStatus {
        ServiceStatus(
            clusterID: 0xC1, memberID: 0xA1, leader: leader, term: 7, commitIndex: 42, appliedIndex: 41,
            databaseSizeBytes: store.sizeBytes, members: members, isSpaceExhausted: isSpaceExhausted,
            leaderChangeCount: 3)
    }

    var watchCount: Int { watches.count }
    var heldCount: Int { held.count }

    private func answer(_ body: @escaping () -> Void) {
        if isHolding {
            held.append(body)
        } else {
            body()
        }
    }

    func release() {
        isHolding = false
        let bodies = held
        held = []
        for body in bodies { body() }
    }

    func propose(
        _ command: Command, completion: @escaping (Result<CommandResult, ServiceError>) -> Void
    ) {
        proposalCount += 1
        if let failure { return completion(.failure(failure)) }
        answer { [self] in
            let result = store.apply(command)
            watches.noteApplied(store)
            tellWatchers()
            completion(result.mapError { .keyValue($0) })
        }
    }

    /// Answers every change of the members and every move of the leadership.
    var clusterFailure: ClusterError?
    private(set) var changes: [MemberChange] = []

    func changeMembers(
        _ change: MemberChange, completion: @escaping (Result<MemberChangeOutcome, ClusterError>) -> Void
    ) {
        changes.append(change)
        if let clusterFailure { return completion(.failure(clusterFailure)) }
        answer { [self] in
            var added: MemberInfo?
            switch change {
            case .add(let peerURLs, let isLearner):
                let member = MemberInfo(
                    id: 0xA2, name: "", peerURLs: peerURLs, clientURLs: [], isLearner: isLearner)
                added = member
                members.append(member)
            case .remove(let id):
                members.removeAll { $0.id == id }
            case .update(let id, let peerURLs):
                for position in members.indices where members[position].id == id {
                    members[position].peerURLs = peerURLs
                }
            case .promote(let id):
                for position in members.indices where members[position].id == id {
                    members[position].isLearner = false
                }
            }
            completion(.success(MemberChangeOutcome(added: added, members: members)))
        }
    }

    func moveLeadership(to member: UInt64, completion: @escaping (ClusterError?) -> Void) {
        if let clusterFailure { return completion(clusterFailure) }
        answer { [self] in
            leader = member
            completion(nil)
        }
    }

    private func tellWatchers() {
        guard watches.hasPending, !keepsWatchersWaiting else { return }
        eventLoop.assumeIsolated().execute { [self] in
            for id in watches.takePending(limit: .max) {
                handlers[id]?()
            }
        }
    }

    func linearizableRead(_ completion: @escaping (ServiceError?) -> Void) {
        if let failure { return completion(failure) }
        answer { completion(nil) }
    }

    func renewLease(_ id: LeaseID, completion: @escaping (Result<Int64, ServiceError>) -> Void) {
        if let failure { return completion(.failure(failure)) }
        answer { [self] in
            guard let lease = store.lease(id) else {
                return completion(.failure(.keyValue(.leaseNotFound)))
            }
            completion(.success(lease.timeToLiveSeconds))
        }
    }

    func leaseTimeToLive(
        _ id: LeaseID,
        completion: @escaping (Result<(remainingSeconds: Int64, grantedSeconds: Int64), ServiceError>) -> Void
    ) {
        renewLease(id) { result in
            completion(result.map { (remainingSeconds: $0 - 1, grantedSeconds: $0) })
        }
    }

    func watch(_ request: WatchRequest, onPending: @escaping () -> Void) throws(WatchError) -> WatchID {
        let id = try watches.create(request)
        handlers[id] = onPending
        tellWatchers()
        return id
    }

    func pull(_ id: WatchID, limits: EventLimits) throws(WatchError) -> WatchBatch {
        try watches.nextEvents(for: id, store: store, limits: limits)
    }

    func cancelWatch(_ id: WatchID) {
        watches.cancel(id)
        handlers[id] = nil
    }

    func watchProgress(_ id: WatchID) -> Int64? {
        watches.progress(of: id)
    }
}
