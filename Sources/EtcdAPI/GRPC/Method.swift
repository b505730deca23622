/// The calls that have an implementation or at least an answer of their own.
enum Method: UInt8, CaseIterable {
    case range, put, deleteRange, transaction, compact
    case watch
    case leaseGrant, leaseRevoke, leaseKeepAlive, leaseTimeToLive, leaseLeases
    case memberAdd, memberRemove, memberUpdate, memberList, memberPromote
    case alarm, status, defragment, hash, hashKeyValue, snapshot, moveLeader, downgrade
    case authStatus

    var path: String {
        switch self {
        case .range: "/etcdserverpb.KV/Range"
        case .put: "/etcdserverpb.KV/Put"
        case .deleteRange: "/etcdserverpb.KV/DeleteRange"
        case .transaction: "/etcdserverpb.KV/Txn"
        case .compact: "/etcdserverpb.KV/Compact"
        case .watch: "/etcdserverpb.Watch/Watch"
        case .leaseGrant: "/etcdserverpb.Lease/LeaseGrant"
        case .leaseRevoke: "/etcdserverpb.Lease/LeaseRevoke"
        case .leaseKeepAlive: "/etcdserverpb.Lease/LeaseKeepAlive"
        case .leaseTimeToLive: "/etcdserverpb.Lease/LeaseTimeToLive"
        case .leaseLeases: "/etcdserverpb.Lease/LeaseLeases"
        case .memberAdd: "/etcdserverpb.Cluster/MemberAdd"
        case .memberRemove: "/etcdserverpb.Cluster/MemberRemove"
        case .memberUpdate: "/etcdserverpb.Cluster/MemberUpdate"
        case .memberList: "/etcdserverpb.Cluster/MemberList"
        case .memberPromote: "/etcdserverpb.Cluster/MemberPromote"
        case .alarm: "/etcdserverpb.Maintenance/Alarm"
        case .status: "/etcdserverpb.Maintenance/Status"
        case .defragment: "/etcdserverpb.Maintenance/Defragment"
        case .hash: "/etcdserverpb.Maintenance/Hash"
        case .hashKeyValue: "/etcdserverpb.Maintenance/HashKV"
        case .snapshot: "/etcdserverpb.Maintenance/Snapshot"
        case .moveLeader: "/etcdserverpb.Maintenance/MoveLeader"
        case .downgrade: "/etcdserverpb.Maintenance/Downgrade"
        case .authStatus: "/etcdserverpb.Auth/AuthStatus"
        }
    }

    /// The client may send any number of messages.
    var isStreaming: Bool { self == .watch || self == .leaseKeepAlive }

    /// Whether a witness, which has no data, cannot answer it.
    var needsData: Bool {
        switch self {
        case .range, .put, .deleteRange, .transaction, .compact, .watch, .leaseGrant, .leaseRevoke,
            .leaseKeepAlive, .leaseTimeToLive, .leaseLeases, .hash, .hashKeyValue, .snapshot:
            true
        case .memberAdd, .memberRemove, .memberUpdate, .memberList, .memberPromote, .alarm, .status,
            .defragment, .moveLeader, .downgrade, .authStatus:
            false
        }
    }

    /// Why the call has no implementation, where it has none.
    var unimplementedReason: String? {
        switch self {
        case .snapshot:
            "holdfast: a snapshot cannot be downloaded; copy the data directory of a stopped node instead"
        case .downgrade:
            "holdfast: there is no older version to downgrade to"
        default: nil
        }
    }

    private static let table: [String: Method] = Dictionary(
        uniqueKeysWithValues: Method.allCases.map { ($0.path, $0) })

    private static let authMethods: Set<String> = [
        "AuthEnable", "AuthDisable", "Authenticate", "UserAdd", "UserGet", "UserList", "UserDelete",
        "UserChangePassword", "UserGrantRole", "UserRevokeRole", "RoleAdd", "RoleGet", "RoleList",
        "RoleDelete", "RoleGrantPermission", "RoleRevokePermission",
    ]

    private static let services: Set<String> = [
        "etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease", "etcdserverpb.Cluster",
        "etcdserverpb.Maintenance", "etcdserverpb.Auth",
    ]

    /// The method that a request's path names, or the status that answers it.
    static func route(_ path: String) -> Result<Method, GRPCStatus> {
        if let method = table[path] {
            if let reason = method.unimplementedReason {
                return .failure(GRPCStatus(.unimplemented, reason))
            }
            return .success(method)
        }
        guard path.hasPrefix("/"), let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            return .failure(GRPCStatus(.unimplemented, "malformed method name: \"\(path)\""))
        }
        let service = String(path[path.index(after: path.startIndex)..<slash])
        let name = String(path[path.index(after: slash)...])
        guard services.contains(service) else {
            return .failure(GRPCStatus(.unimplemented, "unknown service \(service)"))
        }
        if service == "etcdserverpb.Auth", authMethods.contains(name) {
            return .failure(GRPCStatus(.unimplemented, "holdfast: there are no users and roles (\(name))"))
        }
        return .failure(GRPCStatus(.unimplemented, "unknown method \(name) for service \(service)"))
    }
}
