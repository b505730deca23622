#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A value behind a lock, with a condition to wait for.
///
/// `@unchecked Sendable`: the value is reached only with the lock held, in `withLock` and `wait`, and the
/// results of both are `Sendable`, so nothing of it is seen outside. The lock and the condition are made for
/// several threads; their memory is allocated once and lives as long as the monitor.
final class Monitor<Value>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var value: Value

    init(_ value: sending Value) {
        self.value = value
        precondition(pthread_mutex_init(mutex, nil) == 0, "a mutex cannot be made")
        #if canImport(Darwin)
            precondition(pthread_cond_init(condition, nil) == 0, "a condition cannot be made")
        #else
            // Waits are measured on the clock that nobody sets.
            var attributes = pthread_condattr_t()
            precondition(pthread_condattr_init(&attributes) == 0, "a condition cannot be made")
            precondition(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0, "no monotonic clock")
            precondition(pthread_cond_init(condition, &attributes) == 0, "a condition cannot be made")
            pthread_condattr_destroy(&attributes)
        #endif
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func withLock<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&value)
    }

    /// Waits until `body` answers with something, looking again after each ``signal()`` and, with a time
    /// limit, once more when it has passed; then `nil`.
    func wait<Result: Sendable>(
        atMostMilliseconds limit: Int? = nil, _ body: (inout Value) -> Result?
    ) -> Result? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let deadline = limit.map(Monitor.deadline)
        while true {
            if let result = body(&value) { return result }
            if let deadline {
                if !waitOnce(until: deadline) { return body(&value) }
            } else {
                pthread_cond_wait(condition, mutex)
            }
        }
    }

    func signal() {
        pthread_cond_signal(condition)
    }

    #if canImport(Darwin)
        private static func deadline(_ milliseconds: Int) -> UInt64 {
            clock_gettime_nsec_np(CLOCK_UPTIME_RAW) + UInt64(milliseconds) * 1_000_000
        }

        private func waitOnce(until deadline: UInt64) -> Bool {
            let now = clock_gettime_nsec_np(CLOCK_UPTIME_RAW)
            guard now < deadline else { return false }
            let left = deadline - now
            var time = timespec(tv_sec: Int(left / 1_000_000_000), tv_nsec: Int(left % 1_000_000_000))
            return pthread_cond_timedwait_relative_np(condition, mutex, &time) == 0
        }
    #else
        private static func deadline(_ milliseconds: Int) -> timespec {
            var time = timespec()
            clock_gettime(CLOCK_MONOTONIC, &time)
            let nanoseconds = time.tv_nsec + (milliseconds % 1_000) * 1_000_000
            time.tv_sec += milliseconds / 1_000 + nanoseconds / 1_000_000_000
            time.tv_nsec = nanoseconds % 1_000_000_000
            return time
        }

        private func waitOnce(until deadline: timespec) -> Bool {
            var deadline = deadline
            return pthread_cond_timedwait(condition, mutex, &deadline) == 0
        }
    #endif
}

/// A thread of the operating system that runs one closure.
struct SystemThread: Sendable {
    private final class Start {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }

    #if canImport(Darwin)
        // A thread's handle may be used from any thread; Darwin declares it as a pointer.
        private nonisolated(unsafe) let handle: pthread_t
    #else
        private let handle: pthread_t
    #endif

    init(_ body: @escaping @Sendable () -> Void) {
        let start = Unmanaged.passRetained(Start(body)).toOpaque()
        #if canImport(Darwin)
            var handle: pthread_t?
            let status = pthread_create(&handle, nil, { SystemThread.run($0) }, start)
            precondition(status == 0, "a thread cannot be started")
            self.handle = handle!
        #else
            var handle = pthread_t()
            let status = pthread_create(&handle, nil, { SystemThread.run($0!) }, start)
            precondition(status == 0, "a thread cannot be started")
            self.handle = handle
        #endif
    }

    /// Waits for the end of the closure. To be called once.
    func join() {
        pthread_join(handle, nil)
    }

    /// Lets the thread end unobserved, instead of `join`.
    func detach() {
        pthread_detach(handle)
    }

    var isCurrent: Bool { pthread_equal(handle, pthread_self()) != 0 }

    private static func run(_ start: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
        Unmanaged<Start>.fromOpaque(start).takeRetainedValue().body()
        return nil
    }
}
