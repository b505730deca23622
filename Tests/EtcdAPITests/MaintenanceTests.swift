import EtcdClient
import Foundation
import KeyValueCore
import ReplicaRuntime
import Testing
import TestSupport

@testable import EtcdAPI

@Suite struct MaintenanceTests {
    @Test func status() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await client.put("a", "1")
            let status = try await client.status()
            #expect(status.version == "3.4.23")
            #expect(status.leader == 0xA1)
            #expect(status.raftIndex == 42)
            #expect(status.raftAppliedIndex == 41)
            #expect(status.raftTerm == 7)
            #expect(status.dbSize > 0 && status.dbSizeInUse == status.dbSize)
            #expect(status.errors.isEmpty)
            #expect(status.header.revision == 2)
            try await server.with {
                $0.leader = nil
                $0.isSpaceExhausted = true
            }
            let bad = try await client.status()
            #expect(bad.leader == 0)
            #expect(bad.errors == ["etcdserver: no leader", "memberID:161 alarm:NOSPACE "])
        }
    }

    /// Whatever needs data is refused before anything is done, with whom to ask; the rest is answered.
    @Test func aWitnessSendsClientsToOthers() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await server.with { $0.membersWithData = ["n1", "n2"] }
            let put = await failure { try await client.put("a", "1") }
            #expect(put?.code == .unavailable)
            #expect(put?.message == "holdfast: this node is a witness: ask n1 or n2")
            #expect(await failure { _ = try await client.get("a") } == put)
            #expect(await failure { _ = try await client.hashKeyValue() } == put)
            let watch = await client.watch()
            #expect(await failure { for try await _ in watch.responses {} } == put)
            let keepAlive = await client.keepAlive()
            #expect(await failure { for try await _ in keepAlive.responses {} } == put)
            #expect(try await server.with { $0.proposalCount } == 0)
            #expect(try await client.status().leader == 0xA1)
            let list: Etcdserverpb_MemberListResponse = try await client.call(
                "/etcdserverpb.Cluster/MemberList", Etcdserverpb_MemberListRequest())
            #expect(list.members.count == 1)
        }
        for method in Method.allCases where !method.needsData {
            #expect(["Cluster", "Maintenance", "Auth"].contains { method.path.contains(".\($0)/") })
        }
        #expect(
            EtcdStatus.of(ServiceError.witness).message
                == "holdfast: this node is a witness: ask another member")
    }

    @Test func alarms() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            #expect(try await client.alarm().alarms.isEmpty)
            try await server.with { $0.isSpaceExhausted = true }
            let alarms = try await client.alarm().alarms
            #expect(alarms.map(\.alarm) == [.nospace])
            #expect(alarms.map(\.memberID) == [0xA1])
            var request = Etcdserverpb_AlarmRequest()
            request.memberID = 99
            #expect(try await client.alarm(request).alarms.isEmpty)
            request.memberID = 0
            request.action = .deactivate
            #expect(await failure { _ = try await client.alarm(request) }?.code == .failedPrecondition)
            request.action = .activate
            #expect(await failure { _ = try await client.alarm(request) }?.code == .unimplemented)
        }
    }

    @Test func hashes() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await client.put("a", "1")
            let first = try await client.hashKeyValue()
            #expect(first.hash != 0 && first.hashRevision == 2 && first.compactRevision == -1)
            try await client.put("a", "2")
            #expect(try await client.hashKeyValue().hash != first.hash)
            #expect(try await client.hashKeyValue(revision: 2).hash == first.hash)
            #expect(
                await failure { _ = try await client.hashKeyValue(revision: 9) } == EtcdStatus.futureRevision)
            let whole: Etcdserverpb_HashResponse = try await client.call(
                "/etcdserverpb.Maintenance/Hash", Etcdserverpb_HashRequest())
            #expect(try await whole.hash == client.hashKeyValue().hash)
            let defragmented: Etcdserverpb_DefragmentResponse = try await client.call(
                "/etcdserverpb.Maintenance/Defragment", Etcdserverpb_DefragmentRequest())
            #expect(defragmented.header.revision == 3)
        }
    }

    @Test func members() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            let response = try await client.members()
            #expect(response.header.revision == 0 && response.header.clusterID == 0xC1)
            #expect(response.members.map(\.id) == [0xA1])
            #expect(response.members.map(\.name) == ["one"])
            #expect(response.members[0].peerUrls == ["http://127.0.0.1:2380"])
            #expect(response.members[0].clientUrls == ["http://127.0.0.1:2379"])
            var request = Etcdserverpb_MemberListRequest()
            request.linearizable = true
            try await server.with { $0.failure = .noLeader }
            let status = await failure {
                let _: Etcdserverpb_MemberListResponse = try await client.call(
                    "/etcdserverpb.Cluster/MemberList", request)
            }
            #expect(status == EtcdStatus.noLeader)
        }
    }

    @Test func whatIsNotThere() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            func call(_ path: String) async -> GRPCStatus? {
                await failure {
                    let _: Etcdserverpb_HashRequest = try await client.call(path, Etcdserverpb_HashRequest())
                }
            }
            #expect(
                await call("/etcdserverpb.Nothing/Range")
                    == GRPCStatus(.unimplemented, "unknown service etcdserverpb.Nothing"))
            #expect(
                await call("/etcdserverpb.KV/Nothing")
                    == GRPCStatus(.unimplemented, "unknown method Nothing for service etcdserverpb.KV"))
            #expect(
                await call("/nothing")
                    == GRPCStatus(.unimplemented, "malformed method name: \"/nothing\""))
            for path in [
                "/etcdserverpb.Maintenance/Snapshot", "/etcdserverpb.Auth/UserAdd",
                "/etcdserverpb.Auth/AuthEnable",
            ] {
                let status = await call(path)
                #expect(status?.code == .unimplemented)
                #expect(
                    status?.message.hasPrefix("holdfast: ") == true, "\(path): \(String(describing: status))")
            }
            let auth: Etcdserverpb_AuthStatusResponse = try await client.call(
                "/etcdserverpb.Auth/AuthStatus", Etcdserverpb_AuthStatusRequest())
            #expect(!auth.enabled)
        }
    }

    /// What a client sent is quoted, but not at any length.
    @Test func longNames() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            let status = await failure {
                let _: Etcdserverpb_HashRequest = try await client.call(
                    "/etcdserverpb.KV/" + String(repeating: "x", count: 5_000), Etcdserverpb_HashRequest())
            }
            #expect(status?.code == .unimplemented)
            #expect(status?.message.utf8.count == 1_024)
        }
    }

    /// Clients that need a leader (`hasleader`) are told at once, and their streams end, where there is none.
    @Test func requiresLeader() async throws {
        try await TestServer.run { server in
            try await server.with { $0.leader = nil }
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(
                .settings(), .call("/etcdserverpb.Watch/Watch", stream: 1, extra: [("hasleader", "true")]))
            #expect(
                await socket.until {
                    $0.frames.contains { $0.stream == 1 && $0.kind == WireFrame.Kind.headers }
                })
            let headers = try #require(socket.frames.first { $0.stream == 1 })
            #expect(
                String(decoding: headers.payload, as: UTF8.self).contains("grpc-message")
                    || headers.flags & 1 == 1)
            try await server.with { $0.leader = 1 }
            await socket.send(
                .call("/etcdserverpb.Watch/Watch", stream: 3, extra: [("hasleader", "true")]))
            try await server.until("the stream is open") { core, _ in core.openStreamCount == 1 }
            try await server.with { $0.leader = nil }
            try await server.until("the stream is ended") { core, _ in core.openStreamCount == 0 }
        }
    }
}
