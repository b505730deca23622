import ConsensusTypes
import Synchronization
import WriteAheadLog

/// What a node remembers of others in one group. May be used from any thread.
public final class MemberMemory: Sendable {
    /// Stands among the records after the file was damaged. No node has it.
    private static let loss = MemberRecord(
        node: NodeID(0), directory: DirectoryID(0), startCount: 0, incarnation: 1)

    private let kept: Mutex<MemberRecords>
    /// Whether nothing was lost that has not been learnt anew: then not to know a node means something.
    public let isTrusted: Bool

    /// - Parameter peers: who is to be remembered.
    init(_ records: MemberRecords, peers: [NodeID]) {
        hasLost = records.record(of: MemberMemory.loss.node) != nil
        isTrusted =
            records.record(of: MemberMemory.loss.node) == nil
            || peers.allSatisfy { records.record(of: $0)?.startCount ?? 0 > 0 }
        kept = Mutex(records)
    }

    /// Whether the file was damaged once and not everything was learnt anew since.
    let hasLost: Bool

    public var records: [MemberRecord] { kept.withLock { $0.records } }

    /// For a node that is a member no more. Durable on return.
    public func forget(_ node: NodeID) throws(DataDirectoryError) {
        try kept.withLock { (records) throws(DataDirectoryError) in try records.forget(node) }
    }

    /// Durable on return.
    public func remember(_ record: MemberRecord) throws(DataDirectoryError) {
        try kept.withLock { (records) throws(DataDirectoryError) in try records.remember(record) }
    }

    /// The file was damaged: what it said is forgotten, and that it was is remembered.
    func noteLoss() throws(DataDirectoryError) {
        try remember(MemberMemory.loss)
    }
}
