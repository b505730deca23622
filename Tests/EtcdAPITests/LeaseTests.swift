import EtcdClient
import Foundation
import KeyValueCore
import ReplicaRuntime
import Testing

@testable import EtcdAPI

@Suite struct LeaseTests {
    @Test func grantUseAndRevoke() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            let granted = try await client.leaseGrant(timeToLiveSeconds: 60)
            #expect(granted.id > 0 && granted.ttl == 60)
            let chosen = try await client.leaseGrant(timeToLiveSeconds: 60, id: 1234)
            #expect(chosen.id == 1234)
            #expect(
                await failure { _ = try await client.leaseGrant(timeToLiveSeconds: 60, id: 1234) }
                    == EtcdStatus.leaseExists)
            #expect(
                await failure { _ = try await client.leaseGrant(timeToLiveSeconds: 9_000_000_001) }
                    == EtcdStatus.leaseTimeToLiveTooLarge)
            let short = try await client.leaseGrant(timeToLiveSeconds: 0)
            #expect(short.ttl == Int64(ServerLimits().minimumLeaseTimeToLiveSeconds))
            let listed = try await client.leases().leases.map(\.id)
            #expect(Set(listed) == [granted.id, 1234, short.id])
            try await client.put("a", "1", lease: 1234)
            try await client.put("b", "2", lease: 1234)
            let times = try await client.leaseTimeToLive(1234, keys: true)
            #expect(times.ttl == 59 && times.grantedTtl == 60)
            #expect(times.keys == [Data("a".utf8), Data("b".utf8)])
            #expect(try await client.leaseTimeToLive(1234).keys.isEmpty)
            let revoked = try await client.leaseRevoke(1234)
            #expect(revoked.header.revision == 4)
            #expect(try await client.get("a") == nil)
            #expect(await failure { try await client.leaseRevoke(1234) } == EtcdStatus.leaseNotFound)
            let gone = try await client.leaseTimeToLive(1234)
            #expect(gone.ttl == -1 && gone.grantedTtl == 0)
        }
    }

    @Test func keepAlive() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            _ = try await client.leaseGrant(timeToLiveSeconds: 60, id: 5)
            let stream = await client.keepAlive()
            var responses = stream.responses.makeAsyncIterator()
            var request = Etcdserverpb_LeaseKeepAliveRequest()
            for id: Int64 in [5, 6, 5] {
                request.id = id
                stream.send(request)
                let response = try #require(await responses.next())
                #expect(response.id == id)
                #expect(response.ttl == (id == 5 ? 60 : 0))
            }
            // What is under way when the client ends its side is still answered.
            try await server.with { $0.isHolding = true }
            request.id = 5
            stream.send(request)
            stream.halfClose()
            try await server.until("the renewal is under way") { _, service in service.heldCount == 1 }
            try await server.with { $0.release() }
            #expect(try await responses.next()?.ttl == 60)
            #expect(try await responses.next() == nil)
        }
    }

    @Test func keepAliveWithoutALeader() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            let stream = await client.keepAlive()
            try await server.with { $0.failure = .noLeader }
            stream.send(Etcdserverpb_LeaseKeepAliveRequest())
            let status = await failure { for try await _ in stream.responses {} }
            #expect(status == EtcdStatus.noLeader)
        }
    }
}
