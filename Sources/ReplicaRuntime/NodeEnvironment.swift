import ConsensusTypes
import Logging
import PeerTransport
import RaftCore
import WriteAheadLog

/// The real world for a ``Replica``: everything goes on to the node's log, links and snapshot thread.
///
/// Apart from ``ReplicaNode`` because the replica and the group are made before the node is whole.
final class NodeEnvironment<Group: HostedGroup>: ReplicaEnvironment {
    weak var node: ReplicaNode<Group>?

    func send(_ message: RaftMessage) {
        guard let node else { return }
        let bytes = RaftMessageCoding.encode(message, group: ReplicaNode<Group>.groupID)
        _ = node.transport.send(bytes, kind: NodeFrameKind.raft.rawValue, to: message.to)
    }

    func sendAside(_ bytes: [UInt8], to peer: NodeID) {
        guard let node else { return }
        _ = node.transport.send(bytes, kind: NodeFrameKind.aside.rawValue, to: peer)
        node.scheduleTurn()
    }

    func persist(_ write: LogWrite, sequence: UInt64) {
        node?.log.submit([write], sequence: sequence)
    }

    func storeSnapshot(_ metadata: SnapshotMetadata, source: any SnapshotSource) {
        guard let node else { return }
        node.logger.info("taking a snapshot", metadata: ["index": "\(metadata.index)"])
        node.worker.submit { files in
            var failure: SnapshotError?
            do throws(SnapshotError) {
                try files.write(metadata, source: source)
            } catch {
                failure = error
            }
            node.whenRunning { [failure] now in
                if let failure { node.logger.error("the snapshot could not be stored: \(failure)") }
                node.replica.snapshotStored(metadata, succeeded: failure == nil, now: now)
            }
        }
    }

    func releaseLog(through metadata: SnapshotMetadata) {
        guard let node else { return }
        node.log.release(group: ReplicaNode<Group>.groupID, through: metadata.index)
        let logger = node.logger
        node.worker.submit { files in
            do throws(SnapshotError) {
                try files.removeObsolete(before: metadata.index)
            } catch {
                logger.error("old snapshots could not be removed: \(error)")
            }
        }
    }

    func readSnapshot(_ read: SnapshotRead) {
        guard let node else { return }
        node.worker.submit { files in
            var chunk: SnapshotChunk?
            var isDamaged = false
            do throws(SnapshotError) {
                chunk = try files.read(read)
            } catch {
                isDamaged = error.isDamage(in: read)
                node.logger.error("a snapshot cannot be read for \(read.peer): \(error)")
            }
            node.whenRunning { [chunk, isDamaged] now in
                node.replica.snapshotRead(read, chunk: chunk, isDamaged: isDamaged, now: now)
            }
        }
    }

    func storeReceivedChunk(_ chunk: SnapshotChunk, restorer: any SnapshotRestorer) {
        guard let node else { return }
        node.worker.submit { files in
            var isWhole = true
            var finished: (any SnapshotRestorer)?
            do throws(SnapshotReceiveError) {
                isWhole = try files.add(chunk, restorer: restorer)
                finished = restorer
            } catch {
                node.logger.error("a snapshot from the leader was refused: \(error)")
            }
            guard isWhole else { return }
            node.whenRunning { [finished] now in
                node.logger.info("received a snapshot", metadata: ["index": "\(chunk.metadata.index)"])
                node.replica.receivedSnapshotStored(chunk.metadata, restorer: finished, now: now)
            }
        }
    }

    func isPresent(_ peer: NodeID) -> Bool {
        guard let node else { return false }
        return node.transport.isConnected(to: peer) && node.admission.standing(of: peer) == .accepted
    }

    func report(_ text: String) {
        node?.logger.notice("\(text)")
    }

    func membershipChanged(_ membership: Membership) {
        node?.membershipChanged(membership)
    }

    func membershipCommitted(_ membership: Membership, index: LogIndex) {
        node?.membershipCommitted(membership, index: index)
    }

    func scheduleTurn() {
        node?.scheduleTurn()
    }
}
