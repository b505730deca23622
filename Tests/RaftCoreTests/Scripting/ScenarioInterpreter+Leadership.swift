import ConsensusTypes

@testable import RaftCore

// Who belongs to the cluster and who leads it.
extension ScenarioInterpreter {
    mutating func lead(_ command: String, _ words: [String]) throws -> Bool {
        switch command {
        case "change":
            try change(try running(words), Array(words.dropFirst()))
        case "transfer":
            let position = try running(words)
            let target = words.count > 1 ? try node(words[1]) : nil
            if let refusal = cluster.nodes[position].core.transferLeadership(to: target, now: cluster.now) {
                cluster.say("refused: \(refusal)")
            }
            try cluster.settle(position)
        case "aside":
            let position = try running(words)
            if !cluster.nodes[position].core.stepAside(now: cluster.now) { cluster.say("refused") }
            try cluster.settle(position)
        case "stalled":
            cluster.nodes[try running(words)].core.isDiskStalled = try word(words, 1) == "yes"
        case "lease":
            let position = try running(words)
            guard let deadline = cluster.nodes[position].core.leaseDeadline else {
                cluster.say("no lease")
                break
            }
            let state = cluster.now < deadline ? "valid for" : "over since"
            let length = cluster.now < deadline ? deadline - cluster.now : cluster.now - deadline
            cluster.say(
                deadline == .distantFuture ? "valid for ever" : "\(state) \(length.milliseconds) ms")
        case "leaseread":
            let position = try running(words)
            let index = cluster.nodes[position].core.requestLeaseRead(now: cluster.now)
            cluster.say(index.map { "may answer at \($0)" } ?? "has to ask a quorum")
        case "members?":
            for node in cluster.nodes where node.isRunning {
                cluster.say("\(node.id): \(ScenarioFormat.describe(node.core.membership))")
            }
        default:
            return false
        }
        return true
    }

    /// `change 1 learner 4 add 5^50 promote 6 demote 2 remove 3 describe 1^0 witness 7 addwitness 8`, as one
    /// change.
    private mutating func change(_ position: Int, _ words: [String]) throws {
        var steps: [MembershipChange.Step] = []
        for at in stride(from: 0, to: words.count - 1, by: 2) {
            let parts = words[at + 1].split(separator: "^").map(String.init)
            let node = try node(parts[0])
            let priority = parts.count > 1 ? UInt8(try number(parts[1])) : MemberDescription.defaultPriority
            let description = MemberDescription(node: node, priority: priority)
            switch words[at] {
            case "learner": steps.append(.addLearner(description))
            case "add": steps.append(.addVoter(description))
            case "witness", "addwitness":
                let witness = MemberDescription(node: node, priority: priority, isWitness: true)
                steps.append(words[at] == "witness" ? .addLearner(witness) : .addVoter(witness))
            case "describe": steps.append(.describe(description))
            case "promote": steps.append(.promote(node))
            case "demote": steps.append(.demote(node))
            case "remove": steps.append(.remove(node))
            default: throw ScenarioError("there is no step \(words[at])")
            }
        }
        cluster.lastSequence += 1
        let proposal = Proposal(
            id: ProposalID(
                session: cluster.nodes[position].id.rawValue, sequence: cluster.lastSequence),
            kind: .membershipChange, payload: MembershipChange(steps).encoded, needsSpace: false)
        if cluster.nodes[position].core.propose([proposal], now: cluster.now) == nil {
            cluster.say("no leader takes it")
        }
        try cluster.settle(position)
    }
}
