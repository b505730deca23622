import ConsensusTypes

/// What a record says; docs/formats/write-ahead-log.md shows each one's bytes.
enum RecordKind: UInt8, Sendable {
    case hardState = 1
    case snapshot = 2
    case entries = 3
    /// Where a group stood when the segment was begun.
    case checkpoint = 4
}

/// Where a group's log stands: what a segment's head says of it.
struct GroupCheckpoint: Hashable, Sendable {
    let group: GroupID
    var hardState = HardState()
    var snapshot: SnapshotMetadata?
    /// The last entry, or the snapshot's where there are none after it.
    var lastIndex = LogIndex.zero
    var lastTerm = Term.zero

    init(group: GroupID) {
        self.group = group
    }
}

/// Appends records to a batch that is being gathered. Nothing is allocated per entry: the buffer grows to
/// its usual size and is used again.
enum RecordEncoder {
    static let headerSizeBytes = 16
    static let entryHeaderSizeBytes = 32

    static func encode(_ state: HardState, group: GroupID, into bytes: inout [UInt8]) {
        appendHeader(.hardState, flags: state.votedFor == nil ? 0 : 1, size: 24, group: group, into: &bytes)
        append(state, into: &bytes)
    }

    static func encode(
        _ snapshot: SnapshotMetadata, keepsSuffix: Bool, group: GroupID, into bytes: inout [UInt8]
    ) {
        let membership = encoded(snapshot.membership)
        appendHeader(
            .snapshot, flags: (keepsSuffix ? 1 : 0) | (snapshot.isWithheld ? 2 : 0),
            size: 16 + membership.count, group: group, into: &bytes)
        bytes.appendLittleEndian(snapshot.index.rawValue)
        bytes.appendLittleEndian(snapshot.term.rawValue)
        bytes.append(contentsOf: membership)
        bytes.pad()
    }

    static func encode(_ checkpoint: GroupCheckpoint, into bytes: inout [UInt8]) {
        let membership = checkpoint.snapshot.map { encoded($0.membership) }
        let flags: UInt8 =
            (checkpoint.hardState.votedFor == nil ? 0 : 1) | (membership == nil ? 0 : 2)
            | (checkpoint.snapshot?.isWithheld == true ? 4 : 0)
        let size = 40 + (membership.map { 16 + $0.count } ?? 0)
        appendHeader(.checkpoint, flags: flags, size: size, group: checkpoint.group, into: &bytes)
        append(checkpoint.hardState, into: &bytes)
        bytes.appendLittleEndian(checkpoint.lastIndex.rawValue)
        bytes.appendLittleEndian(checkpoint.lastTerm.rawValue)
        if let snapshot = checkpoint.snapshot, let membership {
            bytes.appendLittleEndian(snapshot.index.rawValue)
            bytes.appendLittleEndian(snapshot.term.rawValue)
            bytes.append(contentsOf: membership)
            bytes.pad()
        }
    }

    static func encode(_ entries: [Entry], group: GroupID, into bytes: inout [UInt8]) {
        var size = 16
        for entry in entries {
            size += entryHeaderSizeBytes + padded(entry.payload.count)
        }
        precondition(size <= UInt32.max, "the entries of one write hold at most 4 GiB")
        reserve(headerSizeBytes + size, in: &bytes)
        appendHeader(.entries, flags: 0, size: size, group: group, into: &bytes)
        bytes.appendLittleEndian(entries[0].index.rawValue)
        bytes.appendLittleEndian(UInt64(entries.count))
        for entry in entries {
            let kindAndSize = UInt64(entry.kind.rawValue) | UInt64(entry.payload.count) << 32
            let header = (
                entry.term.rawValue.littleEndian, entry.proposal.session.littleEndian,
                entry.proposal.sequence.littleEndian, kindAndSize.littleEndian
            )
            withUnsafeBytes(of: header) { bytes.append(contentsOf: $0) }
            entry.payload.withUnsafeBytes { bytes.append(contentsOf: $0) }
            bytes.pad()
        }
    }

    @inline(__always)
    static func padded(_ size: Int) -> Int {
        (size + 7) & ~7
    }

    /// Makes room in steps that double, so that gathering stays linear.
    private static func reserve(_ count: Int, in bytes: inout [UInt8]) {
        if bytes.count + count > bytes.capacity {
            bytes.reserveCapacity(max(bytes.count + count, 2 * bytes.capacity))
        }
    }

    private static func appendHeader(
        _ kind: RecordKind, flags: UInt8, size: Int, group: GroupID, into bytes: inout [UInt8]
    ) {
        bytes.appendLittleEndian(UInt64(kind.rawValue) | UInt64(flags) << 8 | UInt64(size) << 32)
        bytes.appendLittleEndian(group.rawValue)
    }

    private static func append(_ state: HardState, into bytes: inout [UInt8]) {
        bytes.appendLittleEndian(state.term.rawValue)
        bytes.appendLittleEndian(state.votedFor?.rawValue ?? 0)
        bytes.appendLittleEndian(state.commitIndex.rawValue)
    }

    private static func encoded(_ membership: Membership) -> [UInt8] {
        var writer = ByteWriter()
        membership.encode(into: &writer)
        return writer.bytes
    }
}
