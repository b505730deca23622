import Foundation
import Testing

extension ProcessTests {
    /// Data directories that are not what the node left: it refuses them by name and offset, or has lost
    /// nothing.
    @Suite struct DamagedDataTests {
        @Test(.timeLimit(.minutes(5)), arguments: [true, false]) func flippedBytes(
            stopsCleanly: Bool
        ) async throws {
            try await DataFixture.run(stopsCleanly: stopsCleanly) { fixture in
                let undamaged = try await fixture.start(fixture.files)
                #expect(undamaged.isStarted, "the undamaged data")
                var refusedCount = 0
                var startedCount = 0
                for file in fixture.files.files {
                    for (number, offset) in file.interestingOffsets.enumerated()
                    where stopsCleanly || number % 3 == 0 {
                        let mask = UInt8(1 << (offset % 8))
                        let place = "\(file.name) at byte \(offset) of \(file.sizeBytes)"
                        let damaged = fixture.files.flipping(file.name, at: offset, mask: mask)
                        guard let outcome = await outcome(of: damaged, fixture, place) else { continue }
                        switch outcome {
                        case .refused(let line):
                            refusedCount += 1
                            #expect(line.namesFileAndOffset(file.name), "\(place): \(line)")
                            #expect(!file.isLock && !file.isSpare, "\(place): \(line)")
                        case .started:
                            startedCount += 1
                            #expect(!file.isSegment || offset >= 64, "\(place): the damage was not seen")
                            let isSaid = fixture.node.log.contains("\(file.name) is damaged at byte")
                            #expect(isSaid || !file.isIdentityCopy(at: offset), "\(place): it is not said")
                        }
                    }
                }
                #expect(refusedCount >= (stopsCleanly ? 85 : 28))
                print(
                    "flipped bytes, \(stopsCleanly ? "stopped" : "killed"): \(refusedCount) starts refused, "
                        + "\(startedCount) with everything there")
            }
        }

        @Test(.timeLimit(.minutes(5)), arguments: [true, false]) func truncatedFiles(
            stopsCleanly: Bool
        ) async throws {
            try await DataFixture.run(stopsCleanly: stopsCleanly) { fixture in
                for file in fixture.files.files where !file.isLock {
                    let used = file.bytes.count
                    var sizes = Set([0, 1, 8, 63, 64, 65, 100, used / 3, used / 2, used - 9, used - 1, used])
                    sizes.formUnion([file.sizeBytes / 2, file.sizeBytes - 1, file.sizeBytes + 1])
                    sizes.remove(file.sizeBytes)
                    for size in sizes.sorted() where size >= 0 && size <= file.sizeBytes + 1 {
                        let place = "\(file.name) with \(size) of \(file.sizeBytes) bytes"
                        let damaged = fixture.files.resizing(file.name, to: size)
                        guard let outcome = await outcome(of: damaged, fixture, place) else { continue }
                        if case .refused(let line) = outcome {
                            #expect(line.namesFileAndOffset(file.name), "\(place): \(line)")
                            #expect(!file.isSpare, "\(place): \(line)")
                        } else if size < used {
                            // Without the anchor the log's own marks prove that all of it is there, and one
                            // copy of the identity says what both do. The members that the node was first started
                            // with follow from its flags.
                            let isMadeUpFor =
                                file.isSpare || file.isAnchor || file.name == "CLUSTER"
                                || (file.name == "IDENTITY" && size >= 70)
                            #expect(isMadeUpFor, "\(place): the damage was not seen")
                        }
                    }
                }
            }
        }

        /// A node without peers cannot be adopted, so it refuses unless it is told to do without.
        @Test(.timeLimit(.minutes(1))) func bothCopiesOfTheIdentity() async throws {
            try await DataFixture.run(stopsCleanly: true) { fixture in
                let damaged = fixture.files.flipping("IDENTITY", at: 20, mask: 4)
                    .flipping("IDENTITY", at: 4_096 + 40, mask: 4)
                guard case .refused(let line) = try await fixture.start(damaged) else {
                    Issue.record("it started")
                    return
                }
                #expect(line.namesFileAndOffset("IDENTITY"), "\(line)")
                let arguments = fixture.cluster.arguments(of: fixture.node) + ["--accept-data-loss"]
                #expect(try await fixture.start(damaged, arguments: arguments).isStarted)
            }
        }

        @Test(.timeLimit(.minutes(2)), arguments: [true, false]) func missingFiles(
            stopsCleanly: Bool
        ) async throws {
            try await DataFixture.run(stopsCleanly: stopsCleanly) { fixture in
                for file in fixture.files.files {
                    let damaged = fixture.files.removing(file.name)
                    guard let outcome = await outcome(of: damaged, fixture, file.name) else { continue }
                    if file.name == "IDENTITY" || file.isSegment {
                        #expect(!outcome.isStarted, "\(file.name) is missing")
                    }
                    if file.isLock || file.isSpare {
                        #expect(outcome.isStarted, "\(file.name) is missing: \(outcome)")
                    }
                    if case .refused(let line) = outcome {
                        #expect(line.contains(fixture.node.dataDirectory), "\(file.name): \(line)")
                    }
                }
                var withoutSnapshots = fixture.files
                withoutSnapshots.files.removeAll(where: \.isSnapshot)
                let outcome = try await fixture.start(withoutSnapshots)
                #expect(!outcome.isStarted, "all snapshots are missing")
                // A directory that is put back empty is a new node's, unless the operator says otherwise.
                var nothing = fixture.files
                nothing.files = []
                try nothing.write(to: fixture.node.dataDirectory)
                try FileManager.default.removeItem(atPath: fixture.node.dataDirectory)
                let existing =
                    fixture.cluster.arguments(of: fixture.node) + ["--initial-cluster-state", "existing"]
                let refused = try await fixture.start(arguments: existing)
                #expect(!refused.isStarted, "there is no data")
            }
        }

        /// A log of several segments.
        @Test(.timeLimit(.minutes(3))) func missingSegments() async throws {
            try await TestCluster.run(size: 1) { cluster in
                let node = cluster.nodes[0]
                let client = try await node.connect()
                for number in 0..<150 {
                    try await client.put(
                        Array("key \(number)".utf8), [UInt8](repeating: UInt8(number), count: 1 << 20))
                }
                await client.close()
                #expect(try await node.stop() == .code(0))
                let directory = node.dataDirectory + "/log"
                let segments = try FileManager.default.contentsOfDirectory(atPath: directory)
                    .filter { $0.hasSuffix(".segment") }.sorted()
                #expect(segments.count >= 3)
                for segment in segments {
                    let path = "\(directory)/\(segment)"
                    try FileManager.default.moveItem(atPath: path, toPath: node.dataDirectory + "/away")
                    try cluster.start(node)
                    let ending = try await node.running?.waitForEnd()
                    #expect(ending == .code(1), "\(segment): \(node.lastLogLines)")
                    let line = node.log.split(separator: "\n").last ?? ""
                    #expect(line.contains("is missing at byte 0"), "\(segment): \(line)")
                    #expect(line.contains(segment), "\(segment): \(line)")
                    try FileManager.default.moveItem(atPath: node.dataDirectory + "/away", toPath: path)
                }
                try cluster.start(node)
                try await node.waitUntilHealthy()
                let again = try await node.connect()
                #expect(try await again.get("key 149")?.count == 1 << 20)
                #expect(try await again.get("key 0")?.count == 1 << 20)
                await again.close()
            }
        }

        /// The others go on without a damaged member, which says what is damaged, repairs itself and serves.
        @Test(.timeLimit(.minutes(2))) func damagedMember() async throws {
            try await TestCluster.run(size: 3) { cluster in
                let leader = try await cluster.leader()
                let victim = try #require(cluster.nodes.first { $0 !== leader })
                let client = try await leader.connect()
                for number in 0..<50 { try await client.put("key \(number)", "value") }
                #expect(try await victim.stop() == .code(0))
                let files = try DataFiles(directory: victim.dataDirectory)
                let segment = try #require(files.lastSegment)
                try files.flipping(segment.name, at: segment.bytes.count / 2, mask: 1)
                    .write(to: victim.dataDirectory)
                try await client.put("meanwhile", "written")
                try cluster.start(victim)
                try await cluster.waitUntilHealthy()
                #expect(victim.log.contains("\(segment.name) is damaged at byte"))
                #expect(victim.log.contains("exact restoration"))
                let other = try await victim.connect()
                #expect(try await other.get("meanwhile") == Array("written".utf8))
                #expect(try await other.get("key 49") == Array("value".utf8))
                await other.close()
                await client.close()
            }
        }

        /// Who has nobody to ask may be told to do without what is lost.
        @Test(.timeLimit(.minutes(2))) func acceptedLoss() async throws {
            try await TestCluster.run(size: 1) { cluster in
                let node = cluster.nodes[0]
                let client = try await node.connect()
                for number in 0..<50 { try await client.put("key \(number)", "value") }
                await client.close()
                #expect(try await node.stop() == .code(0))
                let files = try DataFiles(directory: node.dataDirectory)
                let segment = try #require(files.lastSegment)
                try files.flipping(segment.name, at: segment.bytes.count / 2, mask: 1)
                    .write(to: node.dataDirectory)
                try cluster.start(node)
                #expect(try await node.running?.waitForEnd() == .code(1))
                try node.start(cluster.arguments(of: node) + ["--accept-data-loss"])
                try await node.waitUntilHealthy()
                #expect(node.log.contains("is dropped"))
                let again = try await node.connect()
                #expect(try await again.get("key 0") == Array("value".utf8))
                #expect(try await again.get("key 49") == nil)
                try await again.put("key 49", "again")
                await again.close()
                // Without the word from then on.
                #expect(try await node.stop() == .code(0))
                try cluster.start(node)
                try await node.waitUntilHealthy()
            }
        }

        private func outcome(
            of files: DataFiles, _ fixture: DataFixture, _ place: String
        ) async -> DataFixture.Outcome? {
            do {
                return try await fixture.start(files)
            } catch {
                Issue.record("\(place): \(error)")
                return nil
            }
        }
    }
}

extension DataFixture.Outcome {
    var isStarted: Bool {
        if case .started = self { true } else { false }
    }
}

extension String {
    /// Whether the line of a refused start says which file it is about, and where in it.
    fileprivate func namesFileAndOffset(_ name: String) -> Bool {
        contains("/\(name) ") && contains(/byte [0-9]+/)
    }
}
