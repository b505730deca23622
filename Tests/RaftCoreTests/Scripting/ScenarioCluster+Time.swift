import ConsensusTypes

@testable import RaftCore

// Time and delivery.
extension ScenarioCluster {
    /// Delivers what is under way, what comes of it too, until nothing is left.
    mutating func deliverAll(isShown: Bool) throws {
        var count = 0
        while let position = packets.firstIndex(where: { isAwake($0.message.to) }) {
            count += 1
            guard count < 10_000 else { throw ScenarioError("messages never end") }
            try receive(packets.remove(at: position).message, isShown: isShown)
        }
    }

    /// Delivers up to `limit` messages that are under way on a link.
    mutating func deliver(on link: Link, limit: Int) throws {
        var count = 0
        while count < limit, let position = packets.firstIndex(where: { isOn(link, $0.message) }) {
            count += 1
            try receive(packets.remove(at: position).message, isShown: true)
        }
        if count == 0 { say("nothing is under way") }
    }

    func isAwake(_ node: NodeID) -> Bool {
        !nodes.contains { $0.id == node && $0.isPaused }
    }

    func isOn(_ link: Link, _ message: RaftMessage) -> Bool {
        message.from == link.from && message.to == link.to
    }

    /// Time passes and deadlines come; messages stay where they are.
    mutating func advance(by interval: Interval) throws {
        try passTime(interval) { _ in .distantFuture }
    }

    /// Time passes, deadlines come, and each message takes a millisecond.
    mutating func run(for interval: Interval) throws {
        try passTime(interval) { packet in packet.arrivesAt }
    }

    private mutating func passTime(_ interval: Interval, arrival: (Packet) -> Instant) throws {
        let end = now + interval
        showsTime = true
        defer { showsTime = false }
        var count = 0
        while true {
            count += 1
            guard count < 100_000 else { throw ScenarioError("there is no end to what happens") }
            var due = Instant.distantFuture
            var node: Int?
            for position in nodes.indices where nodes[position].isRunning && !nodes[position].isPaused {
                if nodes[position].core.nextDeadline < due {
                    due = nodes[position].core.nextDeadline
                    node = position
                }
            }
            var packet: Int?
            for position in packets.indices
            where arrival(packets[position]) <= due && isAwake(packets[position].message.to) {
                // The first of those that arrive together goes first.
                if packet == nil || arrival(packets[position]) < arrival(packets[packet!]) {
                    packet = position
                }
            }
            let next = packet.map { arrival(packets[$0]) } ?? due
            guard next <= end else { break }
            now = max(now, next)
            if let packet {
                try receive(packets.remove(at: packet).message, isShown: false)
            } else if let node {
                nodes[node].core.advance(now: now)
                try settle(node)
            }
        }
        now = end
    }
}
