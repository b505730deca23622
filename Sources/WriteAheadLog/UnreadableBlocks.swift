import SystemPackage

/// Bytes of a file, zeros where the device cannot read them.
struct ReadBytes {
    var bytes: [UInt8]
    /// What could not be read, as offsets in the file: ascending, with readable bytes between.
    var unreadable: [Range<Int>] = []

    /// What could not be read of this part of the file.
    func firstUnreadable(in part: Range<Int>) -> Range<Int>? {
        unreadable.first { $0.overlaps(part) }
    }
}

/// What is said of such a place in errors.
func unreadableReason(_ range: Range<Int>) -> String {
    "unreadable: the device fails to read \(range.count) bytes from here on (EIO)"
}

extension FileSystemError {
    /// Whether the device could not read a part of a file that it holds: that part is lost, the rest is not.
    var isUnreadable: Bool {
        operation == .read && code == .ioError && offset != nil
    }
}

/// What operating systems read at a time at the least, and devices fail at.
private let blockSizeBytes = 4_096

extension File {
    /// Up to `count` bytes from `offset` on; fewer only at the end of the file. Where the device fails, the
    /// part is read in halves, down to single blocks, so that only what is really unreadable is lost.
    func readAroundFailures(_ count: Int, at offset: Int) throws(FileSystemError) -> ReadBytes {
        do throws(FileSystemError) {
            return ReadBytes(bytes: try readBytes(count, at: offset))
        } catch {
            guard error.isUnreadable else { throw error }
        }
        let end = max(offset, min(offset + count, try sizeBytes()))
        var result = ReadBytes(bytes: [UInt8](repeating: 0, count: end - offset))
        // The first to be read stands last. The whole has failed already.
        var parts = halves(offset..<end).reversed() as [Range<Int>]
        if parts.isEmpty { result.unreadable.append(offset..<end) }
        while let part = parts.popLast() {
            do throws(FileSystemError) {
                let read = try readBytes(part.count, at: part.lowerBound)
                let start = part.lowerBound - offset
                result.bytes.replaceSubrange(start..<start + read.count, with: read)
            } catch {
                guard error.isUnreadable else { throw error }
                let smaller = halves(part)
                guard smaller.isEmpty else {
                    parts.append(contentsOf: smaller.reversed())
                    continue
                }
                if let last = result.unreadable.last, last.upperBound == part.lowerBound {
                    result.unreadable[result.unreadable.count - 1] = last.lowerBound..<part.upperBound
                } else {
                    result.unreadable.append(part)
                }
            }
        }
        return result
    }

    /// The two parts of a range of more than one block, cut between blocks; nothing for one block.
    private func halves(_ range: Range<Int>) -> [Range<Int>] {
        let (first, last) = (range.lowerBound / blockSizeBytes, (range.upperBound - 1) / blockSizeBytes)
        guard first < last else { return [] }
        let middle = (first + (last - first + 1) / 2) * blockSizeBytes
        return [range.lowerBound..<middle, middle..<range.upperBound]
    }
}
