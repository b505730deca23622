import KeyValueCore
import NIOCore

// etcdserverpb.KV.
extension EtcdServices {
    func put(_ call: GRPCCall, _ message: ByteBuffer) {
        guard isSmallEnough(message, call) else { return }
        let request: PutRequest
        if let fast = FastRequests.put(message) {
            request = fast
        } else {
            guard let decoded = decode(Etcdserverpb_PutRequest.self, message, call) else { return }
            request = PutRequest(decoded)
        }
        let command = Command.put(request)
        guard isValid(command, call) else { return }
        propose(command, call) { [self] result in
            guard case .put(let response) = result else { preconditionFailure("a put is answered as a put") }
            call.respond(FastResponses.put(response, header: service.header, allocator: call.allocator))
        }
    }

    func range(_ call: GRPCCall, _ message: ByteBuffer) {
        let request: RangeRequest
        if let fast = FastRequests.range(message) {
            request = fast
        } else {
            guard let decoded = decode(Etcdserverpb_RangeRequest.self, message, call) else { return }
            guard let converted = RangeRequest(decoded) else {
                call.finish(EtcdStatus.invalidSortOption)
                return
            }
            request = converted
        }
        guard !request.range.key.isEmpty else {
            call.finish(EtcdStatus.emptyKey)
            return
        }
        if request.serializable {
            answer(request, call)
        } else {
            readLinearizably(call) { [self] in answer(request, call) }
        }
    }

    private func answer(_ request: RangeRequest, _ call: GRPCCall) {
        do throws(KeyValueError) {
            let response = try service.store.range(request)
            let size = FastResponses.rangeSizeBytes(response)
            guard size <= core.limits.maximumResponseSizeBytes else {
                call.finish(
                    GRPCStatus(
                        .resourceExhausted,
                        "grpc: trying to send message larger than max "
                            + "(\(size) vs. \(core.limits.maximumResponseSizeBytes))"))
                return
            }
            call.respond(FastResponses.range(response, header: service.header, allocator: call.allocator))
        } catch {
            call.finish(EtcdStatus.of(error))
        }
    }

    func deleteRange(_ call: GRPCCall, _ message: ByteBuffer) {
        guard isSmallEnough(message, call),
            let decoded = decode(Etcdserverpb_DeleteRangeRequest.self, message, call)
        else { return }
        let command = Command.deleteRange(DeleteRangeRequest(decoded))
        guard isValid(command, call) else { return }
        propose(command, call) { [self] result in
            guard case .deleteRange(let response) = result else {
                preconditionFailure("a delete is answered as a delete")
            }
            call.respond(response.message(header: header(revision: response.revision)))
        }
    }

    func transaction(_ call: GRPCCall, _ message: ByteBuffer) {
        guard isSmallEnough(message, call),
            let decoded = decode(Etcdserverpb_TxnRequest.self, message, call)
        else { return }
        let request: TransactionRequest
        do throws(GRPCStatus) {
            request = try TransactionRequest(decoded)
        } catch {
            call.finish(error)
            return
        }
        let command = Command.transaction(request)
        guard isValid(command, call) else { return }
        if !request.isReadOnly {
            propose(command, call) { [self] result in
                guard case .transaction(let response) = result else {
                    preconditionFailure("a transaction is answered as a transaction")
                }
                call.respond(response.message(header: header(revision: response.revision)))
            }
        } else if request.isSerializable {
            answer(request, call)
        } else {
            readLinearizably(call) { [self] in answer(request, call) }
        }
    }

    private func answer(_ request: TransactionRequest, _ call: GRPCCall) {
        do throws(KeyValueError) {
            let response = try service.store.readOnlyTransaction(request)
            call.respond(response.message(header: header(revision: response.revision)))
        } catch {
            call.finish(EtcdStatus.of(error))
        }
    }

    func compact(_ call: GRPCCall, _ message: ByteBuffer) {
        guard let decoded = decode(Etcdserverpb_CompactionRequest.self, message, call) else { return }
        let request = CompactRequest(revision: decoded.revision, physical: decoded.physical)
        propose(.compact(request), call) { [self] result in
            var response = Etcdserverpb_CompactionResponse()
            response.header = header(revision: result.revision)
            call.respond(response)
        }
    }
}
