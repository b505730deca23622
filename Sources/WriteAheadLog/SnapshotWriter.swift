import ConsensusTypes
import Synchronization
import struct SystemPackage.FilePath

/// Writes one snapshot. May be used from any thread, by one at a time; what was not finished when the last
/// reference goes is removed.
public final class SnapshotWriter: Sendable {
    private struct State: Sendable {
        var file: (any File)?
        /// Where the next chunk goes.
        var end: Int
        /// What does not fill a chunk yet.
        var buffer: [UInt8] = []
        var sizeBytes: UInt64 = 0
        var contentChecksum: UInt32 = 0
    }

    public let group: GroupID
    public let metadata: SnapshotMetadata
    private let path: FilePath
    private let partial: FilePath
    private let fileSystem: any FileSystem
    private let chunkSizeBytes: Int
    private let headerChecksum: UInt32
    private let state: Mutex<State>

    init(
        _ group: GroupID, _ metadata: SnapshotMetadata, path: FilePath, partial: FilePath,
        fileSystem: any FileSystem, chunkSizeBytes: Int
    ) throws(SnapshotError) {
        self.group = group
        self.metadata = metadata
        self.path = path
        self.partial = partial
        self.fileSystem = fileSystem
        self.chunkSizeBytes = chunkSizeBytes
        let header = SnapshotFormat.header(group, metadata, chunkSizeBytes: chunkSizeBytes)
        headerChecksum = header.littleEndian32(at: header.count - 4)
        let file = try wrappingSnapshot { () throws(FileSystemError) in
            try fileSystem.open(partial, .create)
        }
        state = Mutex(State(file: file, end: header.count))
        try withFile { (file, _) throws(FileSystemError) in try file.write(header, at: 0) }
    }

    deinit {
        abandon()
    }

    /// How many bytes were appended.
    public var sizeBytes: UInt64 { state.withLock { $0.sizeBytes } }

    /// Adds the next bytes of the snapshot, of any length.
    public func append(_ bytes: ByteSlice) throws(SnapshotError) {
        try withFile { (file, state) throws(FileSystemError) in
            var position = 0
            while position < bytes.count {
                let count = min(chunkSizeBytes - state.buffer.count, bytes.count - position)
                bytes[position..<position + count].withUnsafeBytes { state.buffer.append(contentsOf: $0) }
                position += count
                state.sizeBytes += UInt64(count)
                if state.buffer.count == chunkSizeBytes {
                    try writeChunk(file, &state)
                }
            }
        }
    }

    public func append(_ bytes: [UInt8]) throws(SnapshotError) {
        try append(ByteSlice(bytes))
    }

    /// Makes the snapshot durable and gives it its name. On return it will be there after any crash.
    public func finish() throws(SnapshotError) {
        try withFile { (file, state) throws(FileSystemError) in
            if !state.buffer.isEmpty {
                try writeChunk(file, &state)
            }
            let trailer = SnapshotFormat.trailer(
                size: state.sizeBytes, contentChecksum: state.contentChecksum, headerChecksum: headerChecksum)
            try file.write(trailer, at: state.end)
            try file.synchronize()
            try fileSystem.rename(partial, to: path)
            try fileSystem.synchronizeDirectory(path.parent)
        }
        state.withLock { $0.file = nil }
    }

    /// Removes what was written so far. Does nothing after ``finish()``.
    public func abandon() {
        let file = state.withLock { state in
            defer { state.file = nil }
            return state.file
        }
        // What cannot be removed now is removed when the store is opened next.
        if file != nil { try? fileSystem.remove(partial) }
    }

    private func writeChunk(_ file: any File, _ state: inout State) throws(FileSystemError) {
        let (offset, checksum) = (state.sizeBytes - UInt64(state.buffer.count), headerChecksum)
        let header = state.buffer.withBytes {
            SnapshotFormat.chunkHeader($0, at: offset, headerChecksum: checksum)
        }
        state.contentChecksum = Checksum.crc32c(state.buffer, continuing: state.contentChecksum)
        try file.write(header, at: state.end)
        try file.write(state.buffer, at: state.end + header.count)
        state.end += header.count + state.buffer.count
        state.buffer.removeAll(keepingCapacity: true)
    }

    /// Any failure makes the writer unusable and removes the file.
    private func withFile(
        _ body: (any File, inout State) throws(FileSystemError) -> Void
    ) throws(SnapshotError) {
        do throws(SnapshotError) {
            try state.withLock { (state) throws(SnapshotError) in
                guard let file = state.file else { throw .notWritable(file: path) }
                do throws(FileSystemError) {
                    try body(file, &state)
                } catch {
                    throw .fileSystem(error)
                }
            }
        } catch {
            abandon()
            throw error
        }
    }
}
