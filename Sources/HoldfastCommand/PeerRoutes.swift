import PeerTransport

/// Where this node dials peers that it reaches elsewhere than where they listen, as through a proxy. Members keep
/// the ids that their addresses in `--initial-cluster` give them.
struct PeerRoutes {
    private var urls: [String: ClusterURL] = [:]

    init() {}

    /// `text` is `name=http://host:port,...`; throws ``CommandFailure`` for a name that is no member's.
    init(_ text: String, cluster: InitialCluster) throws {
        for part in text.split(separator: ",") {
            guard let equals = part.firstIndex(of: "="), equals != part.startIndex else {
                throw CommandFailure(
                    message: "--peer-routes: '\(part)' is not name=http://host:port", exitCode: 64)
            }
            let name = String(part[..<equals])
            guard cluster.members.contains(where: { $0.name == name }) else {
                throw CommandFailure(
                    message: "--peer-routes: \(name) is no member of --initial-cluster", exitCode: 64)
            }
            urls[name] = try ClusterURL(String(part[part.index(after: equals)...]), flag: "--peer-routes")
        }
    }

    /// The addresses of the members that are dialled elsewhere.
    func addresses(in cluster: InitialCluster) -> [PeerAddress] {
        cluster.members.compactMap { member in
            urls[member.name].map { PeerAddress(node: member.id, host: $0.host, port: $0.port) }
        }
    }
}
