/// Why a connection or a listener cannot be secured. Each text names what to do.
public enum TLSError: Error, Hashable, CustomStringConvertible {
    // What is wrong with this node's own files.

    /// The file is missing, or may not be read.
    case unreadableFile(String, reason: String)
    /// The file was read, but what it must hold is not there.
    case malformedFile(String, reason: String)
    case keyMismatch(certificateFile: String, keyFile: String)
    case expired(file: String, since: String)
    case notYetValid(file: String, from: String)
    /// Anything else that the files cannot be used for.
    case unusableFiles(certificateFile: String, keyFile: String, reason: String)

    // What a handshake fails with.

    case peerExpired(certificate: String, since: String)
    case peerNotYetValid(certificate: String, from: String)
    /// No authority in the file vouches for the other side's certificate.
    case unknownAuthority(certificate: String, trustFile: String)
    /// The certificate is good, but not for who was dialled.
    case nameMismatch(host: String, certificate: String)
    /// The other side gave no certificate where one is required.
    case noCertificate(trustFile: String)
    /// The other side ended the handshake, with TLS's word for why.
    case refused(reason: String)
    /// What arrived is no TLS.
    case plaintext
    case closedDuringHandshake
    /// The connection ended before anything arrived on it.
    case closedAfterHandshake
    case handshakeFailed(reason: String)

    public var description: String {
        switch self {
        case .unreadableFile(let file, let reason):
            "\(file) cannot be read: \(reason); give the path of a file that this user may read"
        case .malformedFile(let file, let reason):
            "\(file) \(reason)"
        case .keyMismatch(let certificate, let key):
            "the key in \(key) is not that of the first certificate in \(certificate); give the two files that "
                + "were made together"
        case .expired(let file, let since):
            "the certificate in \(file) expired on \(since); put a new one in its place, or set this machine's "
                + "clock"
        case .notYetValid(let file, let from):
            "the certificate in \(file) is not valid before \(from); set this machine's clock, or use another one"
        case .unusableFiles(let certificate, let key, let reason):
            "\(certificate) and \(key) cannot be used for TLS: \(reason); make them anew, with an RSA or ECDSA key"
        case .peerExpired, .peerNotYetValid, .unknownAuthority, .nameMismatch, .noCertificate, .refused,
            .plaintext, .closedDuringHandshake, .closedAfterHandshake, .handshakeFailed:
            handshakeDescription
        }
    }

    private var handshakeDescription: String {
        switch self {
        case .peerExpired(let certificate, let since):
            "the other side's certificate (\(certificate)) expired on \(since); renew it there, or set this "
                + "machine's clock"
        case .peerNotYetValid(let certificate, let from):
            "the other side's certificate (\(certificate)) is not valid before \(from); set the clocks of both "
                + "machines"
        case .unknownAuthority(let certificate, let trustFile):
            "no authority in \(trustFile) vouches for the other side's certificate (\(certificate)); have it "
                + "signed by one, for both server and client use, or add its authority to the file"
        case .nameMismatch(let host, let certificate):
            "the other side's certificate (\(certificate)) is not for \(host); add it to the certificate's "
                + "subject alternative names (DNS for a name, IP for an address), or use an address that is there"
        case .noCertificate(let trustFile):
            "the other side gave no certificate; give it one that an authority in \(trustFile) has signed"
        case .refused(let reason):
            "the other side refuses the TLS handshake: \(reason); see its log, and the files that both sides use"
        case .plaintext:
            "the other side speaks plaintext, this side TLS; use https:// on both or on neither"
        case .closedDuringHandshake:
            "the other side closed the connection during the TLS handshake; if it listens in plaintext, use "
                + "https:// on both sides or on neither"
        case .closedAfterHandshake:
            "the other side closed the connection right after the TLS handshake; it may not accept this side's "
                + "certificate: see its log"
        case .handshakeFailed(let reason):
            "the TLS handshake failed: \(reason); see the other side's log too"
        case .unreadableFile, .malformedFile, .keyMismatch, .expired, .notYetValid, .unusableFiles:
            preconditionFailure("said above")
        }
    }
}
