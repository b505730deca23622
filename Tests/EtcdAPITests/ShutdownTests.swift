import EtcdClient
import Foundation
import TestSupport
import Testing

@testable import EtcdAPI

@Suite struct ShutdownTests {
    /// What is under way is answered, streams are told, and then the connection closes.
    @Test func graceful() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await client.put("a", "1")
            let stream = await client.watch()
            var create = Etcdserverpb_WatchRequest()
            create.createRequest.key = Data("a".utf8)
            stream.send(create)
            var responses = stream.responses.makeAsyncIterator()
            #expect(try await responses.next()?.created == true)
            try await server.with { $0.isHolding = true }
            async let late = client.put("a", "2")
            try await server.until("the put is under way") { _, service in service.heldCount == 1 }
            async let stopped: Void = server.server.shutdown(gracePeriodMilliseconds: 10_000)
            let ended = await failure { while try await responses.next() != nil {} }
            #expect(ended == EtcdStatus.stopped)
            try await server.with { $0.release() }
            #expect(try await late.header.revision == 3)
            await stopped
            #expect(await failure { try await client.put("a", "3") }?.code == .unavailable)
            #expect(await failure { _ = try await server.client() }?.code == .unavailable)
        }
    }

    /// What does not end is cut off after the grace period.
    @Test func impatient() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await server.with { $0.isHolding = true }
            async let late = failure { try await client.put("a", "2") }
            try await server.until("the put is under way") { _, service in service.heldCount == 1 }
            await server.server.shutdown(gracePeriodMilliseconds: 20)
            #expect(await late?.code == .unavailable)
            try await server.with { $0.release() }
        }
    }

    @Test func severalAddresses() async throws {
        try await TestServer.run { server in
            let second = try await server.server.start(host: "127.0.0.1", port: FreePorts.take())
            let client = try await EtcdClient.connect(host: "127.0.0.1", port: second.port!)
            try await client.put("a", "1")
            #expect(try await server.client().get("a") == Array("1".utf8))
            await #expect(throws: (any Error).self) {
                try await server.server.start(host: "127.0.0.1", port: second.port!)
            }
        }
    }
}
