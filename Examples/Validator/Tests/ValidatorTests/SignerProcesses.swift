import Foundation
import Synchronization
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
        let log = try Self.log(directory.appendingPathComponent("\(name).log"))
        process.standardOutput = log
        process.standardError = log
        try process.run()
        processes[name] = process
    }

    /// Appends to the file: a signer may be started again.
    private static func log(_ file: URL) throws -> FileHandle {
        if !FileManager.default.fileExists(atPath: file.path) {
            try Data().write(to: file)
        }
        let handle = try FileHandle(forWritingTo: file)
        try handle.seekToEnd()
        return handle
    }

    /// What the signers said last, for people.
    private var logs: String {
        Self.names.map { name in
            let file = directory.appendingPathComponent("\(name).log")
            let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
            return "\(name):\n" + text.split(separator: "\n").suffix(30).joined(separator: "\n")
        }.joined(separator: "\n")
    }

    /// Beside the bundle of the tests.
    private static var executable: URL {
        URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appendingPathComponent("Validator")
    }

    func signal(_ number: Int32, _ name: String) {
        kill(processes[name]!.processIdentifier, number)
    }

    /// Stops the process, wherever it is but within the device; it stands still when this returns.
    func pause(_ name: String) throws {
        let process = processes[name]!
        try device.exclusively { _ in
            signal(SIGSTOP, name)
            var information = siginfo_t()
            let found = waitid(P_PID, id_t(process.processIdentifier), &information, WSTOPPED | WNOWAIT)
            precondition(found == 0, "the signer did not stop")
        }
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
        throw NobodySigns(logs: logs)
    }

    struct NobodySigns: Error {
        let logs: String
    }

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
    /// Below what the system gives to outgoing connections, so that a signer finds its port free when it is started
    /// again.
    private static let range: Range<UInt16> = 13_000..<29_000
    private static let last = Mutex(range.lowerBound + UInt16(Int(getpid()) * 37 % range.count))

    /// A port that nothing listens on at the moment, and that this process has not given out for a long time.
    static func take() -> UInt16 {
        last.withLock { last in
            for _ in range {
                last = last + 1 < range.upperBound ? last + 1 : range.lowerBound
                if isFree(last) { return last }
            }
            preconditionFailure("no port is free")
        }
    }

    private static func isFree(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
