import EtcdClient
import Foundation
import KeyValueCore
import ReplicaRuntime
import Testing

@testable import EtcdAPI

/// Reads a watch stream response by response.
private struct WatchReader {
    let stream: EtcdClient.WatchStream
    var iterator: AsyncThrowingStream<Etcdserverpb_WatchResponse, any Error>.Iterator

    init(_ client: EtcdClient) async {
        stream = await client.watch()
        iterator = stream.responses.makeAsyncIterator()
    }

    mutating func next() async throws -> Etcdserverpb_WatchResponse {
        try #require(await iterator.next())
    }

    func create(_ key: String, _ change: (inout Etcdserverpb_WatchCreateRequest) -> Void = { _ in }) {
        var request = Etcdserverpb_WatchRequest()
        request.createRequest.key = Data(key.utf8)
        change(&request.createRequest)
        stream.send(request)
    }

    func cancel(_ id: Int64) {
        var request = Etcdserverpb_WatchRequest()
        request.cancelRequest.watchID = id
        stream.send(request)
    }

    func askForProgress() {
        var request = Etcdserverpb_WatchRequest()
        request.progressRequest = Etcdserverpb_WatchProgressRequest()
        stream.send(request)
    }
}

@Suite struct WatchTests {
    @Test func createdComesFirstThenEvents() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            var reader = await WatchReader(client)
            reader.create("a")
            let created = try await reader.next()
            #expect(created.created && !created.canceled)
            #expect(created.watchID == 0)
            #expect(created.header.revision == 1)
            #expect(created.header.memberID == 0xA1)
            try await client.put("b", "not watched")
            try await client.put("a", "1")
            let put = try await reader.next()
            #expect(put.events.count == 1)
            #expect(put.events[0].type == .put)
            #expect(put.events[0].kv.key == Data("a".utf8))
            #expect(put.events[0].kv.modRevision == 3)
            #expect(!put.events[0].hasPrevKv)
            var deletion = Etcdserverpb_DeleteRangeRequest()
            deletion.key = Data("a".utf8)
            _ = try await client.deleteRange(deletion)
            let deleted = try await reader.next()
            #expect(deleted.events[0].type == .delete)
            #expect(deleted.events[0].kv.modRevision == 4)
        }
    }

    @Test func fromThePastWithPreviousAndFilters() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            for value in ["1", "2", "3"] { try await client.put("a", value) }
            var deletion = Etcdserverpb_DeleteRangeRequest()
            deletion.key = Data("a".utf8)
            _ = try await client.deleteRange(deletion)
            var reader = await WatchReader(client)
            reader.create("a") {
                $0.startRevision = 3
                $0.prevKv = true
                $0.filters = [.nodelete]
            }
            #expect(try await reader.next().created)
            let response = try await reader.next()
            #expect(response.events.map(\.kv.modRevision) == [3, 4])
            #expect(response.events.map(\.prevKv.value) == [Data("1".utf8), Data("2".utf8)])
            reader.create("a") {
                $0.startRevision = 2
                $0.filters = [.noput]
            }
            let second = try await reader.next()
            #expect(second.created && second.watchID == 1)
            let events = try await reader.next()
            #expect(events.watchID == 1)
            #expect(events.events.map(\.type) == [.delete])
        }
    }

    @Test func manyWatchesOnOneStream() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            var reader = await WatchReader(client)
            let count = 300
            for number in 0..<count {
                reader.create("key\(number)")
                #expect(try await reader.next().watchID == Int64(number))
            }
            for number in 0..<count { try await client.put("key\(number)", "v") }
            var seen: [Int64: [String]] = [:]
            for _ in 0..<count {
                let response = try await reader.next()
                for event in response.events {
                    seen[response.watchID, default: []].append(String(decoding: event.kv.key, as: UTF8.self))
                }
            }
            for number in 0..<count { #expect(seen[Int64(number)] == ["key\(number)"]) }
            #expect(try await server.with { $0.watchCount } == count)
            reader.stream.cancel()
            try await server.until("every watch is cancelled") { _, service in service.watchCount == 0 }
        }
    }

    @Test func idsOfTheClient() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            var reader = await WatchReader(client)
            reader.create("a") { $0.watchID = 7 }
            #expect(try await reader.next().watchID == 7)
            reader.create("b") { $0.watchID = 7 }
            let refused = try await reader.next()
            #expect(refused.created && refused.canceled)
            #expect(refused.watchID == -1)
            #expect(refused.cancelReason == "mvcc: duplicate watch ID provided on the WatchStream")
            reader.create("z") { $0.rangeEnd = Data("a".utf8) }
            let empty = try await reader.next()
            #expect(empty.canceled && empty.cancelReason == "mvcc: watcher range is empty")
            reader.cancel(7)
            let cancelled = try await reader.next()
            #expect(cancelled.canceled && cancelled.watchID == 7 && !cancelled.created)
            // An id that is not in use is passed over, and the id is free again.
            reader.cancel(99)
            reader.create("a") { $0.watchID = 7 }
            let again = try await reader.next()
            #expect(again.watchID == 7 && again.created && !again.canceled)
            // What was refused used up no id.
            reader.create("a")
            #expect(try await reader.next().watchID == 0)
            reader.create("a") { $0.watchID = 1 }
            #expect(try await reader.next().watchID == 1)
            reader.create("a")
            #expect(try await reader.next().watchID == 2)
        }
    }

    @Test func compactedStart() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            for value in ["1", "2", "3", "4"] { try await client.put("a", value) }
            try await client.compact(revision: 4)
            var reader = await WatchReader(client)
            reader.create("a") { $0.startRevision = 2 }
            #expect(try await reader.next().created)
            let response = try await reader.next()
            #expect(response.canceled)
            #expect(response.compactRevision == 4)
            #expect(response.cancelReason == "etcdserver: mvcc: required revision has been compacted")
            try await server.until("the watch is gone") { _, service in service.watchCount == 0 }
        }
    }

    /// Only 0 means "from now on".
    @Test func startBeforeAllHistory() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await client.put("a", "1")
            var reader = await WatchReader(client)
            reader.create("a") { $0.startRevision = -5 }
            #expect(try await reader.next().created)
            #expect(try await reader.next().events.map(\.kv.modRevision) == [2])
        }
    }

    @Test func progress() async throws {
        var limits = ServerLimits()
        limits.watchProgressIntervalMilliseconds = 1
        try await TestServer.run(limits: limits) { server in
            let client = try await server.client()
            var reader = await WatchReader(client)
            reader.askForProgress()
            let alone = try await reader.next()
            #expect(alone.watchID == -1 && alone.header.revision == 1 && alone.events.isEmpty)
            try await client.put("other", "1")
            reader.create("a") { $0.progressNotify = true }
            #expect(try await reader.next().created)
            let notice = try await reader.next()
            #expect(notice.watchID == 0 && notice.events.isEmpty && notice.header.revision == 2)
        }
    }

    /// Applied is not delivered: a watch that has not been told yet holds the notice back.
    @Test func progressBetweenApplyingAndTelling() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            var reader = await WatchReader(client)
            reader.create("a")
            #expect(try await reader.next().created)
            try await server.with { $0.keepsWatchersWaiting = true }
            try await client.put("a", "1")
            reader.askForProgress()
            let notice = try await reader.next()
            #expect(notice.watchID == -1 && notice.header.revision == 1)
            try await server.with { $0.keepsWatchersWaiting = false }
            try await client.put("a", "2")
            #expect(try await reader.next().events.map(\.kv.modRevision) == [2, 3])
            reader.askForProgress()
            #expect(try await reader.next().header.revision == 3)
        }
    }

    @Test func fragments() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            let value = String(repeating: "v", count: 30_000)
            var request = Etcdserverpb_TxnRequest()
            request.success = (0..<20).map { .put("key\($0)", value) }
            _ = try await client.transaction(request)
            var whole = await WatchReader(client)
            whole.create("key") {
                $0.rangeEnd = Data([0])
                $0.startRevision = 2
            }
            #expect(try await whole.next().created)
            let response = try await whole.next()
            #expect(response.events.count == 20 && !response.fragment)
            var parts = await WatchReader(client)
            parts.create("key") {
                $0.rangeEnd = Data([0])
                $0.startRevision = 2
                $0.fragment = true
            }
            #expect(try await parts.next().created)
            var count = 0
            var responses = 0
            while count < 20 {
                let part = try await parts.next()
                count += part.events.count
                responses += 1
                #expect(part.fragment == (count < 20))
            }
            #expect(count == 20 && responses > 1)
        }
    }

    /// A client that sends one request and no more still gets its events, as from etcd.
    @Test func halfCloseDoesNotEndTheStream() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            var reader = await WatchReader(client)
            reader.create("a")
            #expect(try await reader.next().created)
            reader.stream.halfClose()
            try await client.put("a", "1")
            #expect(try await reader.next().events.count == 1)
            reader.stream.cancel()
            try await server.until("the watch is gone") { _, service in service.watchCount == 0 }
        }
    }

    @Test func limitOnWatches() async throws {
        var limits = ServerLimits()
        limits.maximumWatchesPerConnection = 2
        try await TestServer.run(limits: limits) { server in
            let client = try await server.client()
            var reader = await WatchReader(client)
            for _ in 0..<2 {
                reader.create("a")
                #expect(try await !reader.next().canceled)
            }
            reader.create("a")
            #expect(try await reader.next().canceled)
            reader.cancel(0)
            #expect(try await reader.next().canceled)
            reader.create("a")
            #expect(try await !reader.next().canceled)
        }
    }
}
