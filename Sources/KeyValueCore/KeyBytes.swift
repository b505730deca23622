/// A key as the trees order it: by bytes, unsigned, a prefix before what it begins.
struct KeyBytes: Comparable, Hashable, Sendable {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    static func == (left: KeyBytes, right: KeyBytes) -> Bool {
        left.bytes == right.bytes
    }

    @inline(__always)
    static func < (left: KeyBytes, right: KeyBytes) -> Bool {
        compareBytes(left.bytes, right.bytes) < 0
    }
}

/// Below zero, zero or above zero, as `left` stands before, equals or stands after `right`.
///
/// Looks at eight bytes at a time: keys of one service share long prefixes, and every step of every search
/// comes through here.
@inline(__always)
func compareBytes(_ left: [UInt8], _ right: [UInt8]) -> Int {
    left.withUnsafeBytes { left in
        right.withUnsafeBytes { right in
            let common = min(left.count, right.count)
            var offset = 0
            while offset + 8 <= common {
                let leftWord = left.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                let rightWord = right.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                if leftWord != rightWord {
                    return UInt64(bigEndian: leftWord) < UInt64(bigEndian: rightWord) ? -1 : 1
                }
                offset += 8
            }
            while offset < common {
                if left[offset] != right[offset] {
                    return left[offset] < right[offset] ? -1 : 1
                }
                offset += 1
            }
            return left.count - right.count
        }
    }
}
