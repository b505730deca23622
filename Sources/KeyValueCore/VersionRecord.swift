/// One version of one key, or its deletion, for as long as history keeps it. Shared by the key's history,
/// the revision log and every frozen copy of the store.
final class VersionRecord: Sendable, Weighted {
    /// A deletion has only the key and the revision.
    let keyValue: KeyValue
    let sub: Int64

    init(_ keyValue: KeyValue, sub: Int64) {
        self.keyValue = keyValue
        self.sub = sub
    }

    static func deletion(of key: [UInt8], at revision: Revision) -> VersionRecord {
        VersionRecord(
            KeyValue(key: key, value: [], createRevision: 0, modRevision: revision.main, version: 0),
            sub: revision.sub)
    }

    var main: Int64 { keyValue.modRevision }
    var revision: Revision { Revision(main: main, sub: sub) }
    var isDeletion: Bool { keyValue.version == 0 }
    var weight: Int { 0 }

    /// What the record counts towards the store's size: its bytes, and 160 for its place in the trees.
    var sizeBytes: Int { keyValue.key.count + keyValue.value.count + 160 }
}

/// The versions of one key that history keeps, oldest first. There is at least one.
struct KeyHistory: Weighted, Sendable {
    private(set) var newest: VersionRecord
    /// The versions before the newest, from `olderStart` on. What stands before `olderStart` is gone; its
    /// place is freed once it makes up half, so that dropping versions one by one costs little each.
    private var older: [VersionRecord] = []
    private var olderStart = 0

    init(_ record: VersionRecord) {
        newest = record
    }

    /// One for a key that exists now.
    var weight: Int { newest.isDeletion ? 0 : 1 }

    var count: Int { older.count - olderStart + 1 }

    subscript(position: Int) -> VersionRecord {
        position == count - 1 ? newest : older[olderStart + position]
    }

    mutating func append(_ record: VersionRecord) {
        precondition(newest.revision < record.revision, "a key's versions are written in order")
        older.append(newest)
        newest = record
    }

    /// The number of versions before `revision`.
    func countBefore(_ revision: Revision) -> Int {
        if newest.revision < revision { return count }
        var low = 0
        var high = count - 1
        while low < high {
            let middle = (low + high) / 2
            if self[middle].revision < revision {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// The version that a reader at `main` sees, unless the key does not exist there.
    func version(at main: Int64) -> VersionRecord? {
        let record: VersionRecord
        if newest.main <= main {
            record = newest
        } else {
            let position = countBefore(Revision(main: main + 1, sub: 0))
            guard position > 0 else { return nil }
            record = self[position - 1]
        }
        return record.isDeletion ? nil : record
    }

    /// Forgets the oldest version, which must not be the only one.
    mutating func removeOldest() {
        precondition(count > 1, "the newest version goes with its key")
        olderStart += 1
        if olderStart == older.count {
            older = []
            olderStart = 0
        } else if olderStart >= 32, olderStart * 2 >= older.count {
            older.removeSubrange(0..<olderStart)
            olderStart = 0
        }
    }
}
