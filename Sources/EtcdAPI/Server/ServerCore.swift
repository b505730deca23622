import Logging
import NIOCore
import TransportSecurity

/// What all connections of one server share. Lives on one event loop, the service's own.
final class ServerCore {
    let eventLoop: any EventLoop
    let limits: ServerLimits
    let logger: Logger
    let service: any KeyValueService
    /// Seconds since 1970, for the metric that etcd has.
    let startedAtSeconds: Int64
    private(set) lazy var services = EtcdServices(core: self)

    /// Over all connections; see ``GRPCConnection``.
    var unsentBytes = 0
    var bufferedRequestBytes = 0

    private(set) var connections: [ObjectIdentifier: GRPCConnection] = [:]
    private var others: [ObjectIdentifier: any Channel] = [:]
    private var dirty: [GRPCConnection] = []
    private var isTurnEndScheduled = false
    private var isDeadlineTickScheduled = false
    private var isSweepScheduled = false
    private var leaderlessSweeps = 0
    private var didWarnOfConnections = false
    private var logLimiter = LogLimiter()
    private(set) var isShuttingDown = false
    private var onEmpty: [() -> Void] = []

    /// How late the end of a call with a deadline may be noticed.
    private static let deadlineTick = TimeAmount.milliseconds(25)

    init(
        service: any KeyValueService, eventLoop: any EventLoop, limits: ServerLimits, logger: Logger,
        startedAtSeconds: Int64
    ) {
        self.service = service
        self.eventLoop = eventLoop
        self.limits = limits
        self.logger = logger
        self.startedAtSeconds = startedAtSeconds
    }

    var connectionCount: Int { connections.count + others.count }

    var hasLeader: Bool { service.status.leader != nil }

    /// No leader has been known for some seconds.
    var isLeaderlessForLong: Bool { leaderlessSweeps >= 3 }

    /// Warns once each time the bound is reached, and not for each connection.
    func hasRoomForConnection() -> Bool {
        if connectionCount < limits.maximumConnections {
            if connectionCount < limits.maximumConnections / 10 * 9 { didWarnOfConnections = false }
            return true
        }
        if !didWarnOfConnections {
            didWarnOfConnections = true
            logger.warning(
                "client connections are refused", metadata: ["maximum": "\(limits.maximumConnections)"])
        }
        return false
    }

    /// What clients do can only fill so much of the log.
    func warn(_ message: @autoclosure () -> String) {
        logLimiter.warning(message(), to: logger, now: .now())
    }

    func add(_ connection: GRPCConnection) {
        connections[ObjectIdentifier(connection)] = connection
        scheduleSweep()
        if isShuttingDown {
            connection.drain()
        }
    }

    func remove(_ connection: GRPCConnection) {
        connections[ObjectIdentifier(connection)] = nil
        noteLeft()
    }

    /// A connection that has not said what it speaks, or speaks HTTP/1.1.
    func add(_ channel: any Channel) {
        others[ObjectIdentifier(channel)] = channel
    }

    func remove(_ channel: any Channel) {
        others[ObjectIdentifier(channel)] = nil
        noteLeft()
    }

    // MARK: Turns

    func scheduleTurnEnd(_ connection: GRPCConnection) {
        dirty.append(connection)
        guard !isTurnEndScheduled else { return }
        isTurnEndScheduled = true
        eventLoop.assumeIsolated().execute { [self] in
            isTurnEndScheduled = false
            let connections = dirty
            dirty.removeAll(keepingCapacity: true)
            for connection in connections {
                connection.endTurn()
            }
        }
    }

    // MARK: Time

    /// One timer for all deadlines, and none while there is no deadline.
    func watchDeadlines() {
        guard !isDeadlineTickScheduled else { return }
        isDeadlineTickScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: ServerCore.deadlineTick) { [self] in
            isDeadlineTickScheduled = false
            let now = NIODeadline.now()
            var isNeeded = false
            for connection in Array(connections.values) where connection.deadlineCount > 0 {
                connection.expireDeadlines(now: now)
                isNeeded = isNeeded || connection.deadlineCount > 0
            }
            if isNeeded {
                watchDeadlines()
            }
        }
    }

    private func scheduleSweep() {
        guard !isSweepScheduled else { return }
        isSweepScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { [self] in
            isSweepScheduled = false
            leaderlessSweeps = hasLeader ? 0 : leaderlessSweeps + 1
            let now = NIODeadline.now()
            for connection in Array(connections.values) {
                connection.sweep(now: now)
            }
            if !connections.isEmpty {
                scheduleSweep()
            }
        }
    }

    // MARK: The end

    /// Lets open calls end, then closes. `completion` runs once no connection is left.
    func shutDown(grace: TimeAmount, completion: @escaping () -> Void) {
        isShuttingDown = true
        onEmpty.append(completion)
        for connection in Array(connections.values) {
            connection.drain()
        }
        for channel in Array(others.values) {
            channel.close(promise: nil)
        }
        eventLoop.assumeIsolated().scheduleTask(in: grace) { [self] in
            for connection in Array(connections.values) {
                connection.close("the server is shutting down")
            }
        }
        noteLeft()
    }

    private func noteLeft() {
        guard isShuttingDown, connections.isEmpty, others.isEmpty, !onEmpty.isEmpty else { return }
        let completions = onEmpty
        onEmpty = []
        for completion in completions {
            completion()
        }
    }
}
