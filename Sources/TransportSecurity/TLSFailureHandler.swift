import NIOCore
import NIOSSL
import NIOTLS

/// Stands behind TLS in a pipeline until the first bytes have come through, and says what its errors mean: the
/// handlers behind it catch a ``TLSError``.
final class TLSFailureHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let handler: NIOSSLHandler
    /// Whom this side dialled; `nil` where it was dialled.
    private let host: String?
    private let trustFile: String?
    private var isHandshakeDone = false
    /// One connection has one reason to fail.
    private var hasFailed = false

    init(_ handler: NIOSSLHandler, host: String?, trustFile: String?) {
        self.handler = handler
        self.host = host
        self.trustFile = trustFile
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent {
            isHandshakeDone = true
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // This side closes before the handshake is done: the reason is known to who closes.
        if case .shutdownFailed? = error as? NIOSSLError { return }
        guard !hasFailed else { return }
        hasFailed = true
        context.fireErrorCaught(meaning(of: error))
    }

    private func meaning(of error: any Error) -> TLSError {
        if let error = error as? NIOSSLExtraError {
            guard error == .failedToValidateHostname || error == .serverHostnameImpossibleToMatch else {
                return .handshakeFailed(reason: error.description)
            }
            return .nameMismatch(host: host ?? "nobody", certificate: certificateText)
        }
        switch error {
        case NIOSSLError.handshakeFailed(.sslError([.eofDuringHandshake])), is IOError, is ChannelError,
            NIOSSLError.uncleanShutdown:
            return isHandshakeDone ? .closedAfterHandshake : .closedDuringHandshake
        case NIOSSLError.handshakeFailed(let reason):
            return meaning(ofReason: "\(reason)")
        default:
            return meaning(ofReason: "\(error)")
        }
    }

    /// What BoringSSL says is told apart by its names for things.
    private func meaning(ofReason text: String) -> TLSError {
        if text.contains("CERTIFICATE_VERIFY_FAILED") {
            return verificationFailure
        }
        if text.contains("PEER_DID_NOT_RETURN_A_CERTIFICATE") {
            return .noCertificate(trustFile: trustFile ?? "its authorities")
        }
        if text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST")
            || text.contains("HTTPS_PROXY_REQUEST")
        {
            return .plaintext
        }
        for (name, meaning) in Self.alerts where text.contains(name) {
            return .refused(reason: meaning)
        }
        return .handshakeFailed(reason: text)
    }

    private static let alerts = [
        ("ALERT_UNKNOWN_CA", "it does not know the authority of this side's certificate"),
        ("ALERT_CERTIFICATE_EXPIRED", "this side's certificate has expired by its clock"),
        ("ALERT_CERTIFICATE_REQUIRED", "it wants a certificate, and got none"),
        ("ALERT_BAD_CERTIFICATE", "this side's certificate is bad"),
        ("ALERT_UNSUPPORTED_CERTIFICATE", "this side's certificate is not for this use"),
        ("ALERT_CERTIFICATE_UNKNOWN", "it does not accept this side's certificate"),
        ("ALERT_CERTIFICATE_REVOKED", "this side's certificate is revoked"),
        ("ALERT_PROTOCOL_VERSION", "no version of TLS is common to both"),
        ("ALERT_HANDSHAKE_FAILURE", "nothing that both sides can use is common to both"),
        ("ALERT_ACCESS_DENIED", "it denies access"),
    ]

    private var verificationFailure: TLSError {
        guard let certificate = handler.peerCertificate else {
            return .unknownAuthority(certificate: "unknown", trustFile: trustFile ?? "its authorities")
        }
        let now = CertificateTime.now
        if certificate.notValidAfter < now {
            return .peerExpired(
                certificate: certificateText, since: CertificateTime.text(certificate.notValidAfter))
        }
        if certificate.notValidBefore > now {
            return .peerNotYetValid(
                certificate: certificateText, from: CertificateTime.text(certificate.notValidBefore))
        }
        return .unknownAuthority(certificate: certificateText, trustFile: trustFile ?? "its authorities")
    }

    /// Comes from a stranger and goes to a log: short, and without control characters.
    private var certificateText: String {
        guard let certificate = handler.peerCertificate else { return "unknown" }
        let scalars = "\(certificate)".unicodeScalars.prefix(300).map { scalar in
            scalar.properties.generalCategory == .control ? " " : scalar
        }
        return String(String.UnicodeScalarView(scalars))
    }
}
