import NIOCore
import NIOPosix
import Testing
import TestSupport

@testable import HoldfastChaos

/// The proxies between nodes, over real sockets. Node 0 dials node 1 through the proxy.
@Suite struct ProxyTests {
    /// A proxy with a server behind it and a connection through it.
    private struct Link {
        let mesh: ProxyMesh
        let port: Int
        let server: TestServer
        let client: TestSocket
        /// The other end of the client's connection.
        let far: TestSocket

        func set(
            _ cut: LinkConditions.Cut, layer: Int = 1, from: Int = 0, to: Int = 1
        ) async {
            var conditions = LinkConditions()
            conditions.cut = cut
            await mesh.set(conditions, layer: layer, from: from, to: to)
        }

        func connect() async throws -> TestSocket { try await TestSocket.connect(port) }
    }

    private func withLink(_ body: (Link) async throws -> Void) async throws {
        let ports = try (0..<4).map { _ in try FreePorts.take() }
        let server = try await TestServer.start(ports[1])
        let mesh = ProxyMesh(
            nodeCount: 2, loop: MultiThreadedEventLoopGroup.singleton.next(), seed: 1,
            port: { from, _ in ports[2 + from] }, targetPort: { ports[$0] })
        try await mesh.start()
        let client = try await TestSocket.connect(ports[2])
        let link = Link(
            mesh: mesh, port: ports[2], server: server, client: client, far: try await server.socket(0))
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(link))
        } catch {
            result = .failure(error)
        }
        await client.close()
        await mesh.close()
        await server.close()
        try result.get()
    }

    @Test func passesBytesBothWaysAndTheEnd() async throws {
        try await withLink { link in
            link.client.send("there")
            try await link.far.waitUntilReceived("there")
            link.far.send("and back")
            try await link.client.waitUntilReceived("and back")
            await link.client.close()
            try await link.far.waitUntilClosed()
        }
    }

    @Test func swallowedBytesAreLostAndTheConnectionIsReset() async throws {
        try await withLink { link in
            await link.set(.swallow)
            link.client.send("lost")
            _ = try await waitFor("nothing was swallowed") {
                await link.mesh.lostBytes(from: 0, to: 1) == 4 ? true : nil
            }
            #expect(!link.client.isClosed && !link.far.isClosed)
            await link.mesh.lift(layer: 1)
            try await link.client.waitUntilClosed()
            try await link.far.waitUntilClosed()
            #expect(link.client.wasReset && link.far.wasReset)
            #expect(link.far.received == "")
            let next = try await link.connect()
            next.send("after")
            try await link.server.socket(1).waitUntilReceived("after")
            await next.close()
        }
    }

    @Test func aCutThatLostNothingResetsNothing() async throws {
        try await withLink { link in
            await link.set(.swallow)
            await link.mesh.lift(layer: 1)
            link.client.send("still there")
            try await link.far.waitUntilReceived("still there")
        }
    }

    @Test func heldBytesArriveInOrderWhenTheCutIsOver() async throws {
        try await withLink { link in
            link.client.send("1")
            try await link.far.waitUntilReceived("1")
            await link.set(.hold)
            link.client.send("2")
            link.client.send("3")
            // What comes the other way shows that the proxy has had its turns.
            link.far.send("other way")
            try await link.client.waitUntilReceived("other way")
            #expect(link.far.received == "1")
            await link.mesh.lift(layer: 1)
            try await link.far.waitUntilReceived("123")
        }
    }

    @Test func oneWayCutsTheAnswersOnly() async throws {
        try await withLink { link in
            // From node 1 to node 0: on the connection that node 0 dialled, its answers.
            await link.set(.swallow, from: 1, to: 0)
            link.client.send("heard")
            try await link.far.waitUntilReceived("heard")
            link.far.send("unheard")
            _ = try await waitFor("nothing was swallowed") {
                await link.mesh.lostBytes(from: 0, to: 1) == 7 ? true : nil
            }
            link.client.send(", again")
            try await link.far.waitUntilReceived("heard, again")
            #expect(link.client.received == "")
        }
    }

    @Test func endsAreHiddenByACut() async throws {
        try await withLink { link in
            await link.set(.swallow)
            await link.client.close()
            // Another connection's bytes show that the proxy has had its turns.
            link.far.send("to nobody")
            #expect(!link.far.isClosed)
            await link.mesh.lift(layer: 1)
            try await link.far.waitUntilClosed()
        }
    }

    @Test(arguments: [0, 20]) func delaysKeepTheOrder(jitter: Int) async throws {
        try await withLink { link in
            var conditions = LinkConditions()
            conditions.delayMilliseconds = 5
            conditions.jitterMilliseconds = jitter
            await link.mesh.set(conditions, layer: 1, from: 0, to: 1)
            var expected = ""
            for number in 0..<60 {
                link.client.send("\(number),")
                expected += "\(number),"
                // So that the proxy reads them in many pieces, each with a delay of its own.
                try await Task.sleep(for: .milliseconds(1))
            }
            // What was sent with a delay stays before what is sent without.
            await link.mesh.lift(layer: 1)
            link.client.send("end")
            try await link.far.waitUntilReceived(expected + "end")
        }
    }

    @Test func slowLinksLoseNothing() async throws {
        try await withLink { link in
            var conditions = LinkConditions()
            conditions.bytesPerSecond = 4_000_000
            await link.mesh.set(conditions, layer: 1, from: 0, to: 1)
            // More than the proxy keeps.
            let text = String(repeating: "0123456789", count: ProxyPipe.maximumQueuedBytes / 5)
            link.client.send(text)
            try await link.far.waitUntilReceived(text)
        }
    }

    /// At 50 bytes a second this would take ten hours.
    @Test func aBacklogDoesNotOutliveTheSlowLink() async throws {
        try await withLink { link in
            var conditions = LinkConditions()
            conditions.bytesPerSecond = 50
            await link.mesh.set(conditions, layer: 1, from: 0, to: 1)
            let text = String(repeating: "0123456789", count: ProxyPipe.maximumQueuedBytes / 5)
            link.client.send(text)
            // The first pieces come while the link is slow, not all of what was read at once.
            _ = try await waitFor("nothing came") { link.far.received.hasPrefix("01") ? true : nil }
            #expect(link.far.received.utf8.count < 10_000)
            await link.mesh.lift(layer: 1)
            try await link.far.waitUntilReceived(text)
        }
    }

    @Test func resetsBothEnds() async throws {
        try await withLink { link in
            await link.mesh.reset(between: 1, and: 0)
            try await link.client.waitUntilClosed()
            try await link.far.waitUntilClosed()
            #expect(link.client.wasReset && link.far.wasReset)
        }
    }

    @Test func refusesNewConnectionsOnly() async throws {
        try await withLink { link in
            var conditions = LinkConditions()
            conditions.isRefusing = true
            await link.mesh.set(conditions, layer: 1, from: 0, to: 1)
            await #expect(throws: (any Error).self) { try await link.connect() }
            link.client.send("old")
            try await link.far.waitUntilReceived("old")
            await link.mesh.lift(layer: 1)
            let next = try await link.connect()
            next.send("new")
            try await link.server.socket(1).waitUntilReceived("new")
            await next.close()
        }
    }

    @Test func nobodyListensForANodeThatDoesNotRun() async throws {
        try await withLink { link in
            await link.mesh.setRunning(false, node: 1)
            await #expect(throws: (any Error).self) { try await link.connect() }
            await link.mesh.setRunning(true, node: 1)
            let next = try await link.connect()
            next.send("again")
            try await link.server.socket(1).waitUntilReceived("again")
            await next.close()
        }
    }

    @Test func connectionsComeAboutWhenTheCutIsOver() async throws {
        try await withLink { link in
            await link.set(.swallow, from: 1, to: 0)
            let next = try await link.connect()
            next.send("patient")
            #expect(link.server.count == 1)
            await link.mesh.lift(layer: 1)
            try await link.server.socket(1).waitUntilReceived("patient")
            await next.close()
        }
    }

    @Test func twoFaultsAtOnceHealOneByOne() async throws {
        try await withLink { link in
            await link.set(.hold, layer: 1)
            await link.set(.hold, layer: 2)
            link.client.send("held")
            await link.mesh.lift(layer: 2)
            link.far.send("other way")
            try await link.client.waitUntilReceived("other way")
            #expect(link.far.received == "")
            await link.mesh.lift(layer: 1)
            try await link.far.waitUntilReceived("held")
        }
    }

    @Test func mergedConditionsAreTheWorst() {
        var first = LinkConditions()
        first.cut = .hold
        first.bytesPerSecond = 1_000
        first.jitterMilliseconds = 9
        var second = LinkConditions()
        second.cut = .swallow
        second.delayMilliseconds = 7
        second.isRefusing = true
        for merged in [first.merged(with: second), second.merged(with: first)] {
            #expect(merged.cut == .swallow)
            #expect(merged.bytesPerSecond == 1_000)
            #expect(merged.delayMilliseconds == 7)
            #expect(merged.jitterMilliseconds == 9)
            #expect(merged.isRefusing)
        }
        second.bytesPerSecond = 500
        #expect(first.merged(with: second).bytesPerSecond == 500)
        #expect(LinkConditions.perfect.merged(with: .perfect) == .perfect)
    }
}
