import ConsensusTypes
import NIOPosix
import RaftCore
import Synchronization
import struct SystemPackage.FilePath
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Who leads, and when a node must not.
@Suite(.serialized) struct NodeLeadershipTests {
    @Test func theLeadershipIsHandedOver() async throws {
        let nodes = try await TestCluster().startAll()
        let leader = try await nodes.leader()
        let target = nodes.first { $0.id != leader.id }!
        try await leader.settle()
        try await leader.node.transferLeadership(to: target.id)
        #expect(try await leader.leadership.leader == target.id)
        await #expect(throws: TransferError.refused(.notLeader)) {
            try await leader.node.transferLeadership(to: leader.id)
        }
        await #expect(throws: TransferError.refused(.unknownTarget)) {
            try await target.node.transferLeadership(to: NodeID(9))
        }
        #expect(try await leader.add(1) == 1)
        await nodes.stopAll()
    }

    /// A planned stop costs no election timeout: the next leader's term begins before the node is gone.
    @Test func shuttingDownHandsOverFirst() async throws {
        let nodes = try await TestCluster().startAll()
        let leader = try await nodes.leader()
        try await leader.settle()
        let term = try await leader.leadership.term
        await leader.stop()
        // Told before it closed, so the node itself knows who follows.
        let known = try await leader.run { $0.replica.core.leadership }
        #expect(known.term == term.next)
        #expect(known.leader != leader.id && known.leader != nil)
        let others = nodes.filter { $0.id != leader.id }
        #expect(try await others.leader().id == known.leader)
        #expect(try await others[0].add(1) == 1)
        await others.stopAll()
    }

    /// With a lease a leader answers reads alone; others ask it.
    @Test func readsUnderALeaseAskNobody() async throws {
        let cluster = TestCluster()
        var nodes: [TestNode] = []
        for id in [1, 2, 3] as [UInt64] {
            var options = cluster.options(id, members: [1, 2, 3])
            options.replicaSettings.raft.promisesLeases = true
            nodes.append(try await TestNode.start(options))
        }
        for node in nodes { try await node.waitForLeader() }
        let leader = try await nodes.leader()
        try await leader.settle()
        _ = try await leader.add(4)
        let isAnsweredAtOnce = try await leader.run { node in
            var isAnswered = false
            node.group.leaseRead { isAnswered = $0 == nil }
            return isAnswered && node.group.state.sum == 4
        }
        #expect(isAnsweredAtOnce)
        let follower = nodes.first { $0.id != leader.id }!
        let promise = follower.loop.makePromise(of: Bool.self)
        follower.loop.execute { [node = follower.node] in
            node.group.leaseRead { promise.succeed($0 == nil) }
        }
        #expect(try await promise.futureResult.get())
        #expect(try await follower.run { $0.group.state.sum } == 4)
        await nodes.stopAll()
    }

    @Test func aNodeAloneShutsDownAtOnce() async throws {
        let node = try await TestCluster().start(1, members: [1])
        try await node.waitForLeader()
        await node.stop()
        #expect(try await node.leadership.leader == node.id)
    }

    /// Clients' requests that come while the leadership is handed over are not refused.
    @Test func requestsWaitForTheNextLeader() async throws {
        let nodes = try await TestCluster().startAll()
        let leader = try await nodes.leader()
        try await leader.settle()
        async let first: Void = leader.node.transferLeadership()
        async let second = leader.add(1)
        try await first
        #expect(try await second == 1)
        await nodes.stopAll()
    }

    /// All nodes stand still for longer than an election timeout: the leader does not wait to hear of another.
    @Test func aLeaderThatStoodStillGivesUp() async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let cluster = TestCluster()
        var nodes: [TestNode] = []
        for id in [1, 2, 3] as [UInt64] {
            nodes.append(
                try await TestNode.start(cluster.options(id, members: [1, 2, 3]), on: loops.next()))
        }
        for node in nodes { try await node.waitForLeader() }
        let leader = try await nodes.leader()
        try await leader.settle()
        try await leader.run { _ in _ = usleep(1_000_000) }
        try await leader.wait("giving up") { $0.replica.rarePaths.contains(.leaderStepsDownWithoutQuorum) }
        #expect(try await nodes[0].add(1) == 1)
        await nodes.stopAll()
        try await loops.shutdownGracefully()
    }

    /// The disk of a leader stops answering: another leads, and it may lead again when its disk does.
    @Test func aLeaderWhoseDiskStandsStillIsReplaced() async throws {
        let cluster = TestCluster()
        var nodes: [TestNode] = []
        var disks: [StallingFileSystem] = []
        for id in [1, 2, 3] as [UInt64] {
            var options = cluster.options(id, members: [1, 2, 3])
            let disk = StallingFileSystem(cluster.disk(id))
            options.fileSystem = disk
            options.replicaSettings.syncDeadlineMilliseconds = 150
            // So long that nothing but the disk ends the leadership.
            options.replicaSettings.raft.electionTimeoutMilliseconds = 3_000
            disks.append(disk)
            nodes.append(try await TestNode.start(options))
        }
        for node in nodes { try await node.waitForLeader() }
        let leader = try await nodes.leader()
        try await leader.settle()
        let disk = disks[Int(leader.id.rawValue) - 1]
        disk.stall()
        async let late = leader.add(1)
        try await leader.wait("the stall") {
            $0.replica.isDiskStalled && $0.replica.rarePaths.contains(.steppedAside)
        }
        let others = nodes.filter { $0.id != leader.id }
        let next = try await others.leader()
        #expect(next.id != leader.id)
        #expect(try await next.add(10) ?? 0 >= 10)
        // What was proposed before is in the log of the others and is applied once.
        #expect(try await late ?? 0 >= 1)
        #expect(try await leader.run { $0.replica.isDiskStalled })
        disk.resume()
        try await leader.wait("the disk") { !$0.replica.isDiskStalled }
        #expect(try await leader.sum() == 11)
        await nodes.stopAll()
    }
}

/// Files whose syncs can be held up.
private final class StallingFileSystem: FileSystem {
    private let base: SimulatedFileSystem
    private let gate = Gate()

    /// Holds threads up while it is shut.
    final class Gate: Sendable {
        private let isShut = Mutex(false)
        func set(_ isShut: Bool) { self.isShut.withLock { $0 = isShut } }
        func pass() {
            while isShut.withLock({ $0 }) { usleep(1_000) }
        }
    }

    private final class StallingFile: File {
        let base: any File
        let gate: Gate
        init(_ base: any File, _ gate: Gate) {
            self.base = base
            self.gate = gate
        }
        var path: FilePath { base.path }
        func sizeBytes() throws(FileSystemError) -> Int { try base.sizeBytes() }
        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileSystemError) -> Int {
            try base.read(into: buffer, at: offset)
        }
        func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileSystemError) {
            try base.write(bytes, at: offset)
        }
        func allocate(_ sizeBytes: Int) throws(FileSystemError) { try base.allocate(sizeBytes) }
        func truncate(to sizeBytes: Int) throws(FileSystemError) { try base.truncate(to: sizeBytes) }
        func synchronize() throws(FileSystemError) {
            gate.pass()
            try base.synchronize()
        }
        func tryLock() throws(FileSystemError) -> Bool { try base.tryLock() }
    }

    init(_ base: SimulatedFileSystem) { self.base = base }

    func stall() { gate.set(true) }
    func resume() { gate.set(false) }

    func open(_ path: FilePath, _ mode: FileOpenMode) throws(FileSystemError) -> any File {
        StallingFile(try base.open(path, mode), gate)
    }
    func createDirectory(_ path: FilePath) throws(FileSystemError) -> Bool { try base.createDirectory(path) }
    func list(_ directory: FilePath) throws(FileSystemError) -> [String] { try base.list(directory) }
    func exists(_ path: FilePath) throws(FileSystemError) -> Bool { try base.exists(path) }
    func rename(_ path: FilePath, to newPath: FilePath) throws(FileSystemError) {
        try base.rename(path, to: newPath)
    }
    func remove(_ path: FilePath) throws(FileSystemError) { try base.remove(path) }
    func removeDirectory(_ path: FilePath) throws(FileSystemError) { try base.removeDirectory(path) }
    func synchronizeDirectory(_ path: FilePath) throws(FileSystemError) {
        try base.synchronizeDirectory(path)
    }
    func freeSpaceBytes(_ path: FilePath) throws(FileSystemError) -> UInt64 { try base.freeSpaceBytes(path) }
}
