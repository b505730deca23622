/// Where a rule is broken, and how to mend it.
struct Violation: CustomStringConvertible {
    let path: String
    let line: Int
    let reason: String

    var description: String { "\(path):\(line): \(reason)" }
}

extension [Violation] {
    /// One violation a line, for a test's message.
    var text: String { "\n" + map(\.description).joined(separator: "\n") }
}
