import Foundation
import ValidatorCore

/// Three signers, each a process of its own, and the device that they share.
final class SignerProcesses {
    static let names = ["a", "b", "c"]
    private let directory: URL
    private let peers: String
    private let isFenced: Bool
    private var processes: [String: Process] = [:]
    let device: SigningDevice

    init(isFenced: Bool) throws {
        self.isFenced = isFenced
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("validator-\(UUID())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        device = SigningDevice(path: directory.appendingPathComponent("device").path, isFenced: isFenced)
        peers = Self.names.map { "\($0)=127.0.0.1:\(FreePort.take())" }.joined(separator: ",")
        for name in Self.names { try start(name) }
    }

    func start(_ name: String) throws {
        let process = Process()
        process.executableURL = Self.executable
        process.arguments = [
            name, peers, directory.appendingPathComponent(name).path,
            directory.appendingPathComponent("device").path,
        ]
        if !isFenced { process.arguments!.append("--without-fence") }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        processes[name] = process
    }

    /// Beside the bundle of the tests.
    private static var executable: URL {
        URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appendingPathComponent("Validator")
    }

    func signal(_ number: Int32, _ name: String) {
        kill(processes[name]!.processIdentifier, number)
    }

    /// Kills without mercy, and returns when the process is gone.
    func kill9(_ name: String) {
        signal(SIGKILL, name)
        processes[name]!.waitUntilExit()
    }

    /// Whoever signed last, once somebody other than `previous` did.
    func activeSigner(otherThan previous: String? = nil, after count: Int = 0) async throws -> String {
        for _ in 0..<6_000 {
            let signatures = device.signatures()
            if signatures.count > count, let last = signatures.last, last.signer != previous {
                return last.signer
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw NobodySigns()
    }

    struct NobodySigns: Error {}

    /// Heights that were signed more than once.
    var doubleSignatures: [Int] {
        let heights = device.signatures().map(\.height)
        return Dictionary(grouping: heights) { $0 }.filter { $0.value.count > 1 }.keys.sorted()
    }

    func stop() {
        for (name, process) in processes where process.isRunning {
            signal(SIGCONT, name)
            signal(SIGKILL, name)
            process.waitUntilExit()
        }
        try? FileManager.default.removeItem(at: directory)
    }
}

enum FreePort {
    /// A port that nothing listens on at the moment.
    static func take() -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                precondition(bind(descriptor, generic, size) == 0, "no free port")
                precondition(getsockname(descriptor, generic, &size) == 0, "no free port")
            }
            return UInt16(bigEndian: pointer.pointee.sin_port)
        }
    }
}
