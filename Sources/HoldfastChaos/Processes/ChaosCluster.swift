import ConsensusTypes
import EtcdAPI
import EtcdClient
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A cluster of `holdfast serve` processes with a proxy on every link.
final class ChaosCluster: Sendable {
    let layout: ClusterLayout
    let nodes: [ClusterNode]
    let mesh: ProxyMesh
    let processGuard: ProcessGuard
    let disks: SmallDisks

    /// Starts nothing yet. The directory must exist.
    init(
        layout: ClusterLayout, executable: String, seed: UInt64, isDirectoryTemporary: Bool
    ) throws(ChaosFailure) {
        self.layout = layout
        for port in layout.ports where !Loopback.isFree(port) {
            throw ChaosFailure(
                "port \(port) is in use; stop the process that uses it or choose other ports with --base-port"
            )
        }
        for node in 0..<layout.nodeCount {
            let path = layout.diskPath(node)
            guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
                throw ChaosFailure("cannot create \(path): \(errorText(errno))")
            }
        }
        let processGuard = try ProcessGuard(executable: executable, directory: layout.directory)
        if isDirectoryTemporary { processGuard.noteTemporary(layout.directory) }
        let mesh = ProxyMesh(
            nodeCount: layout.nodeCount, loop: MultiThreadedEventLoopGroup.singleton.next(), seed: seed,
            port: layout.proxyPort, targetPort: layout.peerPort)
        self.processGuard = processGuard
        self.mesh = mesh
        disks = SmallDisks(layout: layout, processGuard: processGuard)
        nodes = (0..<layout.nodeCount).map {
            ClusterNode(
                index: $0, layout: layout, executable: executable, mesh: mesh, processGuard: processGuard)
        }
    }

    var endpoints: [Endpoint] {
        nodes.map { Endpoint(host: "127.0.0.1", port: layout.clientPort($0.index)) }
    }

    func start(control: RunControl) async throws(ChaosFailure) {
        try await mesh.start()
        for node in nodes { try await node.start() }
        try await waitUntilHealthy(milliseconds: 60_000, control: control)
    }

    func waitUntilHealthy(milliseconds: Int, control: RunControl?) async throws(ChaosFailure) {
        let deadline = ChaosClock.now() + .milliseconds(milliseconds)
        while true {
            for node in nodes {
                if let ending = node.unexpectedEnding() {
                    throw ChaosFailure("node \(node.name) ended with \(ending): \(node.lastWords)")
                }
            }
            var unhealthy: [String] = []
            for (node, endpoint) in zip(nodes, endpoints) where await !endpoint.isHealthy() {
                unhealthy.append(node.name)
            }
            if unhealthy.isEmpty { return }
            guard ChaosClock.now() < deadline else {
                throw ChaosFailure(
                    "\(unhealthy.joined(separator: ", ")) did not become healthy within "
                        + "\(milliseconds / 1_000) s; the nodes' logs are in \(layout.directory)")
            }
            if control?.isEnding == true { throw ChaosFailure("interrupted before the cluster was healthy") }
            await pause(milliseconds: 50)
        }
    }

    /// The node that leads in the highest term that any node knows; `nil` where there is none.
    func leader() async -> Int? {
        await endpoints.leader()
    }

    /// Ends everything that was begun.
    func shutDown() async {
        for node in nodes { node.send(SIGCONT) }
        for node in nodes { node.send(SIGTERM) }
        for node in nodes { _ = await node.stop() }
        await mesh.close()
        await disks.unmount()
        await processGuard.dismiss()
    }
}
