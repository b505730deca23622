import ConsensusTypes
import NIOCore
import NIOPosix

/// A TCP proxy between every ordered pair of nodes, so that each direction of each link has conditions of its own.
/// Several faults may hold at once: each is a layer, and what is worst of all layers counts.
public final class ProxyMesh: Sendable {
    private let loop: any EventLoop
    private let state: NIOLoopBoundBox<State>
    private let nodeCount: Int

    /// - Parameters:
    ///   - port: where the first node dials the second one.
    ///   - targetPort: where the node listens.
    public init(
        nodeCount: Int, loop: any EventLoop, seed: UInt64, port: (Int, Int) -> Int, targetPort: (Int) -> Int
    ) {
        self.loop = loop
        self.nodeCount = nodeCount
        var proxies: [Int: (port: Int, targetPort: Int)] = [:]
        for from in 0..<nodeCount {
            for to in 0..<nodeCount where from != to {
                proxies[from * nodeCount + to] = (port(from, to), targetPort(to))
            }
        }
        let ports = proxies
        state = .makeBoxSendingValue(
            State(nodeCount: nodeCount, ports: ports, loop: loop, seed: seed), eventLoop: loop)
    }

    /// Listens at all ports; throws ``ChaosFailure`` that names the one that cannot be.
    public func start() async throws(ChaosFailure) {
        for from in 0..<nodeCount {
            for to in 0..<nodeCount where from != to {
                do {
                    try await run { $0.proxy(from, to).start() }
                } catch {
                    let port = try? await loop.submit { self.state.value.proxy(from, to).port }.get()
                    throw ChaosFailure(
                        "cannot listen on port \(port ?? 0): \(error); choose others with --base-port")
                }
            }
        }
    }

    /// Bytes from one node to another meet these conditions, until the layer is lifted.
    public func set(_ conditions: LinkConditions, layer: Int, from: Int, to: Int) async {
        try? await run { $0.set(conditions, layer: layer, from: from, to: to) }
    }

    public func lift(layer: Int) async {
        try? await run { $0.lift(layer: layer) }
    }

    /// Resets the connections that either of the two nodes dialled.
    public func reset(between first: Int, and second: Int) async {
        try? await loop.submit {
            self.state.value.proxy(first, second).resetConnections()
            self.state.value.proxy(second, first).resetConnections()
        }.get()
    }

    /// Where a node does not run, connections to it are refused.
    public func setRunning(_ isRunning: Bool, node: Int) async {
        try? await run { state in
            .andAllSucceed(
                (0..<state.nodeCount).filter { $0 != node }.map {
                    state.proxy($0, node).setTargetRunning(isRunning)
                }, on: state.loop)
        }
    }

    /// What cuts have swallowed of the connections that the first node dialled to the second.
    func lostBytes(from: Int, to: Int) async -> Int {
        (try? await loop.submit { self.state.value.proxy(from, to).lostBytes }.get()) ?? 0
    }

    public func close() async {
        try? await run { state in
            .andAllSucceed(state.proxies.compactMap { $0?.close() }, on: state.loop)
        }
    }

    private func run(_ body: @escaping @Sendable (State) -> EventLoopFuture<Void>) async throws {
        try await loop.flatSubmit { body(self.state.value) }.get()
    }

    /// Lives on the event loop.
    final class State {
        let nodeCount: Int
        let loop: any EventLoop
        let proxies: [LinkProxy?]
        private var layers: [[Int: LinkConditions]]

        init(nodeCount: Int, ports: [Int: (port: Int, targetPort: Int)], loop: any EventLoop, seed: UInt64) {
            self.nodeCount = nodeCount
            self.loop = loop
            proxies = (0..<nodeCount * nodeCount).map { position in
                ports[position].map {
                    LinkProxy(
                        port: $0.port, targetPort: $0.targetPort, loop: loop, seed: seed &+ UInt64(position))
                }
            }
            layers = Array(repeating: [:], count: nodeCount * nodeCount)
        }

        func proxy(_ from: Int, _ to: Int) -> LinkProxy {
            guard let proxy = proxies[from * nodeCount + to] else {
                preconditionFailure("a node does not dial itself")
            }
            return proxy
        }

        func set(_ conditions: LinkConditions, layer: Int, from: Int, to: Int) -> EventLoopFuture<Void> {
            layers[from * nodeCount + to][layer] = conditions
            return apply(from, to)
        }

        func lift(layer: Int) -> EventLoopFuture<Void> {
            var changed: [EventLoopFuture<Void>] = []
            for from in 0..<nodeCount {
                for to in 0..<nodeCount
                where layers[from * nodeCount + to].removeValue(forKey: layer) != nil {
                    changed.append(apply(from, to))
                }
            }
            return .andAllSucceed(changed, on: loop)
        }

        private func apply(_ from: Int, _ to: Int) -> EventLoopFuture<Void> {
            let merged = layers[from * nodeCount + to].values.reduce(LinkConditions.perfect) {
                $0.merged(with: $1)
            }
            proxy(to, from).setBackward(merged)
            return proxy(from, to).setForward(merged)
        }
    }
}
