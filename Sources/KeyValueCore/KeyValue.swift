/// A moment in the store's history, as in etcd: every command that changes something has a `main` of its
/// own, and the changes within it are numbered by `sub` from zero.
public struct Revision: Comparable, Hashable, Sendable, CustomStringConvertible {
    public var main: Int64
    public var sub: Int64

    public init(main: Int64, sub: Int64) {
        self.main = main
        self.sub = sub
    }

    @inline(__always)
    public static func < (left: Revision, right: Revision) -> Bool {
        left.main == right.main ? left.sub < right.sub : left.main < right.main
    }

    public var description: String { "\(main).\(sub)" }
}

/// Names a lease. Zero stands for "no lease" in etcd's interface and is never a lease here.
public struct LeaseID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: Int64

    public init(_ rawValue: Int64) {
        self.rawValue = rawValue
    }

    public static func < (left: LeaseID, right: LeaseID) -> Bool {
        left.rawValue < right.rawValue
    }

    /// Lower-case hexadecimal, the way etcd prints lease ids.
    public var description: String {
        String(UInt64(bitPattern: rawValue), radix: 16)
    }
}

/// One version of one key.
public struct KeyValue: Hashable, Sendable {
    public var key: [UInt8]
    public var value: [UInt8]
    /// The revision at which the key last came into being.
    public var createRevision: Int64
    /// The revision of this version.
    public var modRevision: Int64
    /// Counts the versions since the key came into being, from 1. Zero marks a deletion.
    public var version: Int64
    /// The lease that the key lives on, or `nil`.
    public var lease: LeaseID?

    public init(
        key: [UInt8], value: [UInt8], createRevision: Int64, modRevision: Int64, version: Int64,
        lease: LeaseID? = nil
    ) {
        self.key = key
        self.value = value
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
        self.lease = lease
    }
}

/// Which keys a request means, in etcd's convention: an empty `rangeEnd` means the one key; a `rangeEnd` of
/// one zero byte means everything from `key` on; any other means `key` up to, but not including, `rangeEnd`.
/// With a `key` and a `rangeEnd` of one zero byte each, that is all keys.
public struct KeyRange: Hashable, Sendable {
    public var key: [UInt8]
    public var rangeEnd: [UInt8]

    public init(key: [UInt8], rangeEnd: [UInt8] = []) {
        self.key = key
        self.rangeEnd = rangeEnd
    }

    /// Every key.
    public static var all: KeyRange { KeyRange(key: [0], rangeEnd: [0]) }

    /// The keys that begin with `prefix`.
    public init(prefix: [UInt8]) {
        guard let last = prefix.lastIndex(where: { $0 != 0xff }) else {
            self.init(key: prefix.isEmpty ? [0] : prefix, rangeEnd: [0])
            return
        }
        var end = Array(prefix[...last])
        end[last] += 1
        self.init(key: prefix, rangeEnd: end)
    }

    public var isSingleKey: Bool { rangeEnd.isEmpty }

    /// Whether the range has no upper end.
    public var isUnbounded: Bool { rangeEnd == [0] }

    public func contains(_ candidate: [UInt8]) -> Bool {
        if isSingleKey { return candidate == key }
        if compareBytes(candidate, key) < 0 { return false }
        return isUnbounded || compareBytes(candidate, rangeEnd) < 0
    }
}
