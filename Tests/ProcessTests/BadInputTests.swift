import EtcdAPI
import EtcdClient
import Foundation
import NIOCore
import Testing
import TestSupport

extension ProcessTests {
    /// What no client and no node of good will sends, to a node of a running cluster. Each ends with a clear
    /// error or a closed connection; the cluster goes on and its memory stays bounded.
    @Suite struct BadInputTests {
        private static let putPath = "/etcdserverpb.KV/Put"
        private static let rangePath = "/etcdserverpb.KV/Range"

        /// Runs the body, then writes through the attacked node and reads from another one.
        private func attack(
            growingAtMost mebibytes: Int = 192, sourceLocation: SourceLocation = #_sourceLocation,
            _ body: (TestNode) async throws -> Void
        ) async throws {
            try await TestCluster.run(size: 3) { cluster in
                let victim = cluster.nodes[0]
                let before = victim.peakResidentBytes ?? 0
                try await body(victim)
                let growth = ((victim.peakResidentBytes ?? 0) - before) >> 20
                #expect(
                    growth <= mebibytes, "memory grew by up to \(growth) MiB", sourceLocation: sourceLocation)
                let (client, other) = (try await victim.connect(), try await cluster.nodes[2].connect())
                try await client.put("still", "here", timeoutMilliseconds: 5_000)
                #expect(
                    try await other.get("still", timeoutMilliseconds: 5_000) == Array("here".utf8),
                    sourceLocation: sourceLocation)
                await client.close()
                await other.close()
            }
        }

        private func randomBytes(_ count: Int, _ random: inout SplitMix) -> [UInt8] {
            (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        }

        // MARK: Bytes

        @Test(.timeLimit(.minutes(2))) func randomBytesOnBothPorts() async throws {
            try await attack { node in
                var random = SplitMix(state: 7)
                for round in 0..<120 {
                    let noise = randomBytes(1 + Int(random.next() % 5_000), &random)
                    let beginnings: [[UInt8]] = [
                        [], WireFrame.preface, WireFrame.preface + WireFrame.settings().bytes,
                        Array("HOLDFAST".utf8), Array("GET /".utf8),
                    ]
                    let port = round % 2 == 0 ? node.clientPort : node.peerPort
                    let connection = try await WireConnection.connect(port: port)
                    await connection.send(beginnings[round / 2 % beginnings.count] + noise)
                    // Some wait for the server to close, others go first.
                    if round % 3 != 0 { await connection.close() }
                }
                for connection in try await idleConnections(200, ports: [node.clientPort, node.peerPort]) {
                    await connection.close()
                }
            }
        }

        private func idleConnections(_ count: Int, ports: [Int]) async throws -> [WireConnection] {
            var connections: [WireConnection] = []
            for number in 0..<count {
                connections.append(try await .connect(port: ports[number % ports.count]))
            }
            return connections
        }

        /// A peer that announces 4 GiB, one that stops in the middle, and one of a wrong checksum.
        @Test(.timeLimit(.minutes(2))) func brokenPeerFrames() async throws {
            try await attack { node in
                let magic = Array("HOLDFAST".utf8)
                let heads: [[UInt8]] = [
                    [0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0, 0],
                    [48, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4] + [UInt8](repeating: 1, count: 48),
                    [0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0],
                ]
                for head in heads {
                    let connection = try await WireConnection.connect(port: node.peerPort)
                    await connection.send(magic + head)
                    try await connection.requireClosed()
                }
                for count in 0..<20 {
                    let connection = try await WireConnection.connect(port: node.peerPort)
                    await connection.send(Array((magic + heads[1]).prefix(count)))
                    await connection.close()
                }
                let flood = try await WireConnection.connect(port: node.peerPort)
                flood.push(
                    magic + [0xFF, 0xFF, 0xFF, 0x3F, 3, 0, 0, 0] + [UInt8](repeating: 7, count: 64 << 20))
                try await flood.requireClosed()
            }
        }

        @Test(.timeLimit(.minutes(2))) func truncatedAndOversizedFrames() async throws {
            try await attack { node in
                let whole =
                    WireFrame.preface + WireFrame.settings().bytes
                    + WireFrame.call(Self.putPath, stream: 1).bytes
                    + WireFrame.message([0x0A, 1, 0x78], stream: 1).bytes
                for count in 0..<whole.count {
                    let connection = try await WireConnection.connect(port: node.clientPort)
                    await connection.send(Array(whole.prefix(count)))
                    await connection.close()
                }
                let oversized = try await WireConnection.openHTTP2(port: node.clientPort)
                await oversized.send([0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 1])
                try await oversized.requireClosed()
                #expect(oversized.frames.contains { $0.kind == WireFrame.Kind.goAway })
                let client = try await node.connect()
                #expect(try await client.get("x") == nil, "half a put was carried out")
                await client.close()
            }
        }

        // MARK: HTTP/2

        @Test(.timeLimit(.minutes(2))) func rapidReset() async throws {
            try await attack { node in
                let connection = try await WireConnection.openHTTP2(port: node.clientPort)
                for batch in 0..<200 where !connection.isClosed {
                    await connection.send(
                        (0..<100).flatMap { number in
                            let stream = UInt32((batch * 100 + number) * 2 + 1)
                            return WireFrame.call(Self.putPath, stream: stream).bytes
                                + WireFrame.reset(stream).bytes
                        })
                }
                try await connection.requireClosed()
                let goAway = connection.frames.last { $0.kind == WireFrame.Kind.goAway }
                #expect(goAway?.payload.suffix(from: 4).first { $0 != 0 } == 11, "not ENHANCE_YOUR_CALM")
            }
        }

        @Test(.timeLimit(.minutes(2)), arguments: [false, true]) func endlessHeaders(
            areEmpty: Bool
        ) async throws {
            try await attack { node in
                let connection = try await WireConnection.openHTTP2(port: node.clientPort)
                await connection.send(WireFrame.call(Self.putPath, stream: 1, flags: 0))
                let payload = areEmpty ? [] : WireFrame.literal("x", String(repeating: "y", count: 120))
                let more = WireFrame(kind: WireFrame.Kind.continuation, stream: 1, payload: payload).bytes
                for _ in 0..<2_000 where !connection.isClosed {
                    await connection.send((0..<50).flatMap { _ in more })
                }
                try await connection.requireClosed()
            }
        }

        /// Many watches, and many reads of everything, by a client that never lets the server send.
        @Test(.timeLimit(.minutes(2))) func zeroWindow() async throws {
            try await attack(growingAtMost: 128) { node in
                let client = try await node.connect()
                let value = [UInt8](repeating: 65, count: 64 << 10)
                for number in 0..<64 { try await client.put(Array("key \(number)".utf8), value) }
                let connection = try await WireConnection.openHTTP2(
                    port: node.clientPort, settings: [(WireFrame.initialWindowSize, 0)])
                // create { key 00, range_end 00, start_revision 1 }
                let watch: [UInt8] = [0x0A, 8, 0x0A, 1, 0, 0x12, 1, 0, 0x18, 1]
                for number in 0..<300 {
                    await connection.send(
                        .call("/etcdserverpb.Watch/Watch", stream: UInt32(number * 4 + 1)),
                        .message(watch, stream: UInt32(number * 4 + 1), endStream: false),
                        .call(Self.rangePath, stream: UInt32(number * 4 + 3)),
                        .message([0x0A, 1, 0, 0x12, 1, 0], stream: UInt32(number * 4 + 3)))
                }
                for number in 0..<64 { try await client.put(Array("key \(number)".utf8), value) }
                #expect(try await client.get("key 1")?.count == value.count)
                await client.close()
                #expect(connection.receivedCount < 1 << 20)
                await connection.close()
            }
        }

        /// Requests that are begun and never finished, on many connections.
        @Test(.timeLimit(.minutes(2))) func unfinishedRequests() async throws {
            try await attack(growingAtMost: 512) { node in
                var connections: [WireConnection] = []
                for _ in 0..<40 {
                    let connection = try await WireConnection.openHTTP2(port: node.clientPort)
                    var bytes: [UInt8] = []
                    for number in 0..<32 {
                        let stream = UInt32(number * 2 + 1)
                        bytes += WireFrame.call(Self.putPath, stream: stream).bytes
                        bytes +=
                            WireFrame.message(
                                [UInt8](repeating: 1, count: 16_000), stream: stream, announcing: 1_500_000,
                                endStream: false
                            ).bytes
                        let more = WireFrame(
                            kind: WireFrame.Kind.data, stream: stream,
                            payload: [UInt8](repeating: 1, count: 16_000))
                        for _ in 0..<30 { bytes += more.bytes }
                    }
                    connection.push(bytes)
                    connections.append(connection)
                }
                try await Task.sleep(for: .seconds(2))
                for connection in connections { await connection.close() }
            }
        }

        // MARK: Requests

        private func status(_ body: () async throws(GRPCStatus) -> Void) async -> GRPCStatus {
            do throws(GRPCStatus) {
                try await body()
                return .ok
            } catch {
                return error
            }
        }

        private func raw(_ bytes: [UInt8]) -> ByteBuffer {
            MessageFraming.frame(sizeBytes: bytes.count, allocator: ByteBufferAllocator()) {
                $0.writeBytes(bytes)
            }
        }

        @Test(.timeLimit(.minutes(2))) func unknownMethodsAndMalformedMessages() async throws {
            try await attack { node in
                let client = try await node.connect()
                for path in ["/etcdserverpb.KV/Nothing", "/nothing.At/All", "/", "//", "/etcdserverpb.KV/"] {
                    let status = await status { () throws(GRPCStatus) in
                        _ = try await client.callRaw(path, framed: raw([]))
                    }
                    #expect(status.code == .unimplemented, "\(path): \(status)")
                }
                var random = SplitMix(state: 11)
                for path in [
                    "KV/Put", "KV/Range", "KV/DeleteRange", "KV/Txn", "KV/Compact", "Lease/LeaseGrant",
                    "Lease/LeaseRevoke", "Maintenance/HashKV", "Maintenance/Alarm",
                ] {
                    let broken = await status { () throws(GRPCStatus) in
                        _ = try await client.callRaw(
                            "/etcdserverpb." + path, framed: raw([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1]))
                    }
                    #expect(broken.code == .internal, "\(path): \(broken)")
                    #expect(broken.message.contains("unmarshal"), "\(path): \(broken)")
                    for _ in 0..<100 {
                        let bytes = randomBytes(Int(random.next() % 64), &random)
                        // Whatever it is, it is answered.
                        let status = await status { () throws(GRPCStatus) in
                            _ = try await client.callRaw("/etcdserverpb." + path, framed: raw(bytes))
                        }
                        #expect(
                            status.code != .unavailable && status.code != .deadlineExceeded,
                            "\(path): \(status)")
                    }
                }
                await client.close()
            }
        }

        /// The limit, and the text, that clients know.
        @Test(.timeLimit(.minutes(2))) func requestsOverTheLimit() async throws {
            try await attack { node in
                let client = try await node.connect()
                let tooLarge = GRPCStatus(.invalidArgument, "etcdserver: request is too large")
                let limit = 1_572_864
                func put(_ key: Int, _ value: Int) async -> GRPCStatus {
                    await status { () throws(GRPCStatus) in
                        try await client.put(
                            [UInt8](repeating: 107, count: key), [UInt8](repeating: 118, count: value))
                    }
                }
                #expect(await put(1, limit - 100) == .ok)
                #expect(await put(1, limit + 1) == tooLarge)
                #expect(await put(limit + 1, 1) == tooLarge)
                #expect(await put(limit / 2, limit / 2 + 1_000) == tooLarge)
                #expect(await put(0, 1) == GRPCStatus(.invalidArgument, "etcdserver: key is not provided"))
                // Beyond what is read at all.
                let huge = await put(1, 4 << 20)
                #expect(huge.code == .resourceExhausted)
                #expect(huge.message.hasPrefix("grpc: received message larger than max ("))
                // The key of before is as it was.
                #expect(try await client.get("k")?.count == limit - 100)
                await client.close()
            }
        }
    }
}

/// Random numbers that are the same in every run.
private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
