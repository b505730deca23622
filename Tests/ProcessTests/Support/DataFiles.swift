import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The files of a stopped node, kept in memory without the empty room behind them.
struct DataFiles {
    struct File {
        /// Relative to the data directory.
        let name: String
        var bytes: [UInt8]
        /// The size of the file; what is not in `bytes` is zero.
        var sizeBytes: Int

        var isSegment: Bool { name.hasSuffix(".segment") }
        var isSnapshot: Bool { name.hasSuffix(".snapshot") }
        var isSpare: Bool { name.contains("spare-") }
        var isLock: Bool { name.hasSuffix("LOCK") }
        var isAnchor: Bool { name.hasSuffix("ANCHOR") }

        /// Whether the byte belongs to one of the two copies of the identity of the node `n1`.
        func isIdentityCopy(at offset: Int) -> Bool {
            name == "IDENTITY" && offset >= 0 && offset % 4_096 < 70
        }

        /// Offsets that stand for all parts of the file.
        var interestingOffsets: [Int] {
            guard sizeBytes > 0 else { return [] }
            var offsets = Set([0, sizeBytes / 2, sizeBytes - 1])
            if name == "IDENTITY" {
                // A part of each copy; what stands behind them is no part of them.
                return (0..<sizeBytes).filter { $0 % 4_096 < 70 && $0 % 3 == 0 }
            }
            guard !isSpare, !bytes.isEmpty else { return offsets.sorted() }
            // Every field of the header, and of what stands behind it.
            offsets.formUnion((0..<21).map { $0 * 9 }.filter { $0 < bytes.count })
            offsets.formUnion((0..<16).map { $0 * bytes.count / 16 + $0 % 8 }.filter { $0 < bytes.count })
            // The last batch, mark, chunk and trailer.
            offsets.formUnion(stride(from: max(0, bytes.count - 72), to: bytes.count, by: 5))
            return offsets.sorted()
        }
    }

    var files: [File] = []

    init(directory: String) throws {
        guard let names = FileManager.default.enumerator(atPath: directory) else {
            throw TestFailure("cannot list \(directory)")
        }
        for case let name as String in names {
            var isDirectory: ObjCBool = false
            let path = "\(directory)/\(name)"
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory),
                !isDirectory.boolValue
            else { continue }
            files.append(try Self.read(path, name))
        }
        files.sort { $0.name < $1.name }
    }

    /// Stops at the first mebibyte that is all zeros.
    private static func read(_ path: String, _ name: String) throws -> File {
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw TestFailure("cannot read \(path)")
        }
        defer { try? handle.close() }
        let size = Int(try handle.seekToEnd())
        try handle.seek(toOffset: 0)
        var bytes: [UInt8] = []
        while let chunk = try handle.read(upToCount: 1 << 20), !chunk.isEmpty {
            let used =
                chunk.lastIndex { $0 != 0 }.map { chunk.distance(from: chunk.startIndex, to: $0) + 1 } ?? 0
            guard used > 0 else { break }
            bytes += chunk
        }
        let used = bytes.lastIndex { $0 != 0 }.map { $0 + 1 } ?? 0
        return File(name: name, bytes: Array(bytes.prefix(max(used, min(size, 1)))), sizeBytes: size)
    }

    /// Makes the directory hold exactly these files.
    func write(to directory: String) throws {
        try? FileManager.default.removeItem(atPath: directory)
        for subdirectory in ["", "/log", "/snapshots"] {
            try FileManager.default.createDirectory(
                atPath: directory + subdirectory, withIntermediateDirectories: true)
        }
        for file in files {
            let path = "\(directory)/\(file.name)"
            try Data(file.bytes.prefix(file.sizeBytes)).write(to: URL(fileURLWithPath: path))
            guard truncate(path, off_t(file.sizeBytes)) == 0 else { throw TestFailure("cannot size \(path)") }
        }
    }

    func flipping(_ name: String, at offset: Int, mask: UInt8) -> DataFiles {
        var copy = self
        for index in copy.files.indices where copy.files[index].name == name {
            let missing = offset + 1 - copy.files[index].bytes.count
            if missing > 0 { copy.files[index].bytes += [UInt8](repeating: 0, count: missing) }
            copy.files[index].bytes[offset] ^= mask
        }
        return copy
    }

    func zeroing(_ name: String, _ range: Range<Int>) -> DataFiles {
        var copy = self
        for index in copy.files.indices where copy.files[index].name == name {
            for offset in range.clamped(to: 0..<copy.files[index].bytes.count) {
                copy.files[index].bytes[offset] = 0
            }
        }
        return copy
    }

    /// The segment that was written to last.
    var lastSegment: File? { files.last { $0.isSegment && !$0.bytes.isEmpty } }

    func resizing(_ name: String, to sizeBytes: Int) -> DataFiles {
        var copy = self
        for index in copy.files.indices where copy.files[index].name == name {
            copy.files[index].sizeBytes = sizeBytes
        }
        return copy
    }

    func removing(_ name: String) -> DataFiles {
        var copy = self
        copy.files.removeAll { $0.name == name }
        return copy
    }
}
