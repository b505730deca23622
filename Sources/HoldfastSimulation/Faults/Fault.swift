/// One fault of a run. What a run injects is a list of these, which repeats the run, and from which faults
/// can be taken out to find those that matter.
public struct Fault: Hashable, Sendable {
    /// From the start of the run.
    public var atMicroseconds: UInt64
    /// How long it lasts; zero for what happens in a moment, or to the end of the faults.
    public var durationMicroseconds: UInt64
    public var kind: FaultKind
    public var nodes: NodeSet
    public var peers: NodeSet
    public var amount: UInt64

    public init(
        _ kind: FaultKind, atMicroseconds: UInt64 = 0, durationMicroseconds: UInt64 = 0,
        nodes: NodeSet = NodeSet(), peers: NodeSet = NodeSet(), amount: UInt64 = 0
    ) {
        self.atMicroseconds = atMicroseconds
        self.durationMicroseconds = durationMicroseconds
        self.kind = kind
        self.nodes = nodes
        self.peers = peers
        self.amount = amount
    }
}

/// Faults as text, one a line (or apart by semicolons), in the order in which they happen:
///
///     crash at=1500000 for=250000 nodes=0 amount=1
///
/// Times are in microseconds, links in hexadecimal. What is not named is zero, or no node. A line that
/// begins with `#` says nothing.
public struct FaultList: Hashable, Sendable {
    public var faults: [Fault]

    public init(_ faults: [Fault]) {
        self.faults = faults
    }

    public struct ParsingError: Error, Hashable, Sendable, CustomStringConvertible {
        public let line: String
        public let reason: String

        public var description: String { "fault \"\(line)\": \(reason)" }
    }

    public init(parsing text: String) throws(ParsingError) {
        faults = []
        for line in text.split(whereSeparator: { $0 == "\n" || $0 == ";" }) {
            let words = line.split(separator: " ").map(String.init)
            guard let first = words.first, !first.hasPrefix("#") else { continue }
            faults.append(try FaultList.parse(String(line), first, words.dropFirst()))
        }
    }

    private static func parse(
        _ line: String, _ name: String, _ fields: ArraySlice<String>
    ) throws(ParsingError) -> Fault {
        guard let kind = FaultKind(rawValue: name) else {
            let kinds = FaultKind.allCases.map(\.rawValue).joined(separator: ", ")
            throw ParsingError(line: line, reason: "there is no fault \(name); there are \(kinds)")
        }
        var fault = Fault(kind)
        for field in fields {
            let parts = field.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else {
                throw ParsingError(line: line, reason: "\(field) is not of the form name=value")
            }
            switch parts[0] {
            case "at": fault.atMicroseconds = try number(parts[1], line)
            case "for": fault.durationMicroseconds = try number(parts[1], line)
            case "amount": fault.amount = try number(parts[1], line)
            case "nodes": fault.nodes = try nodes(parts[1], line)
            case "peers": fault.peers = try nodes(parts[1], line)
            default: throw ParsingError(line: line, reason: "there is no field \(parts[0])")
            }
        }
        return fault
    }

    private static func number(_ text: String, _ line: String) throws(ParsingError) -> UInt64 {
        let value =
            text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
        guard let value else { throw ParsingError(line: line, reason: "\(text) is not a number") }
        return value
    }

    private static func nodes(_ text: String, _ line: String) throws(ParsingError) -> NodeSet {
        var set = NodeSet()
        for part in text.split(separator: ",") {
            guard let node = Int(part), (0..<8).contains(node) else {
                throw ParsingError(line: line, reason: "\(part) is not a node's number (0 to 7)")
            }
            set.insert(node)
        }
        return set
    }

    public var text: String { faults.map(\.text).joined(separator: "\n") }
}

extension Fault {
    public var text: String {
        var text = "\(kind.rawValue) at=\(atMicroseconds)"
        if durationMicroseconds > 0 { text += " for=\(durationMicroseconds)" }
        if !nodes.isEmpty { text += " nodes=" + nodes.numbers.map(String.init).joined(separator: ",") }
        if !peers.isEmpty { text += " peers=" + peers.numbers.map(String.init).joined(separator: ",") }
        if amount > 0 {
            switch kind {
            case .cut, .flapping, .reset: text += " amount=0x" + String(amount, radix: 16)
            default: text += " amount=\(amount)"
            }
        }
        return text
    }
}
