import Foundation
import Testing

/// What the README prints is what is built and run.
@Suite struct ReadmeTests {
    private static func text(_ path: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    @Test func theElectionOfTheReadmeIsTheExample() throws {
        let example = try Self.text("Examples/ElectLeader/Sources/ElectLeader/main.swift")
        #expect(try Self.text("README.md").contains("```swift\n\(example)```\n"))
        #expect(example.split(separator: "\n").count <= 10)
    }
}
