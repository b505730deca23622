import ConsensusTypes
import Logging
import NIOCore
import RaftCore
import ReplicaRuntime

/// Watches the leadership of a node at the end of each of its turns, and by a timer, and posts what its
/// ``LeadershipMonitor`` says.
///
/// Sendable without a lock: what changes is touched on `loop` alone; ``board`` has its own lock.
final class LeadershipWatch: @unchecked Sendable {
    let board = LeadershipBoard()
    private let loop: any EventLoop
    private let logger: Logger
    private var metrics: LeadershipMetrics
    private var monitor: LeadershipMonitor
    private var observe: ((Instant) -> LeadershipObservation?)?
    private var stepAside: ((Instant) -> Void)?
    private var nameOf: ((NodeID) -> String?)?
    /// Since when this node leads without the prospect of a lease.
    private var leaselessSince: Instant?
    /// After so long without a lease a leader makes room.
    private let leaselessPatience: Interval
    private var lease: Leadership.Lease?
    private var timer: (task: Scheduled<Void>, deadline: Instant)?
    private var resignation: Scheduled<Void>?

    init(_ plan: NodePlan, loop: any EventLoop, logger: Logger, label: String) {
        self.loop = loop
        self.logger = logger
        leaselessPatience = .milliseconds(2 * plan.configuration.electionTimeoutMilliseconds)
        metrics = LeadershipMetrics(
            node: plan.configuration.name, group: label, factory: plan.configuration.metricsFactory)
        monitor = LeadershipMonitor(
            node: plan.options.nodeID,
            noticeMargin: .milliseconds(plan.configuration.electionTimeoutMilliseconds) / 10)
    }

    /// What the core says of leadership at present.
    static func observe<Machine>(_ replica: Replica<Machine>, now: Instant) -> LeadershipObservation {
        let core = replica.core
        // Who decides alone leads for ever; it is looked at again long before this.
        let horizon = now + .seconds(3_600)
        return LeadershipObservation(
            term: core.term, isLeading: core.role == .leader, leader: core.leader,
            leaseDeadline: replica.leaseDeadline(now: now).map { min($0, horizon) },
            // Applied, not only committed: what the leader's own state says is then up to date.
            isEstablished: replica.appliedTerm == core.term, electionTimeout: core.electionTimeout)
    }

    /// - Parameter stepAside: makes the core give the leadership up.
    func attach(
        _ observe: @escaping (Instant) -> LeadershipObservation?, nameOf: @escaping (NodeID) -> String?,
        stepAside: @escaping (Instant) -> Void
    ) {
        loop.preconditionInEventLoop()
        self.observe = observe
        self.nameOf = nameOf
        self.stepAside = stepAside
    }

    /// The node stops: it leads no more.
    func detach() {
        loop.preconditionInEventLoop()
        observe = nil
        stepAside = nil
        nameOf = nil
        leaselessSince = nil
        timer?.task.cancel()
        timer = nil
        resignation?.cancel()
        resignation = nil
        tell(monitor.stop())
        monitor.isResigning = false
    }

    func turnEnded(now: Instant) {
        guard let observation = observe?(now) else { return }
        metrics.note(observation.term, electionTimeout: observation.electionTimeout)
        tell(monitor.look(observation, now: now))
        setTimer()
        giveUpUselessLeadership(observation, now: now)
    }

    /// A leader that told another to take over has no lease for the rest of its term, although the other may
    /// never do it. Its owner would wait for ever, so that it has to be elected anew, or another instead of it.
    private func giveUpUselessLeadership(_ observation: LeadershipObservation, now: Instant) {
        guard observation.isLeading, observation.isEstablished, observation.leaseDeadline == nil else {
            leaselessSince = nil
            return
        }
        guard let since = leaselessSince else {
            leaselessSince = now
            return
        }
        guard now - since >= leaselessPatience else { return }
        leaselessSince = now
        logger.warning("leads without a lease after a handover that failed: makes room for an election")
        stepAside?(now)
    }

    /// While set, this node is told of no leadership.
    func setResigning(_ isResigning: Bool) {
        monitor.isResigning = isResigning
        turnEnded(now: Self.now())
    }

    func endResignation(after pause: TimeAmount, _ body: @escaping () -> Void) {
        loop.preconditionInEventLoop()
        guard observe != nil else { return }
        resignation?.cancel()
        resignation = loop.assumeIsolated().scheduleTask(in: pause) { [self] in
            resignation = nil
            body()
            setResigning(false)
        }
    }

    private static func now() -> Instant {
        Instant(nanoseconds: NIODeadline.now().uptimeNanoseconds)
    }

    /// One timer for the moment at which loss must be told. Renewals move it; that is found when it fires.
    private func setTimer() {
        let deadline = monitor.nextLook
        guard deadline < timer?.deadline ?? .distantFuture else { return }
        timer?.task.cancel()
        let task = loop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(deadline.nanoseconds)) {
            [self] in
            timer = nil
            turnEnded(now: Self.now())
        }
        timer = (task, deadline)
    }

    // MARK: Telling

    private func tell(_ notices: [LeadershipMonitor.Notice]) {
        for notice in notices { tell(notice) }
    }

    private func tell(_ notice: LeadershipMonitor.Notice) {
        switch notice {
        case .gained(let term, let until):
            let leadership = Leadership(
                fencingToken: FencingToken(term.rawValue), certainUntil: Self.continuous(until))
            lease = leadership.lease
            metrics.gained()
            logger.info("leads", metadata: ["token": "\(term)"])
            board.post(.leader(leadership))
        case .renewed(let until):
            lease?.renew(until: Self.continuous(until))
        case .lost(let term, let reason):
            // First of all, so that whoever asks from now on is told the truth.
            lease?.end()
            lease = nil
            metrics.lost()
            logger.info("leads no more", metadata: ["token": "\(term)", "reason": "\(reason.rawValue)"])
            board.post(.unknown)
        case .follows(let leader):
            guard let leader else { return board.post(.unknown) }
            logger.info("follows", metadata: ["leader": "\(name(of: leader))"])
            board.post(.follower(of: name(of: leader)))
        }
    }

    private func name(of node: NodeID) -> String { nameOf?(node) ?? "\(node)" }

    /// The moment on the clock that users have, which goes on while the machine is suspended. Not later than
    /// `instant`: the users' clock is read first.
    private static func continuous(_ instant: Instant) -> ContinuousClock.Instant {
        let base = ContinuousClock.now
        let now = now()
        return instant >= now
            ? base + .nanoseconds(Int64((instant - now).nanoseconds))
            : base - .nanoseconds(Int64((now - instant).nanoseconds))
    }
}
