import ConsensusTypes

/// A history as text: one line for each operation and each change, fields separated by tabs.
public enum HistoryFile {
    static let firstLine = "holdfast-history 1"

    public static func write(_ history: ChaosHistory, to path: String) throws(ChaosFailure) {
        try TextFile.write(lines(of: history), to: path)
    }

    public static func read(_ path: String) throws(ChaosFailure) -> ChaosHistory {
        guard let text = TextFile.read(path) else {
            throw ChaosFailure("cannot read \(path): is there such a file?")
        }
        return try parse(text, path: path)
    }

    static func lines(of history: ChaosHistory) -> [String] {
        let revisions = "revisions\t\(history.initialRevision)\t\(history.lastRevision)"
        let events = history.events.map { event in
            (["event", "\(event.revision)", escape(event.key)] + fields(of: event.pair)).joined(
                separator: "\t")
        }
        return [firstLine, revisions] + history.records.map(line(of:)) + events
            + ["end\t\(history.records.count)\t\(history.events.count)"]
    }

    private static func fields(of pair: HistoryPair?) -> [String] {
        guard let pair else { return ["-", "0", "0", "0"] }
        return [escape(pair.value), "\(pair.createRevision)", "\(pair.modRevision)", "\(pair.version)"]
    }

    private static func line(of record: HistoryRecord) -> String {
        let action: [String]
        switch record.action {
        case .get: action = ["get", "-", "-"]
        case .put(let value): action = ["put", "-", escape(value)]
        case .delete: action = ["delete", "-", "-"]
        case .compareAndSwap(let expected, let value): action = ["swap", escape(expected), escape(value)]
        }
        let outcome: [String]
        switch record.outcome {
        case .acknowledged(let answer):
            outcome =
                [answer.hasChanged ? "ok" : "unchanged", "\(answer.revision)"] + fields(of: answer.pair)
        case .refused: outcome = ["refused", "0"] + fields(of: nil)
        case .unknown: outcome = ["unknown", "0"] + fields(of: nil)
        }
        let place = ["operation", "\(record.client)", "\(record.node)"]
        let times = ["\(record.invokedAt.nanoseconds)", "\(record.endedAt.nanoseconds)", escape(record.key)]
        return (place + times + action + outcome).joined(separator: "\t")
    }

    // MARK: Reading

    static func parse(_ text: String, path: String) throws(ChaosFailure) -> ChaosHistory {
        var history = ChaosHistory()
        var isComplete = false
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            let isGood: Bool
            if isComplete || number < 2 {
                isGood = isComplete ? line.isEmpty : parseHead(number, line, fields, &history)
            } else if fields[0] == "end" {
                isGood =
                    fields.count == 3 && Int(fields[1]) == history.records.count
                    && Int(fields[2]) == history.events.count
                isComplete = isGood
            } else {
                isGood = parseItem(fields, &history)
            }
            guard isGood else {
                throw ChaosFailure(
                    "\(path), line \(number + 1), is no part of a history that `holdfast chaos` wrote")
            }
        }
        guard isComplete else { throw ChaosFailure("\(path) ends before its last line: it is cut off") }
        return history
    }

    private static func parseHead(
        _ number: Int, _ line: Substring, _ fields: [Substring], _ history: inout ChaosHistory
    ) -> Bool {
        guard number == 1 else { return line == firstLine }
        guard fields.count == 3, fields[0] == "revisions", let initial = Int64(fields[1]),
            let last = Int64(fields[2])
        else { return false }
        history.initialRevision = initial
        history.lastRevision = last
        return true
    }

    private static func parseItem(_ fields: [Substring], _ history: inout ChaosHistory) -> Bool {
        switch fields[0] {
        case "operation":
            guard fields.count == 15, let record = record(from: fields) else { return false }
            history.records.append(record)
        case "event":
            guard fields.count == 7, let revision = Int64(fields[1]), let key = unescape(fields[2]) else {
                return false
            }
            history.events.append(HistoryEvent(revision: revision, key: key, pair: pair(from: fields[3...])))
        default:
            return false
        }
        return true
    }

    private static func pair(from fields: ArraySlice<Substring>) -> HistoryPair? {
        let first = fields.startIndex
        guard let value = unescape(fields[first]), let createRevision = Int64(fields[first + 1]),
            let modRevision = Int64(fields[first + 2]), let version = Int64(fields[first + 3])
        else { return nil }
        return HistoryPair(
            value: value, createRevision: createRevision, modRevision: modRevision, version: version)
    }

    private static func record(from fields: [Substring]) -> HistoryRecord? {
        guard let client = Int(fields[1]), let node = Int(fields[2]), let invoked = UInt64(fields[3]),
            let ended = UInt64(fields[4]), invoked <= ended, let key = unescape(fields[5]),
            let revision = Int64(fields[10])
        else { return nil }
        let action: HistoryRecord.Action
        switch (fields[6], unescape(fields[8])) {
        case ("get", nil): action = .get
        case ("put", let value?): action = .put(value)
        case ("delete", nil): action = .delete
        case ("swap", let value?): action = .compareAndSwap(expected: unescape(fields[7]), value: value)
        default: return nil
        }
        let outcome: HistoryRecord.Outcome
        switch fields[9] {
        case "ok", "unchanged":
            outcome = .acknowledged(
                HistoryRecord.Answer(
                    revision: revision, hasChanged: fields[9] == "ok", pair: pair(from: fields[11...])))
        case "refused": outcome = .refused
        case "unknown": outcome = .unknown
        default: return nil
        }
        return HistoryRecord(
            client: client, node: node, key: key, action: action, invokedAt: Instant(nanoseconds: invoked),
            endedAt: Instant(nanoseconds: ended), outcome: outcome)
    }

    // MARK: Text in fields

    /// `-` stands for none; `%` begins two hexadecimal digits.
    private static func escape(_ text: String?) -> String {
        guard let text else { return "-" }
        if text == "-" { return "%2d" }
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x25 }) else { return text }
        return text.utf8.reduce(into: "") { result, byte in
            if byte < 0x20 || byte == 0x25 || byte >= 0x80 {
                result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            } else {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            }
        }
    }

    private static func unescape(_ field: Substring) -> String? {
        if field == "-" { return nil }
        guard field.utf8.contains(0x25) else { return String(field) }
        var bytes: [UInt8] = []
        var rest = Substring(field).utf8[...]
        while let byte = rest.popFirst() {
            guard byte == 0x25 else {
                bytes.append(byte)
                continue
            }
            guard let value = UInt8(String(rest.prefix(2)) ?? "", radix: 16) else { return nil }
            rest = rest.dropFirst(2)
            bytes.append(value)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
