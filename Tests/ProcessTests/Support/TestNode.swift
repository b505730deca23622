import EtcdAPI
import EtcdClient
import Foundation
import HoldfastChaos
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// One `holdfast serve` process, which can be killed, stopped and started again.
final class TestNode: Sendable {
    let name: String
    let clientPort: Int
    let peerPort: Int
    let dataDirectory: String
    let logPath: String
    private let process = Mutex<ChildProcess?>(nil)

    init(name: String, clientPort: Int, peerPort: Int, directory: String) {
        self.name = name
        self.clientPort = clientPort
        self.peerPort = peerPort
        dataDirectory = "\(directory)/\(name)"
        logPath = "\(directory)/\(name).log"
    }

    var peerURL: String { "http://127.0.0.1:\(peerPort)" }

    func arguments(initialCluster: String, options: [String]) -> [String] {
        [
            "serve", "--name", name, "--data-dir", dataDirectory,
            "--listen-client-urls", "http://127.0.0.1:\(clientPort)",
            "--listen-peer-urls", peerURL, "--initial-advertise-peer-urls", peerURL,
            "--initial-cluster", initialCluster, "--exit-with-parent",
        ] + options
    }

    func start(_ arguments: [String]) throws {
        let started = try ChildProcess(
            testing: Programs.holdfast.get(), arguments, outputPath: logPath, errorPath: logPath)
        process.withLock { $0 = started }
    }

    /// Under `strace` with these arguments, which makes calls of the node fail. It is what ``running`` is then, and
    /// the node ends with it.
    func start(_ arguments: [String], strace: String, failing: [String]) throws {
        let started = try ChildProcess(
            testing: strace,
            ["-f", "-o", "/dev/null"] + failing + [try Programs.holdfast.get()]
                + arguments,
            outputPath: logPath, errorPath: logPath)
        process.withLock { $0 = started }
    }

    var running: ChildProcess? { process.withLock { $0 } }

    /// SIGKILL, and gone when this returns.
    func kill() {
        running?.killAndWait()
        process.withLock { $0 = nil }
    }

    /// SIGKILL, without waiting for the end.
    func strike() {
        running?.send(SIGKILL)
    }

    /// SIGTERM.
    func stop() async throws -> ChildProcess.Ending {
        guard let process = running else { throw TestFailure("\(name) does not run") }
        process.send(SIGTERM)
        let ending = try await process.waitForEnd()
        self.process.withLock { $0 = nil }
        return ending
    }

    var log: String {
        String(decoding: FileManager.default.contents(atPath: logPath) ?? Data(), as: UTF8.self)
    }

    var lastLogLines: String {
        log.split(separator: "\n").suffix(8).joined(separator: "\n")
    }

    func connect() async throws(GRPCStatus) -> EtcdClient {
        try await EtcdClient.connect(host: "127.0.0.1", port: clientPort)
    }

    /// Whether the node answers a linearizable read.
    func isHealthy() async -> Bool {
        guard let client = try? await connect() else { return false }
        let answer: [UInt8]?? = try? await client.get("health", timeoutMilliseconds: 1_000)
        await client.close()
        return answer != nil
    }

    func waitUntilHealthy(within limit: Duration = .seconds(30)) async throws {
        _ = try await waitFor("\(name) is not healthy; its log ends: \(lastLogLines)", within: limit) {
            if let ending = running?.ending { throw TestFailure("\(name) ended: \(ending): \(lastLogLines)") }
            return await isHealthy() ? true : nil
        }
    }

    func status() async -> Etcdserverpb_StatusResponse? {
        guard let client = try? await connect() else { return nil }
        let answer = try? await client.status(timeoutMilliseconds: 1_000)
        await client.close()
        return answer
    }

    /// The members as this node knows them.
    func members() async throws -> [Etcdserverpb_Member] {
        let client = try await connect()
        let response: Etcdserverpb_MemberListResponse = try await client.call(
            "/etcdserverpb.Cluster/MemberList", Etcdserverpb_MemberListRequest())
        await client.close()
        return response.members
    }

    /// The most that the process has held in memory; `nil` where the system does not say.
    var peakResidentBytes: Int? {
        guard let process = running,
            let text = try? String(contentsOfFile: "/proc/\(process.processID)/status", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
            let kibibytes = line.split(whereSeparator: { " \t".contains($0) }).dropFirst().first
        else { return nil }
        return Int(kibibytes).map { $0 << 10 }
    }
}
