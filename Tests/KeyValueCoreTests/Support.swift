import ConsensusTypes

@testable import KeyValueCore

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

func put(_ key: String, _ value: String = "v", lease: Int64? = nil) -> PutRequest {
    PutRequest(key: bytes(key), value: bytes(value), lease: lease.map { LeaseID($0) })
}

/// "a" is one key, "a..c" a range, "a.." everything from there on.
func range(_ notation: String) -> KeyRange {
    guard let dots = notation.firstRange(of: "..") else { return KeyRange(key: bytes(notation)) }
    let start = String(notation[..<dots.lowerBound])
    let end = String(notation[dots.upperBound...])
    return KeyRange(key: start.isEmpty ? [0] : bytes(start), rangeEnd: end.isEmpty ? [0] : bytes(end))
}

extension String {
    fileprivate func firstRange(of other: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(other) { return start..<index(start, offsetBy: other.count) }
            start = index(after: start)
        }
        return nil
    }
}

func delete(_ notation: String, previous: Bool = false) -> DeleteRangeRequest {
    DeleteRangeRequest(range: range(notation), previousKeyValues: previous)
}

extension KeyValueStore {
    init(applying commands: [Command]) throws {
        self.init()
        for command in commands { _ = try apply(command).get() }
    }

    mutating func put(_ key: String, _ value: String = "v", lease: Int64? = nil) throws {
        _ = try apply(.put(KeyValueCoreTests.put(key, value, lease: lease))).get()
    }

    mutating func delete(_ notation: String) throws {
        _ = try apply(.deleteRange(KeyValueCoreTests.delete(notation))).get()
    }

    mutating func compact(to revision: Int64) throws {
        _ = try apply(.compact(CompactRequest(revision: revision))).get()
    }

    func get(_ notation: String, at revision: Int64 = 0) throws -> [String] {
        let response = try self.range(
            RangeRequest(range: KeyValueCoreTests.range(notation), revision: revision))
        return response.keyValues.map { "\(text($0.key))=\(text($0.value))" }
    }

    /// Everything that can be observed, in a form that can be compared and printed.
    var observation: [String] {
        var lines = ["revision \(revision) compacted \(compactRevision) keys \(keyCount)"]
        let all = EventSelection(range: .all, previousKeyValues: true)
        let unlimited = EventLimits(maximumEvents: .max, maximumSizeBytes: .max, maximumExamined: .max)
        let first = max(compactRevision, 1)
        for revision in first...self.revision {
            if let response = try? self.range(RangeRequest(range: .all, revision: revision)) {
                lines.append("at \(revision): \(response.count) \(response.keyValues.map(\.summary))")
            }
        }
        if let page = try? events(from: first, through: revision, matching: all, limits: unlimited) {
            for event in page.events {
                lines.append("\(event.kind) \(event.keyValue.summary) was \(event.previous?.summary ?? "-")")
            }
        }
        for id in leaseIDs {
            let info = lease(id)!
            lines.append("lease \(id) \(info.timeToLiveSeconds) \(info.generation) \(info.keys.map(text))")
        }
        for revision in first...self.revision {
            lines.append("hash \((try? hash(atRevision: revision))?.hash ?? 0)")
        }
        return lines
    }

    /// A broken invariant, or `nil`.
    var problem: String? {
        if let problem = index.structuralProblem { return "index: \(problem)" }
        if let problem = log.structuralProblem { return "log: \(problem)" }
        if let problem = leaseTable.structuralProblem { return "leases: \(problem)" }
        var size = leaseTable.count * LeaseRecord.sizeBytes
        var fromIndex: [Revision] = []
        var leased = 0
        var found: String?
        index.visit { key, history in
            for position in 0..<history.count {
                let record = history[position]
                fromIndex.append(record.revision)
                if record.keyValue.key != key.bytes { found = "a record under another key" }
                if log[record.revision] !== record { found = "a version that the log does not have" }
            }
            if let lease = history.newest.keyValue.lease {
                leased += 1
                if leaseTable[lease]?.keys[key] == nil { found = "a key that its lease does not know" }
            }
            return true
        }
        var fromLog: [Revision] = []
        log.visit { revision, record in
            fromLog.append(revision)
            size += record.sizeBytes
            return true
        }
        if fromIndex.sorted() != fromLog { found = "the log and the index hold different versions" }
        if size != sizeBytes { found = "the size is \(sizeBytes), not \(size)" }
        var onLeases = 0
        leaseTable.visit { _, record in
            onLeases += record.keys.count
            return true
        }
        if onLeases != leased { found = "a lease knows keys that are not on it" }
        return found
    }

    func restored(chunkSize: Int = 4_096) throws -> KeyValueStore {
        var writer = snapshotWriter()
        var reader = SnapshotReader()
        while let chunk = writer.nextChunk(maximumSizeBytes: chunkSize) {
            try reader.receive(ByteSlice(chunk))
        }
        return try reader.finish()
    }
}

extension KeyValue {
    var summary: String {
        "\(text(key))=\(text(value)) c\(createRevision) m\(modRevision) v\(version) l\(lease?.rawValue ?? 0)"
    }
}
