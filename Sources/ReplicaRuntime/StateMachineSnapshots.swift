import ConsensusTypes

/// A frozen copy of a machine as a ``SnapshotSource``. Its bytes are made on the thread that reads them.
struct StateMachineSnapshotSource<S: StateMachine>: SnapshotSource {
    private let state: S
    private var bytes: [UInt8]?
    private var offset = 0

    init(_ state: S) {
        self.state = state
    }

    mutating func nextChunk(maximumSizeBytes: Int) -> [UInt8]? {
        precondition(maximumSizeBytes > 0, "a chunk holds at least one byte")
        if bytes == nil { bytes = StateMachineSnapshotFormat.encode(state) }
        let whole = bytes!
        guard offset < whole.count else { return nil }
        let end = min(offset + maximumSizeBytes, whole.count)
        defer { offset = end }
        return Array(whole[offset..<end])
    }
}

/// Builds a machine from a snapshot's bytes.
///
/// Sendable without a lock: it is used by one thread at a time. The thread that stores snapshots calls
/// `receive` and `finish`, hands the object to the replica's loop by scheduling a task there, which orders
/// the accesses, and never touches it again.
public final class StateMachineRestorer<S: StateMachine>: SnapshotRestorer, @unchecked Sendable {
    private var bytes: [UInt8] = []
    private var state: S?

    public init() {}

    public func receive(_ part: ByteSlice) throws(ByteDecodingError) {
        guard bytes.count + part.count <= StateMachineSnapshotFormat.maximumSizeBytes else {
            throw ByteDecodingError(
                offset: bytes.count,
                reason: "a snapshot of a state machine has more than "
                    + "\(StateMachineSnapshotFormat.maximumSizeBytes) bytes")
        }
        part.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    public func finish() throws(ByteDecodingError) {
        let whole = bytes
        bytes = []
        state = try StateMachineSnapshotFormat.decode(ByteSlice(whole))
    }

    /// The finished state; `nil` before ``finish()`` and after it was taken.
    public func takeState() -> S? {
        defer { state = nil }
        return state
    }
}

/// A snapshot of a machine: eight bytes that say what it is, then the machine's own bytes. So not even the
/// empty state is an empty file.
enum StateMachineSnapshotFormat {
    /// "HFMACHN" in the order of the bytes, and the version of the format.
    private static let mark: UInt64 = 0x014e_4843_414d_4648

    static let maximumSizeBytes = 4 << 30

    static func encode<S: StateMachine>(_ state: S) -> [UInt8] {
        let contents = state.snapshot()
        var writer = ByteWriter(reserving: contents.count + 8)
        writer.write(mark)
        contents.withUnsafeBytes { writer.writeRaw($0) }
        return writer.bytes
    }

    static func decode<S: StateMachine>(_ bytes: ByteSlice) throws(ByteDecodingError) -> S {
        var reader = ByteReader(bytes)
        guard try reader.readUInt64() == mark else {
            throw ByteDecodingError(offset: 0, reason: "this is not the snapshot of a state machine")
        }
        return try S(restoring: bytes[8..<bytes.count])
    }
}
