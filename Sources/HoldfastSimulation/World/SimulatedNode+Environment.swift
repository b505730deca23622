import ConsensusTypes
import RaftCore
import ReplicaRuntime
import WriteAheadLog

// What production's node gives to its replica.
extension SimulatedNode {
    func send(_ message: RaftMessage) {
        if !isSecond { world.checker.noteSent(number, message) }
        if case .voteResponse(granted: true) = message.body { world.observe(.voted, number) }
        world.send(.raft(message), from: self, to: NodeNumber.number(message.to))
    }

    func sendAside(_ bytes: [UInt8], to peer: NodeID) {
        world.send(.aside(from: nodeID, ByteSlice(bytes)), from: self, to: NodeNumber.number(peer))
    }

    func persist(_ write: LogWrite, sequence: UInt64) {
        log.encode([write])
        lastSequence = sequence
        // Cannot fail: beginning a sync does no input or output while something is gathered.
        try? beginSync()
    }

    func storeSnapshot(_ metadata: SnapshotMetadata, source: any SnapshotSource) {
        schedule(.store(metadata, source))
        world.observe(.snapshotBegun, number)
    }

    func releaseLog(through metadata: SnapshotMetadata) {
        log.release(group: KeyValueNode.groupID, through: metadata.index)
        schedule(.removeObsolete(before: metadata.index))
    }

    func readSnapshot(_ read: SnapshotRead) {
        schedule(.read(read))
    }

    func storeReceivedChunk(_ chunk: SnapshotChunk, restorer: any SnapshotRestorer) {
        if chunk.offset == 0 { world.observe(.snapshotBegun, number) }
        schedule(.receive(chunk, restorer))
    }

    func schedule(_ task: SnapshotTask) {
        snapshotThreadBusyUntil = world.scheduleSnapshotTask(
            task, number, session: session, busyUntil: snapshotThreadBusyUntil)
    }

    func scheduleTurn() {
        guard !isTurnScheduled else { return }
        isTurnScheduled = true
        if runsTurnsAtOnce { return }
        world.scheduleTurn(number, session: session)
    }
}
