import EtcdClient
import Testing
import TestSupport

@testable import EtcdAPI

@Suite struct HTTP1Tests {
    private func get(_ server: TestServer, _ path: String, method: String = "GET") async throws -> String {
        let socket = try await server.socket()
        await socket.send(Array("\(method) \(path) HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".utf8))
        #expect(await socket.untilClosed())
        return String(decoding: socket.received, as: UTF8.self)
    }

    /// A witness answers no reads; it is healthy where it follows somebody.
    @Test func healthOfAWitness() async throws {
        try await TestServer.run { server in
            try await server.with {
                $0.membersWithData = ["n1"]
                $0.failure = .witness
            }
            #expect(try await get(server, "/health").hasSuffix("{\"health\":\"true\"}"))
            try await server.with { $0.leader = nil }
            #expect(try await get(server, "/health").contains("\"health\":\"false\""))
        }
    }

    @Test func health() async throws {
        try await TestServer.run { server in
            let good = try await get(server, "/health")
            #expect(good.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(good.hasSuffix("\r\n\r\n{\"health\":\"true\"}"))
            try await server.with { $0.failure = .noLeader }
            let bad = try await get(server, "/health")
            #expect(bad.hasPrefix("HTTP/1.1 503 "))
            #expect(bad.hasSuffix("{\"health\":\"false\",\"reason\":\"etcdserver: no leader\"}"))
            try await server.with {
                $0.failure = nil
                $0.isSpaceExhausted = true
            }
            #expect(try await get(server, "/health").contains("\"health\":\"false\""))
        }
    }

    @Test func versionMetricsAndNothing() async throws {
        try await TestServer.run { server in
            let version = try await get(server, "/version?x=1")
            #expect(version.hasSuffix("{\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"3.4.0\"}"))
            let metrics = try await get(server, "/metrics")
            for line in [
                "etcd_server_has_leader 1", "etcd_server_is_leader 1",
                "etcd_server_leader_changes_seen_total 3", "etcd_server_proposals_committed_total 42",
                "etcd_server_proposals_applied_total 41", "etcd_server_proposals_pending 0",
                "# TYPE etcd_server_has_leader gauge", "process_start_time_seconds 1700000000",
            ] {
                #expect(metrics.contains("\n" + line + "\n"), "\(line)")
            }
            #expect(try await get(server, "/nothing").hasPrefix("HTTP/1.1 404 "))
            #expect(try await get(server, "/health", method: "POST").hasPrefix("HTTP/1.1 405 "))
            let head = try await get(server, "/version", method: "HEAD")
            #expect(head.hasPrefix("HTTP/1.1 200 ") && head.hasSuffix("\r\n\r\n"))
        }
    }

    @Test func severalRequestsOnOneConnection() async throws {
        try await TestServer.run { server in
            let socket = try await server.socket()
            let request = Array("GET /version HTTP/1.1\r\nHost: test\r\n\r\n".utf8)
            await socket.send(request + request + request)
            #expect(
                await socket.until {
                    String(decoding: $0.received, as: UTF8.self).components("etcdserver") == 3
                })
            #expect(!socket.isClosed)
            await socket.close()
        }
    }

    @Test func whatIsNoHTTP() async throws {
        try await TestServer.run { server in
            let socket = try await server.socket()
            // The beginning of TLS.
            await socket.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03, 0x0D, 0x0A])
            #expect(await socket.untilClosed())
            let body = try await server.socket()
            await body.send(
                Array("GET /health HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n".utf8)
                    + [UInt8](repeating: 0, count: 100_000))
            #expect(await body.untilClosed())
            try await server.expectAlive()
        }
    }
}

extension String {
    fileprivate func components(_ part: String) -> Int {
        var count = 0
        var rest = self[...]
        while let range = rest.firstRange(of: part) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
