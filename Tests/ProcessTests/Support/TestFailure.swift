/// What keeps a test from going on.
struct TestFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Asks until the answer is not `nil`; says what was waited for where it never comes.
func waitFor<Value>(
    _ what: @autoclosure () -> String, within limit: Duration, every pause: Duration = .milliseconds(10),
    isolation: isolated (any Actor)? = #isolation, _ ask: () async throws -> Value?
) async throws -> Value {
    let deadline = ContinuousClock.now + limit
    while true {
        if let value = try await ask() { return value }
        guard ContinuousClock.now < deadline else { throw TestFailure("after \(limit): \(what())") }
        try await Task.sleep(for: pause)
    }
}

extension Duration {
    var milliseconds: Int {
        Int(components.seconds) * 1_000 + Int(components.attoseconds / 1_000_000_000_000_000)
    }

    /// In seconds, with two decimals.
    var text: String {
        let hundredths = milliseconds / 10
        let fraction = String(hundredths % 100)
        return "\(hundredths / 100).\(fraction.count == 1 ? "0" : "")\(fraction) s"
    }
}
