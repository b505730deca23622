import ConsensusTypes
import WriteAheadLog

// Who is who: introductions, what is remembered of them, and what peers think of this node.
extension NodeAdmission {
    private var stage: Introduction.Stage {
        switch mode {
        case .asking: .fresh
        case .restoring, .adopting, .admitted, .stopped: .underRepair
        case .active: isForced ? .forced : .active
        }
    }

    func introduce(to node: NodeID) {
        send(
            .introduction(
                Introduction(
                    directory: directory, startCount: startCount, incarnation: incarnation, stage: stage)),
            to: node)
    }

    // MARK: Peers

    func receive(_ introduction: Introduction, at position: Int) {
        let known = peers[position].storing ?? peers[position].record
        // The same process has introduced itself since, when it took part or was adopted: this came late, and says
        // nothing.
        if let known, known.incarnation == introduction.incarnation,
            known.directory == introduction.directory,
            introduction.startCount < known.startCount || !introduction.stage.takesPart
        {
            return
        }
        if introduction != peers[position].introduction { peers[position].barrier = nil }
        peers[position].introduction = introduction
        peers[position].standing = .apart
        let judgement = judge(introduction, known)
        guard judgement == .welcome || judgement == .unknown || judgement == .cannotTell else {
            return answer(judgement, known, at: position)
        }
        // What asks to be admitted is remembered as never having taken part, also by whoever cannot tell
        // whether it did.
        let takesPart = introduction.stage.takesPart
        let record = MemberRecord(
            node: peers[position].node, directory: introduction.directory,
            startCount: takesPart ? introduction.startCount : 0,
            incarnation: takesPart ? introduction.incarnation : 0)
        if record == known, peers[position].storing == nil {
            return finish(introduction, at: position)
        }
        peers[position].standing = takesPart ? .beingRemembered : .apart
        peers[position].storing = record
        effects.append(.remember(record))
    }

    private func judge(_ introduction: Introduction, _ known: MemberRecord?) -> Verdict.Judgement {
        if introduction.stage == .forced { return .welcome }
        if introduction.stage == .fresh {
            // To know another directory means something, whatever else was forgotten.
            if let known, known.directory != introduction.directory || known.startCount > 0 { return .known }
            return isMemoryTrusted ? .unknown : .cannotTell
        }
        if let known, known.startCount > 0 {
            if introduction.startCount < known.startCount { return .behind }
            if introduction.startCount == known.startCount {
                // Another directory at the same count is not an adoption's: those count more.
                if introduction.directory != known.directory { return .behind }
                if introduction.incarnation != known.incarnation { return .copy }
            }
        }
        return introduction.stage == .active ? .welcome : .noted
    }

    private func answer(_ judgement: Verdict.Judgement, _ known: MemberRecord?, at position: Int) {
        guard let introduction = peers[position].introduction else { return }
        send(
            .verdict(
                Verdict(
                    judgement: judgement, incarnation: introduction.incarnation,
                    knownStartCount: known?.startCount ?? 0)), to: peers[position].node)
    }

    private func finish(_ introduction: Introduction, at position: Int) {
        if introduction.stage.takesPart {
            peers[position].standing = .accepted
            effects.append(.accepted(peers[position].node))
            answer(.welcome, peers[position].record, at: position)
        } else {
            answer(isMemoryTrusted ? .unknown : .cannotTell, peers[position].record, at: position)
        }
    }

    /// A record is durable.
    public func remembered(_ record: MemberRecord, now: Instant) {
        if record.node == nodeID {
            if let effect = afterOwnRecord {
                afterOwnRecord = nil
                effects.append(effect)
            }
            return
        }
        guard let position = position(of: record.node) else { return }
        peers[position].record = record
        guard peers[position].storing == record else { return }
        peers[position].storing = nil
        if let introduction = peers[position].introduction { finish(introduction, at: position) }
    }

    // MARK: This node

    func receive(_ verdict: Verdict, at position: Int, now: Instant) {
        guard mode != .stopped else { return }
        if verdict.judgement == .noted, mode == .active {
            // Where messages of this node are ignored, its introduction did not arrive.
            return introduce(to: peers[position].node)
        }
        guard verdict.incarnation == incarnation else { return }
        peers[position].verdict = verdict.judgement
        switch verdict.judgement {
        case .welcome, .noted:
            return
        case .cannotTell:
            guard mode == .asking else { return }
            if canBeKnownToBeFirst {
                admitIfKnownToBeFirst(now: now)
            } else {
                giveUpFirstStart(now: now)
            }
        case .unknown:
            if mode == .asking { admitIfKnownToBeFirst(now: now) }
        case .known:
            guard mode == .asking else { return }
            rarePaths.insert(.wipedNodeReturned)
            effects.append(
                .report(
                    "peer \(peers[position].node) knows another data directory of this node: the one here was "
                        + "wiped or replaced; it will be adopted by a leader", isWarning: true))
            beginAdopting(now: now)
        case .behind:
            wasPutBack(verdict, by: peers[position].node, now: now)
        case .copy:
            rarePaths.insert(.copyOfNodeRefused)
            let reason =
                "peer \(peers[position].node) knows another process that was started from the same state of "
                + "this data directory: one of the two is a copy, and this one stops; give it another name "
                + "and an empty --data-dir"
            halt(.stop(reason: reason))
        }
    }

    /// Enough others never heard of another directory of this node's, and never will believe one: no quorum
    /// can have formed with one.
    func admitIfKnownToBeFirst(now: Instant) {
        guard isKnownToBeFirst(ifUnanswered: false) else { return }
        mode = .admitted
        effects.append(.admitted(.firstStart))
    }

    /// Whether enough peers may still say that they know no other directory.
    private var canBeKnownToBeFirst: Bool { isKnownToBeFirst(ifUnanswered: true) }

    /// Whoever was admitted has told ``neededStrangers`` others of itself, so that among those many others, or
    /// among any ``neededStrangersOfAll``, somebody remembers it or has lost its memory since. The smaller
    /// number is enough where *every* other has answered: those that cannot tell have remembered this
    /// directory too, and nobody is left who would call another one the first.
    ///
    /// - Parameter ifUnanswered: whether those count that have not answered yet.
    private func isKnownToBeFirst(ifUnanswered countsUnanswered: Bool) -> Bool {
        var others = 0
        var strangers = 0
        var unable = 0
        for peer in peers where membership.isVoter(peer.node) {
            others += 1
            switch peer.verdict {
            case .unknown: strangers += 1
            case .cannotTell: unable += 1
            case nil: strangers += countsUnanswered ? 1 : 0
            case .welcome, .noted, .known, .behind, .copy: break
            }
        }
        if strangers >= min(neededStrangers, others) { return true }
        return strangers + unable == others && strangers >= min(neededStrangersOfAll, others)
    }

    /// Peers that lost what they knew cannot tell whether this node is new. A leader can adopt it either way.
    private func giveUpFirstStart(now: Instant) {
        effects.append(
            .report(
                "too many peers have lost what they knew of this node; it will be adopted by a leader",
                isWarning: true))
        beginAdopting(now: now)
    }

    private func wasPutBack(_ verdict: Verdict, by node: NodeID, now: Instant) {
        // What a leader adopted counts as a later start than what the peer remembers: then the verdict is of an
        // introduction from before, and came late.
        guard startCount <= verdict.knownStartCount else { return introduce(to: node) }
        rarePaths.insert(.rolledBackNodeReturned)
        let reason =
            "peer \(node) remembers start \(verdict.knownStartCount) of this node, and this is start "
            + "\(startCount): its data directory was put back to an older state, or another process runs with "
            + "a copy of it"
        switch mode {
        case .active, .admitted:
            halt(.restart(reason: reason))
        case .asking, .restoring:
            effects.append(.report("\(reason); it will be adopted by a leader", isWarning: true))
            effects.append(.remember(ownRecord(mustBeAdopted: true)))
            beginAdopting(now: now)
        case .adopting, .stopped:
            return
        }
    }

    /// Ends the node once it is durable that it must be adopted.
    private func halt(_ effect: AdmissionEffect) {
        mode = .stopped
        for position in peers.indices { peers[position].standing = .apart }
        afterOwnRecord = effect
        effects.append(.remember(ownRecord(mustBeAdopted: true)))
    }

    private func ownRecord(mustBeAdopted: Bool) -> MemberRecord {
        NodeLife.ownRecord(nodeID, directory, base: lifeBase, mustBeAdopted: mustBeAdopted)
    }

    private func beginAdopting(now: Instant) {
        mode = .adopting
        repair = nil
        fetch = nil
        snapshotFetch = nil
        nextRetry = now
        for position in peers.indices {
            peers[position].isTried = false
            if peers[position].isConnected { introduce(to: peers[position].node) }
        }
        work(now: now)
    }
}
