import ConsensusTypes
import EtcdAPI
import EtcdClient
import HoldfastSimulation
import Synchronization

/// What a client was told of one lease, which has one key.
struct LeaseRecord: Hashable, Sendable {
    let key: String
    let id: Int64
    var history: LeaseHistory
}

/// A client that takes leases, keeps some alive for a while, and lets them run out or revokes them.
struct LeaseClient {
    static let timeToLiveSeconds: Int64 = 3
    static let timeoutMilliseconds = 1_500

    let number: Int
    let prefix: String
    let control: RunControl
    let records: LeaseRecords
    private var random: SeededRandom
    private var connections: ClientConnections

    init(
        number: Int, endpoints: [Endpoint], prefix: String, seed: UInt64, control: RunControl,
        records: LeaseRecords
    ) {
        self.number = number
        self.prefix = prefix
        self.control = control
        self.records = records
        random = SeededRandom(seed: seed &+ UInt64(number) &* 0x51ed_270b)
        connections = ClientConnections(endpoints)
    }

    mutating func run() async {
        var count = 0
        while !control.isEnding {
            count += 1
            await useLease(key: "\(prefix)lease/\(number)-\(count)")
            await control.sleep(milliseconds: 200 + Int(random.next(below: 1_000)))
        }
        await connections.closeAll()
    }

    private mutating func anyClient() async -> EtcdClient? {
        await connections.client(Int(random.next(below: UInt64(connections.endpoints.count))))
    }

    private mutating func useLease(key: String) async {
        guard let client = await anyClient(), let record = await grant(key, client) else { return }
        records.add(record)
        let renewals = Int(random.next(below: 8))
        for _ in 0..<renewals {
            guard await control.sleep(milliseconds: 700) else { return }
            guard let client = await anyClient() else { continue }
            let sentAt = ChaosClock.now()
            switch await LeaseClient.renew(record.id, client) {
            case .renewed:
                records.note(.renewed(invokedAt: sentAt.stamp, returnedAt: ChaosClock.now().stamp), key)
            case .gone:
                return
            case .unknown:
                break
            }
        }
        if random.chance(1, outOf: 4), let client = await anyClient() {
            records.note(.revoked(invokedAt: ChaosClock.now().stamp), key)
            var request = Etcdserverpb_LeaseRevokeRequest()
            request.id = record.id
            let _: Etcdserverpb_LeaseRevokeResponse? = try? await client.call(
                "/etcdserverpb.Lease/LeaseRevoke", request,
                timeoutMilliseconds: LeaseClient.timeoutMilliseconds)
        }
    }

    /// The lease with its key; `nil` where either was not acknowledged.
    private func grant(_ key: String, _ client: EtcdClient) async -> LeaseRecord? {
        var request = Etcdserverpb_LeaseGrantRequest()
        request.ttl = LeaseClient.timeToLiveSeconds
        let sentAt = ChaosClock.now()
        do throws(GRPCStatus) {
            let grant: Etcdserverpb_LeaseGrantResponse = try await client.call(
                "/etcdserverpb.Lease/LeaseGrant", request,
                timeoutMilliseconds: LeaseClient.timeoutMilliseconds)
            let grantedAt = ChaosClock.now()
            _ = try await client.put(
                Request.put(key, key, lease: grant.id), timeoutMilliseconds: LeaseClient.timeoutMilliseconds)
            return LeaseRecord(
                key: key, id: grant.id,
                history: LeaseHistory(
                    name: key, timeToLiveNanoseconds: grant.ttl * 1_000_000_000,
                    observations: [.granted(invokedAt: sentAt.stamp, returnedAt: grantedAt.stamp)]))
        } catch {
            return nil
        }
    }

    private enum Renewal {
        case renewed
        case gone
        case unknown
    }

    private static func renew(_ id: Int64, _ client: EtcdClient) async -> Renewal {
        let stream = await client.keepAlive()
        var request = Etcdserverpb_LeaseKeepAliveRequest()
        request.id = id
        stream.send(request)
        let timeout = Task {
            try? await Task.sleep(nanoseconds: UInt64(timeoutMilliseconds) * 1_000_000)
            stream.cancel()
        }
        defer {
            timeout.cancel()
            stream.cancel()
        }
        do {
            for try await response in stream.responses {
                return response.ttl > 0 ? .renewed : .gone
            }
        } catch {
            // Whether it was renewed nobody knows.
        }
        return .unknown
    }
}

/// All leases of a run.
final class LeaseRecords: Sendable {
    private let records = Mutex<[String: LeaseRecord]>([:])

    func add(_ record: LeaseRecord) {
        records.withLock { $0[record.key] = record }
    }

    func note(_ observation: LeaseHistory.Observation, _ key: String) {
        records.withLock { $0[key]?.history.observations.append(observation) }
    }

    var all: [LeaseRecord] {
        records.withLock { $0.values.sorted { $0.key < $1.key } }
    }
}

extension Instant {
    /// For the checkers, whose times are signed.
    fileprivate var stamp: Int64 { Int64(nanoseconds) }
}

/// Judges leases by when watches told that their keys were gone.
enum LeaseCheck {
    /// New leaders grant each lease its full time again, and the last fault may have cost several.
    static let extensionNanoseconds: Int64 = (LeaseClient.timeToLiveSeconds + 12) * 1_000_000_000

    static func violations(
        _ leases: [LeaseRecord], _ entries: [EventLog.Entry], endedAt: Instant
    ) -> [String] {
        var goneAt: [String: Instant] = [:]
        var isThere: Set<String> = []
        for entry in entries {
            if entry.event.pair == nil {
                goneAt[entry.event.key] = entry.seenAt
            } else {
                isThere.insert(entry.event.key)
            }
        }
        let checker = LeaseChecker(maximumExtensionNanoseconds: extensionNanoseconds)
        return leases.compactMap { lease in
            guard isThere.contains(lease.key) else {
                return "lost write: \(lease.key), put with a lease and acknowledged, was never there"
            }
            var history = lease.history
            if let gone = goneAt[lease.key]?.stamp {
                // The watch was told after it was gone: that can excuse a lease, never accuse it wrongly.
                history.observations.append(.seenGone(invokedAt: gone, returnedAt: gone))
            }
            return checker.check(history, endedAt: endedAt.stamp).map { "leases: \($0)" }
        }
    }
}
