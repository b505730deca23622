import NIOCore

// etcdserverpb.Cluster. The list of members has no revision, as in etcd.
extension EtcdServices {
    func memberList(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let request = decode(Etcdserverpb_MemberListRequest.self, message, call) else { return }
        if request.linearizable {
            readLinearizably(call) { [self] in answerMemberList(call) }
        } else {
            answerMemberList(call)
        }
    }

    private func answerMemberList(_ call: GRPCCall) {
        var response = Etcdserverpb_MemberListResponse()
        response.header = header(revision: 0)
        response.members = service.status.members.map(\.message)
        call.respond(response)
    }

    func memberAdd(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let request = decode(Etcdserverpb_MemberAddRequest.self, message, call) else { return }
        change(.add(peerURLs: request.peerUrls, isLearner: request.isLearner), call) { [self] outcome in
            var response = Etcdserverpb_MemberAddResponse()
            response.header = header(revision: 0)
            response.members = outcome.members.map(\.message)
            if let added = outcome.added { response.member = added.message }
            call.respond(response)
        }
    }

    func memberRemove(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let request = decode(Etcdserverpb_MemberRemoveRequest.self, message, call) else { return }
        change(.remove(request.id), call) { [self] outcome in
            var response = Etcdserverpb_MemberRemoveResponse()
            response.header = header(revision: 0)
            response.members = outcome.members.map(\.message)
            call.respond(response)
        }
    }

    func memberUpdate(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let request = decode(Etcdserverpb_MemberUpdateRequest.self, message, call) else { return }
        change(.update(request.id, peerURLs: request.peerUrls), call) { [self] outcome in
            var response = Etcdserverpb_MemberUpdateResponse()
            response.header = header(revision: 0)
            response.members = outcome.members.map(\.message)
            call.respond(response)
        }
    }

    func memberPromote(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let request = decode(Etcdserverpb_MemberPromoteRequest.self, message, call) else { return }
        change(.promote(request.id), call) { [self] outcome in
            var response = Etcdserverpb_MemberPromoteResponse()
            response.header = header(revision: 0)
            response.members = outcome.members.map(\.message)
            call.respond(response)
        }
    }

    private func change(
        _ change: MemberChange, _ call: GRPCCall, _ then: @escaping (MemberChangeOutcome) -> Void
    ) {
        let connection = call.connection
        connection.outstandingOperations += 1
        service.changeMembers(change) { result in
            connection.outstandingOperations -= 1
            switch result {
            case .success(let outcome): then(outcome)
            case .failure(let error): call.finish(EtcdStatus.of(error))
            }
        }
    }
}

extension MemberInfo {
    var message: Etcdserverpb_Member {
        var member = Etcdserverpb_Member()
        member.id = id
        member.name = name
        member.peerUrls = peerURLs
        member.clientUrls = clientURLs
        member.isLearner = isLearner
        return member
    }
}
