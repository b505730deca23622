import ConsensusTypes
import RaftCore
import ReplicaRuntime
import WriteAheadLog

// What takes time: snapshots, and what is remembered.
extension SimulatedNode {
    func run(_ task: SnapshotTask) {
        let now = world.now(of: number)
        switch task {
        case .store(let metadata, let source):
            let isStored = (try? files.write(metadata, source: source)) != nil
            replica.snapshotStored(metadata, succeeded: isStored, now: now)
            if isStored { world.observe(.snapshotStored, number) }
        case .read(let read):
            let (chunk, isDamaged) = readSnapshotFile(read)
            replica.snapshotRead(read, chunk: chunk, isDamaged: isDamaged, now: now)
        case .readForRepair(let read):
            let (chunk, isDamaged) = readSnapshotFile(read)
            admission.snapshotRead(read, chunk: chunk, now: now)
            if isDamaged { replica?.renewSnapshot(now: now) }
            carryOutAdmission()
        case .storeForRepair(let chunk):
            storeForRepair(chunk)
            carryOutAdmission()
        case .remember(let record):
            do throws(DataDirectoryError) {
                try opened.memory.remember(record)
                admission.remembered(record, now: now)
                carryOutAdmission()
            } catch {
                if error.isNoSpace { scheduleRemembering(record) } else { ending = .cannotRemember(error) }
            }
        case .forget(let node): forget(node)
        case .writeCluster(let record): write(record)
        case .receive(let chunk, let restorer):
            do throws(SnapshotReceiveError) {
                guard try files.add(chunk, restorer: restorer) else { return }
                replica.receivedSnapshotStored(chunk.metadata, restorer: restorer, now: now)
                world.observe(.snapshotStored, number)
            } catch {
                replica.receivedSnapshotStored(chunk.metadata, restorer: nil, now: now)
            }
        case .removeObsolete(let index):
            try? files.removeObsolete(before: index)
        }
    }

    private func readSnapshotFile(_ read: SnapshotRead) -> (chunk: SnapshotChunk?, isDamaged: Bool) {
        do throws(SnapshotError) {
            return (try files.read(read), false)
        } catch {
            return (nil, error.isDamage(in: read))
        }
    }

    private func storeForRepair(_ chunk: SnapshotChunk) {
        var outcome = ChunkOutcome.failed
        if chunk.offset == 0 || repairCheck == nil { repairCheck = chunk.metadata.restorer(makeRestorer) }
        do throws(SnapshotReceiveError) {
            outcome = try files.add(chunk, restorer: repairCheck!) ? .whole : .stored
        } catch {
            // The node hears of it below.
        }
        if outcome != .stored { repairCheck = nil }
        admission.chunkStored(chunk.metadata, outcome: outcome, now: world.now(of: number))
    }
}
