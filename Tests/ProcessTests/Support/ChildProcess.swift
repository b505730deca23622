import Foundation
import HoldfastChaos

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension ChildProcess {
    /// A process that does not outlive the value, nor a Ctrl-C that ends the tests.
    convenience init(
        testing executable: String, _ arguments: [String], outputPath: String, errorPath: String,
        inputPath: String = "/dev/null", environment: [String: String] = [:]
    ) throws {
        try self.init(
            executable, arguments, outputPath: outputPath, errorPath: errorPath, inputPath: inputPath,
            environment: environment, hasOwnGroup: false, diesWithValue: true)
    }

    func waitForEnd(within limit: Duration = .seconds(30)) async throws -> Ending {
        try await waitFor(
            "process \(processID) has not ended; it said: \(errors)", within: limit, every: .milliseconds(2)
        ) {
            ending
        }
    }

    func killAndWait() {
        send(SIGKILL)
        while ending == nil { usleep(500) }
    }

    var output: String { Self.read(outputPath) }
    var errors: String { Self.read(errorPath) }

    private static func read(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    /// Runs a program to its end.
    static func run(
        _ executable: String, _ arguments: [String], input: String? = nil, in directory: TemporaryDirectory,
        environment: [String: String] = [:], within limit: Duration = .seconds(30)
    ) async throws -> (ending: Ending, output: String, errors: String) {
        let name = directory.path + "/run-" + UUID().uuidString
        if let input { try Data(input.utf8).write(to: URL(fileURLWithPath: name + ".in")) }
        let process = try ChildProcess(
            testing: executable, arguments, outputPath: name + ".out", errorPath: name + ".err",
            inputPath: input == nil ? "/dev/null" : name + ".in", environment: environment)
        let ending = try await process.waitForEnd(within: limit)
        return (ending, process.output, process.errors)
    }
}

/// A directory that goes when the value goes.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/holdfast-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}
