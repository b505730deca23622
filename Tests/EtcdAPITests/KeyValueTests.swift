import EtcdClient
import Foundation
import KeyValueCore
import ReplicaRuntime
import Testing
import TestSupport

@testable import EtcdAPI

@Suite struct KeyValueTests {
    @Test func putAndGet() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            let first = try await client.put("a", "1")
            #expect(first.header.revision == 2)
            #expect(first.header.clusterID == 0xC1)
            #expect(first.header.memberID == 0xA1)
            #expect(first.header.raftTerm == 7)
            #expect(!first.hasPrevKv)
            let second = try await client.put("a", "2", previous: true)
            #expect(second.header.revision == 3)
            #expect(second.prevKv.value == Data("1".utf8))
            #expect(second.prevKv.createRevision == 2)
            #expect(try await client.get("a") == Array("2".utf8))
            #expect(try await client.get("a", serializable: true) == Array("2".utf8))
            #expect(try await client.get("b") == nil)
        }
    }

    @Test func rangeOptions() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            for (key, value) in [("a", "3"), ("b", "2"), ("c", "1"), ("a", "4")] {
                try await client.put(key, value)
            }
            func range(_ change: (inout Etcdserverpb_RangeRequest) -> Void) async throws -> [String] {
                var request = Etcdserverpb_RangeRequest()
                request.key = Data([0])
                request.rangeEnd = Data([0])
                change(&request)
                let response = try await client.range(request)
                return response.kvs.map {
                    String(decoding: $0.key, as: UTF8.self) + String(decoding: $0.value, as: UTF8.self)
                } + [response.more ? "more" : "", String(response.count)]
            }
            #expect(try await range { _ in } == ["a4", "b2", "c1", "", "3"])
            #expect(try await range { $0.limit = 2 } == ["a4", "b2", "more", "3"])
            #expect(try await range { $0.revision = 3 } == ["a3", "b2", "", "2"])
            #expect(try await range { $0.countOnly = true } == ["", "3"])
            #expect(try await range { $0.keysOnly = true } == ["a", "b", "c", "", "3"])
            #expect(
                try await range {
                    $0.sortOrder = .ascend
                    $0.sortTarget = .value
                } == ["c1", "b2", "a4", "", "3"])
            #expect(
                try await range {
                    $0.sortOrder = .descend
                    $0.sortTarget = .mod
                } == ["a4", "c1", "b2", "", "3"])
            #expect(try await range { $0.minModRevision = 4 } == ["a4", "c1", "", "3"])
            #expect(try await range { $0.maxCreateRevision = 3 } == ["a4", "b2", "", "3"])
            #expect(try await range { $0.key = Data("b".utf8) } == ["b2", "c1", "", "2"])
        }
    }

    @Test func errorsOfRequests() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await client.put("a", "1")
            #expect(await failure { try await client.put("", "1") } == EtcdStatus.emptyKey)
            #expect(
                await failure { _ = try await client.range(Etcdserverpb_RangeRequest()) }
                    == EtcdStatus.emptyKey)
            #expect(
                await failure { _ = try await client.deleteRange(Etcdserverpb_DeleteRangeRequest()) }
                    == EtcdStatus.emptyKey)
            var put = Etcdserverpb_PutRequest()
            put.key = Data("a".utf8)
            put.value = Data("v".utf8)
            put.ignoreValue = true
            #expect(await failure { _ = try await client.put(put) } == EtcdStatus.valueProvided)
            put.value = Data()
            put.key = Data("missing".utf8)
            #expect(await failure { _ = try await client.put(put) } == EtcdStatus.keyNotFound)
            put.ignoreValue = false
            put.ignoreLease = true
            put.lease = 1
            #expect(await failure { _ = try await client.put(put) } == EtcdStatus.leaseProvided)
            #expect(await failure { try await client.put("a", "1", lease: 99) } == EtcdStatus.leaseNotFound)
            var range = Etcdserverpb_RangeRequest()
            range.key = Data("a".utf8)
            range.revision = 99
            #expect(await failure { _ = try await client.range(range) } == EtcdStatus.futureRevision)
            range.revision = 0
            range.sortOrder = .UNRECOGNIZED(9)
            #expect(await failure { _ = try await client.range(range) } == EtcdStatus.invalidSortOption)
            try await client.put("a", "2")
            try await client.compact(revision: 3)
            range.sortOrder = .none
            range.revision = 2
            #expect(await failure { _ = try await client.range(range) } == EtcdStatus.compacted)
            #expect(await failure { try await client.compact(revision: 3) } == EtcdStatus.compacted)
            #expect(await failure { try await client.compact(revision: 9) } == EtcdStatus.futureRevision)
        }
    }

    @Test func errorsOfTheCluster() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            let table: [(ServiceError, GRPCStatus)] = [
                (.noLeader, EtcdStatus.noLeader), (.timeout, EtcdStatus.timeout),
                (.timeoutLeaderFailure, EtcdStatus.timeoutLeaderFailure), (.noSpace, EtcdStatus.noSpace),
                (.tooManyRequests, EtcdStatus.tooManyRequests), (.stopped, EtcdStatus.stopped),
                (.leaderChanged, EtcdStatus.leaderChanged),
            ]
            for (error, status) in table {
                try await server.with { $0.failure = error }
                #expect(await failure { try await client.put("a", "1") } == status)
                #expect(await failure { _ = try await client.get("a") } == status)
            }
            // A serializable read needs nobody.
            #expect(try await client.get("a", serializable: true) == nil)
        }
    }

    @Test func requestsThatAreTooLarge() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            let limits = ServerLimits()
            let fits = [UInt8](repeating: 1, count: limits.maximumRequestSizeBytes - 40)
            let tooLarge = [UInt8](repeating: 1, count: limits.maximumRequestSizeBytes)
            let farTooLarge = [UInt8](repeating: 1, count: 3 << 20)
            let key = Array("a".utf8)
            try await client.put(key, fits)
            #expect(await putFailure(client, key, tooLarge) == EtcdStatus.requestTooLarge)
            let status = await putFailure(client, key, farTooLarge)
            #expect(status?.code == .resourceExhausted)
            #expect(
                status?.message
                    == "grpc: received message larger than max (3145736 vs. \(limits.maximumMessageSizeBytes))"
            )
            #expect(try await client.get("a")?.count == fits.count)
        }
    }

    private func putFailure(_ client: EtcdClient, _ key: [UInt8], _ value: [UInt8]) async -> GRPCStatus? {
        await failure { _ = try await client.put(key, value) }
    }

    @Test func deleteRange() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            for key in ["a", "b", "c"] { try await client.put(key, key) }
            var request = Etcdserverpb_DeleteRangeRequest()
            request.key = Data("b".utf8)
            request.rangeEnd = Data([0])
            request.prevKv = true
            let response = try await client.deleteRange(request)
            #expect(response.deleted == 2)
            #expect(response.prevKvs.map(\.key) == [Data("b".utf8), Data("c".utf8)])
            #expect(response.header.revision == 5)
        }
    }

    @Test func transactions() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await client.put("a", "1")
            var compare = Etcdserverpb_Compare()
            compare.key = Data("a".utf8)
            compare.target = .value
            compare.value = Data("1".utf8)
            var request = Etcdserverpb_TxnRequest()
            request.compare = [compare]
            request.success = [.put("a", "2"), .get("a"), .delete("nothing")]
            var nested = Etcdserverpb_TxnRequest()
            nested.success = [.put("b", "3")]
            var operation = Etcdserverpb_RequestOp()
            operation.requestTxn = nested
            request.success.append(operation)
            request.failure = [.get("a")]
            let yes = try await client.transaction(request)
            #expect(yes.succeeded)
            #expect(yes.header.revision == 3)
            #expect(yes.header.memberID == 0xA1)
            #expect(yes.responses.count == 4)
            #expect(yes.responses[0].responsePut.header.revision == 3)
            #expect(yes.responses[1].responseRange.kvs.first?.value == Data("2".utf8))
            #expect(yes.responses[2].responseDeleteRange.deleted == 0)
            #expect(yes.responses[3].responseTxn.succeeded)
            let no = try await client.transaction(request)
            #expect(!no.succeeded)
            #expect(no.responses.count == 1)
            #expect(no.responses[0].responseRange.kvs.first?.modRevision == 3)

            request.success = [.put("a", "1"), .put("a", "2")]
            #expect(await failure { _ = try await client.transaction(request) } == EtcdStatus.duplicateKey)
            request.success = (0..<129).map { .put("k\($0)", "") }
            #expect(
                await failure { _ = try await client.transaction(request) } == EtcdStatus.tooManyOperations)
            request.success = [Etcdserverpb_RequestOp()]
            #expect(await failure { _ = try await client.transaction(request) } == EtcdStatus.keyNotFound)
            request.success = []
            request.compare[0].result = .UNRECOGNIZED(77)
            #expect(await failure { _ = try await client.transaction(request) }?.code == .invalidArgument)
        }
    }

    @Test func readOnlyTransactionsAreNotProposed() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await client.put("a", "1")
            var request = Etcdserverpb_TxnRequest()
            request.success = [.get("a")]
            let before = try await server.with { $0.proposalCount }
            let response = try await client.transaction(request)
            #expect(response.responses[0].responseRange.kvs.first?.value == Data("1".utf8))
            #expect(try await server.with { $0.proposalCount } == before)
        }
    }

    @Test func deadlines() async throws {
        try await TestServer.run { server in
            try await server.with { $0.isHolding = true }
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(
                .settings(), .call("/etcdserverpb.KV/Put", stream: 1, extra: [("grpc-timeout", "30m")]),
                .message([0x0A, 1, 0x61], stream: 1))
            #expect(
                await socket.until {
                    $0.frames.contains { $0.stream == 1 && $0.kind == WireFrame.Kind.headers }
                })
            // The held answers come too late and go nowhere.
            try await server.with { $0.release() }
            try await server.expectAlive()
        }
    }
}

extension Etcdserverpb_RequestOp {
    static func put(_ key: String, _ value: String) -> Etcdserverpb_RequestOp {
        var operation = Etcdserverpb_RequestOp()
        operation.requestPut.key = Data(key.utf8)
        operation.requestPut.value = Data(value.utf8)
        return operation
    }

    static func get(_ key: String) -> Etcdserverpb_RequestOp {
        var operation = Etcdserverpb_RequestOp()
        operation.requestRange.key = Data(key.utf8)
        return operation
    }

    static func delete(_ key: String) -> Etcdserverpb_RequestOp {
        var operation = Etcdserverpb_RequestOp()
        operation.requestDeleteRange.key = Data(key.utf8)
        return operation
    }
}
