#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Makes a running process wait before each sync to disk, with `strace`.
final class SlowDisk: Sendable {
    /// Why that cannot be done here, or `nil`.
    static var obstacle: String? {
        #if os(Linux)
            if TextFile.program("strace") == nil { return "strace is not installed" }
            return geteuid() == 0 ? nil : "attaching strace takes root"
        #else
            return "it needs Linux's strace"
        #endif
    }

    private let tracer: ChildProcess

    init(
        processID: pid_t, delayMilliseconds: Int, outputPath: String, processGuard: ProcessGuard
    ) throws(ChaosFailure) {
        guard let program = TextFile.program("strace") else { throw ChaosFailure("strace is not installed") }
        tracer = try ChildProcess(
            program,
            [
                "-f", "-q", "-o", "/dev/null", "-p", "\(processID)", "-e", "trace=fdatasync,fsync", "-e",
                "inject=fdatasync,fsync:delay_enter=\(delayMilliseconds * 1_000)",
            ], outputPath: outputPath)
        processGuard.noteStarted(tracer.processID)
    }

    /// Detaches.
    func end() async {
        tracer.send(SIGTERM)
        await tracer.waitForEnd(milliseconds: 3_000)
    }
}
