/// What keeps a test from going on.
struct TestFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Asks until the answer is not `nil`; says what was waited for where it never comes.
func waitFor<Value>(
    _ what: @autoclosure () -> String, within limit: Duration = .seconds(30),
    isolation: isolated (any Actor)? = #isolation, _ ask: () async throws -> Value?
) async throws -> Value {
    let deadline = ContinuousClock.now + limit
    while true {
        if let value = try await ask() { return value }
        guard ContinuousClock.now < deadline else { throw TestFailure("after \(limit): \(what())") }
        try await Task.sleep(for: .milliseconds(5))
    }
}
