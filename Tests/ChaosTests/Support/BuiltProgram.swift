import Foundation
import TestSupport

/// The `holdfast` under test: `HOLDFAST_BINARY`, or the one that was built with this test bundle.
enum BuiltProgram {
    static func path() throws -> String {
        if let path = ProcessInfo.processInfo.environment["HOLDFAST_BINARY"], !path.isEmpty { return path }
        let candidates = productDirectories.map { $0 + "/holdfast" }
        guard let path = candidates.first(where: FileManager.default.isExecutableFile(atPath:)) else {
            throw TestFailure(
                "no holdfast at \(candidates.joined(separator: ", ")); run `swift build` first, or set "
                    + "HOLDFAST_BINARY")
        }
        return path
    }

    /// Where the build puts its products: beside the test bundle, however the tests are run.
    private static var productDirectories: [String] {
        var directories: [String] = []
        #if os(Linux)
            if let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
                directories.append((path as NSString).deletingLastPathComponent)
            }
        #endif
        for bundle in Bundle.allBundles where bundle.bundlePath.hasSuffix(".xctest") {
            directories.append((bundle.bundlePath as NSString).deletingLastPathComponent)
        }
        for argument in CommandLine.arguments {
            guard let end = argument.range(of: ".xctest") else { continue }
            directories.append((String(argument[..<end.upperBound]) as NSString).deletingLastPathComponent)
        }
        return directories
    }

    /// Ports for so many nodes, one after the other.
    static func basePort(nodes: Int) throws -> Int {
        try FreePorts.take(consecutive: 10 * nodes)
    }
}

/// A directory that goes when the value goes.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/holdfast-chaos-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}
