import NIOCore
import NIOSSL

/// Who the connections are with.
public enum TLSUse: Sendable {
    /// Other nodes, in both directions: TLS 1.3 alone.
    case peers
    /// Clients, which dial: TLS 1.2 or 1.3, and HTTP/2 or HTTP/1.1 inside.
    case clients
}

/// One state of the files, ready for connections.
struct LoadedCertificates: Sendable {
    let contents: CertificateFiles.Contents
    /// For connections that others dial.
    let accepting: NIOSSLContext
    /// For connections that this node dials; `nil` where it trusts nobody.
    let dialling: NIOSSLContext?
    private let leaf: NIOSSLCertificate
    private let files: CertificateFiles

    /// How long a closing connection waits for the other side's goodbye.
    private static let closingPatience = TimeAmount.seconds(1)

    init(_ files: CertificateFiles, contents: CertificateFiles.Contents, use: TLSUse) throws(TLSError) {
        let chain = try Self.certificates(contents.certificate, file: files.certificateFile)
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(bytes: contents.key, format: .pem)
        } catch {
            throw .malformedFile(
                files.keyFile,
                reason: "holds no private key in PEM that is not encrypted; give the key's file")
        }
        self.files = files
        self.contents = contents
        leaf = chain[0]
        var trust: [NIOSSLCertificate] = []
        if let file = files.trustFile, let bytes = contents.trust {
            trust = try Self.certificates(bytes, file: file)
            // Others may still be good: a bundle often holds old authorities.
            if let longest = trust.max(by: { $0.notValidAfter < $1.notValidAfter }) {
                try Self.requireValid(longest, file: file)
            }
        }
        try Self.requireValid(leaf, file: files.certificateFile)

        let sources = chain.map { NIOSSLCertificateSource.certificate($0) }
        var accepting = TLSConfiguration.makeServerConfiguration(
            certificateChain: sources, privateKey: .privateKey(key))
        accepting.shutdownTimeout = Self.closingPatience
        if files.trustFile != nil {
            // Who dials is known by its authority; its address may be any.
            accepting.certificateVerification = .noHostnameVerification
            accepting.trustRoots = .certificates(trust)
        }
        switch use {
        case .peers:
            accepting.minimumTLSVersion = .tlsv13
        case .clients:
            accepting.minimumTLSVersion = .tlsv12
            accepting.applicationProtocols = ["h2", "http/1.1"]
        }
        self.accepting = try Self.context(accepting, files)

        guard files.trustFile != nil else {
            dialling = nil
            return
        }
        var dialling = TLSConfiguration.makeClientConfiguration()
        dialling.certificateChain = sources
        dialling.privateKey = .privateKey(key)
        dialling.certificateVerification = .fullVerification
        dialling.trustRoots = .certificates(trust)
        dialling.minimumTLSVersion = .tlsv13
        dialling.shutdownTimeout = Self.closingPatience
        self.dialling = try Self.context(dialling, files)
    }

    /// What has become wrong with the certificate since it was read.
    func requireStillValid() throws(TLSError) {
        try Self.requireValid(leaf, file: files.certificateFile)
    }

    private static func certificates(_ bytes: [UInt8], file: String) throws(TLSError) -> [NIOSSLCertificate] {
        let found = try? NIOSSLCertificate.fromPEMBytes(bytes)
        guard let found, !found.isEmpty else {
            throw .malformedFile(file, reason: "holds no certificate in PEM; give a certificate's file")
        }
        return found
    }

    private static func requireValid(_ certificate: NIOSSLCertificate, file: String) throws(TLSError) {
        let now = CertificateTime.now
        if certificate.notValidAfter < now {
            throw .expired(file: file, since: CertificateTime.text(certificate.notValidAfter))
        }
        if certificate.notValidBefore > now {
            throw .notYetValid(file: file, from: CertificateTime.text(certificate.notValidBefore))
        }
    }

    private static func context(
        _ configuration: TLSConfiguration, _ files: CertificateFiles
    ) throws(TLSError) -> NIOSSLContext {
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch NIOSSLError.failedToLoadPrivateKey {
            throw .keyMismatch(certificateFile: files.certificateFile, keyFile: files.keyFile)
        } catch {
            throw .unusableFiles(
                certificateFile: files.certificateFile, keyFile: files.keyFile, reason: "\(error)")
        }
    }
}
