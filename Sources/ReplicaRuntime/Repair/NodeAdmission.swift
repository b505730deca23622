import ConsensusTypes
import RaftCore
import WriteAheadLog

/// Decides whether a node may take part, restores its past from its peers where it may not yet, and helps
/// peers that do the same. docs/decisions/0004-storage-recovery.md says why it is safe.
///
/// Synchronous, without input or output, and bound to its owner's loop: the owner tells it what happened and
/// carries out its effects after each call. It lives as long as the node runs: a node that takes part still
/// introduces itself to its peers, remembers them, and gives them what they lack.
public final class NodeAdmission {
    enum Mode: Hashable {
        /// Waits for enough peers to say that they know no other directory of this node's.
        case asking
        /// Restores exactly what was there, or is adopted if that is not to be had.
        case restoring
        /// Only adoption will do.
        case adopting
        /// The outcome was handed out.
        case admitted
        case active
        case stopped
    }

    /// What is known of one peer.
    struct Peer {
        let node: NodeID
        var record: MemberRecord?
        /// A record that is on its way to the disk, and whose introduction it is.
        var storing: MemberRecord?
        var introduction: Introduction?
        var standing = PeerStanding.apart
        var isConnected = false
        var verdict: Verdict.Judgement?
        /// What it last said to a request, for people.
        var answer: String?
        /// The snapshot that it last said it has.
        var snapshot = LogPosition(term: .zero, index: .zero)
        /// Whether it was asked for what is lacking now, and could not help.
        var isTried = false
        /// Its question about a snapshot, which is being read.
        var snapshotQuestion: UInt64?
        /// The entry that was appended for its adoption.
        var barrier: (number: UInt64, position: LogPosition)?
    }

    /// The one request that is under way.
    struct Fetch {
        let peer: NodeID
        let number: UInt64
        let deadline: Instant
    }

    /// A snapshot that is being taken from a peer.
    struct SnapshotFetch {
        let peer: NodeID
        var metadata: SnapshotMetadata?
        var offset: UInt64 = 0
        var isStoring = false
        var attempts = 0
    }

    let nodeID: NodeID
    let group: GroupID
    /// The one that the log began with.
    let firstMembership: Membership
    var membership: Membership
    let settings: AdmissionSettings
    let directory: DirectoryID
    let directoryStartCount: UInt64
    /// What this start counts among all of the node's: see ``NodeLife``.
    public internal(set) var startCount: UInt64
    /// See ``NodeLife``.
    var lifeBase: UInt64
    let incarnation: UInt64
    /// Whether what this node remembers of its peers can be relied on.
    let isMemoryTrusted: Bool
    let isForced: Bool
    var peers: [Peer]
    var mode: Mode
    /// The group's replica, once it runs.
    weak var source: (any RepairSource)?
    public internal(set) var rarePaths = RarePathSet()

    let salvaged: SalvagedState
    /// Whether what is left is a witness's.
    lazy var isLeftWithheld = salvaged.isWithheld
    /// What can be given to others without knowing where the log must end.
    lazy var ownParts = LogRepair(salvaged, membership: firstMembership)
    var repair: LogRepair?
    /// What a leader offered: the position of its entry. Kept while the exact past may still be had.
    var adoptionOffer: (barrier: LogPosition, leader: NodeID)?
    /// The offer that was taken.
    var adoption: (barrier: LogPosition, leader: NodeID)?
    var fetch: Fetch?
    var snapshotFetch: SnapshotFetch?
    /// Numbers of requests tell the starts of the process apart: the upper half is the lower half of the
    /// incarnation.
    let firstNumber: UInt64
    var lastNumber: UInt64
    var nextRetry: Instant
    var nextReport: Instant
    var adoptionDeadline = Instant.distantFuture
    /// What happens when the node's own record is durable.
    var afterOwnRecord: AdmissionEffect?
    var effects: [AdmissionEffect] = []

    /// - Parameters:
    ///   - membership: who votes now, as far as is known.
    ///   - first: the membership that the log began with, where that is another.
    ///   - startCount: how often the directory was opened.
    ///   - incarnation: unique to this start of the process.
    ///   - records: what this node remembers, of itself too.
    public init(
        nodeID: NodeID, group: GroupID, membership: Membership, first: Membership? = nil,
        directory: DirectoryID, startCount: UInt64, incarnation: UInt64, records: [MemberRecord],
        isMemoryTrusted: Bool = true, start: AdmissionStart,
        settings: AdmissionSettings = AdmissionSettings(), now: Instant
    ) {
        self.nodeID = nodeID
        self.group = group
        self.membership = membership
        firstMembership = first ?? membership
        self.settings = settings
        self.directory = directory
        self.incarnation = incarnation
        self.isMemoryTrusted = isMemoryTrusted
        isForced = start == .forced
        directoryStartCount = startCount
        firstNumber = incarnation << 32
        lastNumber = firstNumber
        let own = NodeLife.read(records.first { $0.node == nodeID }, directory: directory)
        lifeBase = own.base
        self.startCount = NodeLife.startCount(base: own.base, count: startCount)
        peers = membership.members.filter { $0 != nodeID }.map { node in
            Peer(node: node, record: records.first { $0.node == node })
        }
        nextRetry = now
        nextReport = now + .milliseconds(settings.reportMilliseconds)
        let blank = SalvagedState(
            hardState: nil,
            base: SnapshotMetadata(index: .zero, term: .zero, membership: first ?? membership),
            runs: [], isEndTrusted: false)
        switch start {
        case .certain, .forced:
            mode = .active
            salvaged = blank
        case .fresh:
            mode = .asking
            salvaged = blank
        case .damaged(let state):
            mode = state.isExactlyRestorable ? .restoring : .adopting
            salvaged = state
        case .outdated(let state):
            mode = .adopting
            salvaged = state
        }
        if case .damaged = start { rarePaths.insert(.logDamageFound) }
        if salvaged.lostSnapshot != nil { rarePaths.insert(.snapshotDamageFound) }
        if mode == .restoring { repair = LogRepair(salvaged, membership: firstMembership) }
        if mode == .asking { admitIfKnownToBeFirst(now: now) }
        finishIfComplete()
    }

    /// Whether the node takes part.
    public var isActive: Bool { mode == .active }

    /// Whether messages of the protocol from this peer count.
    public func standing(of node: NodeID) -> PeerStanding {
        position(of: node).map { peers[$0].standing } ?? .apart
    }

    /// The outcome was carried out and the group runs: it serves others from now on. For a certain node, call
    /// it when its replica is made.
    public func takesPart(from source: any RepairSource, now: Instant) {
        self.source = source
        guard mode == .admitted || mode == .active else { return }
        mode = .active
        for position in peers.indices where peers[position].isConnected {
            introduce(to: peers[position].node)
        }
    }

    public var hasEffects: Bool { !effects.isEmpty }

    public func takeEffects() -> [AdmissionEffect] {
        var result: [AdmissionEffect] = []
        swap(&result, &effects)
        return result
    }

    /// A message of the protocol came from a peer whose messages do not count: it is told, in case its
    /// introduction was lost.
    public func ignoredMessage(from node: NodeID) {
        guard let position = position(of: node), mode == .active else { return }
        send(
            .verdict(
                Verdict(judgement: .noted, incarnation: peers[position].introduction?.incarnation ?? 0)),
            to: node)
    }

    // MARK: Events

    /// Messages can be sent to the peer from now on.
    public func peerConnected(_ node: NodeID, now: Instant) {
        guard let position = position(of: node), mode != .stopped else { return }
        peers[position].isConnected = true
        peers[position].isTried = false
        introduce(to: node)
        if isRepairing { work(now: now) }
    }

    public func peerDisconnected(_ node: NodeID, now: Instant) {
        guard let position = position(of: node) else { return }
        peers[position].isConnected = false
        peers[position].answer = nil
        peers[position].barrier = nil
        peers[position].snapshotQuestion = nil
        if fetch?.peer == node || snapshotFetch?.peer == node { abandonFetch(of: node) }
        if isRepairing { work(now: now) }
    }

    public func receive(_ message: RepairMessage, from node: NodeID, now: Instant) {
        guard let position = position(of: node), mode != .stopped else { return }
        switch message {
        case .introduction(let introduction):
            receive(introduction, at: position)
        case .verdict(let verdict):
            receive(verdict, at: position, now: now)
        case .entriesRequest(let request):
            answer(request, at: position)
        case .snapshotRequest(let request):
            answer(request, at: position)
        case .adoptionRequest(let number, let asked):
            beginAdoption(number, asked, at: position, now: now)
        case .entries, .snapshotChunk, .snapshotUnavailable, .adoption, .adoptionRefused:
            guard isRepairing else { return }
            receiveAnswer(message, at: position, now: now)
            work(now: now)
        }
    }

    /// A deadline may have passed.
    public func advance(now: Instant) {
        switch mode {
        case .asking:
            if now >= nextRetry {
                nextRetry = now + .milliseconds(settings.retryMilliseconds)
                for peer in peers where peer.isConnected { introduce(to: peer.node) }
            }
        case .restoring, .adopting:
            if let fetch, now >= fetch.deadline {
                note("does not answer", of: fetch.peer)
                abandonFetch(of: fetch.peer)
            }
            work(now: now)
        case .admitted, .active, .stopped:
            return
        }
        if now >= nextReport, mode != .admitted {
            nextReport = now + .milliseconds(settings.reportMilliseconds)
            effects.append(.report(progress, isWarning: true))
        }
    }

    public var nextDeadline: Instant {
        switch mode {
        case .asking: min(nextRetry, nextReport)
        case .restoring, .adopting:
            min(min(nextRetry, nextReport), min(fetch?.deadline ?? .distantFuture, adoptionDeadline))
        case .admitted, .active, .stopped: .distantFuture
        }
    }

    // MARK: Shared by the parts

    /// Whether this node keeps no data: by what it has, or where that does not tell, as a member.
    var isWitness: Bool { source?.isWitness ?? (isLeftWithheld || membership.isWitness(nodeID)) }

    var isRepairing: Bool { mode == .restoring || mode == .adopting }

    /// How many others must say that they know no other directory of this node's, so that any two such sets
    /// of them share a member.
    var neededStrangers: Int {
        membership.voters.count - Membership.majority(of: membership.voters.count) + 1
    }

    /// How many must say so where all others have answered and the rest cannot tell: then every set of
    /// ``neededStrangers`` others that may have admitted another directory holds one of them.
    var neededStrangersOfAll: Int {
        Membership.majority(of: membership.voters.count) - 1
    }

    func position(of node: NodeID) -> Int? {
        peers.firstIndex { $0.node == node }
    }

    func send(_ message: RepairMessage, to node: NodeID) {
        effects.append(.send(message, to: node))
    }

    func note(_ answer: String, of node: NodeID) {
        if let position = position(of: node) { peers[position].answer = answer }
    }

    func nextNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }

    /// One line: what is waited for, and what each peer said.
    public var progress: String {
        let what: String
        switch mode {
        case .asking:
            what =
                "waits to be admitted: \(neededStrangers) of its peers must say that they know no other data "
                + "directory of this node's"
        case .restoring, .adopting:
            if let repair {
                what = "under repair: lacks \(repair.lack)"
            } else {
                what = "under repair: waits for a leader that a quorum without this node follows"
            }
        case .admitted, .active: what = "admitted"
        case .stopped: what = "stopped"
        }
        let answers = peers.map { peer -> String in
            let text: String
            if !peer.isConnected {
                text = "not connected"
            } else if mode == .asking {
                text = peer.verdict.map(Self.text) ?? "no answer yet"
            } else {
                text = peer.answer ?? "not asked yet"
            }
            return "\(peer.node): \(text)"
        }
        return "\(what) (\(answers.joined(separator: "; ")))"
    }

    private static func text(_ judgement: Verdict.Judgement) -> String {
        switch judgement {
        case .unknown: "knows no other"
        case .known: "knows another"
        case .cannotTell: "has lost what it knew"
        default: "has not said"
        }
    }
}
