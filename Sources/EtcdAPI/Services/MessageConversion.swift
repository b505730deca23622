import KeyValueCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

// Between the messages on the wire and the store's own types.

extension ServiceHeader {
    func message(revision: Int64) -> Etcdserverpb_ResponseHeader {
        var header = Etcdserverpb_ResponseHeader()
        header.clusterID = clusterID
        header.memberID = memberID
        header.revision = revision
        header.raftTerm = term
        return header
    }
}

extension KeyValue {
    var message: Mvccpb_KeyValue {
        var message = Mvccpb_KeyValue()
        message.key = Data(key)
        message.value = Data(value)
        message.createRevision = createRevision
        message.modRevision = modRevision
        message.version = version
        message.lease = lease?.rawValue ?? 0
        return message
    }
}

extension KeyRange {
    init(_ key: Data, _ rangeEnd: Data) {
        self.init(key: [UInt8](key), rangeEnd: [UInt8](rangeEnd))
    }
}

// MARK: Requests

extension PutRequest {
    init(_ message: Etcdserverpb_PutRequest) {
        self.init(
            key: [UInt8](message.key), value: [UInt8](message.value),
            lease: message.lease == 0 ? nil : LeaseID(message.lease),
            previousKeyValue: message.prevKv, ignoreValue: message.ignoreValue,
            ignoreLease: message.ignoreLease)
    }
}

extension RangeRequest {
    /// `nil` where the sort order or target is not known.
    init?(_ message: Etcdserverpb_RangeRequest) {
        guard let order = UInt8(exactly: message.sortOrder.rawValue).flatMap(SortOrder.init(rawValue:)),
            let target = UInt8(exactly: message.sortTarget.rawValue).flatMap(SortTarget.init(rawValue:))
        else { return nil }
        self.init(
            range: KeyRange(message.key, message.rangeEnd), limit: message.limit, revision: message.revision)
        sortOrder = order
        sortTarget = target
        serializable = message.serializable
        keysOnly = message.keysOnly
        countOnly = message.countOnly
        minimumModRevision = message.minModRevision
        maximumModRevision = message.maxModRevision
        minimumCreateRevision = message.minCreateRevision
        maximumCreateRevision = message.maxCreateRevision
    }
}

extension DeleteRangeRequest {
    init(_ message: Etcdserverpb_DeleteRangeRequest) {
        self.init(
            range: KeyRange(message.key, message.rangeEnd), previousKeyValues: message.prevKv)
    }
}

extension Compare {
    init(_ message: Etcdserverpb_Compare) throws(GRPCStatus) {
        let target: Target
        switch message.target {
        // Where the operand is of another kind than the target, etcd compares with zero or nothing.
        case .version: target = .version(message.version)
        case .create: target = .createRevision(message.createRevision)
        case .mod: target = .modRevision(message.modRevision)
        case .value: target = .value([UInt8](message.value))
        case .lease: target = .lease(message.lease)
        case .UNRECOGNIZED(let number):
            throw GRPCStatus(.invalidArgument, "holdfast: a comparison has the unknown target \(number)")
        }
        guard let result = UInt8(exactly: message.result.rawValue).flatMap(Result.init(rawValue:)) else {
            throw GRPCStatus(
                .invalidArgument,
                "holdfast: a comparison has the unknown relation \(message.result.rawValue)")
        }
        self.init(range: KeyRange(message.key, message.rangeEnd), result: result, target: target)
    }
}

extension Operation {
    init(_ message: Etcdserverpb_RequestOp) throws(GRPCStatus) {
        switch message.request {
        case .requestRange(let range):
            guard let request = RangeRequest(range) else { throw EtcdStatus.invalidSortOption }
            self = .range(request)
        case .requestPut(let put): self = .put(PutRequest(put))
        case .requestDeleteRange(let deletion): self = .deleteRange(DeleteRangeRequest(deletion))
        case .requestTxn(let nested): self = .transaction(try TransactionRequest(nested))
        case nil: throw EtcdStatus.keyNotFound
        }
    }
}

extension TransactionRequest {
    init(_ message: Etcdserverpb_TxnRequest) throws(GRPCStatus) {
        self.init()
        for item in message.compare { compare.append(try Compare(item)) }
        for item in message.success { success.append(try Operation(item)) }
        for item in message.failure { failure.append(try Operation(item)) }
    }
}

// MARK: Responses

extension PutResponse {
    func message(header: Etcdserverpb_ResponseHeader) -> Etcdserverpb_PutResponse {
        var message = Etcdserverpb_PutResponse()
        message.header = header
        if let previous {
            message.prevKv = previous.message
        }
        return message
    }
}

extension RangeResponse {
    func message(header: Etcdserverpb_ResponseHeader) -> Etcdserverpb_RangeResponse {
        var message = Etcdserverpb_RangeResponse()
        message.header = header
        message.kvs = keyValues.map(\.message)
        message.more = more
        message.count = count
        return message
    }
}

extension DeleteRangeResponse {
    func message(header: Etcdserverpb_ResponseHeader) -> Etcdserverpb_DeleteRangeResponse {
        var message = Etcdserverpb_DeleteRangeResponse()
        message.header = header
        message.deleted = deleted
        message.prevKvs = previous.map(\.message)
        return message
    }
}

extension TransactionResponse {
    func message(header: Etcdserverpb_ResponseHeader) -> Etcdserverpb_TxnResponse {
        var message = Etcdserverpb_TxnResponse()
        message.header = header
        message.succeeded = succeeded
        message.responses = responses.map(\.message)
        return message
    }
}

extension OperationResponse {
    /// The headers within a transaction's response carry a revision only, as etcd's do.
    var message: Etcdserverpb_ResponseOp {
        func header(_ revision: Int64) -> Etcdserverpb_ResponseHeader {
            var header = Etcdserverpb_ResponseHeader()
            header.revision = revision
            return header
        }
        var message = Etcdserverpb_ResponseOp()
        switch self {
        case .range(let response):
            message.responseRange = response.message(header: header(response.revision))
        case .put(let response):
            message.responsePut = response.message(header: header(response.revision))
        case .deleteRange(let response):
            message.responseDeleteRange = response.message(header: header(response.revision))
        case .transaction(let response):
            message.responseTxn = response.message(header: header(response.revision))
        }
        return message
    }
}
