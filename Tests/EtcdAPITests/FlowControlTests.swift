import EtcdClient
import Foundation
import Testing
import TestSupport

@testable import EtcdAPI

@Suite struct FlowControlTests {
    private static let watchAll: [UInt8] = {
        var request = Etcdserverpb_WatchRequest()
        request.createRequest.key = Data([0])
        request.createRequest.rangeEnd = Data([0])
        return (try? request.serializedBytes()) ?? []
    }()

    private static func get(_ key: String) -> [UInt8] {
        var request = Etcdserverpb_RangeRequest()
        request.key = Data(key.utf8)
        return (try? request.serializedBytes()) ?? []
    }

    /// A watcher that takes nothing costs no more than its stream's bound, however much happens; and when it
    /// takes, everything comes, in order and nothing twice.
    @Test func watcherThatDoesNotRead() async throws {
        try await TestServer.run { server in
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(
                .settings([(4, 0)]), .call("/etcdserverpb.Watch/Watch", stream: 1),
                .message(FlowControlTests.watchAll, stream: 1, endStream: false))
            try await server.until("the watch is there") { _, service in service.watchCount == 1 }
            let client = try await server.client()
            let value = String(repeating: "v", count: 100_000)
            let puts = 200
            for number in 0..<puts { try await client.put("key\(number)", value) }
            let limits = ServerLimits()
            let unsent = try await server.withCore { $0.unsentBytes }
            #expect(unsent > 0)
            #expect(unsent <= limits.streamUnsentHighWatermarkBytes + 2 * value.utf8.count + 10_000)
            await socket.send(.windowUpdate(1 << 30), .windowUpdate(1 << 30, stream: 1))
            var revisions: [Int64] = []
            let isComplete = await socket.until { socket in
                guard socket.received.count >= puts * value.utf8.count else { return false }
                revisions = FlowControlTests.revisions(socket)
                return revisions.count >= puts
            }
            #expect(isComplete)
            #expect(revisions == (0..<Int64(puts)).map { $0 + 2 })
            try await server.until("everything is sent") { core, _ in core.unsentBytes == 0 }
        }
    }

    private static func responses(_ socket: WireConnection) -> [Etcdserverpb_WatchResponse] {
        guard let answer = try? RawAnswer(socket.frames) else { return [] }
        var responses: [Etcdserverpb_WatchResponse] = []
        var rest = answer.data[...]
        while rest.count >= 5 {
            let length = rest.dropFirst().prefix(4).reduce(0) { $0 << 8 | Int($1) }
            guard rest.count >= 5 + length else { break }
            let body = Array(rest.dropFirst(5).prefix(length))
            guard let response = try? Etcdserverpb_WatchResponse(serializedBytes: body) else { break }
            responses.append(response)
            rest = rest.dropFirst(5 + length)
        }
        return responses
    }

    private static func revisions(_ socket: WireConnection) -> [Int64] {
        responses(socket).flatMap { $0.events.map(\.kv.modRevision) }
    }

    /// A progress notice is never ahead of events, also where these wait for the client to read.
    @Test func progressWaitsForUnsentEvents() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            let value = String(repeating: "v", count: 20_000)
            for _ in 0..<50 { try await client.put("a", value) }
            var watch = Etcdserverpb_WatchRequest()
            watch.createRequest.key = Data("a".utf8)
            watch.createRequest.startRevision = 2
            var progress = Etcdserverpb_WatchRequest()
            progress.progressRequest = Etcdserverpb_WatchProgressRequest()
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(
                .settings([(4, 0)]), .call("/etcdserverpb.Watch/Watch", stream: 1),
                .message(try watch.serializedBytes(), stream: 1, endStream: false),
                .message(try progress.serializedBytes(), stream: 1, endStream: false), .ping())
            #expect(await socket.until { $0.frames.contains { $0.kind == WireFrame.Kind.ping } })
            await socket.send(.windowUpdate(1 << 30), .windowUpdate(1 << 30, stream: 1))
            #expect(await socket.until { FlowControlTests.responses($0).contains { $0.watchID == -1 } })
            var delivered: Int64 = 1
            for response in FlowControlTests.responses(socket) {
                if response.watchID == -1 {
                    #expect(response.header.revision == 51 && delivered == 51)
                }
                delivered = max(delivered, response.events.last?.kv.modRevision ?? 0)
            }
        }
    }

    /// Reads whose answers nobody takes wait in the store, not in buffers; and they are all answered when
    /// the window opens.
    @Test func readerThatDoesNotRead() async throws {
        var limits = TestServer.patientLimits
        limits.unsentHighWatermarkBytes = 1 << 20
        try await TestServer.run(limits: limits) { server in
            let client = try await server.client()
            let size = 500_000
            try await client.put("big", String(repeating: "v", count: size))
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(.settings([(4, 0)]))
            let reads = 100
            for number in 0..<reads {
                let stream = UInt32(number * 2 + 1)
                await socket.send(
                    .call("/etcdserverpb.KV/Range", stream: stream),
                    .message(FlowControlTests.get("big"), stream: stream))
            }
            try await server.until("all have arrived") { core, _ in core.openStreamCount >= reads - 10 }
            #expect(
                try await server.withCore { $0.unsentBytes } <= limits.unsentHighWatermarkBytes + size + 1_000
            )
            try await server.expectAlive()
            await socket.send(.windowUpdate(1 << 30), .settings([(4, 1 << 20)]))
            #expect(await socket.until { $0.received.count > reads * size })
            try await server.until("everything is sent") { core, _ in
                core.unsentBytes == 0 && core.openStreamCount == 0
            }
        }
    }

    /// Streams that are given up with answers unsent leave nothing behind in the counts.
    @Test func countsAfterResetsAndClosing() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await client.put("big", String(repeating: "v", count: 100_000))
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(.settings([(4, 0)]))
            for number in 0..<10 {
                let stream = UInt32(number * 2 + 1)
                await socket.send(
                    .call("/etcdserverpb.KV/Range", stream: stream),
                    .message(FlowControlTests.get("big"), stream: stream))
            }
            // And one that never completes.
            await socket.send(
                .call("/etcdserverpb.KV/Put", stream: 21),
                WireFrame(kind: WireFrame.Kind.data, stream: 21, payload: [0, 0, 0, 1, 0, 1, 2]))
            try await server.until("answers wait") { core, _ in
                core.unsentBytes > 1_000_000 && core.bufferedRequestBytes == 7
            }
            for number in 0..<5 { await socket.send(.reset(UInt32(number * 2 + 1))) }
            try await server.until("half of them are given up") { core, _ in core.unsentBytes < 600_000 }
            #expect(try await server.withCore { $0.unsentBytes } > 400_000)
            await socket.close()
            try await server.until("nothing is left") { core, _ in
                core.unsentBytes == 0 && core.bufferedRequestBytes == 0
            }
        }
    }

    /// Incomplete requests are bounded over the whole connection.
    @Test func incompleteRequestsAreBounded() async throws {
        var limits = TestServer.patientLimits
        limits.maximumBufferedRequestBytesPerConnection = 100_000
        try await TestServer.run(limits: limits) { server in
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(.settings())
            for number in 0..<20 {
                let stream = UInt32(number * 2 + 1)
                await socket.send(
                    .call("/etcdserverpb.KV/Put", stream: stream),
                    WireFrame(
                        kind: WireFrame.Kind.data, stream: stream,
                        payload: [0] + WireFrame.big(1 << 20) + [UInt8](repeating: 0, count: 10_000)))
            }
            #expect(await socket.until { $0.frames.contains { $0.kind == WireFrame.Kind.reset } })
            #expect(try await server.withCore { $0.bufferedRequestBytes } <= 100_000)
            try await server.expectAlive()
        }
    }

    /// Requests that wait for room go when their streams do, however many come and go.
    @Test func requestsGivenUpWhileWaiting() async throws {
        var limits = TestServer.patientLimits
        limits.unsentHighWatermarkBytes = 1_000
        limits.maximumConcurrentStreams = 10
        try await TestServer.run(limits: limits) { server in
            let client = try await server.client()
            try await client.put("big", String(repeating: "v", count: 60_000))
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(.settings([(4, 0)]))
            await socket.send(
                .call("/etcdserverpb.KV/Range", stream: 1),
                .message(FlowControlTests.get("big"), stream: 1))
            try await server.until("the connection is congested") { core, _ in core.unsentBytes > 60_000 }
            let before = try await server.with { $0.proposalCount }
            for number in 1...100 {
                let stream = UInt32(number * 2 + 1)
                await socket.send(
                    .call("/etcdserverpb.KV/Put", stream: stream),
                    .message(
                        [0x0A, 1, 0x61] + [0x12, 100] + [UInt8](repeating: 1, count: 100), stream: stream),
                    .reset(stream))
            }
            await socket.send(
                .call("/etcdserverpb.KV/Put", stream: 301), .message([0x0A, 1, 0x61], stream: 301))
            try await server.until("the last has come") { core, _ in core.bufferedRequestBytes == 3 }
            #expect(try await server.withCore { $0.deferredCount } <= 21)
            #expect(try await server.with { $0.proposalCount } == before)
            await socket.send(.windowUpdate(1 << 20, stream: 1))
            #expect(await socket.until { $0.frames.contains { $0.stream == 301 } })
            #expect(try await server.with { $0.proposalCount } == before + 1)
        }
    }

    /// A few that hoard cannot stop the others, and do not stay.
    @Test func hoarders() async throws {
        var limits = TestServer.patientLimits
        limits.maximumUnsentBytes = 100_000
        limits.keepaliveTimeoutMilliseconds = 1_500
        try await TestServer.run(limits: limits) { server in
            let client = try await server.client()
            try await client.put("big", String(repeating: "v", count: 150_000))
            try await client.put("small", "s")
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(.settings([(4, 0)]))
            for stream: UInt32 in [1, 3] {
                await socket.send(
                    .call("/etcdserverpb.KV/Range", stream: stream),
                    .message(FlowControlTests.get("big"), stream: stream))
            }
            try await server.until("it hoards") { core, _ in core.openStreamCount == 1 }
            #expect(try await server.withCore { $0.unsentBytes } > 150_000)
            #expect(try await client.get("small") == Array("s".utf8))
            // The other one still hoards.
            #expect(try await server.withCore { $0.unsentBytes } > 150_000)
            #expect(await socket.untilClosed())
            #expect(socket.frames.first { $0.kind == WireFrame.Kind.goAway }?.errorCode == 11)
            try await server.until("nothing is left") { core, _ in core.unsentBytes == 0 }
        }
    }

    @Test func requestThatNeverArrives() async throws {
        var limits = TestServer.patientLimits
        limits.requestTimeoutMilliseconds = 50
        try await TestServer.run(limits: limits) { server in
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(
                .settings(), .call("/etcdserverpb.KV/Put", stream: 1),
                WireFrame(kind: WireFrame.Kind.data, stream: 1, payload: [0, 0, 0, 0, 9, 1]))
            #expect(
                await socket.until {
                    $0.frames.contains { $0.stream == 1 && $0.kind == WireFrame.Kind.headers }
                })
            let answer = try RawAnswer(socket.frames)
            #expect(answer.code == 4, "\(answer)")
        }
    }

    /// The windows for what we receive are opened again: far more than one window's worth goes through.
    @Test func windowsAreReplenished() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            let value = [UInt8](repeating: 7, count: 1_500_000)
            let key = Array("big".utf8)
            for _ in 0..<40 { _ = try await client.put(key, value) }
            #expect(try await client.get("big") == value)
            // And on one stream that stays open.
            _ = try await client.leaseGrant(timeToLiveSeconds: 60, id: 5)
            let stream = await client.keepAlive()
            var responses = stream.responses.makeAsyncIterator()
            // With a field that the message does not know, so that it is large.
            let request = try Etcdserverpb_LeaseKeepAliveRequest(
                serializedBytes: [0x08, 5, 0x7A, 0x80, 0xB5, 0x18] + [UInt8](repeating: 0, count: 400_000))
            for _ in 0..<10 {
                stream.send(request)
                #expect(try await responses.next()?.ttl == 60)
            }
        }
    }

    /// An answer that would be dropped for want of room says so.
    @Test func answersBeyondTheHardBound() async throws {
        var limits = TestServer.patientLimits
        limits.maximumUnsentBytesPerConnection = 100_000
        try await TestServer.run(limits: limits) { server in
            let client = try await server.client()
            try await client.put("big", String(repeating: "v", count: 60_000))
            let socket = try await server.socket()
            await socket.send(WireFrame.preface)
            await socket.send(.settings([(4, 0)]))
            for stream: UInt32 in [1, 3, 5] {
                await socket.send(
                    .call("/etcdserverpb.KV/Range", stream: stream),
                    .message(FlowControlTests.get("big"), stream: stream))
            }
            #expect(
                await socket.until {
                    $0.frames.contains { $0.stream == 5 && $0.flags & WireFrame.endStream != 0 }
                })
            let answer = try RawAnswer(socket.frames, stream: 5)
            #expect(answer.code == 8)
            #expect(
                answer.message.hasPrefix("holdfast: the request was carried out, but its answer was dropped"))
        }
    }
}
