import ConsensusTypes
import NIOCore
import Testing

@testable import PeerTransport

@Suite struct LinkTests {
    @Test func threeNodesExchangeMessages() async throws {
        let nodes = try await connectedNodes(3)
        for node in nodes {
            for peer in nodes where peer.id != node.id {
                #expect(try await node.send([UInt8(node.id.rawValue), 42], kind: 9, to: peer.id))
            }
        }
        for node in nodes {
            try await node.waitForMessages(2)
            for peer in nodes where peer.id != node.id {
                let expected = Event.message([UInt8(peer.id.rawValue), 42], kind: 9, from: peer.id)
                #expect(try await node.events().contains(expected))
            }
            #expect(try await node.run { transport, _ in transport.connectedPeers.count } == 2)
        }
        for node in nodes { try await node.shutdown() }
    }

    @Test func messagesKeepTheirOrderAndComeInBatches() async throws {
        let nodes = try await connectedNodes(2)
        let count = 50_000
        let target = nodes[1].id
        let accepted = try await nodes[0].run { transport, _ in
            (0..<count).reduce(0) { sum, number in
                var writer = ByteWriter()
                writer.write(UInt64(number))
                return sum + (transport.send(writer.bytes, kind: 1, to: target) ? 1 : 0)
            }
        }
        #expect(accepted == count)
        try await nodes[1].waitForMessages(count)
        let events = try await nodes[1].events()
        var next: UInt64 = 0
        for case .message(let bytes, _, _) in events {
            var reader = ByteReader(bytes)
            #expect(try reader.readUInt64() == next)
            next += 1
        }
        #expect(next == UInt64(count))
        #expect(
            events.count { $0 == .finishedReading } < count / 50,
            "one call for each read burst, not each message")
        let statistics = try await nodes[0].run { transport, _ in transport.statistics[0] }
        #expect(statistics.sentFrames == UInt64(count))
        #expect(statistics.sentBytes == UInt64(count * (FrameHeader.size + 8)))
        #expect(statistics.droppedFrames == 0)
        let received = try await nodes[1].run { transport, _ in transport.statistics[0] }
        #expect(received.receivedBytes == statistics.sentBytes)
        for node in nodes { try await node.shutdown() }
    }

    @Test func largestMessageArrivesAndOneByteMoreIsDropped() async throws {
        let nodes = try await connectedNodes(2)
        let maximum = PeerTransportLimits().maximumPayloadBytes
        var random = SeededRandom(seed: 3)
        let payload = (0..<maximum).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        #expect(try await nodes[0].send(payload + [0], to: nodes[1].id) == false)
        #expect(try await nodes[0].send(payload, to: nodes[1].id))
        try await nodes[1].waitForMessages(1)
        let isEqual = try await nodes[1].events().contains(.message(payload, kind: 0, from: nodes[0].id))
        #expect(isEqual)
        #expect(try await nodes[0].run { transport, _ in transport.statistics[0].droppedFrames } == 1)
        #expect(nodes[0].log.lines.contains { $0.contains("over the limit") })
        for node in nodes { try await node.shutdown() }
    }

    @Test func sendingFromWithinACallbackWorks() async throws {
        let nodes = try await connectedNodes(2)
        // Each answers the other's count until it reaches 100.
        for node in nodes {
            try await node.run { transport, recorder in
                recorder.reaction = { [unowned transport] event in
                    if case .message(let bytes, _, let peer) = event, bytes[0] < 100 {
                        transport.send([bytes[0] + 1], kind: 0, to: peer)
                    }
                }
            }
        }
        try await nodes[0].send([1], to: nodes[1].id)
        try await nodes[1].waitForMessages(50)
        try await nodes[0].waitForMessages(50)
        for node in nodes { try await node.shutdown() }
    }

    @Test func messageToNobodyIsDropped() async throws {
        let node = try await TestNode.start(1)
        #expect(try await node.send([1], to: NodeID(2)) == false)
        try await node.shutdown()
    }

    @Test func queueIsBoundedInBytes() async throws {
        var limits = TestNode.fastLimits
        limits.maximumPayloadBytes = 1 << 16
        limits.maximumQueuedBytesPerPeer = 1 << 20
        // Welcomes, and reads nothing after that.
        let server = try await RawServer.start { channel, bytes in
            if bytes.readableBytes >= helloBytes(from: 1, to: 2).count {
                _ = channel.setOption(.autoRead, value: false)
                channel.writeAndFlush(
                    ByteBuffer(bytes: helloBytes(from: 2, to: 1, kind: .welcome)), promise: nil)
            }
        }
        let node = try await TestNode.start(1, limits: limits)
        try await node.setPeers([server.address(as: 2)])
        try await node.wait(for: .connected(NodeID(2)))
        let (taken, statistics) = try await node.run { transport, _ in
            let payload = [UInt8](repeating: 1, count: 1 << 16)
            var taken = 0
            // The socket takes some; within one turn the bound holds whatever it takes.
            for _ in 0..<1_000 {
                taken += transport.send(payload, kind: 0, to: NodeID(2)) ? 1 : 0
                #expect(transport.statistics[0].queuedBytes <= 1 << 20)
            }
            return (taken, transport.statistics[0])
        }
        #expect(taken == (1 << 20) / (1 << 16 + FrameHeader.size))
        #expect(statistics.droppedFrames == UInt64(1_000 - taken))
        // Flushed bytes count until the socket has taken them: it cannot take all of these.
        let total = try await node.run { transport, _ in
            let payload = [UInt8](repeating: 1, count: 1 << 16)
            for _ in 0..<1_000 {
                for _ in 0..<20 {
                    transport.send(payload, kind: 0, to: NodeID(2))
                }
                transport.flush()
                #expect(transport.statistics[0].queuedBytes <= 1 << 20)
            }
            return transport.statistics[0].sentFrames
        }
        #expect(total < 1_000)
        try await node.shutdown()
        await server.close()
    }

    @Test func roundTripIsMeasured() async throws {
        let nodes = try await connectedNodes(2)
        // The first ping leaves with the handshake; its answer comes before that of any later message.
        try await nodes[1].run { transport, recorder in
            recorder.reaction = { [unowned transport] event in
                if case .message(let bytes, _, let peer) = event { transport.send(bytes, kind: 0, to: peer) }
            }
        }
        var roundTrip: Interval?
        for _ in 0..<100 where roundTrip == nil {
            let messages = try await nodes[0].events().count(where: \.isMessage)
            try await nodes[0].send([1], to: nodes[1].id)
            try await nodes[0].waitForMessages(messages + 1)
            roundTrip = try await nodes[0].run { transport, _ in transport.statistics[0].roundTrip }
        }
        #expect(roundTrip != nil)
        for node in nodes { try await node.shutdown() }
    }

    @Test func portInUseIsATypedError() async throws {
        let node = try await TestNode.start(1)
        let expected = ListenAddress(host: "127.0.0.1", port: node.port)
        do {
            let second = try await TestNode.start(2, port: node.port)
            Issue.record("two nodes listen at port \(second.port)")
        } catch let error as PeerTransportError {
            guard case .cannotListen(expected, _) = error else {
                Issue.record("unexpected \(error)")
                return
            }
        }
        try await node.shutdown()
    }
}
