import NIOCore
import NIOSSL
import TestSupport
import Testing
import TransportSecurity

@testable import EtcdAPI

@Suite struct TLSTests {
    private func client(
        trusting authority: TestAuthority, as identity: TestAuthority.Identity? = nil,
        protocols: [String] = []
    ) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(authority.trustFile)
        configuration.applicationProtocols = protocols
        if let identity {
            configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(identity.certificateFile).map {
                .certificate($0)
            }
            configuration.privateKey = .privateKey(
                try NIOSSLPrivateKey(file: identity.keyFile, format: .pem))
        }
        return try NIOSSLContext(configuration: configuration)
    }

    private func security(
        _ identity: TestAuthority.Identity, clientsOf authority: TestAuthority? = nil
    ) -> ClientSecurity {
        .tls(
            certificateFile: identity.certificateFile, keyFile: identity.keyFile,
            trustFile: authority?.trustFile)
    }

    /// What the server answers to a request for its health, all of it.
    private func health(_ server: TestServer, _ context: NIOSSLContext?) async throws -> [UInt8] {
        let socket = try await WireConnection.connect(port: server.port, securedBy: context)
        await socket.send(Array("GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".utf8))
        #expect(await socket.untilClosed())
        return socket.received
    }

    private func isHealthy(_ answer: [UInt8]) -> Bool {
        String(decoding: answer, as: UTF8.self).hasPrefix("HTTP/1.1 200 OK\r\n")
    }

    private func expectNobodyIsConnected(_ server: TestServer) async throws {
        try await server.until("nobody is connected") { core, _ in core.connectionCount == 0 }
    }

    @Test func bothProtocols() async throws {
        let authority = try TestAuthority()
        try await TestServer.run(security: security(authority.issue("server"))) { server in
            for protocols in [["h2"], ["http/1.1", "h2"], []] {
                let socket = try await WireConnection.connect(
                    port: server.port, securedBy: client(trusting: authority, protocols: protocols))
                await socket.send(WireFrame.preface + WireFrame.settings().bytes)
                #expect(await socket.until { $0.frames.contains { $0.kind == WireFrame.Kind.settings } })
                #expect(socket.negotiatedProtocol == (protocols.isEmpty ? nil : "h2"))
                await socket.close()
            }
            let old = try client(trusting: authority, protocols: ["http/1.1"])
            #expect(isHealthy(try await health(server, old)))
            #expect(isHealthy(try await health(server, client(trusting: authority))))
            try await expectNobodyIsConnected(server)
        }
    }

    @Test func certificatesOfClients() async throws {
        let authority = try TestAuthority()
        let other = try TestAuthority(named: "Another Authority")
        let identity = try authority.issue("server")
        try await TestServer.run(security: security(identity, clientsOf: authority)) { server in
            let good = try client(trusting: authority, as: authority.issue("client"))
            #expect(isHealthy(try await health(server, good)))
            #expect(try await health(server, client(trusting: authority)) == [])
            #expect(try await health(server, client(trusting: authority, as: other.issue("client"))) == [])
            let expired = try authority.issue("expired", days: -1)
            #expect(try await health(server, client(trusting: authority, as: expired)) == [])
            try await expectNobodyIsConnected(server)
        }
    }

    @Test func plaintextIsRefused() async throws {
        let authority = try TestAuthority()
        try await TestServer.run(security: security(authority.issue("server"))) { server in
            for _ in 0..<30 {
                let answer = try await health(server, nil)
                // A TLS alert at most.
                #expect(answer.isEmpty || answer.first == 0x15)
            }
            try await expectNobodyIsConnected(server)
            #expect(isHealthy(try await health(server, client(trusting: authority))))
        }
    }

    @Test func silentConnectionsEnd() async throws {
        let authority = try TestAuthority()
        var limits = TestServer.patientLimits
        limits.handshakeTimeoutMilliseconds = 30
        try await TestServer.run(limits: limits, security: security(authority.issue("server"))) { server in
            let socket = try await server.socket()
            #expect(await socket.untilClosed())
            #expect(socket.received == [])
            try await expectNobodyIsConnected(server)
        }
    }

    @Test func newCertificatesAreUsedWithoutARestart() async throws {
        let old = try TestAuthority()
        let new = try TestAuthority(named: "New Authority")
        let identity = try old.issue("server")
        var limits = TestServer.patientLimits
        limits.certificateReloadIntervalMilliseconds = 0
        try await TestServer.run(limits: limits, security: security(identity)) { server in
            #expect(isHealthy(try await health(server, client(trusting: old))))
            #expect(try await health(server, client(trusting: new)) == [])
            let renewed = try new.issue("server")
            try TestAuthority.copy(renewed.certificateFile, to: identity.certificateFile)
            // Half of the change is not used.
            #expect(isHealthy(try await health(server, client(trusting: old))))
            try TestAuthority.copy(renewed.keyFile, to: identity.keyFile)
            #expect(isHealthy(try await health(server, client(trusting: new))))
            #expect(try await health(server, client(trusting: old)) == [])
        }
    }

    @Test func unusableFilesAreAnErrorOfTheStart() async throws {
        let missing = ClientSecurity.tls(
            certificateFile: "/nonexistent/c.pem", keyFile: "/nonexistent/k.pem", trustFile: nil)
        await #expect {
            try await TestServer.run(security: missing) { _ in }
        } throws: { error in
            guard case TLSError.unreadableFile("/nonexistent/c.pem", _) = error else { return false }
            return true
        }
    }
}
