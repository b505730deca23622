import EtcdAPI
import EtcdClient
import Testing
import TestSupport

/// One or several nodes with a data directory of their own, all gone at the end.
final class TestCluster: Sendable {
    let directory: TemporaryDirectory
    let nodes: [TestNode]
    private let options: [String]

    private init(size: Int, options: [String]) throws {
        let directory = try TemporaryDirectory()
        self.directory = directory
        self.options = options
        nodes = try (1...size).map { number in
            TestNode(
                name: "n\(number)", clientPort: try FreePorts.take(), peerPort: try FreePorts.take(),
                directory: directory.path)
        }
    }

    /// Starts the nodes, runs the body when all are healthy, and ends what runs then. A node that ends
    /// without being told to is a failure.
    static func run(
        size: Int, options: [String] = [], sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (TestCluster) async throws -> Void
    ) async throws {
        let cluster = try TestCluster(size: size, options: options)
        defer { for node in cluster.nodes { node.kill() } }
        for node in cluster.nodes { try cluster.start(node) }
        do {
            try await cluster.waitUntilHealthy()
            try await body(cluster)
        } catch {
            for node in cluster.nodes { print("\(node.name)'s log ends:\n\(node.lastLogLines)") }
            throw error
        }
        for node in cluster.nodes {
            if let ending = node.running?.ending {
                Issue.record(
                    "\(node.name) ended with \(ending): \(node.lastLogLines)", sourceLocation: sourceLocation)
            }
        }
    }

    var initialCluster: String {
        nodes.map { "\($0.name)=\($0.peerURL)" }.joined(separator: ",")
    }

    func arguments(of node: TestNode) -> [String] {
        node.arguments(initialCluster: initialCluster, options: options)
    }

    func start(_ node: TestNode) throws {
        try node.start(arguments(of: node))
    }

    func waitUntilHealthy() async throws {
        for node in nodes { try await node.waitUntilHealthy() }
    }

    /// The node that leads in the highest term that any node knows.
    func leader() async throws -> TestNode {
        try await waitFor("no node leads", within: .seconds(30)) {
            var best: (node: TestNode, term: UInt64)?
            var highest: UInt64 = 0
            for node in nodes {
                guard let status = await node.status() else { continue }
                highest = max(highest, status.raftTerm)
                if status.leader == status.header.memberID, status.raftTerm > best?.term ?? 0 {
                    best = (node, status.raftTerm)
                }
            }
            guard let best, best.term == highest else { return nil }
            return best.node
        }
    }

    /// Waits until every node has applied what any node has.
    func waitUntilLevel() async throws -> Int64 {
        try await waitFor("the nodes do not become level", within: .seconds(30), every: .milliseconds(30)) {
            var revisions: Set<Int64> = []
            var indexes: Set<UInt64> = []
            for node in nodes {
                guard let status = await node.status() else { return nil }
                revisions.insert(status.header.revision)
                indexes.insert(status.raftAppliedIndex)
            }
            return revisions.count == 1 && indexes.count == 1 ? revisions.first : nil
        }
    }
}
