import ConsensusTypes
import Logging
import PeerTransport
import RaftCore
import WriteAheadLog

/// The real world for a ``Replica``: everything goes on to the node's log, links and snapshot thread.
///
/// Apart from ``KeyValueNode`` because the replica and the group are made before the node is whole.
final class NodeEnvironment: ReplicaEnvironment {
    weak var node: KeyValueNode?

    func send(_ message: RaftMessage) {
        guard let node else { return }
        let bytes = RaftMessageCoding.encode(message, group: KeyValueNode.groupID)
        _ = node.transport.send(bytes, kind: KeyValueNode.FrameKind.raft.rawValue, to: message.to)
    }

    func sendAside(_ bytes: [UInt8], to peer: NodeID) {
        guard let node else { return }
        _ = node.transport.send(bytes, kind: KeyValueNode.FrameKind.aside.rawValue, to: peer)
        node.scheduleTurn()
    }

    func persist(_ write: LogWrite, sequence: UInt64) {
        node?.log.submit([write], sequence: sequence)
    }

    func storeSnapshot(_ metadata: SnapshotMetadata, source: any SnapshotSource) {
        guard let node else { return }
        node.logger.info("taking a snapshot", metadata: ["index": "\(metadata.index)"])
        node.worker.write(metadata, source: source) { error in
            node.loop.execute {
                if let error { node.logger.error("the snapshot could not be stored: \(error)") }
                guard !node.isStopped else { return }
                node.replica.snapshotStored(metadata, succeeded: error == nil, now: KeyValueNode.now())
            }
        }
    }

    func releaseLog(through metadata: SnapshotMetadata) {
        guard let node else { return }
        node.log.release(group: KeyValueNode.groupID, through: metadata.index)
        let logger = node.logger
        node.worker.removeObsolete(before: metadata.index) { error in
            if let error { logger.error("old snapshots could not be removed: \(error)") }
        }
    }

    func readSnapshot(_ read: SnapshotRead) {
        guard let node else { return }
        node.worker.read(read) { result in
            node.loop.execute {
                guard !node.isStopped else { return }
                let now = KeyValueNode.now()
                switch result {
                case .success(let chunk):
                    node.replica.snapshotRead(read, chunk: chunk, now: now)
                case .failure(let error):
                    node.logger.error("a snapshot cannot be read for \(read.peer): \(error)")
                    node.replica.snapshotRead(read, chunk: nil, now: now)
                }
            }
        }
    }

    func storeReceivedChunk(_ chunk: SnapshotChunk, restorer: any SnapshotRestorer) {
        guard let node else { return }
        node.worker.receive(chunk, restorer: restorer) { result in
            node.loop.execute {
                guard !node.isStopped else { return }
                let now = KeyValueNode.now()
                switch result {
                case .success(let metadata):
                    node.logger.info("received a snapshot", metadata: ["index": "\(metadata.index)"])
                    node.replica.receivedSnapshotStored(metadata, restorer: restorer, now: now)
                case .failure(let error):
                    node.logger.error("a snapshot from the leader was refused: \(error)")
                    node.replica.receivedSnapshotStored(chunk.metadata, restorer: nil, now: now)
                }
            }
        }
    }

    func scheduleTurn() {
        node?.scheduleTurn()
    }
}
