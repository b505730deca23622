import ConsensusTypes
import RaftCore
import WriteAheadLog

/// Why a snapshot from a leader could not be taken.
public enum SnapshotReceiveError: Error, Hashable, Sendable, CustomStringConvertible {
    case storing(SnapshotError)
    case decoding(ByteDecodingError)
    /// An earlier chunk failed.
    case abandoned

    public var description: String {
        switch self {
        case .storing(let error): "\(error)"
        case .decoding(let error): "the snapshot does not decode: \(error)"
        case .abandoned: "an earlier part of the snapshot was refused"
        }
    }
}

/// What a replica wants of its snapshot files, for one caller at a time. ``SnapshotWorker`` calls it on a
/// thread, the simulator in an event.
public final class SnapshotFiles {
    /// How much is asked of a snapshot's source at a time.
    private static let chunkSizeBytes = 256 << 10

    private let store: SnapshotStore
    private let group: GroupID
    /// Stays open across chunks, so that it can be read on after a newer one replaced it.
    private var reading: SnapshotFile?
    private var receiving: SnapshotWriter?

    public init(store: SnapshotStore, group: GroupID) {
        self.store = store
        self.group = group
    }

    /// Writes a snapshot of this node's own. On return it is durable.
    public func write(_ metadata: SnapshotMetadata, source: any SnapshotSource) throws(SnapshotError) {
        var source = source
        let writer = try store.begin(group, metadata)
        while let chunk = source.nextChunk(maximumSizeBytes: SnapshotFiles.chunkSizeBytes) {
            try writer.append(chunk)
        }
        try writer.finish()
    }

    /// Reads a part of the snapshot that is asked for, or of the newest.
    public func read(_ request: SnapshotRead) throws(SnapshotError) -> SnapshotChunk {
        let file: SnapshotFile
        if let metadata = request.metadata {
            if let open = reading, open.metadata == metadata {
                file = open
            } else {
                file = try store.open(group, metadata)
            }
        } else {
            guard let latest = try store.latest(group) else { throw .missing(file: store.directory) }
            file = latest
        }
        // A witness has nothing to give.
        guard !file.metadata.isWithheld else { throw .missing(file: store.directory) }
        let bytes: ByteSlice
        do throws(SnapshotError) {
            bytes = try file.read(at: request.offset, maximum: request.maximumSizeBytes)
        } catch {
            // A whole one may take its place under the same name.
            reading = nil
            throw error
        }
        reading = file
        let isLast = request.offset + UInt64(bytes.count) >= file.sizeBytes
        return SnapshotChunk(
            metadata: file.metadata, offset: request.offset, bytes: bytes, isLast: isLast, sentAt: .zero)
    }

    /// Adds a chunk from a leader; one at offset zero begins anew. Returns whether the snapshot is whole: then
    /// it is durable and `restorer` has built its state.
    public func add(
        _ chunk: SnapshotChunk, restorer: any SnapshotRestorer
    ) throws(SnapshotReceiveError) -> Bool {
        do throws(SnapshotReceiveError) {
            return try addChecked(chunk, restorer)
        } catch {
            receiving?.abandon()
            receiving = nil
            throw error
        }
    }

    private func addChecked(
        _ chunk: SnapshotChunk, _ restorer: any SnapshotRestorer
    ) throws(SnapshotReceiveError) -> Bool {
        if chunk.offset == 0 {
            receiving?.abandon()
            receiving = try storing { () throws(SnapshotError) in try store.begin(group, chunk.metadata) }
        }
        guard let writer = receiving, writer.metadata == chunk.metadata, writer.sizeBytes == chunk.offset
        else {
            throw .abandoned
        }
        try storing { () throws(SnapshotError) in try writer.append(chunk.bytes) }
        try decoding { () throws(ByteDecodingError) in try restorer.receive(chunk.bytes) }
        guard chunk.isLast else { return false }
        receiving = nil
        try decoding { () throws(ByteDecodingError) in try restorer.finish() }
        try storing { () throws(SnapshotError) in try writer.finish() }
        return true
    }

    public func removeObsolete(before index: LogIndex) throws(SnapshotError) {
        try store.removeObsolete(group, before: index)
    }

    private func storing<Value>(
        _ body: () throws(SnapshotError) -> Value
    ) throws(SnapshotReceiveError) -> Value {
        do throws(SnapshotError) { return try body() } catch { throw .storing(error) }
    }

    private func decoding(_ body: () throws(ByteDecodingError) -> Void) throws(SnapshotReceiveError) {
        do throws(ByteDecodingError) { try body() } catch { throw .decoding(error) }
    }
}

extension SnapshotError {
    /// Whether what was read is not what was stored, so that a new snapshot must take its place.
    public func isDamage(in read: SnapshotRead) -> Bool {
        switch self {
        case .damaged: true
        // One that was asked for by name may have been replaced by a newer one.
        case .missing: read.metadata == nil
        default: false
        }
    }
}
