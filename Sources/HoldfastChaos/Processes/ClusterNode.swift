import ConsensusTypes
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// One `holdfast serve` process, which can be killed, paused, stopped and started again.
final class ClusterNode: Sendable {
    private struct State {
        var process: ChildProcess?
        /// Somebody has ended the process, or is about to.
        var isEndExpected = true
    }

    let index: Int
    let layout: ClusterLayout
    private let executable: String
    private let mesh: ProxyMesh
    private let processGuard: ProcessGuard
    private let state = Mutex(State())

    init(
        index: Int, layout: ClusterLayout, executable: String, mesh: ProxyMesh, processGuard: ProcessGuard
    ) {
        self.index = index
        self.layout = layout
        self.executable = executable
        self.mesh = mesh
        self.processGuard = processGuard
    }

    var name: String { layout.name(index) }

    var process: ChildProcess? { state.withLock(\.process) }

    func start() async throws(ChaosFailure) {
        let started = try ChildProcess(
            executable, layout.arguments(index), outputPath: layout.logPath(index))
        processGuard.noteStarted(started.processID)
        state.withLock {
            $0.process = started
            $0.isEndExpected = false
        }
        await mesh.setRunning(true, node: index)
    }

    /// How the process ended although nobody told it to; told once.
    func unexpectedEnding() -> ChildProcess.Ending? {
        state.withLock { state in
            guard !state.isEndExpected, let ending = state.process?.ending else { return nil }
            state.isEndExpected = true
            return ending
        }
    }

    private func expectEnd() -> ChildProcess? {
        state.withLock { state in
            state.isEndExpected = true
            return state.process
        }
    }

    /// Peers who dial again at once when the process ends are refused, as they would be without a proxy.
    func prepareKill() async {
        _ = expectEnd()
        await mesh.setRunning(false, node: index)
    }

    /// SIGKILL. When this returns the process is gone, and dialling it is refused.
    func kill() async {
        await prepareKill()
        guard let process else { return }
        process.send(SIGKILL)
        await process.waitForEnd(milliseconds: 10_000)
    }

    /// SIGTERM; how the process ended.
    func stop() async -> ChildProcess.Ending? {
        guard let process = expectEnd() else { return nil }
        process.send(SIGTERM)
        let ending = await process.waitForEnd(milliseconds: 15_000)
        await mesh.setRunning(false, node: index)
        return ending
    }

    func send(_ signal: Int32) {
        process?.send(signal)
    }

    /// What the process last said that was meant for a person.
    var lastWords: String {
        let text = TextFile.read(layout.logPath(index), lastBytes: 4_096) ?? ""
        let lines = text.split(separator: "\n")
        let line = lines.last { $0.hasPrefix("holdfast: ") } ?? lines.last
        return line.map(String.init) ?? "nothing"
    }
}
