import ConsensusTypes
import KeyValueCore
import Logging
import NIOCore
import NIOPosix
import PeerTransport
import struct SystemPackage.FilePath
import TestSupport
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Nodes on real sockets and files.
@Suite(.serialized) struct SocketNodeTests {
    /// The server's node, on real sockets and files.
    @Test func keyValueNodesOnSockets() async throws {
        let ports = try (0..<3).map { _ in try FreePorts.take() }
        let directory = TemporaryDirectory()
        let peers = ports.enumerated().map {
            PeerAddress(node: NodeID(UInt64($0.offset + 1)), host: "127.0.0.1", port: $0.element)
        }
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        var nodes: [KeyValueNode] = []
        let admitted = peers.map { _ in loop.makePromise(of: Void.self) }
        for (peer, promise) in zip(peers, admitted) {
            var options = ReplicaNodeOptions(
                nodeID: peer.node, name: "\(peer.node)", clusterID: ClusterID(1), peers: peers,
                network: SocketNetwork(listeningOn: [ListenAddress(host: peer.host, port: peer.port)]),
                dataDirectory: directory.path.appending("\(peer.node)"))
            options.replicaSettings = TestNode.quickSettings
            options.logOptions = WriteAheadLogOptions(segmentSizeBytes: 1 << 20)
            let node = try await loop.submit { [options] in
                try KeyValueNode(
                    options: options, groupSettings: KeyValueGroupSettings(), loop: loop,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                    onAdmitted: { promise.succeed() }, onEnd: { Issue.record("\($0)") })
            }.get()
            try await loop.flatSubmit { node.start() }.get()
            nodes.append(node)
        }
        for promise in admitted { try await promise.futureResult.get() }
        for node in nodes {
            let promise = loop.makePromise(of: Void.self)
            loop.execute {
                node.group.propose(.put(PutRequest(key: [1], value: [2]))) { result in
                    promise.completeWith(result.map { _ in }.mapError { $0 })
                }
            }
            try await promise.futureResult.get()
        }
        for node in nodes { await node.shutDown() }
    }
}

/// A directory of its own, removed with everything in it at the end.
private final class TemporaryDirectory: Sendable {
    let path: FilePath

    init() {
        var template = Array("/tmp/holdfast-node-XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil, "no temporary directory can be made")
        path = FilePath(String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    deinit { TemporaryDirectory.remove(path) }

    private static func remove(_ path: FilePath) {
        let files = RealFileSystem()
        for name in (try? files.list(path)) ?? [] {
            let child = path.appending(name)
            if (try? files.list(child)) != nil { remove(child) } else { try? files.remove(child) }
        }
        try? files.removeDirectory(path)
    }
}
