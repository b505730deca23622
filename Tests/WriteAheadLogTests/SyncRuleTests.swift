import ConsensusTypes
import Synchronization
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

/// Rules about syncs that crashes show only where a disk reorders what it was told in just the wrong way.
@Suite("Rules about syncs")
struct SyncRuleTests {
    /// What was done to a disk, in order.
    private final class Recorder: Sendable {
        private let operations = Mutex<[SimulatedOperation]>([])

        func note(_ operation: SimulatedOperation) {
            operations.withLock { $0.append(operation) }
        }

        var all: [SimulatedOperation] { operations.withLock { $0 } }
    }

    @Test("a sync that failed once is final, even where a second one would succeed")
    func failedOnce() throws {
        var failures = 0
        // One of the operations of a flush fails; which of them are syncs is found out by the plan.
        for offset in 0..<6 {
            let fileSystem = SimulatedFileSystem(seed: 1)
            let log = try openLog(fileSystem).log
            log.encode([LogWrite(group: GroupID(1), entries: entries(1...1))])
            try log.flush()
            let chosen = fileSystem.operationCount + offset
            let hits = Recorder()
            fileSystem.setPlan { operation in
                guard operation.number == chosen, operation.operation == .synchronize else { return .none }
                hits.note(operation)
                return .fail(.ioError)
            }
            log.encode([LogWrite(group: GroupID(1), entries: entries(2...2))])
            var hasFailed = false
            do {
                try log.flush()
            } catch {
                hasFailed = true
            }
            #expect(hasFailed == !hits.all.isEmpty, "operation \(offset)")
            failures += hits.all.count
        }
        #expect(failures > 0)
    }

    @Test("nothing gets the name of a segment before its bytes are durable")
    func headsBeforeNames() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let recorder = Recorder()
        fileSystem.setPlan {
            recorder.note($0)
            return .none
        }
        let log = try openLog(fileSystem).log
        for index in 1...60 {
            log.encode([LogWrite(group: GroupID(1), entries: entries(index...index, payloadBytes: 500))])
            try log.flush()
        }
        var unsynced: Set<FilePath> = []
        var renames = 0
        for operation in recorder.all {
            switch operation.operation {
            case .write: unsynced.insert(operation.path)
            case .synchronize: unsynced.remove(operation.path)
            case .rename:
                renames += 1
                #expect(!unsynced.contains(operation.path), "\(operation.path) is named unsynced")
            default: break
            }
        }
        #expect(renames > 3)
    }

    @Test("a flush with a vote syncs the anchor's copy of it, one without does not")
    func votes() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        log.encode([LogWrite(group: GroupID(1), entries: entries(1...1))])
        try log.flush()
        for (hardState, expected) in [
            (HardState(term: Term(4), votedFor: NodeID(2)), true), (nil, false),
            (HardState(term: Term(5), votedFor: NodeID(3)), true),
        ] {
            let recorder = Recorder()
            fileSystem.setPlan {
                recorder.note($0)
                return .none
            }
            log.encode([
                LogWrite(
                    group: GroupID(1), hardState: hardState, entries: hardState == nil ? entries(2...2) : [])
            ])
            try log.flush()
            let isSynced = recorder.all.contains {
                $0.operation == .synchronize && $0.path.lastComponent?.string == LogAnchor.fileName
            }
            #expect(isSynced == expected)
        }
    }
}
