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
    /// Nodes that end, in order or not, and what the others and their next start do.
    @Suite struct FailoverTests {
        @Test(.timeLimit(.minutes(3))) func writesGoOnWithoutTheLeader() async throws {
            try await TestCluster.run(size: 3) { cluster in
                var times: [Int] = []
                for round in 0..<5 {
                    let leader = try await cluster.leader()
                    let other = try #require(cluster.nodes.first { $0 !== leader })
                    let client = try await other.connect()
                    try await client.put("before \(round)", "kept")
                    leader.strike()
                    let begin = ContinuousClock.now
                    try await put("after \(round)", through: client, within: .seconds(10))
                    let time = ContinuousClock.now - begin
                    times.append(time.milliseconds)
                    // Generous: this is about being right. Benchmarks measure how fast it is.
                    #expect(time < .seconds(2), "round \(round)")
                    leader.kill()
                    try cluster.start(leader)
                    try await leader.waitUntilHealthy()
                    for node in cluster.nodes {
                        let reader = try await node.connect()
                        for earlier in 0...round {
                            #expect(try await reader.get("before \(earlier)") == Array("kept".utf8))
                            #expect(try await reader.get("after \(earlier)") == Array("kept".utf8))
                        }
                        await reader.close()
                    }
                    await client.close()
                }
                print("failover: the next write after SIGKILL of the leader took \(times) ms")
            }
        }

        /// Again until it succeeds, as a client does.
        private func put(_ key: String, through client: EtcdClient, within limit: Duration) async throws {
            _ = try await waitFor("\(key) was not written", within: limit, every: .milliseconds(5)) {
                do throws(GRPCStatus) {
                    try await client.put(key, "kept", timeoutMilliseconds: 5_000)
                    return true
                } catch {
                    return nil
                }
            }
        }

        @Test(.timeLimit(.minutes(2)), arguments: [1, 3]) func stopAndStartAgain(size: Int) async throws {
            try await TestCluster.run(size: size) { cluster in
                for start in 0..<3 {
                    let client = try await cluster.nodes[start % size].connect()
                    for earlier in 0..<start {
                        #expect(try await client.get("start \(earlier)") == Array("kept".utf8))
                    }
                    try await client.put("start \(start)", "kept")
                    // A watch that is open must not keep the node from stopping.
                    let watch = await client.watch()
                    var request = Etcdserverpb_WatchRequest()
                    request.createRequest.key = Data([0])
                    watch.send(request)
                    for node in cluster.nodes {
                        #expect(try await node.stop() == .code(0), "\(node.lastLogLines)")
                    }
                    await client.close()
                    for node in cluster.nodes { try cluster.start(node) }
                    try await cluster.waitUntilHealthy()
                }
            }
        }

        /// The stop of the leader in the middle of writes loses none that was acknowledged.
        @Test(.timeLimit(.minutes(2))) func stopUnderLoad() async throws {
            try await TestCluster.run(size: 3) { cluster in
                let leader = try await cluster.leader()
                let client = try await leader.connect()
                let acknowledged = try await withThrowingTaskGroup(of: [String].self) { group in
                    for writer in 0..<8 {
                        group.addTask {
                            var keys: [String] = []
                            while true {
                                let key = "key \(writer) \(keys.count)"
                                do throws(GRPCStatus) {
                                    try await client.put(key, key)
                                } catch {
                                    return keys
                                }
                                keys.append(key)
                            }
                        }
                    }
                    try await Task.sleep(for: .milliseconds(300))
                    #expect(try await leader.stop() == .code(0), "\(leader.lastLogLines)")
                    return try await group.reduce(into: []) { $0 += $1 }
                }
                #expect(acknowledged.count > 10)
                try cluster.start(leader)
                try await cluster.waitUntilHealthy()
                for node in cluster.nodes {
                    let reader = try await node.connect()
                    let keys = Set(try await Reading.pairs(reader, serializable: false).map(\.key))
                    #expect(acknowledged.allSatisfy { keys.contains(Data($0.utf8)) }, "\(node.name)")
                    await reader.close()
                }
                await client.close()
            }
        }

        // MARK: holdfast dev

        private func startDev(_ directory: TemporaryDirectory, basePort: Int) async throws -> ChildProcess {
            let process = try ChildProcess(
                testing: Programs.holdfast.get(),
                [
                    "dev", "--nodes", "3", "--base-port", "\(basePort)", "--data-dir",
                    directory.path + "/data",
                ],
                outputPath: directory.path + "/out-\(UUID().uuidString)", errorPath: directory.path + "/err")
            _ = try await waitFor("dev does not welcome: \(process.errors)", within: .seconds(60)) {
                if let ending = process.ending {
                    throw TestFailure("dev ended: \(ending): \(process.errors)")
                }
                return process.output.contains("Ctrl-C stops") ? true : nil
            }
            return process
        }

        private func nodeProcesses(_ output: String) -> [Int32] {
            output.split(separator: "\n").compactMap { line in
                guard line.hasPrefix("  n"), let pid = line.split(separator: " ").last else { return nil }
                return Int32(pid)
            }
        }

        @Test(.timeLimit(.minutes(3)), arguments: [SIGINT, SIGTERM]) func devCluster(signal: Int32)
            async throws
        {
            let directory = try TemporaryDirectory()
            let base = try FreePorts.takeBase()
            for start in 0..<2 {
                let dev = try await startDev(directory, basePort: base)
                let processes = nodeProcesses(dev.output)
                #expect(processes.count == 3)
                for port in [base, base + 20_000, base + 30_000] {
                    #expect(dev.output.contains("http://127.0.0.1:\(port)"))
                }
                for command in ["etcdctl --endpoints=", " put ", " get ", "kill -9 "] {
                    #expect(dev.output.contains(command), "\(command) in \(dev.output)")
                }
                let client = try await EtcdClient.connect(host: "127.0.0.1", port: base + 20_000)
                if start > 0 { #expect(try await client.get("start 0") == Array("kept".utf8)) }
                try await client.put("start \(start)", "kept")
                if start == 0 { try await killOneNode(dev, processes[0], port: base) }
                await client.close()
                dev.send(signal)
                #expect(try await dev.waitForEnd() == .code(0), "\(dev.errors)")
                for process in nodeProcesses(dev.output) {
                    #expect(kill(process, 0) == -1 && errno == ESRCH, "process \(process) is left")
                }
                for port in [base, base + 20_000, base + 30_000] { #expect(FreePorts.isFree(port)) }
            }
        }

        /// A node that dies is started again, and the leader is shown.
        private func killOneNode(_ dev: ChildProcess, _ process: Int32, port: Int) async throws {
            kill(process, SIGKILL)
            _ = try await waitFor("the node is not started again: \(dev.output)", within: .seconds(20)) {
                dev.output.contains("n1 started again, pid") && dev.output.contains("leader: n") ? true : nil
            }
            let client: EtcdClient = try await waitFor("it cannot be reached", within: .seconds(20)) {
                try? await EtcdClient.connect(host: "127.0.0.1", port: port)
            }
            _ = try await waitFor("it does not answer", within: .seconds(20)) {
                try? await client.get("start 0", timeoutMilliseconds: 1_000)
            }
            await client.close()
        }

        /// Nodes do not outlive a `holdfast dev` that was killed.
        @Test(.timeLimit(.minutes(2))) func killedDevCluster() async throws {
            let directory = try TemporaryDirectory()
            let base = try FreePorts.takeBase()
            let dev = try await startDev(directory, basePort: base)
            let processes = nodeProcesses(dev.output)
            dev.killAndWait()
            _ = try await waitFor("nodes are left", within: .seconds(20)) {
                // A container's first process may leave the dead unburied; their ports are free.
                [base, base + 20_000, base + 30_000].allSatisfy(FreePorts.isFree) ? true : nil
            }
            #expect(processes.count == 3)
        }
    }
}
