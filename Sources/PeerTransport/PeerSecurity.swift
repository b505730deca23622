import TransportSecurity

/// How the links between nodes are protected. All nodes of a cluster use the same.
public enum PeerSecurity: Hashable, Sendable {
    /// Whoever reaches the port can read, change and invent messages: for loopback and trusted networks.
    case plaintext
    /// TLS 1.3 in both directions. Who dials verifies that the listener's certificate is for the name or address
    /// that it dialled; the listener requires a certificate too; an authority in the trust file must have signed
    /// both.
    ///
    /// All three files are PEM: the certificate with what links it to its authority, its key (not encrypted), and
    /// the authorities' certificates. They are read again when links are made, so they can be replaced while the
    /// node runs (``PeerTransportLimits/certificateReloadIntervalMilliseconds``).
    case mutualTLS(certificateFile: String, keyFile: String, trustFile: String)

    /// Throws what is wrong with the files at this moment: missing, no key to the certificate, expired.
    public func requireUsable() throws(TLSError) {
        try certificateFiles?.requireUsable()
    }

    var certificateFiles: CertificateFiles? {
        switch self {
        case .plaintext: nil
        case .mutualTLS(let certificateFile, let keyFile, let trustFile):
            CertificateFiles(certificateFile: certificateFile, keyFile: keyFile, trustFile: trustFile)
        }
    }
}
