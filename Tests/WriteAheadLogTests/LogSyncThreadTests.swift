import ConsensusTypes
import struct SystemPackage.Errno
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

/// Gathers what a thread says and lets a test wait for it.
private final class EventLog: Sendable {
    private let events = Monitor<[LogSyncThread.Event]>([])

    @Sendable
    func add(_ event: LogSyncThread.Event) {
        events.withLock { $0.append(event) }
        events.signal()
    }

    var all: [LogSyncThread.Event] { events.withLock { $0 } }

    func wait(for event: LogSyncThread.Event) {
        _ = events.wait { $0.contains(event) ? true : nil }
    }
}

@Suite("The log's thread")
struct LogSyncThreadTests {
    private func start(
        _ fileSystem: any FileSystem, _ directory: FilePath, _ events: EventLog, bytes: Int = 16 << 20
    ) throws -> LogSyncThread {
        let opened = try WriteAheadLog.open(
            directory: directory, fileSystem: fileSystem, options: .init(segmentSizeBytes: 64 << 10))
        return LogSyncThread(
            log: opened.log, maximumGatheredBytes: bytes, onEvent: { event in events.add(event) })
    }

    private func submit(_ thread: LogSyncThread, _ index: Int) -> Bool {
        thread.submit(
            [LogWrite(group: GroupID(1), entries: entries(index...index))], sequence: UInt64(index))
    }

    @Test("everything submitted becomes durable, in order, and closing ends it")
    func durable() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let events = EventLog()
        let thread = try start(fileSystem, logDirectory, events)
        for index in 1...500 { #expect(submit(thread, index)) }
        events.wait(for: .durable(through: 500))
        #expect(thread.inFlightSince == nil)
        #expect(thread.stop() == nil)
        var last: UInt64 = 0
        for case .durable(let through) in events.all {
            #expect(through >= last)
            last = through
        }
        let opened = try openLog(fileSystem)
        #expect(opened.groups[0].entries == entries(1...500))
        #expect(opened.report.end == .closed)
        #expect(!submit(thread, 501))
    }

    @Test("while one sync is in flight everything else gathers into one batch, and the bound is told")
    func gathers() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let events = EventLog()
        let thread = try start(fileSystem, logDirectory, events, bytes: 2_000)
        let isOpen = Monitor(false)
        let reached = Monitor(false)
        fileSystem.setPlan { operation in
            guard operation.operation == .synchronize else { return .none }
            reached.withLock { $0 = true }
            reached.signal()
            _ = isOpen.wait { $0 ? true : nil }
            return .none
        }
        #expect(submit(thread, 1))
        _ = reached.wait { $0 ? true : nil }
        #expect(thread.inFlightSince != nil)
        for index in 2...100 {
            #expect(submit(thread, index) == (thread.gatheredBytes < 2_000))
        }
        #expect(!thread.hasRoom)
        isOpen.withLock { $0 = true }
        isOpen.signal()
        events.wait(for: .durable(through: 100))
        #expect(thread.hasRoom)
        thread.stop()
        #expect(events.all == [.durable(through: 1), .durable(through: 100)])
    }

    @Test("a failed sync is said once, and nothing becomes durable after it")
    func failure() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let events = EventLog()
        let thread = try start(fileSystem, logDirectory, events)
        #expect(submit(thread, 1))
        events.wait(for: .durable(through: 1))
        fileSystem.setPlan { $0.operation == .synchronize ? .fail(.ioError) : .none }
        #expect(submit(thread, 2))
        let expected = WriteAheadLogError.fileSystem(
            FileSystemError(operation: .synchronize, path: segmentPath(1), code: .ioError))
        events.wait(for: .failed(expected))
        fileSystem.setPlan(nil)
        #expect(!submit(thread, 3))
        #expect(thread.stop() == expected)
        #expect(events.all == [.durable(through: 1), .failed(expected)])
    }

    @Test("room that comes back is noticed without being asked for")
    func space() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let events = EventLog()
        let thread = try start(fileSystem, logDirectory, events)
        fileSystem.setCapacity(fileSystem.usedBytes)
        var index = 0
        while !events.all.contains(.space(.low)) {
            index += 1
            #expect(submit(thread, index))
            events.wait(for: .durable(through: UInt64(index)))
        }
        #expect(thread.space == .low)
        fileSystem.setCapacity(nil)
        thread.retryAllocation()
        events.wait(for: .space(.ample))
        #expect(thread.stop() == nil)
    }

    /// A node with a full disk still writes its deletions, leases and votes, more often than once a second.
    @Test("room that comes back is noticed by a log that is never idle")
    func spaceWhileWriting() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let events = EventLog()
        let seconds = Monitor<UInt64>(0)
        let opened = try WriteAheadLog.open(
            directory: logDirectory, fileSystem: fileSystem, options: .init(segmentSizeBytes: 64 << 10))
        let thread = LogSyncThread(
            log: opened.log,
            now: {
                seconds.withLock { seconds in
                    seconds += 1
                    return .zero + .seconds(Int(seconds))
                }
            }, onEvent: { event in events.add(event) })
        fileSystem.setCapacity(fileSystem.usedBytes)
        var index = 0
        while !events.all.contains(.space(.low)) {
            index += 1
            #expect(submit(thread, index))
            events.wait(for: .durable(through: UInt64(index)))
        }
        fileSystem.setCapacity(nil)
        // So few that no other segment begins, which would notice it too.
        for _ in 0..<20 where !events.all.contains(.space(.ample)) {
            index += 1
            #expect(submit(thread, index))
            events.wait(for: .durable(through: UInt64(index)))
        }
        #expect(events.all.contains(.space(.ample)))
        #expect(thread.stop() == nil)
    }

    @Test("letting go of it stops it")
    func release() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let events = EventLog()
        do {
            let thread = try start(fileSystem, logDirectory, events)
            #expect(submit(thread, 1))
        }
        #expect(try openLog(fileSystem).groups[0].entries == entries(1...1))
    }
}
