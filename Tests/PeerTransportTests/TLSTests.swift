import ConsensusTypes
import NIOCore
import Synchronization
import TestSupport
import Testing
import TransportSecurity

@testable import PeerTransport

extension PeerSecurity {
    init(_ identity: TestAuthority.Identity, trusting authority: TestAuthority) {
        self = .mutualTLS(
            certificateFile: identity.certificateFile, keyFile: identity.keyFile,
            trustFile: authority.trustFile)
    }
}

extension TestAuthority {
    /// A node's security with a certificate of this authority, which it trusts.
    func security(
        _ name: String, for names: [String] = ["IP:127.0.0.1", "DNS:localhost"]
    ) throws -> PeerSecurity {
        PeerSecurity(try issue(name, for: names), trusting: self)
    }
}

extension TestNode {
    func address(host: String) -> PeerAddress { PeerAddress(node: id, host: host, port: port) }

    /// Nothing has come of the attempts to connect, and nothing is left of them.
    func expectNothingCame(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        #expect(try await events() == [], sourceLocation: sourceLocation)
        for _ in 0..<4_000 where try await run({ transport, _ in transport.pendingConnectionCount }) > 0 {
            try await Task.sleep(for: .milliseconds(5))
        }
        #expect(
            try await run { transport, _ in transport.pendingConnectionCount } == 0,
            sourceLocation: sourceLocation)
        #expect(
            try await run { transport, _ in transport.connectedPeers } == [], sourceLocation: sourceLocation)
    }
}

@Suite struct TLSTests {
    private func shutDown(_ nodes: TestNode...) async throws {
        for node in nodes { try await node.shutdown() }
    }

    // MARK: - Links

    @Test func linksInBothDirections() async throws {
        let authority = try TestAuthority()
        let first = try await TestNode.start(1, security: authority.security("one"))
        let second = try await TestNode.start(2, security: authority.security("two"))
        try await connect([first, second])
        let large = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(try await first.send([1, 2, 3], kind: 7, to: second.id))
        #expect(try await first.send(large, kind: 8, to: second.id))
        #expect(try await second.send([4], kind: 9, to: first.id))
        try await second.waitForMessages(2)
        try await first.waitForMessages(1)
        let messages = try await second.events().filter(\.isMessage)
        #expect(
            messages == [
                .message([1, 2, 3], kind: 7, from: first.id), .message(large, kind: 8, from: first.id),
            ])
        #expect(try await first.events().contains(.message([4], kind: 9, from: second.id)))
        // A process that ends is noticed as without TLS.
        try await second.shutdown()
        try await first.wait(for: .stopped(second.id))
        try await first.shutdown()
    }

    @Test func peersAreFoundByName() async throws {
        let authority = try TestAuthority()
        let first = try await TestNode.start(1, security: authority.security("one", for: ["DNS:localhost"]))
        let second = try await TestNode.start(
            2, security: authority.security("two", for: ["DNS:*.test", "DNS:localhost"]))
        try await first.setPeers([second.address(host: "localhost")])
        try await second.setPeers([first.address(host: "localhost")])
        try await first.wait(for: .connected(second.id))
        try await second.wait(for: .connected(first.id))
        try await shutDown(first, second)
    }

    /// The first thing that a node says is TLS, not its hello.
    @Test func nothingIsSaidInPlaintext() async throws {
        let authority = try TestAuthority()
        let heard = Mutex<[UInt8]>([])
        let server = try await RawServer.start { channel, bytes in
            heard.withLock { $0 = Array(bytes.readableBytesView) }
            channel.close(promise: nil)
        }
        let node = try await TestNode.start(1, security: authority.security("one"))
        try await node.setPeers([server.address(as: 2)])
        try await waitForLog(node, "closed the connection during the TLS handshake")
        let bytes = heard.withLock { $0 }
        #expect(bytes.starts(with: [0x16, 0x03]))
        #expect(!String(decoding: bytes, as: UTF8.self).contains("HOLDFAST"))
        try await node.shutdown()
        await server.close()
    }

    // MARK: - What is refused

    @Test func otherAuthority() async throws {
        let authority = try TestAuthority()
        let other = try TestAuthority(named: "Another Authority")
        // Each trusts its own alone.
        let first = try await TestNode.start(1, security: authority.security("one"))
        let second = try await TestNode.start(2, security: other.security("two"))
        try await first.setPeers([second.address])
        try await second.setPeers([first.address])
        try await waitForLog(first, "no authority in \(authority.trustFile) vouches for")
        try await waitForLog(second, "no authority in \(other.trustFile) vouches for")
        // And says so to the other side.
        try await waitForLog(first, "it does not know the authority of this side's certificate")
        #expect(first.log.lines.contains { $0.hasPrefix("warning") && $0.contains("common_name=two") })
        try await shutDown(first, second)
        try await first.expectNothingCame()
        try await second.expectNothingCame()
    }

    /// The acceptor alone knows that something is wrong: the dialler trusts both authorities.
    @Test func otherAuthorityOfTheDialler() async throws {
        let authority = try TestAuthority()
        let other = try TestAuthority(named: "Another Authority")
        let acceptor = try await TestNode.start(1, security: authority.security("one"))
        let dialler = try await TestNode.start(
            2, security: PeerSecurity(other.issue("two"), trusting: authority))
        try await acceptor.setPeers([PeerAddress(node: dialler.id, host: "127.0.0.1", port: 1)])
        try await dialler.setPeers([acceptor.address])
        try await waitForLog(acceptor, "no authority in \(authority.trustFile) vouches for")
        try await waitForLog(dialler, "cannot connect to peer 1")
        try await shutDown(acceptor, dialler)
        try await acceptor.expectNothingCame()
        try await dialler.expectNothingCame()
    }

    @Test func expiredListener() async throws {
        let authority = try TestAuthority()
        let node = try await TestNode.start(1, security: authority.security("one"))
        let server = try await TLSEndpoint(authority.issue("old", days: -1), isServer: true).listen { _, _ in
        }
        try await node.setPeers([server.address(as: 2)])
        try await waitForLog(node, "common_name=old")
        #expect(node.log.lines.contains { $0.contains("old") && $0.contains("expired on 20") })
        try await node.expectNothingCame()
        try await node.shutdown()
        await server.close()
    }

    @Test(arguments: ["expired", "none", "other authority", "old version"])
    func diallers(who: String) async throws {
        let authority = try TestAuthority()
        let other = try TestAuthority(named: "Another Authority")
        let node = try await TestNode.start(1, security: authority.security("one"))
        try await node.setPeers([PeerAddress(node: NodeID(2), host: "127.0.0.1", port: 1)])
        let endpoint: TLSEndpoint
        let text: String
        switch who {
        case "expired":
            endpoint = try TLSEndpoint(authority.issue("old", days: -1), isServer: false)
            text = "expired on 20"
        case "none":
            endpoint = try TLSEndpoint(nil, isServer: false)
            text = "gave no certificate"
        case "other authority":
            endpoint = try TLSEndpoint(other.issue("two"), isServer: false)
            text = "no authority in \(authority.trustFile) vouches for"
        default:
            endpoint = try TLSEndpoint(authority.issue("two"), isServer: false, maximumVersion: .tlsv12)
            text = "TLS handshake failed"
        }
        #expect(try await endpoint.dial(node.port, saying: helloBytes(from: 2, to: 1)) == [])
        try await waitForLog(node, text)
        #expect(node.log.lines.contains { $0.hasPrefix("warning") && $0.contains(text) })
        try await node.expectNothingCame()
        try await node.shutdown()
    }

    /// The same endpoint as above with a good certificate is let in: it was the certificate that was refused.
    @Test func goodDialler() async throws {
        let authority = try TestAuthority()
        let node = try await TestNode.start(1, security: authority.security("one"))
        let endpoint = try TLSEndpoint(authority.issue("two"), isServer: false)
        let answer = try await endpoint.dial(node.port, saying: helloBytes(from: 2, to: 1))
        #expect(try frames(in: answer).map(\.kind) == [.refusal])
        try await node.shutdown()
    }

    @Test(arguments: [("127.0.0.1", ["IP:127.0.0.2", "DNS:127.0.0.1"]), ("localhost", ["DNS:other.test"])])
    func nameOfAnother(host: String, names: [String]) async throws {
        let authority = try TestAuthority()
        let first = try await TestNode.start(1, security: authority.security("one"))
        let second = try await TestNode.start(2, security: authority.security("two", for: names))
        try await first.setPeers([second.address(host: host)])
        try await waitForLog(first, "is not for \(host)")
        try await first.expectNothingCame()
        try await shutDown(first, second)
        try await second.expectNothingCame()
    }

    @Test func plaintextAgainstTLS() async throws {
        let authority = try TestAuthority()
        let secured = try await TestNode.start(1, security: authority.security("one"))
        let plain = try await TestNode.start(2)
        try await secured.setPeers([plain.address])
        try await plain.setPeers([secured.address])
        // As listeners.
        try await waitForLog(secured, "the other side speaks plaintext, this side TLS")
        try await waitForLog(plain, "the other side speaks TLS, this side plaintext")
        // As diallers.
        try await waitForLog(secured, "closed the connection during the TLS handshake")
        try await shutDown(secured, plain)
        try await secured.expectNothingCame()
        try await plain.expectNothingCame()
    }

    /// A hello of TLS from who dials, an alert from who listens; anything else is no TLS.
    @Test(arguments: [
        ([0x16, 0x03, 0x01], true), ([0x15, 0x03], true), ([0x16, 0x04], false), ([0x14, 0x03], false),
    ])
    func beginningsOfTLS(bytes: [UInt8], isTLS: Bool) throws {
        var decoder = FrameDecoder(maximumPayloadBytes: 100)
        bytes.withUnsafeBytes { decoder.append($0) }
        let error = #expect(throws: FrameError.self) { try decoder.next() }
        #expect(error?.description.contains("speaks TLS") == isTLS)
    }

    /// Strangers without TLS leave nothing behind and cannot fill the log.
    @Test func manyPlaintextStrangers() async throws {
        let authority = try TestAuthority()
        let node = try await TestNode.start(1, security: authority.security("one"))
        for _ in 0..<100 {
            let client = try await RawClient.connect(to: node.port)
            await client.write(helloBytes(from: 2, to: 1))
            let answer = try await client.bytesUntilClosed()
            // A TLS alert at most.
            #expect(answer.isEmpty || answer.first == 0x15)
        }
        try await node.expectNothingCame()
        #expect(node.log.lines.count { $0.contains("speaks plaintext") } < 100)
        try await node.shutdown()
    }

    @Test func silentStranger() async throws {
        let authority = try TestAuthority()
        var limits = TestNode.fastLimits
        limits.handshakeTimeoutMilliseconds = 30
        let node = try await TestNode.start(1, limits: limits, security: authority.security("one"))
        let client = try await RawClient.connect(to: node.port)
        #expect(try await client.bytesUntilClosed() == [])
        try await waitForLog(node, "the handshake was not finished within 30 ms")
        try await node.expectNothingCame()
        try await node.shutdown()
    }
}
