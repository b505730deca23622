import ConsensusTypes

@testable import RaftCore

// What happens after the start.
extension ScenarioInterpreter {
    mutating func act(_ command: String, _ words: [String]) throws -> Bool {
        switch command {
        case "campaign":
            // The election timeout of a node ends now, and with it its trust in a leader.
            let position = try running(words)
            cluster.nodes[position].core.electionDeadline = cluster.now
            cluster.nodes[position].core.advance(now: cluster.now)
            try cluster.settle(position)
        case "propose":
            try propose(try running(words), Array(words.dropFirst()), needsSpace: true)
        case "delete":
            try propose(try running(words), Array(words.dropFirst()), needsSpace: false)
        case "read":
            let position = try running(words)
            cluster.lastReadID += 1
            let isTaken = cluster.nodes[position].core.requestRead(
                ReadID(cluster.lastReadID), now: cluster.now)
            cluster.say("read \(cluster.lastReadID)\(isTaken ? "" : " is not taken")")
            try cluster.settle(position)
        case "deliver":
            if words.isEmpty {
                try cluster.deliverAll(isShown: true)
            } else {
                let limit = words.count > 1 ? try number(words[1]) : Int.max
                for link in try links(words[0]) { try cluster.deliver(on: link, limit: limit) }
            }
        case "exchange":
            // Delivers everything without showing the messages.
            try cluster.deliverAll(isShown: false)
        case "advance":
            try cluster.advance(by: interval(word(words, 0)))
        case "run":
            try cluster.run(for: interval(word(words, 0)))
        case "persist":
            let position = try running(words)
            try cluster.persistNext(position)
            try cluster.settle(position)
        case "store", "refuse":
            let position = try running(words)
            cluster.finishStoring(position, isRefused: command == "refuse")
            try cluster.settle(position)
        case "snapshot":
            try takeSnapshot(try running(words), keeping: words.count > 1 ? try number(words[1]) : 0)
        default:
            return false
        }
        return true
    }

    private mutating func propose(_ position: Int, _ payloads: [String], needsSpace: Bool) throws {
        let session = cluster.nodes[position].id.rawValue
        let proposals = payloads.map { payload in
            cluster.lastSequence += 1
            return Proposal(
                id: ProposalID(session: session, sequence: cluster.lastSequence),
                payload: ByteSlice(Array(payload.utf8)), needsSpace: needsSpace)
        }
        let term = cluster.nodes[position].core.propose(proposals, now: cluster.now)
        if term == nil { cluster.say("no leader is known") }
        try cluster.settle(position)
    }

    private mutating func takeSnapshot(_ position: Int, keeping kept: Int) throws {
        let node = cluster.nodes[position]
        guard let term = node.core.term(at: node.applied) else {
            throw ScenarioError("there is nothing new to take a snapshot of")
        }
        let metadata = SnapshotMetadata(
            index: node.applied, term: term, membership: node.core.membership(at: node.applied),
            isWithheld: node.core.isWitness)
        cluster.nodes[position].writes.append(
            DiskWrite(
                sequence: nil, hardState: nil, snapshot: metadata, keepsSuffix: true, entries: [],
                messages: [], doneAt: cluster.now))
        while !cluster.nodes[position].writes.isEmpty { try cluster.persistNext(position) }
        cluster.nodes[position].core.compactLog(
            through: LogIndex(metadata.index.rawValue - UInt64(kept)), snapshot: metadata)
        cluster.say("\(node.id) has a snapshot of \(metadata.index)@\(metadata.term)")
        try cluster.settle(position)
    }

    // MARK: Faults

    mutating func disturb(_ command: String, _ words: [String]) throws -> Bool {
        switch command {
        case "drop":
            let links = words.isEmpty ? nil : try words.flatMap { try self.links($0) }
            for packet in cluster.packets where isOn(links, packet.message) {
                cluster.say("lost: \(ScenarioFormat.message(packet.message))")
            }
            cluster.packets = cluster.packets.filter { !isOn(links, $0.message) }
        case "duplicate":
            let links = try words.flatMap { try self.links($0) }
            cluster.packets += cluster.packets.filter { isOn(links, $0.message) }
        case "last":
            // The newest message on a link overtakes the others.
            let links = try self.links(word(words, 0))
            guard let position = cluster.packets.lastIndex(where: { isOn(links, $0.message) }) else {
                throw ScenarioError("nothing is under way")
            }
            try cluster.receive(cluster.packets.remove(at: position).message, isShown: true)
        case "cut":
            for word in words { cluster.cutLinks.formUnion(try links(word)) }
        case "heal":
            if words.isEmpty { cluster.cutLinks = [] }
            for word in words { cluster.cutLinks.subtract(try links(word)) }
        case "unlink", "relink":
            // The connection between two nodes breaks or is made, and both see it.
            for link in try links(word(words, 0)) {
                try changeLink(link, isConnected: command == "relink")
            }
        case "crash", "stop":
            let position = try running(words)
            cluster.nodes[position].crash()
            guard command == "stop" else { break }
            // The others see that the process is gone, after the last that it sent.
            let links = try self.links(word(words, 0))
            cluster.packets = cluster.packets.filter { !isOn(links, $0.message) }
            for other in cluster.nodes.indices where cluster.nodes[other].isRunning {
                cluster.nodes[other].core.peerStopped(cluster.nodes[position].id, now: cluster.now)
                try cluster.settle(other)
            }
        case "restart":
            let position = try cluster.position(of: node(word(words, 0)))
            cluster.nodes[position].restart(settings: cluster.settings, now: cluster.now)
            try cluster.settle(position)
        case "pause", "resume":
            cluster.nodes[try running(words)].isPaused = command == "pause"
        case "disk":
            cluster.nodes[try running(words)].isDiskManual = try word(words, 1) == "manual"
        case "storing":
            cluster.nodes[try running(words)].isStoringManual = try word(words, 1) == "manual"
        case "space":
            let spaces: [String: DiskSpace] = ["ample": .ample, "low": .low, "none": .none]
            let position = try running(words)
            cluster.nodes[position].core.diskSpace = spaces[try word(words, 1)]!
            try cluster.settle(position)
        default:
            return false
        }
        return true
    }

    private mutating func changeLink(_ link: Link, isConnected: Bool) throws {
        cluster.packets = cluster.packets.filter { !cluster.isOn(link, $0.message) }
        let position = try cluster.position(of: link.from)
        guard cluster.nodes[position].isRunning else { return }
        if isConnected {
            cluster.nodes[position].core.peerConnected(link.to, now: cluster.now)
        } else {
            cluster.nodes[position].core.peerDisconnected(link.to, now: cluster.now)
        }
        try cluster.settle(position)
    }

    private func isOn(_ links: [Link]?, _ message: RaftMessage) -> Bool {
        guard let links else { return true }
        return links.contains { cluster.isOn($0, message) }
    }

    func running(_ words: [String]) throws -> Int {
        let position = try cluster.position(of: node(word(words, 0)))
        guard cluster.nodes[position].isRunning else { throw ScenarioError("node \(words[0]) is down") }
        return position
    }

    // MARK: Looking

    mutating func show(_ command: String, _ words: [String]) throws -> Bool {
        switch command {
        case "status":
            let chosen = words.isEmpty ? cluster.nodes.map(\.id) : try words.map { try node($0) }
            for node in cluster.nodes where chosen.contains(node.id) {
                if node.isRunning {
                    for line in ScenarioFormat.status(node.core) { cluster.say(line) }
                } else {
                    cluster.say("\(node.id) is down")
                }
            }
        case "log":
            let chosen = words.isEmpty ? cluster.nodes.map(\.id) : try words.map { try node($0) }
            for node in cluster.nodes where chosen.contains(node.id) {
                let core = node.core
                let entries = (0..<(core.lastIndex - core.firstIndex + 1)).map {
                    core.entry(at: core.firstIndex + $0)!
                }
                cluster.say("\(node.id): \(entries.map(ScenarioFormat.entry).joined(separator: ", "))")
            }
        case "queue":
            for packet in cluster.packets { cluster.say(ScenarioFormat.message(packet.message)) }
        case "vote":
            for node in cluster.nodes {
                let vote = node.core.votedFor?.description ?? "nobody"
                cluster.say("\(node.id) voted for \(vote) in term \(node.core.term)")
            }
        default:
            return false
        }
        return true
    }
}
