import ConsensusTypes

/// Writes a log on a thread of its own: while one sync is in flight the next batch gathers, and it is
/// written when the sync has finished. May be used from several threads.
public final class LogSyncThread: Sendable {
    /// What the thread has to say. It is said on the thread, in order, without any lock held.
    public enum Event: Hashable, Sendable {
        /// Everything up to this sequence is durable.
        case durable(through: UInt64)
        /// The log is unusable; said once, and nothing becomes durable after it.
        case failed(WriteAheadLogError)
        /// The room for the log changed.
        case space(LogSpace)
    }

    private struct State {
        let log: WriteAheadLog
        var lastSubmitted: UInt64?
        var inFlightSince: Instant?
        var space = LogSpace.ample
        var isWaiting = false
        var isStopping = false
        var hasWork = false
        var retriesAllocation = false
        var failure: WriteAheadLogError?
    }

    private enum Work: Sendable {
        case write(LogBatch, through: UInt64?)
        case retryAllocation
        case stop
    }

    private let monitor: Monitor<State>
    private let writer: LogWriter
    private let maximumGatheredBytes: Int
    private let now: @Sendable () -> Instant
    private let onEvent: @Sendable (Event) -> Void
    private let thread: Monitor<SystemThread?>

    /// How often the allocation of the next segment is tried again while the disk is full.
    public static let allocationRetryMilliseconds = 1_000
    private static let retryInterval = Interval.milliseconds(allocationRetryMilliseconds)

    /// Starts the thread. `log` is the thread's from now on.
    public init(
        log: sending WriteAheadLog, maximumGatheredBytes: Int = 16 << 20,
        now: @escaping @Sendable () -> Instant = MonotonicClock.now,
        onEvent: @escaping @Sendable (Event) -> Void
    ) {
        writer = log.writer
        var state = State(log: log)
        state.space = log.space
        monitor = Monitor(state)
        self.maximumGatheredBytes = maximumGatheredBytes
        self.now = now
        self.onEvent = onEvent
        thread = Monitor(nil)
        let loop = Loop(monitor: monitor, writer: writer, now: now, onEvent: onEvent)
        let started = SystemThread { loop.run() }
        thread.withLock { $0 = started }
    }

    deinit {
        monitor.withLock { $0.isStopping = true }
        monitor.signal()
        // The last reference may have gone in an event, on the thread itself, which then ends by itself.
        guard let running = thread.withLock({ $0 }) else { return }
        if running.isCurrent { running.detach() } else { running.join() }
    }

    /// Adds writes to the batch being gathered, under a sequence that grows with each call. Never blocks on
    /// the disk.
    ///
    /// Answers whether there is room for more: after `false` nothing should be submitted before the next
    /// event. What is submitted all the same is written all the same; after a failure it is dropped.
    @discardableResult
    public func submit(_ writes: [LogWrite], sequence: UInt64) -> Bool {
        let (hasRoom, wakes) = monitor.withLock { state -> (Bool, Bool) in
            guard state.failure == nil, !state.isStopping else { return (false, false) }
            precondition(sequence > state.lastSubmitted ?? 0 || state.lastSubmitted == nil, "sequences grow")
            state.log.encode(writes)
            state.lastSubmitted = sequence
            state.hasWork = true
            return (state.log.gatheredBytes < maximumGatheredBytes, state.isWaiting)
        }
        if wakes { monitor.signal() }
        return hasRoom
    }

    /// See ``WriteAheadLog/release(group:through:)``.
    public func release(group: GroupID, through index: LogIndex) {
        let wakes = monitor.withLock { state in
            state.log.release(group: group, through: index)
            state.hasWork = true
            return state.isWaiting
        }
        if wakes { monitor.signal() }
    }

    /// Tries soon to allocate the next segment in advance. The thread also tries by itself, every second.
    public func retryAllocation() {
        monitor.withLock { $0.retriesAllocation = true }
        monitor.signal()
    }

    /// When the write that is in flight was begun, or `nil`: what a deadline for the disk is measured from.
    public var inFlightSince: Instant? { monitor.withLock { $0.inFlightSince } }

    public var gatheredBytes: Int { monitor.withLock { $0.log.gatheredBytes } }

    /// Whether there is room in the batch being gathered.
    public var hasRoom: Bool { gatheredBytes < maximumGatheredBytes }

    public var space: LogSpace { monitor.withLock { $0.log.space } }

    public var failure: WriteAheadLogError? { monitor.withLock { $0.failure } }

    /// Writes what was submitted, closes the log and ends the thread. Returns when all events were said,
    /// with what went wrong in the thread's life, if anything did. Not to be called on the thread itself.
    @discardableResult
    public func stop() -> WriteAheadLogError? {
        monitor.withLock { $0.isStopping = true }
        monitor.signal()
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        if let running {
            precondition(!running.isCurrent, "the log's thread cannot wait for itself")
            running.join()
        }
        return failure
    }

    /// What runs on the thread. Apart from the handle, so that the handle can go while this still runs.
    private struct Loop: Sendable {
        let monitor: Monitor<State>
        let writer: LogWriter
        let now: @Sendable () -> Instant
        let onEvent: @Sendable (Event) -> Void

        func run() {
            var triedAt = now()
            do throws(WriteAheadLogError) {
                while true {
                    switch nextWork() {
                    case .write(var batch, let through):
                        try writer.write(&batch)
                        finish(through)
                        try writer.maintain(after: batch)
                        let isIdle = reclaim(batch)
                        if isIdle { try writer.markDurable() }
                        // A log that is never idle for long must notice room too.
                        if writer.isShortOfSpace, now() >= triedAt + LogSyncThread.retryInterval {
                            try writer.retryAllocation()
                            triedAt = now()
                        }
                    case .retryAllocation:
                        try writer.retryAllocation()
                        triedAt = now()
                    case .stop:
                        try writer.close()
                        return
                    }
                    sayWhetherSpaceChanged()
                }
            } catch {
                let failure = error
                monitor.withLock { state in
                    state.failure = failure
                    state.inFlightSince = nil
                }
                onEvent(.failed(failure))
            }
        }

        private func nextWork() -> Work {
            let isShort = writer.isShortOfSpace
            let limit = isShort ? LogSyncThread.allocationRetryMilliseconds : nil
            let found = monitor.wait(atMostMilliseconds: limit) { state -> Work? in
                state.isWaiting = false
                if state.hasWork {
                    state.hasWork = false
                    if let batch = state.log.takeBatch() {
                        state.inFlightSince = now()
                        return .write(batch, through: state.lastSubmitted)
                    }
                }
                if state.isStopping { return .stop }
                if state.retriesAllocation {
                    state.retriesAllocation = false
                    return .retryAllocation
                }
                state.isWaiting = true
                return nil
            }
            return found ?? .retryAllocation
        }

        private func finish(_ through: UInt64?) {
            monitor.withLock { $0.inFlightSince = nil }
            if let through { onEvent(.durable(through: through)) }
        }

        /// Answers whether nothing waits to be written.
        private func reclaim(_ batch: LogBatch) -> Bool {
            monitor.withLock { state in
                state.log.reclaim(batch)
                return !state.hasWork
            }
        }

        private func sayWhetherSpaceChanged() {
            let changed = monitor.withLock { state -> LogSpace? in
                let space = state.log.space
                defer { state.space = space }
                return space == state.space ? nil : space
            }
            if let changed { onEvent(.space(changed)) }
        }
    }
}
