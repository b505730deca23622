import ArgumentParser
import EtcdAPI
import PeerTransport

/// etcd's flags for TLS. Whether a listener speaks it is said by its address, `https://` or `http://`.
struct SecurityOptions: ParsableArguments {
    @Option(help: "The certificate that https:// listeners show to clients, and its chain, in PEM.")
    var certFile: String?

    @Option(help: "The key of --cert-file, in PEM and not encrypted.")
    var keyFile: String?

    @Option(
        defaultAsFlag: true, help: "Requires a certificate of clients that --trusted-ca-file vouches for.")
    var clientCertAuth: Bool?

    @Option(help: "The authorities that sign clients' certificates, in PEM; clients must have one.")
    var trustedCaFile: String?

    @Option(help: "The certificate that this node shows to the others, in both directions.")
    var peerCertFile: String?

    @Option(help: "The key of --peer-cert-file, in PEM and not encrypted.")
    var peerKeyFile: String?

    @Option(
        defaultAsFlag: true,
        help: "Requires a certificate of the other nodes; https:// between nodes always does.")
    var peerClientCertAuth: Bool?

    @Option(help: "The authorities that sign the nodes' certificates, in PEM.")
    var peerTrustedCaFile: String?

    /// Links between nodes are all of one kind: `urls` are all that concern them. Throws ``CommandFailure`` where
    /// the flags and the addresses do not fit together.
    func peerSecurity(_ urls: [ClusterURL]) throws -> PeerSecurity {
        let isSecure = urls.contains(where: \.isSecure)
        guard !isSecure || urls.allSatisfy(\.isSecure) else {
            throw Self.failure(
                "--initial-cluster, --initial-advertise-peer-urls and --listen-peer-urls name both http:// and "
                    + "https://; nodes speak either with all of them")
        }
        let given = [peerCertFile, peerKeyFile, peerTrustedCaFile].contains { $0 != nil }
        guard isSecure else {
            if given || peerClientCertAuth == true {
                throw Self.failure(
                    "--peer-cert-file and its like are given, but nodes are reached at http://; write https:// in "
                        + "--initial-cluster, --initial-advertise-peer-urls and --listen-peer-urls")
            }
            return .plaintext
        }
        guard let peerCertFile, let peerKeyFile, let peerTrustedCaFile else {
            throw Self.failure(
                "nodes that are reached at https:// need --peer-cert-file, --peer-key-file and "
                    + "--peer-trusted-ca-file")
        }
        guard peerClientCertAuth != false else {
            throw Self.failure(
                "--peer-client-cert-auth=false: nodes always verify each other over https://; leave it out")
        }
        return .mutualTLS(certificateFile: peerCertFile, keyFile: peerKeyFile, trustFile: peerTrustedCaFile)
    }

    /// Of the listeners at https:// addresses; the others are plaintext.
    func clientSecurity(_ urls: [ClusterURL]) throws -> ClientSecurity {
        let given = [certFile, keyFile, trustedCaFile].contains { $0 != nil }
        guard urls.contains(where: \.isSecure) else {
            if given || clientCertAuth == true {
                throw Self.failure(
                    "--cert-file and its like are given, but --listen-client-urls has no https:// address; write "
                        + "https://")
            }
            return .plaintext
        }
        guard let certFile, let keyFile else {
            throw Self.failure("--listen-client-urls: https:// needs --cert-file and --key-file")
        }
        guard clientCertAuth != true || trustedCaFile != nil else {
            throw Self.failure("--client-cert-auth needs --trusted-ca-file")
        }
        guard clientCertAuth != false || trustedCaFile == nil else {
            throw Self.failure(
                "--client-cert-auth=false contradicts --trusted-ca-file, which asks for clients' certificates; "
                    + "leave one of them out")
        }
        return .tls(certificateFile: certFile, keyFile: keyFile, trustFile: trustedCaFile)
    }

    private static func failure(_ message: String) -> CommandFailure {
        CommandFailure(message: message, exitCode: 64)
    }
}
