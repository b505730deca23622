import KeyValueCore
import ReplicaRuntime
import Testing

@testable import EtcdAPI

/// Clients compare these texts and codes; they are etcd's.
@Suite struct StatusTests {
    @Test func keyValueErrors() {
        let table: [KeyValueError: (Int, String)] = [
            .emptyKey: (3, "etcdserver: key is not provided"),
            .keyNotFound: (3, "etcdserver: key not found"),
            .valueProvided: (3, "etcdserver: value is provided"),
            .leaseProvided: (3, "etcdserver: lease is provided"),
            .tooManyOperations: (3, "etcdserver: too many operations in txn request"),
            .duplicateKey: (3, "etcdserver: duplicate key given in txn request"),
            .invalidSortOption: (3, "etcdserver: invalid sort option"),
            .requestTooLarge: (3, "etcdserver: request is too large"),
            .compacted: (11, "etcdserver: mvcc: required revision has been compacted"),
            .futureRevision: (11, "etcdserver: mvcc: required revision is a future revision"),
            .noSpace: (8, "etcdserver: mvcc: database space exceeded"),
            .leaseNotFound: (5, "etcdserver: requested lease not found"),
            .leaseExists: (9, "etcdserver: lease already exists"),
            .leaseTimeToLiveTooLarge: (11, "etcdserver: too large lease TTL"),
        ]
        for error in KeyValueError.allCases {
            let status = EtcdStatus.of(error)
            #expect(status.code.rawValue == table[error]?.0, "\(error)")
            #expect(status.message == table[error]?.1, "\(error)")
        }
    }

    @Test func serviceErrors() {
        let table: [(ServiceError, Int, String)] = [
            (.noLeader, 14, "etcdserver: no leader"),
            (.timeout, 14, "etcdserver: request timed out"),
            (
                .timeoutLeaderFailure, 14,
                "etcdserver: request timed out, possibly due to previous leader failure"
            ),
            (.noSpace, 8, "etcdserver: mvcc: database space exceeded"),
            (.tooManyRequests, 8, "etcdserver: too many requests"),
            (.stopped, 14, "etcdserver: server stopped"),
            (.leaderChanged, 14, "etcdserver: leader changed"),
            (.keyValue(.compacted), 11, "etcdserver: mvcc: required revision has been compacted"),
        ]
        for (error, code, text) in table {
            #expect(EtcdStatus.of(error).code.rawValue == code, "\(error)")
            #expect(EtcdStatus.of(error).message == text, "\(error)")
        }
    }
}
