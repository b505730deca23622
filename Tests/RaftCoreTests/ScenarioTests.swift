import Foundation
import Testing

/// Transcripts: commands and, below each, what came of it. `HOLDFAST_REWRITE_SCENARIOS=1 swift test --filter
/// Scenario` writes what comes of them today; whoever does that must read the difference.
@Suite struct ScenarioTests {
    static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Scenarios")

    static let names: [String] =
        ((try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? [])
        .filter { $0.hasSuffix(".txt") }.sorted()

    @Test func scenariosAreThere() {
        #expect(Self.names.count >= 20)
    }

    @Test(arguments: names)
    func scenario(name: String) throws {
        let file = Self.directory.appendingPathComponent(name)
        let text = try String(contentsOf: file, encoding: .utf8)
        let actual = Self.run(text)
        if ProcessInfo.processInfo.environment["HOLDFAST_REWRITE_SCENARIOS"] == "1" {
            try actual.write(to: file, atomically: true, encoding: .utf8)
            return
        }
        let expectedLines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let actualLines = actual.split(separator: "\n", omittingEmptySubsequences: false)
        for (number, lines) in zip(expectedLines, actualLines).enumerated() where lines.0 != lines.1 {
            Issue.record("\(name):\(number + 1): expected \"\(lines.0)\", was \"\(lines.1)\"")
            return
        }
        #expect(expectedLines.count == actualLines.count, "\(name) has more or fewer lines")
        #expect(!actual.contains("  error: "))
    }

    /// The transcript with what the commands in it do now: commands start with `> `, remarks with `#`, and
    /// what stands indented below a command came of it.
    static func run(_ text: String) -> String {
        var interpreter = ScenarioInterpreter()
        var lines: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("  ") { continue }
            lines.append(String(line))
            guard line.hasPrefix("> ") else { continue }
            do {
                lines += try interpreter.perform(String(line.dropFirst(2))).map { "  \($0)" }
            } catch {
                lines.append("  error: \(error)")
            }
        }
        return lines.joined(separator: "\n")
    }
}
