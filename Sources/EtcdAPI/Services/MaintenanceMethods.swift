import KeyValueCore
import NIOCore
import NIOPosix
import ReplicaRuntime

// etcdserverpb.Maintenance and what there is of etcdserverpb.Auth.
extension EtcdServices {
    func status(_ call: GRPCCall) {
        let status = service.status
        var response = Etcdserverpb_StatusResponse()
        response.header = header(revision: service.store.revision)
        response.version = EtcdVersion.server
        response.dbSize = Int64(status.databaseSizeBytes)
        response.dbSizeInUse = Int64(status.databaseSizeBytes)
        response.leader = status.leader ?? 0
        response.raftIndex = status.commitIndex
        response.raftTerm = status.term
        response.raftAppliedIndex = status.appliedIndex
        response.isLearner = status.isLearner
        if status.leader == nil {
            response.errors.append("etcdserver: no leader")
        }
        if status.isSpaceExhausted {
            response.errors.append("memberID:\(status.memberID) alarm:NOSPACE ")
        }
        call.respond(response)
    }

    func alarm(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let request = decode(Etcdserverpb_AlarmRequest.self, message, call) else { return }
        let status = service.status
        var response = Etcdserverpb_AlarmResponse()
        response.header = header(revision: service.store.revision)
        let isAskedFor =
            (request.memberID == 0 || request.memberID == status.memberID)
            && (request.alarm == .none || request.alarm == .nospace)
        let isRaised = status.isSpaceExhausted && isAskedFor
        switch request.action {
        case .get:
            if isRaised {
                var alarm = Etcdserverpb_AlarmMember()
                alarm.memberID = status.memberID
                alarm.alarm = .nospace
                response.alarms = [alarm]
            }
            call.respond(response)
        case .deactivate:
            if isRaised {
                call.finish(
                    GRPCStatus(
                        .failedPrecondition,
                        "holdfast: the NOSPACE alarm ends by itself when there is room: "
                            + "delete keys and compact, or raise the quota"))
            } else {
                call.respond(response)
            }
        case .activate:
            call.finish(GRPCStatus(.unimplemented, "holdfast: an alarm cannot be raised by hand"))
        case .UNRECOGNIZED(let number):
            call.finish(GRPCStatus(.invalidArgument, "holdfast: unknown alarm action \(number)"))
        }
    }

    /// The store has nothing to defragment.
    func defragment(_ call: GRPCCall) {
        var response = Etcdserverpb_DefragmentResponse()
        response.header = header(revision: service.store.revision)
        call.respond(response)
    }

    func hash(_ call: GRPCCall) {
        computeHash(atRevision: 0, call) { [self] result in
            var response = Etcdserverpb_HashResponse()
            response.header = header(revision: result.currentRevision)
            response.hash = result.hash
            call.respond(response)
        }
    }

    func hashKeyValue(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let request = decode(Etcdserverpb_HashKVRequest.self, message, call) else { return }
        computeHash(atRevision: request.revision, call) { [self] result in
            var response = Etcdserverpb_HashKVResponse()
            response.header = header(revision: result.currentRevision)
            response.hash = result.hash
            response.compactRevision = result.compactRevision
            response.hashRevision = request.revision > 0 ? request.revision : result.currentRevision
            call.respond(response)
        }
    }

    /// On another thread, because it reads the whole store: a copy of it is frozen and costs nothing.
    private func computeHash(
        atRevision revision: Int64, _ call: GRPCCall, _ then: @escaping (StoreHash) -> Void
    ) {
        guard hashesUnderway < EtcdServices.maximumHashesUnderway else {
            call.finish(EtcdStatus.tooManyRequests)
            return
        }
        hashesUnderway += 1
        let store = service.store
        NIOThreadPool.singleton.runIfActive(eventLoop: core.eventLoop) {
            Result { () throws(KeyValueError) in try store.hash(atRevision: revision) }
        }.assumeIsolated().whenComplete { [self] result in
            hashesUnderway -= 1
            switch result {
            case .success(.success(let hash)): then(hash)
            case .success(.failure(let error)): call.finish(EtcdStatus.of(error))
            case .failure: call.finish(EtcdStatus.stopped)
            }
        }
    }

    func moveLeader(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let request = decode(Etcdserverpb_MoveLeaderRequest.self, message, call) else { return }
        let connection = call.connection
        connection.outstandingOperations += 1
        service.moveLeadership(to: request.targetID) { [self] error in
            connection.outstandingOperations -= 1
            if let error { return call.finish(EtcdStatus.of(error)) }
            var response = Etcdserverpb_MoveLeaderResponse()
            response.header = header(revision: 0)
            call.respond(response)
        }
    }

    func authStatus(_ call: GRPCCall) {
        var response = Etcdserverpb_AuthStatusResponse()
        response.header = header(revision: 0)
        response.enabled = false
        call.respond(response)
    }
}
