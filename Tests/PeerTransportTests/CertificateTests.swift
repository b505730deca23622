import ConsensusTypes
import Logging
import TestSupport
import Testing
import TransportSecurity

@testable import PeerTransport

/// The files themselves, and their replacement while nodes run.
@Suite struct CertificateTests {
    private func problem(
        certificate: String, key: String, trust: String
    ) -> TLSError? {
        do throws(TLSError) {
            try PeerSecurity.mutualTLS(certificateFile: certificate, keyFile: key, trustFile: trust)
                .requireUsable()
            return nil
        } catch {
            return error
        }
    }

    @Test func problemsNameFileAndRemedy() throws {
        let authority = try TestAuthority()
        let good = try authority.issue("good")
        let other = try authority.issue("other")
        let expired = try authority.issue("expired", days: -1)
        let trust = authority.trustFile
        let missing = authority.directory + "/missing.pem"
        let text = authority.directory + "/text.pem"
        try TestAuthority.write("-----BEGIN CERTIFICATE-----\nnonsense\n", to: text)

        #expect(problem(certificate: good.certificateFile, key: good.keyFile, trust: trust) == nil)
        let cases: [(TLSError?, file: String, text: String)] = [
            (problem(certificate: missing, key: good.keyFile, trust: trust), missing, "No such file"),
            (problem(certificate: good.certificateFile, key: missing, trust: trust), missing, "No such file"),
            (
                problem(certificate: good.certificateFile, key: good.keyFile, trust: missing), missing,
                "No such file"
            ),
            (
                problem(certificate: authority.directory, key: good.keyFile, trust: trust),
                authority.directory, "cannot be read"
            ),
            (problem(certificate: text, key: good.keyFile, trust: trust), text, "no certificate in PEM"),
            (
                problem(certificate: good.certificateFile, key: text, trust: trust), text,
                "no private key in PEM"
            ),
            (
                problem(certificate: good.certificateFile, key: good.keyFile, trust: text), text,
                "no certificate in PEM"
            ),
            (
                problem(certificate: good.certificateFile, key: other.keyFile, trust: trust), other.keyFile,
                "is not that of the first certificate in \(good.certificateFile)"
            ),
            (
                problem(certificate: expired.certificateFile, key: expired.keyFile, trust: trust),
                expired.certificateFile, "expired on 20"
            ),
        ]
        for (error, file, text) in cases {
            let description = error?.description ?? "no error"
            #expect(description.contains(file) && description.contains(text), "\(description)")
        }
    }

    @Test func unusableFilesAreAnErrorOfTheStart() async throws {
        let authority = try TestAuthority()
        let good = try authority.issue("good")
        let missing = authority.directory + "/missing.pem"
        let security = PeerSecurity.mutualTLS(
            certificateFile: good.certificateFile, keyFile: good.keyFile, trustFile: missing)
        let port = try FreePorts.take()
        await #expect {
            _ = try await TestNode.start(1, port: port, security: security)
        } throws: { error in
            guard case PeerTransportError.notSecure(.unreadableFile(missing, _)) = error else { return false }
            return true
        }
        #expect(FreePorts.isFree(port))
    }

    /// Nodes move to another authority without a restart: at the time of the second start of node 2 nothing of
    /// the first authority is trusted any more.
    @Test func rotation() async throws {
        let old = try TestAuthority()
        let new = try TestAuthority(named: "New Authority")
        var limits = TestNode.fastLimits
        limits.certificateReloadIntervalMilliseconds = 0
        let first = try await TestNode.start(1, limits: limits, security: old.security("one"))
        let second = try await TestNode.start(2, limits: limits, security: old.security("two"))
        try await connect([first, second])

        // Half of a replacement: what was read before stays in use.
        let renewed = try new.issue("one")
        let oneFile = old.directory + "/one.pem"
        try TestAuthority.copy(renewed.certificateFile, to: oneFile)
        try await second.shutdown()
        try await first.wait(for: .stopped(second.id))
        let again = try await TestNode.start(
            2, incarnation: 2, port: second.port, limits: limits,
            security: .mutualTLS(
                certificateFile: old.directory + "/two.pem", keyFile: old.directory + "/two.key",
                trustFile: old.trustFile))
        try await again.setPeers([first.address])
        try await first.wait("a second link") { $0.count { $0 == Event.connected(NodeID(2)) } == 2 }
        try await again.wait(for: .connected(first.id))
        #expect(
            first.log.lines.contains { $0.contains("is not that of the first certificate in \(oneFile)") })

        // All of it.
        try TestAuthority.copy(renewed.keyFile, to: old.directory + "/one.key")
        try TestAuthority.copy(new.trustFile, to: old.trustFile)
        try await again.shutdown()
        let last = try await TestNode.start(
            2, incarnation: 3, port: second.port, limits: limits, security: new.security("two"))
        try await last.setPeers([first.address])
        try await first.wait("a third link") { $0.count { $0 == Event.connected(NodeID(2)) } == 3 }
        try await last.wait(for: .connected(first.id))
        #expect(first.log.lines.contains { $0.contains("read new certificates from \(oneFile)") })
        try await first.shutdown()
        try await last.shutdown()
    }

    /// The files are not read for each connection: whoever dials could make a node do nothing else.
    @Test func filesAreReadAtMostOnceInAWhile() async throws {
        let authority = try TestAuthority()
        var limits = TestNode.fastLimits
        limits.certificateReloadIntervalMilliseconds = 3_600_000
        let node = try await TestNode.start(1, limits: limits, security: authority.security("one"))
        let client = try TLSEndpoint(authority.issue("two"), isServer: false)
        // Nothing that could be used, if it were read.
        try TestAuthority.write("", to: authority.directory + "/one.pem")
        for _ in 0..<5 {
            let answer = try await client.dial(node.port, saying: helloBytes(from: 2, to: 1))
            #expect(try frames(in: answer).map(\.kind) == [.refusal])
        }
        #expect(!node.log.lines.contains { $0.contains("holds no certificate") })
        try await node.shutdown()
    }
}
