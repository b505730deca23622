import KeyValueCore
import NIOCore
import ReplicaRuntime

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

// etcdserverpb.Lease.
extension EtcdServices {
    func leaseGrant(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let decoded = decode(Etcdserverpb_LeaseGrantRequest.self, message, call) else { return }
        // The id is chosen here and not when the command is applied: every member must see the same one.
        let id = decoded.id == 0 ? Int64.random(in: 1...Int64.max) : decoded.id
        let seconds = max(decoded.ttl, Int64(core.limits.minimumLeaseTimeToLiveSeconds))
        let command = Command.leaseGrant(id: LeaseID(id), timeToLiveSeconds: seconds)
        guard isValid(command, call) else { return }
        propose(command, call) { [self] result in
            guard case .leaseGrant(let granted) = result else {
                preconditionFailure("a grant is answered as a grant")
            }
            var response = Etcdserverpb_LeaseGrantResponse()
            response.header = header(revision: granted.revision)
            response.id = granted.lease.id.rawValue
            response.ttl = granted.lease.timeToLiveSeconds
            call.respond(response)
        }
    }

    func leaseRevoke(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let decoded = decode(Etcdserverpb_LeaseRevokeRequest.self, message, call) else { return }
        propose(.leaseRevoke(LeaseID(decoded.id)), call) { [self] result in
            var response = Etcdserverpb_LeaseRevokeResponse()
            response.header = header(revision: result.revision)
            call.respond(response)
        }
    }

    func leaseTimeToLive(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let decoded = decode(Etcdserverpb_LeaseTimeToLiveRequest.self, message, call) else { return }
        let id = LeaseID(decoded.id)
        let connection = call.connection
        connection.outstandingOperations += 1
        service.leaseTimeToLive(id) { [self] result in
            connection.outstandingOperations -= 1
            var response = Etcdserverpb_LeaseTimeToLiveResponse()
            response.id = decoded.id
            switch result {
            case .success(let times):
                response.ttl = times.remainingSeconds
                response.grantedTtl = times.grantedSeconds
            case .failure(.keyValue(.leaseNotFound)):
                // As in etcd, asking about a lease that is not there is no error.
                response.ttl = -1
            case .failure(let error):
                call.finish(EtcdStatus.of(error))
                return
            }
            guard decoded.keys, response.ttl >= 0 else {
                response.header = header(revision: service.store.revision)
                call.respond(response)
                return
            }
            readLinearizably(call) { [self, response] in
                var response = response
                response.keys = service.store.lease(id)?.keys.map { Data($0) } ?? []
                response.header = header(revision: service.store.revision)
                call.respond(response)
            }
        }
    }

    func leaseLeases(_ call: GRPCCall) {
        readLinearizably(call) { [self] in
            var response = Etcdserverpb_LeaseLeasesResponse()
            response.header = header(revision: service.store.revision)
            response.leases = service.store.leaseIDs.map { id in
                var status = Etcdserverpb_LeaseStatus()
                status.id = id.rawValue
                return status
            }
            call.respond(response)
        }
    }
}

/// One `LeaseKeepAlive` stream.
final class KeepAliveStream: StreamHandler {
    /// Renewals that one stream may have under way.
    private static let maximumPending = 4_096

    private let call: GRPCCall
    private let service: any KeyValueService
    private var pendingCount = 0
    private var isHalfClosed = false

    init(call: GRPCCall, service: any KeyValueService) {
        self.call = call
        self.service = service
    }

    func receive(_ message: ByteBuffer) {
        guard let request = call.core.services.decode(Etcdserverpb_LeaseKeepAliveRequest.self, message, call)
        else { return }
        guard pendingCount < KeepAliveStream.maximumPending else {
            call.finish(EtcdStatus.tooManyRequests)
            return
        }
        pendingCount += 1
        let connection = call.connection
        connection.outstandingOperations += 1
        service.renewLease(LeaseID(request.id)) { [self] result in
            connection.outstandingOperations -= 1
            pendingCount -= 1
            var response = Etcdserverpb_LeaseKeepAliveResponse()
            response.id = request.id
            switch result {
            case .success(let seconds): response.ttl = seconds
            // As in etcd, a lease that is gone has no time to live, and the stream goes on.
            case .failure(.keyValue(.leaseNotFound)): response.ttl = 0
            case .failure(let error):
                call.finish(EtcdStatus.of(error))
                return
            }
            response.header = service.header.message(revision: service.store.revision)
            call.send(response)
            finishIfDone()
        }
    }

    func halfClosed() {
        isHalfClosed = true
        finishIfDone()
    }

    private func finishIfDone() {
        if isHalfClosed, pendingCount == 0 {
            call.finish(.ok)
        }
    }

    func roomAvailable() {}
    func ended() {}
    func sweep(now: NIODeadline) {}
}
