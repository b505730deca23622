import EtcdAPI
import EtcdClient

/// One client's connections to all endpoints. Used by one task.
struct ClientConnections {
    let endpoints: [Endpoint]
    private var clients: [EtcdClient?]

    init(_ endpoints: [Endpoint]) {
        self.endpoints = endpoints
        clients = Array(repeating: nil, count: endpoints.count)
    }

    /// `nil` where the node cannot be reached.
    mutating func client(_ node: Int) async -> EtcdClient? {
        if let client = clients[node] {
            if client.isActive { return client }
            await client.close()
        }
        clients[node] = try? await endpoints[node].connect()
        return clients[node]
    }

    mutating func drop(_ node: Int) async {
        await clients[node]?.close()
        clients[node] = nil
    }

    mutating func closeAll() async {
        for node in clients.indices { await drop(node) }
    }
}
