import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A second process that cleans up where this one is killed: it learns through a pipe what there is, and when the
/// pipe breaks it kills the processes, lets the paused go on, unmounts and removes.
public final class ProcessGuard: Sendable {
    private let descriptor: Int32
    private let process: ChildProcess
    private let isOpen = Mutex(true)

    init(executable: String, directory: String) throws(ChaosFailure) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw ChaosFailure("cannot make a pipe: \(errorText(errno))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        descriptor = ends[1]
        process = try ChildProcess(
            executable, ["chaos", "--guard-only"], outputPath: "\(directory)/guard.log", input: ends[0])
    }

    private func tell(_ line: String) {
        isOpen.withLock { isOpen in
            guard isOpen else { return }
            let bytes = Array("\(line)\n".utf8)
            _ = write(descriptor, bytes, bytes.count)
        }
    }

    func noteStarted(_ processID: pid_t) {
        guard let identity = ProcessIdentity(processID) else { return }
        tell("process \(processID) \(identity.startTicks)")
    }

    func notePaused(_ identity: ProcessIdentity) {
        tell("paused \(identity.processID) \(identity.startTicks)")
    }

    func noteMounted(_ path: String) { tell("mount 0 0 \(path)") }

    func noteTemporary(_ path: String) { tell("directory 0 0 \(path)") }

    /// Everything was cleaned up.
    func dismiss() async {
        tell("done")
        isOpen.withLock { isOpen in
            if isOpen { close(descriptor) }
            isOpen = false
        }
        await process.waitForEnd(milliseconds: 2_000)
    }

    // MARK: In the guarding process

    /// Reads from standard input until it ends, and cleans up unless all is done.
    public static func runUntilInputEnds() {
        for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
        var processes: Set<ProcessIdentity> = []
        var paused: Set<ProcessIdentity> = []
        var mounts: [String] = []
        var directories: [String] = []
        while let line = readLine() {
            let fields = line.split(separator: " ", maxSplits: 3)
            guard fields.first != "done" else { return }
            guard fields.count >= 3, let processID = Int32(fields[1]), let ticks = UInt64(fields[2]) else {
                continue
            }
            let identity = ProcessIdentity(processID: processID, startTicks: ticks)
            switch fields[0] {
            case "process": processes.insert(identity)
            case "paused": paused.insert(identity)
            case "mount" where fields.count == 4: mounts.append(String(fields[3]))
            case "directory" where fields.count == 4: directories.append(String(fields[3]))
            default: break
            }
        }
        for identity in processes { identity.send(SIGKILL) }
        for identity in paused { identity.send(SIGCONT) }
        usleep(200_000)
        for path in mounts { runToEnd("umount", [path]) }
        for path in directories { runToEnd("rm", ["-rf", "--", path]) }
    }

    private static func runToEnd(_ name: String, _ arguments: [String]) {
        guard let program = TextFile.program(name),
            let process = try? ChildProcess(program, arguments, outputPath: "/dev/null")
        else { return }
        while process.ending == nil { usleep(5_000) }
    }
}
