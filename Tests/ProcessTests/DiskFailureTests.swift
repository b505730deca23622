import EtcdAPI
import EtcdClient
import Foundation
import HoldfastChaos
import Testing
import TestSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension ProcessTests {
    /// Disks that fail and disks that are full, under a real node.
    @Suite struct DiskFailureTests {
        /// `nil` where file systems of our own can be mounted.
        private static let cannotMount: String? =
            Programs.find("mount") == nil || geteuid() != 0 ? "mounting a small file system takes root" : nil

        /// A failed sync is never tried again: what the kernel says of the same bytes afterwards is no
        /// evidence. What was acknowledged before it is there at the next start.
        @Test(
            .enabled(if: Programs.find("strace") != nil, "strace makes the sync fail; it is not installed"),
            .timeLimit(.minutes(2)))
        func aFailedSyncStopsTheNode() async throws {
            let directory = try TemporaryDirectory()
            let node = TestNode(
                name: "n1", clientPort: try FreePorts.take(), peerPort: try FreePorts.take(),
                directory: directory.path)
            defer { node.kill() }
            let arguments = node.arguments(initialCluster: "n1=\(node.peerURL)", options: [])
            let traced = try ChildProcess(
                testing: Programs.find("strace")!,
                [
                    "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e",
                    "inject=fdatasync:error=EIO:when=12+", Programs.holdfast.get(),
                ] + arguments.filter { $0 != "--exit-with-parent" },
                outputPath: node.logPath, errorPath: node.logPath)
            defer { traced.killAndWait() }
            let client = try await waitFor("the node does not answer", within: .seconds(20)) {
                try? await node.connect()
            }
            var acknowledged: [String] = []
            do throws(GRPCStatus) {
                for number in 0..<100 {
                    try await client.put("key \(number)", "kept", timeoutMilliseconds: 3_000)
                    acknowledged.append("key \(number)")
                }
                Issue.record("no sync failed")
            } catch {
                #expect(error.code == .unavailable || error.code == .deadlineExceeded, "\(error)")
            }
            await client.close()
            #expect(try await traced.waitForEnd() == .code(1))
            let line = try #require(node.log.split(separator: "\n").last { $0.hasPrefix("holdfast: ") })
            #expect(line.contains("cannot sync") && line.contains(".segment"), "\(line)")
            #expect(!acknowledged.isEmpty)

            try node.start(arguments)
            try await node.waitUntilHealthy()
            let reader = try await node.connect()
            for key in acknowledged {
                #expect(try await reader.get(key) == Array("kept".utf8), "\(key)")
            }
            await reader.close()
        }

        /// A full disk: writes are refused as etcd refuses them, reads and deletes go on, and when there is
        /// room again so do writes, without anyone's help.
        @Test(
            .enabled(if: cannotMount == nil, Comment(rawValue: cannotMount ?? "")), .timeLimit(.minutes(2)))
        func aFullDiskRefusesWritesUntilThereIsRoom() async throws {
            let directory = try TemporaryDirectory()
            let disk = directory.path + "/disk"
            mkdir(disk, 0o755)
            // Room for the log's first segment and the one that is kept in advance, and not for a third.
            try await mount(["-t", "tmpfs", "-o", "size=150m", "tmpfs", disk], directory)
            let node = TestNode(
                name: "n1", clientPort: try FreePorts.take(), peerPort: try FreePorts.take(), directory: disk)
            do {
                defer { node.kill() }
                try node.start(node.arguments(initialCluster: "n1=\(node.peerURL)", options: []))
                try await node.waitUntilHealthy()
                try await fillAndRelieve(node, disk, directory)
            } catch {
                _ = try? await ChildProcess.run(Programs.find("umount")!, [disk], in: directory)
                throw error
            }
            let unmounted = try await ChildProcess.run(Programs.find("umount")!, [disk], in: directory)
            #expect(unmounted.ending == .code(0), "\(unmounted.errors)")
        }

        private func fillAndRelieve(
            _ node: TestNode, _ disk: String, _ directory: TemporaryDirectory
        ) async throws {
            let client = try await node.connect()
            let value = String(repeating: "x", count: 1_000_000)
            var written = 0
            do throws(GRPCStatus) {
                while written < 300 {
                    try await client.put("key \(written)", value, timeoutMilliseconds: 10_000)
                    written += 1
                }
                Issue.record("300 MB fitted on a disk of 150 MB")
            } catch {
                #expect(error == EtcdStatus.noSpace)
            }
            #expect(written > 30)
            #expect(try await client.get("key 0")?.count == 1_000_000)
            #expect(try await client.get("key \(written - 1)")?.count == 1_000_000)
            #expect(try await client.get("key \(written)") == nil)
            try await delete("key 0", client)
            #expect(try await client.get("key 0") == nil)

            try await mount(["-o", "remount,size=400m", disk], directory)
            _ = try await waitFor("writes are still refused", within: .seconds(15), every: .milliseconds(200))
            {
                do throws(GRPCStatus) {
                    try await client.put("there is room", "again", timeoutMilliseconds: 5_000)
                    return true
                } catch {
                    return nil
                }
            }
            #expect(try await client.get("there is room") == Array("again".utf8))
            await client.close()
        }

        private func delete(_ key: String, _ client: EtcdClient) async throws {
            var request = Etcdserverpb_DeleteRangeRequest()
            request.key = Data(key.utf8)
            _ = try await client.deleteRange(request)
        }

        private func mount(_ arguments: [String], _ directory: TemporaryDirectory) async throws {
            let result = try await ChildProcess.run(Programs.find("mount")!, arguments, in: directory)
            guard result.ending == .code(0) else { throw TestFailure("mount: \(result.errors)") }
        }
    }
}
