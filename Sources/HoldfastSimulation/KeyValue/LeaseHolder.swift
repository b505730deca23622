import ConsensusTypes
import KeyValueCore
import ReplicaRuntime

/// A client that gets a lease, hangs a key on it, keeps it alive for a while, and then gives it back or lets
/// it run out.
struct LeaseHolder {
    enum Phase: Hashable {
        case idle
        case granted
        case holding(renewalsLeft: UInt64)
        /// It lets the lease run out.
        case abandoning
        case revoking
    }

    let number: Int
    var phase = Phase.idle
    var lease = LeaseID(0)
    var timeToLiveSeconds: Int64 = 0
    /// The request under way, where it was sent, and when.
    var pending: (request: UInt64, node: Int, since: Instant)?
    private var requestCount: UInt64 = 0

    init(number: Int) {
        self.number = number
    }

    /// The number of the next request, unique in the run.
    mutating func begin(node: Int, at time: Instant) -> UInt64 {
        requestCount += 1
        let request = UInt64(number + 1) << 56 | requestCount
        pending = (request, node, time)
        return request
    }

    /// `false`: the holder has given this request up.
    mutating func finish(_ request: UInt64) -> Bool {
        guard pending?.request == request else { return false }
        pending = nil
        return true
    }

    mutating func nodeStopped(_ node: Int) {
        if pending?.node == node { pending = nil }
    }

    var key: [UInt8] { Array("lease\(number)".utf8) }
}

extension KeyValueService {
    private static let holderPatience = Interval.milliseconds(2_000)

    func actHolder(_ position: Int, wakingAs client: Int, in run: Run) {
        let world = run.world
        // A third of the time to live or less, so that a renewal may fail.
        let granted = UInt64(max(holders[position].timeToLiveSeconds, 1)) * 1_000_000
        run.wakeClient(client, afterMicroseconds: 1_000 + world.random.next(below: granted / 3))
        if let pending = holders[position].pending {
            guard world.now >= pending.since + KeyValueService.holderPatience else { return }
            holders[position].pending = nil
        }
        let node = Int(world.random.next(below: UInt64(world.nodeCount)))
        guard run.takesRequests(node) else { return }
        switch holders[position].phase {
        case .idle:
            if !isEnding { grant(position, node, in: run) }
        case .granted:
            attach(position, node, in: run)
        case .holding(let left):
            guard left > 0, !isEnding else {
                holders[position].phase = world.random.chance(1, outOf: 3) ? .revoking : .abandoning
                return
            }
            renew(position, node, renewalsLeft: left, in: run)
        case .abandoning:
            if model.leases[holders[position].lease] == nil { holders[position].phase = .idle }
        case .revoking:
            revoke(position, node, in: run)
        }
    }

    private func grant(_ position: Int, _ node: Int, in run: Run) {
        let asked = run.world.now
        let request = holders[position].begin(node: node, at: asked)
        let seconds = Int64(1 + run.world.random.next(below: mixture.timeToLiveSeconds))
        let id = LeaseID(Int64(bitPattern: request))
        holders[position].lease = id
        holders[position].timeToLiveSeconds = seconds
        let command = Command.leaseGrant(id: id, timeToLiveSeconds: seconds)
        _ = run.call(node) { [unowned self, unowned run] machine in
            machine.propose(command) { [unowned self, unowned run] result in
                let isAwaited = holders[position].finish(request)
                guard case .success(.leaseGrant) = result else { return }
                do throws(SimulationFailure) {
                    try leases.noteGranted(
                        id, timeToLiveSeconds: seconds, asked: asked, fastestDrift: run.world.fastestDrift)
                } catch {
                    run.world.note(error)
                }
                run.world.observe(.leaseAlive, node)
                if isAwaited { holders[position].phase = .granted }
            }
        }
    }

    private func attach(_ position: Int, _ node: Int, in run: Run) {
        let request = holders[position].begin(node: node, at: run.world.now)
        let renewals = run.world.random.next(below: 10)
        let value = Array("operation \(request)".utf8)
        let command = Command.put(
            PutRequest(key: holders[position].key, value: value, lease: holders[position].lease))
        _ = run.call(node) { [unowned self] machine in
            machine.propose(command) { [unowned self] result in
                guard holders[position].finish(request) else { return }
                switch result {
                case .success: holders[position].phase = .holding(renewalsLeft: renewals)
                case .failure(.keyValue): holders[position].phase = .idle
                case .failure: break
                }
            }
        }
    }

    private func renew(_ position: Int, _ node: Int, renewalsLeft: UInt64, in run: Run) {
        let asked = run.world.now
        let request = holders[position].begin(node: node, at: asked)
        let id = holders[position].lease
        _ = run.call(node) { [unowned self, unowned run] machine in
            machine.renewLease(id) { [unowned self, unowned run] result in
                let isAwaited = holders[position].finish(request)
                switch result {
                case .success:
                    do throws(SimulationFailure) {
                        try leases.noteRenewed(id, asked: asked, fastestDrift: run.world.fastestDrift)
                    } catch {
                        run.world.note(error)
                    }
                    run.world.observe(.leaseAlive, node)
                    if isAwaited { holders[position].phase = .holding(renewalsLeft: renewalsLeft - 1) }
                case .failure(.keyValue):
                    // Gone, or about to go.
                    if isAwaited { holders[position].phase = .abandoning }
                case .failure:
                    break
                }
            }
        }
    }

    private func revoke(_ position: Int, _ node: Int, in run: Run) {
        let request = holders[position].begin(node: node, at: run.world.now)
        let command = Command.leaseRevoke(holders[position].lease)
        _ = run.call(node) { [unowned self] machine in
            machine.propose(command) { [unowned self] result in
                guard holders[position].finish(request) else { return }
                switch result {
                case .success, .failure(.keyValue): holders[position].phase = .idle
                case .failure: break
                }
            }
        }
    }
}
