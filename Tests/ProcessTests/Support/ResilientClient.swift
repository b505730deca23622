import EtcdAPI
import EtcdClient

/// A client with one connection, which goes to its own node where that can be reached and to another one
/// where it cannot.
actor ResilientClient {
    private let ports: [Int]
    private let home: Int
    private var current: (client: EtcdClient, position: Int)?
    private var retired: [EtcdClient] = []
    private var connecting: Task<EtcdClient, any Error>?
    private var lookedHomeAt = ContinuousClock.now
    private(set) var connectionCount = 0

    init(ports: [Int], home: Int) {
        self.ports = ports
        self.home = home
    }

    /// A connection that was usable a moment ago.
    func client() async throws -> EtcdClient {
        if let current, current.client.isActive {
            if current.position == home || ContinuousClock.now - lookedHomeAt < .milliseconds(200) {
                return current.client
            }
        }
        if let connecting { return try await connecting.value }
        let task = Task { try await connect() }
        connecting = task
        defer { connecting = nil }
        return try await task.value
    }

    private func connect() async throws -> EtcdClient {
        try await waitFor("no node can be reached", within: .seconds(60), every: .milliseconds(5)) {
            lookedHomeAt = .now
            for offset in 0..<ports.count {
                let position = (home + offset) % ports.count
                if let current, current.position == position, current.client.isActive {
                    return current.client
                }
                guard
                    let client = try? await EtcdClient.connect(
                        host: "127.0.0.1", port: ports[position], timeoutMilliseconds: 500)
                else { continue }
                // Calls on the old connection may still end well.
                if let current { retired.append(current.client) }
                current = (client, position)
                connectionCount += 1
                return client
            }
            return nil
        }
    }

    func close() async {
        for client in retired { await client.close() }
        await current?.client.close()
    }
}
