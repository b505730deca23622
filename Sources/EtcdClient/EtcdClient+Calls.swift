import EtcdAPI

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

// The calls by name. Each throws a ``GRPCStatus``.
extension EtcdClient {
    @discardableResult
    public func put(
        _ key: [UInt8], _ value: [UInt8], lease: Int64 = 0, previous: Bool = false,
        timeoutMilliseconds: Int? = 10_000
    ) async throws(GRPCStatus) -> Etcdserverpb_PutResponse {
        var request = Etcdserverpb_PutRequest()
        request.key = Data(key)
        request.value = Data(value)
        request.lease = lease
        request.prevKv = previous
        return try await put(request, timeoutMilliseconds: timeoutMilliseconds)
    }

    @discardableResult
    public func put(
        _ key: String, _ value: String, lease: Int64 = 0, previous: Bool = false,
        timeoutMilliseconds: Int? = 10_000
    ) async throws(GRPCStatus) -> Etcdserverpb_PutResponse {
        try await put(
            Array(key.utf8), Array(value.utf8), lease: lease, previous: previous,
            timeoutMilliseconds: timeoutMilliseconds)
    }

    public func put(
        _ request: Etcdserverpb_PutRequest, timeoutMilliseconds: Int? = 10_000
    ) async throws(GRPCStatus) -> Etcdserverpb_PutResponse {
        try await call("/etcdserverpb.KV/Put", request, timeoutMilliseconds: timeoutMilliseconds)
    }

    /// The value of one key, or `nil` where it does not exist.
    public func get(
        _ key: String, serializable: Bool = false, timeoutMilliseconds: Int? = 10_000
    ) async throws(GRPCStatus) -> [UInt8]? {
        var request = Etcdserverpb_RangeRequest()
        request.key = Data(key.utf8)
        request.serializable = serializable
        return try await range(request, timeoutMilliseconds: timeoutMilliseconds).kvs.first.map {
            [UInt8]($0.value)
        }
    }

    public func range(
        _ request: Etcdserverpb_RangeRequest, timeoutMilliseconds: Int? = 10_000
    ) async throws(GRPCStatus) -> Etcdserverpb_RangeResponse {
        try await call("/etcdserverpb.KV/Range", request, timeoutMilliseconds: timeoutMilliseconds)
    }

    public func deleteRange(
        _ request: Etcdserverpb_DeleteRangeRequest, timeoutMilliseconds: Int? = 10_000
    ) async throws(GRPCStatus) -> Etcdserverpb_DeleteRangeResponse {
        try await call("/etcdserverpb.KV/DeleteRange", request, timeoutMilliseconds: timeoutMilliseconds)
    }

    public func transaction(
        _ request: Etcdserverpb_TxnRequest, timeoutMilliseconds: Int? = 10_000
    ) async throws(GRPCStatus) -> Etcdserverpb_TxnResponse {
        try await call("/etcdserverpb.KV/Txn", request, timeoutMilliseconds: timeoutMilliseconds)
    }

    @discardableResult
    public func compact(
        revision: Int64, physical: Bool = false
    ) async throws(GRPCStatus) -> Etcdserverpb_CompactionResponse {
        var request = Etcdserverpb_CompactionRequest()
        request.revision = revision
        request.physical = physical
        return try await call("/etcdserverpb.KV/Compact", request)
    }

    /// `id` 0 leaves the choice to the server.
    public func leaseGrant(
        timeToLiveSeconds: Int64, id: Int64 = 0
    ) async throws(GRPCStatus) -> Etcdserverpb_LeaseGrantResponse {
        var request = Etcdserverpb_LeaseGrantRequest()
        request.ttl = timeToLiveSeconds
        request.id = id
        return try await call("/etcdserverpb.Lease/LeaseGrant", request)
    }

    @discardableResult
    public func leaseRevoke(_ id: Int64) async throws(GRPCStatus) -> Etcdserverpb_LeaseRevokeResponse {
        var request = Etcdserverpb_LeaseRevokeRequest()
        request.id = id
        return try await call("/etcdserverpb.Lease/LeaseRevoke", request)
    }

    public func leaseTimeToLive(
        _ id: Int64, keys: Bool = false
    ) async throws(GRPCStatus) -> Etcdserverpb_LeaseTimeToLiveResponse {
        var request = Etcdserverpb_LeaseTimeToLiveRequest()
        request.id = id
        request.keys = keys
        return try await call("/etcdserverpb.Lease/LeaseTimeToLive", request)
    }

    public func leases() async throws(GRPCStatus) -> Etcdserverpb_LeaseLeasesResponse {
        try await call("/etcdserverpb.Lease/LeaseLeases", Etcdserverpb_LeaseLeasesRequest())
    }

    public func members() async throws(GRPCStatus) -> Etcdserverpb_MemberListResponse {
        try await call("/etcdserverpb.Cluster/MemberList", Etcdserverpb_MemberListRequest())
    }

    public func status(
        timeoutMilliseconds: Int? = 10_000
    ) async throws(GRPCStatus) -> Etcdserverpb_StatusResponse {
        try await call(
            "/etcdserverpb.Maintenance/Status", Etcdserverpb_StatusRequest(),
            timeoutMilliseconds: timeoutMilliseconds)
    }

    public func alarm(
        _ request: Etcdserverpb_AlarmRequest = Etcdserverpb_AlarmRequest()
    ) async throws(GRPCStatus) -> Etcdserverpb_AlarmResponse {
        try await call("/etcdserverpb.Maintenance/Alarm", request)
    }

    /// 0 stands for the current revision.
    public func hashKeyValue(
        revision: Int64 = 0
    ) async throws(GRPCStatus) -> Etcdserverpb_HashKVResponse {
        var request = Etcdserverpb_HashKVRequest()
        request.revision = revision
        return try await call("/etcdserverpb.Maintenance/HashKV", request)
    }

    public typealias WatchStream = EtcdStream<Etcdserverpb_WatchRequest, Etcdserverpb_WatchResponse>
    public typealias KeepAliveStream = EtcdStream<
        Etcdserverpb_LeaseKeepAliveRequest, Etcdserverpb_LeaseKeepAliveResponse
    >

    public func watch() async -> WatchStream {
        await stream("/etcdserverpb.Watch/Watch")
    }

    public func keepAlive() async -> KeepAliveStream {
        await stream("/etcdserverpb.Lease/LeaseKeepAlive")
    }
}
