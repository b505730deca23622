import EtcdAPI
import EtcdClient
import Foundation
import HoldfastChaos
import Testing
import TestSupport

/// A single node's data with a snapshot, as it was left by a clean stop or by SIGKILL, and what must be read
/// from it.
final class DataFixture: Sendable {
    static let options = [
        "--snapshot-count", "60", "--election-timeout", "100", "--heartbeat-interval", "20",
    ]

    enum Outcome {
        case refused(String)
        case started
    }

    let cluster: TestCluster
    let files: DataFiles
    private let pairs: [Mvccpb_KeyValue]
    private let revision: Int64
    private let hash: UInt32

    var node: TestNode { cluster.nodes[0] }

    private init(
        cluster: TestCluster, files: DataFiles, pairs: [Mvccpb_KeyValue], revision: Int64, hash: UInt32
    ) {
        self.cluster = cluster
        self.files = files
        self.pairs = pairs
        self.revision = revision
        self.hash = hash
    }

    /// Writes the data, ends the node, and runs the body.
    static func run(stopsCleanly: Bool, _ body: (DataFixture) async throws -> Void) async throws {
        try await TestCluster.run(size: 1, options: options) { cluster in
            let node = cluster.nodes[0]
            let client = try await node.connect()
            for number in 0..<150 {
                let value = String(repeating: "value \(number) ", count: 1 + number % 97)
                try await client.put("key \(number % 110)", value)
            }
            var deletion = Etcdserverpb_DeleteRangeRequest()
            deletion.key = Data("key 7".utf8)
            _ = try await client.deleteRange(deletion)
            try await client.put("last", "acknowledged")
            let pairs = try await Reading.pairs(client, serializable: false)
            let hash = try await client.hashKeyValue()
            _ = try await waitFor("no snapshot was taken", within: .seconds(10)) {
                try DataFiles(directory: node.dataDirectory).files.contains(where: \.isSnapshot) ? true : nil
            }
            // Lets the mark behind the last batch be written: until then the last write is like a torn one.
            try await Task.sleep(for: .milliseconds(200))
            await client.close()
            if stopsCleanly {
                guard try await node.stop() == .code(0) else {
                    throw TestFailure("the stop failed: \(node.lastLogLines)")
                }
            } else {
                node.kill()
            }
            let fixture = DataFixture(
                cluster: cluster, files: try DataFiles(directory: node.dataDirectory), pairs: pairs,
                revision: hash.header.revision, hash: hash.hash)
            try await body(fixture)
        }
    }

    /// Starts the node with these files. Throws where it does neither refuse in one line nor start with
    /// everything.
    func start(_ files: DataFiles, arguments: [String]? = nil) async throws -> Outcome {
        try files.write(to: node.dataDirectory)
        return try await start(arguments: arguments)
    }

    func start(arguments: [String]? = nil) async throws -> Outcome {
        try? FileManager.default.removeItem(atPath: node.logPath)
        try node.start(arguments ?? cluster.arguments(of: node))
        defer { node.kill() }
        let ending: ChildProcess.Ending? = try await waitFor(
            "the node neither starts nor ends: \(node.lastLogLines)", within: .seconds(20),
            every: .milliseconds(3)
        ) {
            if let ending = node.running?.ending { return .some(ending) }
            return FreePorts.isFree(node.clientPort) ? nil : .some(nil)
        }
        if let ending { return .refused(try refusal(ending)) }
        try await node.waitUntilHealthy(within: .seconds(20))
        try await checkEverythingIsThere()
        return .started
    }

    /// The one line that a refused start prints.
    private func refusal(_ ending: ChildProcess.Ending) throws -> String {
        let log = node.log
        let lines = log.split(separator: "\n").filter { $0.hasPrefix("holdfast: ") }
        guard ending == .code(1), lines.count == 1, log.hasSuffix(lines[0] + "\n"), !log.contains("Fatal")
        else {
            throw TestFailure("ended with \(ending) and said: \(log)")
        }
        return String(lines[0])
    }

    private func checkEverythingIsThere() async throws {
        let client = try await node.connect()
        let found = try await Reading.pairs(client, serializable: false)
        let hash = try await client.hashKeyValue(revision: revision)
        await client.close()
        guard found == pairs, hash.hash == self.hash, hash.header.revision == revision else {
            throw TestFailure(
                "SILENT LOSS: \(found.count) of \(pairs.count) pairs, revision \(hash.header.revision) instead of "
                    + "\(revision); \(node.log)")
        }
    }
}
