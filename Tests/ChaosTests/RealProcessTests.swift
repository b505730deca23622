import Foundation
import Testing
import TestSupport

@testable import HoldfastChaos

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The program itself: real nodes, real signals. One after the other, so that one's load is not another's failure.
@Suite(.serialized) struct RealProcessTests {
    /// A `holdfast chaos` that a test started; it and what it started are gone at the end.
    private func chaos(
        _ arguments: [String], in directory: TemporaryDirectory, output name: String
    ) throws -> (process: ChildProcess, output: String) {
        let output = "\(directory.path)/\(name).out"
        return (
            try ChildProcess(BuiltProgram.path(), ["chaos"] + arguments, outputPath: output), output
        )
    }

    /// The nodes whose command lines have a word that begins so.
    private func nodeProcesses(_ word: String) -> [Int32] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.compactMap { Int32($0) }.filter {
            let words = commandLine($0)
            return words.dropFirst().first == "serve" && words.contains { $0.hasPrefix(word) }
        }
    }

    private func commandLine(_ processID: Int32) -> [Substring] {
        (TextFile.read("/proc/\(processID)/cmdline") ?? "").split(separator: "\0")
    }

    @Test(.timeLimit(.minutes(4))) func aShortRunIsClean() async throws {
        let directory = try TemporaryDirectory()
        let history = directory.path + "/history"
        let base = try BuiltProgram.basePort(nodes: 3)
        let (process, output) = try chaos(
            [
                "--seconds", "20", "--seed", "5", "--clients", "4", "--base-port", "\(base)",
                "--data-dir", directory.path + "/data", "--history", history,
            ], in: directory, output: "run")
        let ending = await process.waitForEnd(milliseconds: 200_000)
        let text = TextFile.read(output) ?? ""
        #expect(ending == .code(0), "\(text)")
        #expect(text.contains("verdict: linearizable, nothing acknowledged is lost"), "\(text)")
        #expect(!text.contains("faults injected: none"), "\(text)")
        #expect(nodeProcesses(directory.path) == [])

        // The file that it wrote passes too, and does not with an acknowledged write taken out.
        var read = try HistoryFile.read(history)
        #expect(read.records.count > 100 && read.events.count > 50)
        #expect(HistoryVerdict.violations(in: read) == [])
        #expect(try await check(history, directory) == .code(0))
        let lost = try #require(
            read.records.last { $0.acknowledgedChange != nil && $0.newValue != nil }?.newValue)
        read.events.removeAll { $0.value == lost }
        try HistoryFile.write(read, to: history)
        #expect(try await check(history, directory) == .code(1))
    }

    private func check(_ path: String, _ directory: TemporaryDirectory) async throws -> ChildProcess.Ending {
        let (process, _) = try chaos(["--check", path], in: directory, output: "check")
        return await process.waitForEnd(milliseconds: 60_000)
    }

    /// Killed in the middle, it leaves nothing behind: no node, running or paused, and no file.
    @Test(.timeLimit(.minutes(2)), .enabled(if: FileManager.default.fileExists(atPath: "/proc/self/cmdline")))
    func nothingOutlivesAKilledRun() async throws {
        let directory = try TemporaryDirectory()
        let base = try BuiltProgram.basePort(nodes: 3)
        let (process, output) = try chaos(
            ["--seconds", "60", "--faults", "pause", "--base-port", "\(base)"], in: directory, output: "run")
        defer { process.send(SIGKILL) }
        _ = try await waitFor("no fault is under way: \(TextFile.read(output) ?? "")", within: .seconds(60)) {
            (TextFile.read(output) ?? "").contains("now pause") ? true : nil
        }
        let nodes = (0..<3).flatMap { nodeProcesses("http://127.0.0.1:\(base + 10 * $0)") }
        #expect(nodes.count == 3)
        let words = commandLine(try #require(nodes.first))
        let flag = try #require(words.firstIndex(of: "--data-dir"))
        // DIRECTORY/NODE/data
        let data = URL(fileURLWithPath: String(words[flag + 1])).deletingLastPathComponent()
            .deletingLastPathComponent().path
        #expect(FileManager.default.fileExists(atPath: data))
        process.send(SIGKILL)
        _ = try await waitFor("processes are left: \(nodeProcesses(data))", within: .seconds(20)) {
            nodeProcesses(data).isEmpty ? true : nil
        }
        _ = try await waitFor("\(data) is left", within: .seconds(20)) {
            FileManager.default.fileExists(atPath: data) ? nil : true
        }
    }

    @Test(.timeLimit(.minutes(3))) func ctrlCEndsWithAVerdict() async throws {
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        let (process, output) = try chaos(
            [
                "--minutes", "5", "--faults", "kill,pause", "--base-port",
                "\(try BuiltProgram.basePort(nodes: 3))", "--data-dir", data,
            ], in: directory, output: "run")
        defer { process.send(SIGKILL) }
        _ = try await waitFor("it does not begin", within: .seconds(60)) {
            (TextFile.read(output) ?? "").contains("5 s: ") ? true : nil
        }
        process.send(SIGINT)
        let ending = await process.waitForEnd(milliseconds: 120_000)
        let text = TextFile.read(output) ?? ""
        #expect(ending == .code(0), "\(text)")
        #expect(text.contains("interrupted; everything is healed") && text.contains("verdict: linearizable"))
        #expect(nodeProcesses(data) == [])
    }

    @Test(
        arguments: [
            ["--nodes", "4"], ["--faults", "bite"], ["--seconds", "0"], ["--minutes", "1", "--seconds", "1"],
            ["--measure-failover", "kill"], ["--base-port", "65530"],
            ["--against", "127.0.0.1:2379", "--pids", "4711"],
            ["--against", "nonsense", "--yes"], ["--against", "127.0.0.1:2379", "--pids", "1", "--yes"],
        ])
    func badInputIsRefusedInOneLine(arguments: [String]) async throws {
        let directory = try TemporaryDirectory()
        let (process, output) = try chaos(arguments, in: directory, output: "run")
        #expect(await process.waitForEnd(milliseconds: 20_000) == .code(64))
        let text = TextFile.read(output) ?? ""
        #expect(text.hasPrefix("holdfast: ") && text.split(separator: "\n").count == 1, "\(text)")
    }

    /// What a program writes is added to a file; no file is ever taken away for it.
    @Test func programsLeaveTheirOutputsFileInPlace() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/output"
        try Data("before\n".utf8).write(to: URL(fileURLWithPath: path))
        let echo = try #require(TextFile.program("echo"))
        try await ChildProcess.run(echo, ["after"], outputPath: path)
        #expect(TextFile.read(path) == "before\nafter\n")
        let failing = try #require(TextFile.program("false"))
        await #expect(throws: ChaosFailure.self) {
            try await ChildProcess.run(failing, [], outputPath: path)
        }
        #expect(TextFile.read(path) == "before\nafter\n")
    }

    @Test func processesAreToldApartFromLaterOnes() async throws {
        let sleep = try #require(TextFile.program("sleep"))
        let process = try ChildProcess(sleep, ["60"], outputPath: "/dev/null")
        let identity = try #require(ProcessIdentity(process.processID))
        #expect(identity.isAlive)
        let other = ProcessIdentity(processID: identity.processID, startTicks: identity.startTicks + 1)
        #expect(!other.isAlive)
        other.send(SIGKILL)
        #expect(process.ending == nil)
        identity.send(SIGKILL)
        #expect(await process.waitForEnd(milliseconds: 10_000) == .signal(SIGKILL))
        #expect(!identity.isAlive)
        #expect(ProcessIdentity(1) == nil)
    }

    @Test func commandsThatStartNodes() {
        #expect(ForeignCluster.command("start {index} of {n} {index}", 1) == "start 2 of {n} 2")
        #expect(Endpoint("http://[::1]:2379") == Endpoint(host: "::1", port: 2_379))
        #expect(Endpoint("127.0.0.1:1")?.description == "127.0.0.1:1")
        #expect(Endpoint("127.0.0.1") == nil && Endpoint(":1") == nil && Endpoint("a:0") == nil)
    }
}
