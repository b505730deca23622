import TestSupport

extension WireConnection {
    /// A connection that has begun HTTP/2.
    static func openHTTP2(
        port: Int, settings: [(UInt16, UInt32)] = []
    ) async throws -> WireConnection {
        let connection = try await connect(port: port)
        await connection.send(WireFrame.preface + WireFrame.settings(settings).bytes)
        try await connection.until("the server's settings") { !$0.frames.isEmpty }
        return connection
    }

    /// Throws where it does not come to that.
    func until(_ what: String, _ condition: (WireConnection) -> Bool) async throws {
        _ = try await waitFor("\(what) did not come", within: .seconds(20), every: .milliseconds(5)) {
            condition(self) ? true : nil
        }
    }

    /// Throws where the server keeps the connection.
    func requireClosed() async throws {
        try await until("the end of the connection") { $0.isClosed }
    }
}
