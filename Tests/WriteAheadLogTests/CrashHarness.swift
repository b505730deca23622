import ConsensusTypes
import struct SystemPackage.Errno
import struct SystemPackage.FilePath

@testable import WriteAheadLog

/// Runs a log on a simulated disk, crashes it, opens it again, and compares with what must be there.
struct CrashHarness {
    static let directory: FilePath = "/log"

    var options = WriteAheadLogOptions(segmentSizeBytes: 4_096)
    /// What the disk does wrong all the time, besides crashing; for showing that the checks can fail.
    var lie: @Sendable (SimulatedOperation) -> SimulatedFault = { _ in .none }
    var stepsPerLife = 25
    var lives = 3

    /// What may be found after the present life: one of these, from the acknowledged one on.
    private struct Life {
        var states: [LogModel]
        var acknowledged = 0
        /// The last acknowledged batch.
        var lastBatch: (segment: UInt64, bytes: Range<Int>)?
    }

    /// Lives through `lives` crashes, the first one within operation `crashPoint`, and says what was wrong.
    /// Also says whether the first crash point was reached at all.
    func run(seed: UInt64, crashPoint: Int) -> (violation: String?, reached: Bool) {
        let fileSystem = SimulatedFileSystem(seed: seed &* 31 &+ UInt64(crashPoint))
        var random = SeededRandom(seed: seed ^ UInt64(crashPoint) << 20)
        var model = LogModel()
        var reached = false
        for life in 0..<lives {
            let crashAt =
                life == 0
                ? crashPoint : fileSystem.operationCount + Int(random.next(below: 60))
            let lie = lie
            fileSystem.setPlan { $0.number == crashAt ? .crash : lie($0) }
            var current = Life(states: [model])
            do {
                try live(&current, fileSystem, seed: life == 0 ? seed : random.next())
            } catch  where fileSystem.isCrashed {
                reached = reached || life == 0
            } catch {
                return ("life \(life): \(error)", reached)
            }
            let crash: SimulatedCrash = random.chance(1, outOf: 3) ? .process : .power
            fileSystem.setPlan { lie($0) }
            fileSystem.restart(after: crash)
            if crash == .process, let last = current.lastBatch, forgets(last, fileSystem, &random) {
                return ("life \(life): a damaged batch was acknowledged and is cut off silently", reached)
            }
            do {
                let found = try reopen(fileSystem, &random)
                guard let place = current.states.lastIndex(of: found) else {
                    return ("life \(life): a state was found that never was", reached)
                }
                guard place >= current.acknowledged else {
                    return (
                        "life \(life): step \(place) was found, \(current.acknowledged) was acknowledged",
                        reached
                    )
                }
                model = found
            } catch {
                return ("life \(life), after the crash: \(error)", reached)
            }
        }
        return (nil, reached)
    }

    /// Whether the log opens although a bit of its last acknowledged batch has changed. That must not be
    /// where only the process died.
    private func forgets(
        _ last: (segment: UInt64, bytes: Range<Int>), _ fileSystem: SimulatedFileSystem,
        _ random: inout SeededRandom
    ) -> Bool {
        let copy = fileSystem.copy()
        copy.setPlan(nil)
        let offset = last.bytes.lowerBound + Int(random.next(below: UInt64(last.bytes.count)))
        let path = CrashHarness.directory.appending(SegmentName.segment(last.segment))
        guard (try? copy.flipBit(Int(random.next(below: 8)), of: path, at: offset)) != nil else {
            return true
        }
        return (try? open(copy)) != nil
    }

    /// Opens what a crash left. Now and then the process dies right after that, and the power goes: what was
    /// found once must be found again.
    private func reopen(
        _ fileSystem: SimulatedFileSystem, _ random: inout SeededRandom
    ) throws -> LogModel {
        let found = LogModel(try open(fileSystem).groups)
        guard random.chance(1, outOf: 2) else { return found }
        fileSystem.restart(after: .power)
        let again = LogModel(try open(fileSystem).groups)
        guard found == again else { throw CrashHarnessError.changed }
        return found
    }

    private func open(_ fileSystem: SimulatedFileSystem) throws -> WriteAheadLog.Opened {
        try WriteAheadLog.open(directory: CrashHarness.directory, fileSystem: fileSystem, options: options)
    }

    private func live(_ life: inout Life, _ fileSystem: SimulatedFileSystem, seed: UInt64) throws {
        let opened = try open(fileSystem)
        let log = opened.log
        guard LogModel(opened.groups) == life.states[0] else { throw CrashHarnessError.changed }
        var maker = StepMaker(seed: seed, model: life.states[0])
        for _ in 0..<stepsPerLife {
            let step = maker.next()
            log.encode(step.writes)
            life.states.append(life.states[life.states.count - 1].applying(step.writes))
            for (group, through) in step.release {
                log.release(group: group, through: through)
            }
            while var batch = log.takeBatch() {
                let bytes = batch.offset..<batch.offset + batch.sizeBytes
                try log.writer.write(&batch)
                if !bytes.isEmpty { life.lastBatch = (batch.segment, bytes) }
                life.acknowledged = life.states.count - 1
                try log.writer.maintain(after: batch)
                log.reclaim(batch)
            }
            if maker.random.chance(1, outOf: 2) {
                try log.writer.markDurable()
            }
        }
        try log.close()
    }

    /// Every crash point of one workload; the violations that were found.
    func runAll(seed: UInt64) -> [String] {
        var violations: [String] = []
        var crashPoint = 0
        while true {
            let (violation, reached) = run(seed: seed, crashPoint: crashPoint)
            if let violation {
                violations.append("seed \(seed), crash point \(crashPoint): \(violation)")
            }
            if !reached { return violations }
            crashPoint += 1
        }
    }
}

enum CrashHarnessError: Error {
    case changed
}
