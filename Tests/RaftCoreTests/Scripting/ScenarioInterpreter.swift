import ConsensusTypes

@testable import RaftCore

/// Carries out a transcript's commands; `Scenarios/README.md` lists them.
struct ScenarioInterpreter {
    var cluster = ScenarioCluster()
    private var membership = Membership(voters: [])
    private var given: [NodeID: WorldDisk] = [:]

    /// Does one command and returns what there is to say about it.
    mutating func perform(_ line: String) throws -> [String] {
        cluster.output = []
        var words = line.split(separator: " ").map(String.init)
        let command = words.removeFirst()
        if try
            !(define(command, words) || act(command, words) || lead(command, words)
            || disturb(command, words) || show(command, words))
        {
            throw ScenarioError("there is no command \(command)")
        }
        return cluster.output.isEmpty ? ["nothing"] : cluster.output
    }

    // MARK: Before the start

    private mutating func define(_ command: String, _ words: [String]) throws -> Bool {
        switch command {
        case "settings":
            for pair in words { try set(pair) }
            cluster.say("ok")
        case "latency":
            // Least and most, in milliseconds.
            cluster.latency = (try number(word(words, 0)), try number(word(words, 1)))
            cluster.say("ok")
        case "members":
            // voters 1,2,3 [outgoing 3,4] [learners 5] [witnesses 3]
            var lists: [String: [NodeID]] = [:]
            for index in stride(from: 0, to: words.count - 1, by: 2) {
                lists[words[index]] = try words[index + 1].split(separator: ",").map { try node(String($0)) }
            }
            membership = Membership(
                voters: lists["voters"] ?? [], outgoingVoters: lists["outgoing"] ?? [],
                learners: lists["learners"] ?? [],
                descriptions: (lists["witnesses"] ?? []).map {
                    MemberDescription(node: $0, isWitness: true)
                })
            cluster.say("ok")
        case "newcomer":
            // Runs with an empty disk and belongs to nobody.
            cluster.nodes.append(
                ScenarioNode(
                    id: try node(word(words, 0)), disk: WorldDisk(membership: Membership(voters: [])),
                    settings: cluster.settings, now: cluster.now))
            try cluster.settle(cluster.nodes.count - 1)
        case "given":
            try give(try node(word(words, 0)), Array(words.dropFirst()))
            cluster.say("ok")
        case "cluster", "start":
            if command == "cluster" {
                let count = try UInt64(number(word(words, 0)))
                membership = Membership(voters: (1...count).map(NodeID.init))
            }
            for id in membership.members {
                cluster.nodes.append(
                    ScenarioNode(
                        id: id, disk: given[id] ?? WorldDisk(membership: membership),
                        settings: cluster.settings, now: cluster.now))
                try cluster.settle(cluster.nodes.count - 1)
            }
        default:
            return false
        }
        return true
    }

    private mutating func set(_ pair: String) throws {
        let parts = pair.split(separator: "=").map(String.init)
        let value = try number(word(parts, 1))
        switch parts[0] {
        case "append": cluster.settings.maximumAppendSizeBytes = value
        case "window": cluster.settings.maximumInFlightAppends = value
        case "uncommitted": cluster.settings.maximumUncommittedSizeBytes = value
        case "chunk": cluster.settings.snapshotChunkSizeBytes = value
        case "reads": cluster.settings.maximumPendingReads = value
        case "entry": cluster.settings.maximumEntrySizeBytes = value
        case "transfers": cluster.settings.maximumConcurrentSnapshotTransfers = value
        case "leases": cluster.settings.promisesLeases = value == 1
        case "adapt": cluster.settings.adaptsToRoundTrips = value == 1
        case "drift": cluster.settings.maximumClockDriftPartsPerMillion = value
        default: throw ScenarioError("there is no setting \(parts[0])")
        }
    }

    /// `given 1 terms 1 1 2 [term 3] [vote 2] [commit 1] [snapshot 4@1]`: what is on the disk at the start.
    private mutating func give(_ id: NodeID, _ words: [String]) throws {
        var key = ""
        var values: [String: [String]] = [:]
        for word in words {
            if Int(word) != nil || word.contains("@") {
                values[key, default: []].append(word)
            } else {
                key = word
            }
        }
        var disk = WorldDisk(membership: membership)
        var snapshot = disk.snapshot
        if let name = values["snapshot"]?.first {
            let parts = name.split(separator: "@").map(String.init)
            snapshot = SnapshotMetadata(
                index: LogIndex(UInt64(try number(parts[0]))), term: Term(UInt64(try number(parts[1]))),
                membership: membership, isWithheld: membership.isWitness(id))
        }
        var entries: [Entry] = []
        for (offset, term) in (values["terms"] ?? []).enumerated() {
            let index = snapshot.index + offset + 1
            entries.append(
                membership.isWitness(id)
                    ? Entry(index: index, term: Term(UInt64(try number(term))), kind: .withheld)
                    : Entry(
                        index: index, term: Term(UInt64(try number(term))), kind: .command,
                        payload: ByteSlice(Array("e\(index)t\(term)".utf8))))
        }
        let term = try values["term"].map { UInt64(try number($0[0])) }
        let state = HardState(
            term: Term(term ?? entries.last?.term.rawValue ?? snapshot.term.rawValue),
            votedFor: try values["vote"].map { try node($0[0]) },
            commitIndex: LogIndex(try values["commit"].map { UInt64(try number($0[0])) } ?? 0))
        let problem = disk.apply(
            DiskWrite(
                sequence: nil, hardState: state, snapshot: snapshot, keepsSuffix: true, entries: entries,
                messages: [], doneAt: .zero))
        if let problem = problem ?? disk.problem { throw ScenarioError(problem) }
        given[id] = disk
    }

    // MARK: Words

    func word(_ words: [String], _ position: Int) throws -> String {
        guard position < words.count else { throw ScenarioError("a word is missing") }
        return words[position]
    }

    func number(_ word: String) throws -> Int {
        guard let number = Int(word) else { throw ScenarioError("\(word) is not a number") }
        return number
    }

    func node(_ word: String) throws -> NodeID {
        NodeID(UInt64(try number(word)))
    }

    /// `100ms` or `2s`.
    func interval(_ word: String) throws -> Interval {
        if word.hasSuffix("ms") { return .milliseconds(try number(String(word.dropLast(2)))) }
        if word.hasSuffix("s") { return .seconds(try number(String(word.dropLast()))) }
        throw ScenarioError("\(word) is not a length of time")
    }

    /// `1->2`: one direction; `1-2`: both; `1`: every link of the node.
    func links(_ word: String) throws -> [Link] {
        if let arrow = word.firstRange(of: "->") {
            return [
                Link(
                    from: try node(String(word[..<arrow.lowerBound])),
                    to: try node(String(word[arrow.upperBound...])))
            ]
        }
        let ends = try word.split(separator: "-").map { try node(String($0)) }
        if ends.count == 2 {
            return [Link(from: ends[0], to: ends[1]), Link(from: ends[1], to: ends[0])]
        }
        let others = cluster.nodes.map(\.id).filter { $0 != ends[0] }
        return others.flatMap { [Link(from: ends[0], to: $0), Link(from: $0, to: ends[0])] }
    }
}
