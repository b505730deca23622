import TransportSecurity

/// How a listener for clients is protected.
public enum ClientSecurity: Hashable, Sendable {
    /// Whoever reaches the port can read and change everything: for loopback and trusted networks.
    case plaintext
    /// TLS 1.2 or 1.3, with HTTP/2 and HTTP/1.1 inside. With a trust file, clients must have a certificate that an
    /// authority in it has signed; without one they are not asked.
    ///
    /// The files are PEM: the certificate with what links it to its authority, its key (not encrypted), and the
    /// authorities' certificates. They are read again while the server runs
    /// (``ServerLimits/certificateReloadIntervalMilliseconds``).
    case tls(certificateFile: String, keyFile: String, trustFile: String?)

    /// Throws what is wrong with the files at this moment: missing, no key to the certificate, expired.
    public func requireUsable() throws(TLSError) {
        try certificateFiles?.requireUsable()
    }

    var certificateFiles: CertificateFiles? {
        switch self {
        case .plaintext: nil
        case .tls(let certificateFile, let keyFile, let trustFile):
            CertificateFiles(certificateFile: certificateFile, keyFile: keyFile, trustFile: trustFile)
        }
    }
}
