import TransportSecurity

/// Why a ``PeerTransport`` could not start.
public enum PeerTransportError: Error, Hashable, CustomStringConvertible {
    case cannotListen(ListenAddress, reason: String)
    /// The files of ``PeerSecurity/mutualTLS(certificateFile:keyFile:trustFile:)`` cannot be used.
    case notSecure(TLSError)
    case shutDown

    public var description: String {
        switch self {
        case .cannotListen(let address, let reason):
            "cannot listen for peers at \(address): \(reason); free the port or choose another one with "
                + "--listen-peer-urls"
        case .notSecure(let error):
            "links to peers cannot be secured: \(error)"
        case .shutDown:
            "the peer transport was shut down while it was starting"
        }
    }
}
