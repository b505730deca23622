import EtcdAPI

/// The requests of the workload. Keys and values are text.
enum Request {
    static func get(_ key: String) -> Etcdserverpb_RangeRequest {
        var request = Etcdserverpb_RangeRequest()
        request.key = .init(key.utf8)
        return request
    }

    /// All keys that begin with the prefix.
    static func range(prefix: String) -> Etcdserverpb_RangeRequest {
        var request = get(prefix)
        request.rangeEnd = .init(end(ofPrefix: prefix))
        return request
    }

    static func put(_ key: String, _ value: String, lease: Int64 = 0) -> Etcdserverpb_PutRequest {
        var request = Etcdserverpb_PutRequest()
        request.key = .init(key.utf8)
        request.value = .init(value.utf8)
        request.lease = lease
        return request
    }

    static func delete(_ key: String) -> Etcdserverpb_DeleteRangeRequest {
        var request = Etcdserverpb_DeleteRangeRequest()
        request.key = .init(key.utf8)
        return request
    }

    /// Puts the value where the key has the expected one (`nil`: does not exist), and reads it otherwise.
    static func compareAndSwap(
        _ key: String, expected: String?, value: String
    ) -> Etcdserverpb_TxnRequest {
        var compare = Etcdserverpb_Compare()
        compare.key = .init(key.utf8)
        compare.result = .equal
        if let expected {
            compare.target = .value
            compare.value = .init(expected.utf8)
        } else {
            compare.target = .version
            compare.version = 0
        }
        var success = Etcdserverpb_RequestOp()
        success.requestPut = put(key, value)
        var failure = Etcdserverpb_RequestOp()
        failure.requestRange = get(key)
        var request = Etcdserverpb_TxnRequest()
        request.compare = [compare]
        request.success = [success]
        request.failure = [failure]
        return request
    }

    /// All keys that begin with the prefix; all keys where it is empty.
    static func watch(prefix: String, from revision: Int64) -> Etcdserverpb_WatchRequest {
        var request = Etcdserverpb_WatchRequest()
        request.createRequest.key = .init(prefix.isEmpty ? [0] : Array(prefix.utf8))
        request.createRequest.rangeEnd = .init(Request.end(ofPrefix: prefix))
        request.createRequest.startRevision = revision
        return request
    }

    /// The first key after all that begin with the prefix; one zero byte stands for the end of all keys.
    static func end(ofPrefix prefix: String) -> [UInt8] {
        var bytes = Array(prefix.utf8)
        while let last = bytes.popLast() {
            if last < 0xff { return bytes + [last + 1] }
        }
        return [0]
    }
}
