import Foundation

/// The programs that the tests run.
enum Programs {
    /// The `holdfast` under test: `HOLDFAST_BINARY`, or the one that was built with this test bundle.
    static let holdfast: Result<String, TestFailure> = {
        if let path = ProcessInfo.processInfo.environment["HOLDFAST_BINARY"], !path.isEmpty {
            return FileManager.default.isExecutableFile(atPath: path)
                ? .success(path) : .failure(TestFailure("HOLDFAST_BINARY: there is no program at \(path)"))
        }
        let candidates = productDirectories.map { $0 + "/holdfast" }
        if let path = candidates.first(where: FileManager.default.isExecutableFile(atPath:)) {
            return .success(path)
        }
        return .failure(
            TestFailure(
                "no holdfast at \(candidates.joined(separator: ", ")); run `swift build` with the "
                    + "configuration of the tests, or set HOLDFAST_BINARY"))
    }()

    static let etcdctl = find("etcdctl")
    static let aptCache = find("apt-cache")

    /// A program on `PATH`.
    static func find(_ name: String) -> String? {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
            .first(where: FileManager.default.isExecutableFile(atPath:))
    }

    /// Where the build puts its products: beside the test bundle, however the tests are run.
    private static var productDirectories: [String] {
        var directories: [String] = []
        func add(_ path: String) {
            let directory = (path as NSString).deletingLastPathComponent
            if !directory.isEmpty, !directories.contains(directory) { directories.append(directory) }
        }
        #if os(Linux)
            if let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
                add(path)
            }
        #endif
        for bundle in Bundle.allBundles where bundle.bundlePath.hasSuffix(".xctest") {
            add(bundle.bundlePath)
        }
        for argument in CommandLine.arguments where argument.contains(".xctest") {
            // On macOS the bundle's program is named: PRODUCTS/NAME.xctest/Contents/MacOS/NAME.
            if let end = argument.range(of: ".xctest") { add(String(argument[..<end.upperBound])) }
        }
        add(CommandLine.arguments[0])
        #if DEBUG
            let configuration = "debug"
        #else
            let configuration = "release"
        #endif
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().path
        directories.append("\(package)/.build/\(configuration)")
        return directories
    }
}
