import ConsensusTypes

extension KeyValueStore {
    /// Writes out the store as it is now. Costs nothing at once; the store may go on changing, here or on
    /// another thread, while the writer is used.
    public func snapshotWriter() -> SnapshotWriter {
        SnapshotWriter(self)
    }
}

/// Turns a frozen copy of a store into bytes, a chunk at a time, in the order in which
/// ``SnapshotReader`` takes them.
public struct SnapshotWriter: Sendable {
    private enum Stage {
        case header
        case leases(after: LeaseID?)
        case versions(from: Revision)
        case trailer
        case done
    }

    private let store: KeyValueStore
    private var stage = Stage.header
    private var buffer: [UInt8] = []
    /// How much of `buffer` has been handed out.
    private var start = 0
    private var checksum = Checksum()

    init(_ store: KeyValueStore) {
        self.store = store
    }

    /// The revision that the snapshot holds.
    public var revision: Int64 { store.revision }

    /// The next bytes: `maximumSizeBytes` of them, fewer only at the end; `nil` once all have been handed
    /// out.
    public mutating func nextChunk(maximumSizeBytes: Int) -> [UInt8]? {
        precondition(maximumSizeBytes > 0, "a chunk holds at least one byte")
        if buffer.count - start < maximumSizeBytes {
            fill(to: maximumSizeBytes)
        }
        let size = min(maximumSizeBytes, buffer.count - start)
        guard size > 0 else { return nil }
        if start == 0, size == buffer.count {
            defer { buffer = [] }
            return buffer
        }
        defer { start += size }
        return Array(buffer[start..<start + size])
    }

    private mutating func fill(to size: Int) {
        buffer.removeSubrange(0..<start)
        start = 0
        var writer = ByteWriter(reserving: size + 4_096)
        buffer.withUnsafeBytes { writer.writeRaw($0) }
        let before = writer.count
        var isDone = false
        while writer.count < size, !isDone {
            switch stage {
            case .header:
                SnapshotFormat.Header(store: store).write(to: &writer)
                stage = .leases(after: nil)
            case .leases(let last): writeLeases(after: last, &writer, size)
            case .versions(let from): writeVersions(from: from, &writer, size)
            case .trailer, .done: isDone = true
            }
        }
        buffer = writer.bytes
        buffer.withUnsafeBytes { checksum.update(UnsafeRawBufferPointer(rebasing: $0[before...])) }
        if case .trailer = stage {
            withUnsafeBytes(of: checksum.value.littleEndian) { buffer.append(contentsOf: $0) }
            stage = .done
        }
    }

    private mutating func writeLeases(after last: LeaseID?, _ writer: inout ByteWriter, _ size: Int) {
        var written = last
        var isCutShort = false
        store.leaseTable.visit(from: last) { id, record in
            if id == last { return true }
            guard writer.count < size else {
                isCutShort = true
                return false
            }
            SnapshotFormat.write(record.grant, to: &writer)
            written = id
            return true
        }
        stage = isCutShort ? .leases(after: written) : .versions(from: Revision(main: .min, sub: 0))
    }

    private mutating func writeVersions(from first: Revision, _ writer: inout ByteWriter, _ size: Int) {
        var next: Revision?
        store.log.visit(from: first) { revision, record in
            guard writer.count < size else {
                next = revision
                return false
            }
            SnapshotFormat.write(record, to: &writer)
            return true
        }
        stage = next.map { .versions(from: $0) } ?? .trailer
    }
}
