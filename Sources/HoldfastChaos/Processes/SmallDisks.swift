import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Data directories on small file systems in memory, which can be filled and emptied again. A minority of the
/// nodes gets them: the others sync to the machine's disk.
final class SmallDisks: Sendable {
    /// Why there can be none here, or `nil`.
    static var obstacle: String? {
        #if os(Linux)
            if geteuid() != 0 { return "mounting a small file system takes root" }
            if TextFile.program("mount") == nil { return "there is no mount program" }
            return nil
        #else
            return "it needs Linux's tmpfs"
        #endif
    }

    private let layout: ClusterLayout
    private let processGuard: ProcessGuard
    private let mounted = Mutex<[Int]>([])

    init(layout: ClusterLayout, processGuard: ProcessGuard) {
        self.layout = layout
        self.processGuard = processGuard
    }

    /// The nodes that have a small disk.
    var nodes: [Int] { mounted.withLock { $0 } }

    func mount(sizeMebibytes: Int) async throws(ChaosFailure) {
        guard let program = TextFile.program("mount") else { throw ChaosFailure("there is no mount program") }
        for node in layout.nodeCount - (layout.nodeCount - 1) / 2..<layout.nodeCount {
            let path = layout.diskPath(node)
            try await ChildProcess.run(
                program, ["-t", "tmpfs", "-o", "size=\(sizeMebibytes)m", "tmpfs", path],
                outputPath: "\(layout.directory)/mount.log")
            processGuard.noteMounted(path)
            mounted.withLock { $0.append(node) }
        }
    }

    private func balloon(_ node: Int) -> String { "\(layout.diskPath(node))/chaos-balloon" }

    /// Leaves no byte free.
    func fill(_ node: Int) throws(ChaosFailure) {
        let path = balloon(node)
        let descriptor = creat(path, 0o600)
        guard descriptor >= 0 else { throw ChaosFailure("cannot create \(path): \(errorText(errno))") }
        defer { close(descriptor) }
        let block = [UInt8](repeating: 0x2e, count: 1 << 20)
        var size = block.count
        while size > 0 {
            if write(descriptor, block, size) <= 0 { size /= 2 }
        }
    }

    func empty(_ node: Int) {
        unlink(balloon(node))
    }

    func unmount() async {
        let nodes = mounted.withLock { mounted in
            let nodes = mounted
            mounted = []
            return nodes
        }
        guard !nodes.isEmpty, let program = TextFile.program("umount") else { return }
        for node in nodes {
            empty(node)
            try? await ChildProcess.run(
                program, [layout.diskPath(node)], outputPath: "\(layout.directory)/umount.log")
        }
    }
}
