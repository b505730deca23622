/// Where the nodes of a cluster that is started for a run listen and keep their data.
public struct ClusterLayout: Hashable, Sendable {
    public static let portsPerNode = 10

    public let nodeCount: Int
    public let directory: String
    public let basePort: Int
    /// Options of `holdfast serve` that all nodes get.
    public var serveOptions: [String] = []

    public init(nodeCount: Int, directory: String, basePort: Int) {
        self.nodeCount = nodeCount
        self.directory = directory
        self.basePort = basePort
    }

    public var ports: ClosedRange<Int> { basePort...(basePort + ClusterLayout.portsPerNode * nodeCount - 1) }

    func name(_ node: Int) -> String { "n\(node + 1)" }
    func clientPort(_ node: Int) -> Int { basePort + ClusterLayout.portsPerNode * node }
    func peerPort(_ node: Int) -> Int { clientPort(node) + 1 }
    /// Where `from` dials `to`.
    func proxyPort(_ from: Int, _ to: Int) -> Int { clientPort(from) + 2 + to }
    /// What may be a disk of its own.
    func diskPath(_ node: Int) -> String { "\(directory)/\(name(node))" }
    func dataDirectory(_ node: Int) -> String { "\(diskPath(node))/data" }
    func logPath(_ node: Int) -> String { "\(directory)/\(name(node)).log" }

    func arguments(_ node: Int) -> [String] {
        let members = (0..<nodeCount).map { "\(name($0))=http://127.0.0.1:\(peerPort($0))" }
        let routes = (0..<nodeCount).filter { $0 != node }
            .map { "\(name($0))=http://127.0.0.1:\(proxyPort(node, $0))" }
        return [
            "serve", "--name", name(node), "--data-dir", dataDirectory(node),
            "--listen-client-urls", "http://127.0.0.1:\(clientPort(node))",
            "--listen-peer-urls", "http://127.0.0.1:\(peerPort(node))",
            "--initial-advertise-peer-urls", "http://127.0.0.1:\(peerPort(node))",
            "--initial-cluster", members.joined(separator: ","),
            "--peer-routes", routes.joined(separator: ","),
            "--initial-cluster-token", "holdfast-chaos", "--exit-with-parent",
        ] + serveOptions
    }
}
