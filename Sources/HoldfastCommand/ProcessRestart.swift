#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Starts this program anew in its own place, with the same arguments and the same process id.
enum ProcessRestart {
    /// How many descriptors are looked at; more are not open.
    private static let maximumDescriptors: Int32 = 65_536

    static func run() -> Never {
        fflush(nil)
        // The lock of the data directory and the ports are let go of with their descriptors.
        for descriptor in 3..<min(getdtablesize(), maximumDescriptors) {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv(executablePath, &arguments)
        printError("cannot start again: \(errorText(errno)); start this node again by hand")
        exit(1)
    }
}
