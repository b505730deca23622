import ConsensusTypes
import Logging
import RaftCore
import WriteAheadLog

/// The real world for a ``Replica``: everything goes on to its node's log, links and snapshot thread.
///
/// Apart from ``GroupHost``, whose own interface is for others.
final class GroupEnvironment<Group: HostedGroup>: ReplicaEnvironment {
    /// Owns this.
    weak var host: GroupHost<Group>?

    func send(_ message: RaftMessage) {
        guard let host, let node = host.node else { return }
        let bytes = RaftMessageCoding.encode(message, group: host.id)
        _ = node.transport.send(bytes, kind: NodeFrameKind.raft.rawValue, to: message.to)
    }

    func sendAside(_ bytes: [UInt8], to peer: NodeID) {
        guard let host else { return }
        host.sendAside(bytes, to: peer)
        host.scheduleTurn()
    }

    var suspendedTime: Interval { host?.node?.options.suspendedTime() ?? .zero }

    func persist(_ write: LogWrite, sequence: UInt64) {
        guard let host else { return }
        host.node?.persist(write, of: host.position, sequence: sequence)
    }

    func storeSnapshot(_ metadata: SnapshotMetadata, source: any SnapshotSource) {
        guard let host, let node = host.node else { return }
        host.logger.info("taking a snapshot", metadata: ["index": "\(metadata.index)"])
        host.worker.submit { files in
            var failure: SnapshotError?
            do throws(SnapshotError) {
                try files.write(metadata, source: source)
            } catch {
                failure = error
            }
            node.whenRunning { [failure] now in
                if let failure { host.logger.error("the snapshot could not be stored: \(failure)") }
                host.replica.snapshotStored(metadata, succeeded: failure == nil, now: now)
            }
        }
    }

    func releaseLog(through metadata: SnapshotMetadata) {
        guard let host else { return }
        host.node?.log.release(group: host.id, through: metadata.index)
        let logger = host.logger
        host.worker.submit { files in
            do throws(SnapshotError) {
                try files.removeObsolete(before: metadata.index)
            } catch {
                logger.error("old snapshots could not be removed: \(error)")
            }
        }
    }

    func readSnapshot(_ read: SnapshotRead) {
        guard let host, let node = host.node else { return }
        host.worker.submit { files in
            var chunk: SnapshotChunk?
            var isDamaged = false
            do throws(SnapshotError) {
                chunk = try files.read(read)
            } catch {
                isDamaged = error.isDamage(in: read)
                host.logger.error("a snapshot cannot be read for \(read.peer): \(error)")
            }
            node.whenRunning { [chunk, isDamaged] now in
                host.replica.snapshotRead(read, chunk: chunk, isDamaged: isDamaged, now: now)
            }
        }
    }

    func storeReceivedChunk(_ chunk: SnapshotChunk, restorer: any SnapshotRestorer) {
        guard let host, let node = host.node else { return }
        host.worker.submit { files in
            var isWhole = true
            var finished: (any SnapshotRestorer)?
            do throws(SnapshotReceiveError) {
                isWhole = try files.add(chunk, restorer: restorer)
                finished = restorer
            } catch {
                host.logger.error("a snapshot from the leader was refused: \(error)")
            }
            guard isWhole else { return }
            node.whenRunning { [finished] now in
                host.logger.info("received a snapshot", metadata: ["index": "\(chunk.metadata.index)"])
                host.replica.receivedSnapshotStored(chunk.metadata, restorer: finished, now: now)
            }
        }
    }

    func isPresent(_ peer: NodeID) -> Bool {
        guard let host, let node = host.node else { return false }
        return node.transport.isConnected(to: peer) && host.admission.standing(of: peer) == .accepted
    }

    func report(_ text: String) {
        host?.logger.notice("\(text)")
    }

    func membershipChanged(_ membership: Membership) {
        guard let host else { return }
        host.node?.membershipChanged(membership, of: host)
    }

    func membershipCommitted(_ membership: Membership, index: LogIndex) {
        guard let host else { return }
        host.node?.membershipCommitted(membership, index: index, of: host)
    }

    func scheduleTurn() {
        host?.scheduleTurn()
    }
}
