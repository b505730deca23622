import ConsensusTypes
import Synchronization

/// Tells the leaders of one election apart: whoever leads later has the greater token, whatever clocks say.
///
/// A resource that is used under an election remembers the greatest token it has seen and refuses smaller ones.
/// Then a leader that was paused, and does not know yet that it has been replaced, can do no harm.
public struct FencingToken: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// The term of the leadership (Raft paper, section 5.1), for whoever stores or sends it.
    public let rawValue: UInt64

    /// A token that was stored or received as a number.
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Reads the number that a token is encoded as.
    public init(from decoder: any Decoder) throws {
        rawValue = try decoder.singleValueContainer().decode(UInt64.self)
    }

    /// As its number.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    public static func < (left: FencingToken, right: FencingToken) -> Bool {
        left.rawValue < right.rawValue
    }

    public var description: String { String(rawValue) }
}

/// Why a node is told that it leads no longer.
public enum LeadershipLoss: String, Hashable, Sendable {
    /// It was not confirmed in time that no other node can lead. It may prove to lead still, and is then told
    /// so anew.
    case uncertain
    /// Another node leads, or is about to.
    case replaced
    /// It gave leadership up: ``LeaderElection/resign()``.
    case resigned
    /// The node stops.
    case stopped
}

/// One period for which this node leads: from when it is told so until it is told of the loss.
///
/// The value lives on with the period: ``certainUntil`` moves with every confirmation, and after the loss
/// ``isCertain`` is `false` for good. Asking costs next to nothing.
public struct Leadership: Hashable, Sendable, CustomStringConvertible {
    /// Greater than that of every earlier leader, and smaller than that of every later one. Two periods of the
    /// same node may have the same token, where no other node led in between.
    public let fencingToken: FencingToken
    let lease: Lease

    init(fencingToken: FencingToken, certainUntil: ContinuousClock.Instant) {
        self.fencingToken = fencingToken
        lease = Lease(certainUntil)
    }

    /// Until this moment no other node can lead, as long as clocks run as fast as they should
    /// (``NodeConfiguration/maximumClockDriftPartsPerMillion``). After the loss: a moment that has passed.
    public var certainUntil: ContinuousClock.Instant { lease.certainUntil }

    /// Whether at this moment this node is the only leader for certain. `false` says that it does not know.
    ///
    /// What takes time after the question, such as a request that is slow, is not covered by the answer: only
    /// the ``fencingToken``, checked where the effect happens, covers that.
    public var isCertain: Bool { ContinuousClock.now < lease.certainUntil }

    public static func == (left: Leadership, right: Leadership) -> Bool {
        left.lease === right.lease
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(lease))
    }

    public var description: String { "leadership \(fencingToken)" }

    /// What moves while a leadership lasts.
    final class Lease: Sendable {
        private let state: Mutex<ContinuousClock.Instant>

        init(_ certainUntil: ContinuousClock.Instant) {
            state = Mutex(certainUntil)
        }

        var certainUntil: ContinuousClock.Instant { state.withLock { $0 } }

        func renew(until instant: ContinuousClock.Instant) {
            state.withLock { $0 = instant }
        }

        /// The leadership is lost.
        func end() {
            let now = ContinuousClock.now
            state.withLock { $0 = min($0, now) }
        }
    }
}

/// What a node knows of who leads.
public enum LeadershipState: Hashable, Sendable, CustomStringConvertible {
    /// This node leads.
    case leader(Leadership)
    /// The node of this name leads, as far as this one knows.
    case follower(of: String)
    /// Nobody is known to lead, or this node leads and is not certain to be the only one.
    case unknown

    /// This node's leadership, where it leads.
    public var leadership: Leadership? {
        if case .leader(let leadership) = self { leadership } else { nil }
    }

    public var description: String {
        switch self {
        case .leader(let leadership): "leader with token \(leadership.fencingToken)"
        case .follower(let name): "follower of \(name)"
        case .unknown: "no leader known"
        }
    }
}

/// Leadership was lost while work was done under it. The work has ended; what it did last may have been done
/// after another node had become the leader, unless the fencing token was checked.
public struct LeadershipLostError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The token of the leadership that was lost.
    public let fencingToken: FencingToken

    public var description: String {
        "the leadership with token \(fencingToken) was lost while work was done under it: wait to be elected "
            + "again, and let whatever the work changes refuse older tokens"
    }
}

/// The election has ended on this node, because ``LeaderElection/run()`` has, so this node will not lead.
public struct ElectionEndedError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The name of the election.
    public let election: String

    public var description: String {
        "the election \(election) does not run on this node any more: make a new LeaderElection, and run it"
    }
}
