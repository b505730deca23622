/// A key as the trees order it: by bytes, unsigned, a prefix before what it begins.
struct KeyBytes: TreeKey, Hashable {
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

    static var hasHeads: Bool { true }

    @inline(__always)
    func head(skipping prefix: Int) -> UInt64 {
        bytes.withUnsafeBytes { bytes in
            if bytes.count - prefix >= 8 {
                return UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: prefix, as: UInt64.self))
            }
            var head: UInt64 = 0
            for position in prefix..<prefix + 8 {
                head = head << 8 | (position < bytes.count ? UInt64(bytes[position]) : 0)
            }
            return head
        }
    }

    @inline(__always)
    func sharedPrefix(with other: KeyBytes, limit: Int) -> Int {
        bytes.withUnsafeBytes { left in
            other.bytes.withUnsafeBytes { right in
                let common = min(left.count, right.count, limit)
                var offset = 0
                while offset + 8 <= common {
                    let difference =
                        left.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                        ^ right.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                    if difference != 0 {
                        return offset + UInt64(littleEndian: difference).trailingZeroBitCount / 8
                    }
                    offset += 8
                }
                while offset < common, left[offset] == right[offset] {
                    offset += 1
                }
                return offset
            }
        }
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
