import ConsensusTypes
import Testing

@testable import Holdfast

/// Runs machines until the body ends.
func whileRunning<State: ReplicatedState, Value: Sendable>(
    _ machines: [ReplicatedStateMachine<State>], _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for machine in machines { group.addTask { try await machine.run() } }
        let value = try await body()
        group.cancelAll()
        try await group.waitForAll()
        return value
    }
}

extension TestMembers {
    func machines(
        _ settings: ReplicatedStateMachineSettings = ReplicatedStateMachineSettings()
    ) throws -> [ReplicatedStateMachine<TallyState>] {
        try Self.names.map {
            try ReplicatedStateMachine(TallyState.self, configuration($0), settings: settings)
        }
    }
}

@Suite(.serialized, .timeLimit(.minutes(10))) struct ReplicatedStateMachineTests {
    @Test func aCommandThroughAnyNodeIsSeenByAll() async throws {
        let machines = try TestMembers().machines()
        try await whileRunning(machines) {
            for (number, machine) in machines.enumerated() {
                #expect(try await machine.submit(10) == 10 * (number + 1))
            }
            for machine in machines {
                #expect(try await machine.read(false) == 30)
                #expect(try await machine.read(true, consistency: .lease) == 3)
                try await eventually("the state here") {
                    try await machine.read(true, consistency: .stale) == 3
                }
            }
        }
    }

    @Test func theLeaderAnswersUnderItsLeaseAndNotAfterIt() async throws {
        let members = TestMembers(electionTimeoutMilliseconds: 2_000)
        let machines = try members.machines()
        try await whileRunning(machines) {
            try await eventually("a leader") { machines.contains { $0.leadership.leadership != nil } }
            let old = machines.firstIndex { $0.leadership.leadership != nil }!
            _ = try await machines[old].submit(1)
            members.memory.isolate(TestMembers.names[old])
            // Nobody can be asked any more: the lease alone answers.
            #expect(try await machines[old].read(true, consistency: .lease, timeout: .seconds(1)) == 1)
            try await eventually("another leader") {
                machines.enumerated().contains { $0.offset != old && $0.element.leadership.leadership != nil }
            }
            // Nothing of its own any more, whatever the others do.
            await #expect(throws: ReadError.timeout) {
                try await machines[old].read(true, consistency: .lease, timeout: .milliseconds(100))
            }
            #expect(machines[old].leadership.leadership == nil)
        }
    }

    /// Leaders are cut off one after the other while all nodes submit.
    @Test func commandsTakeEffectOnceWhileLeadersChange() async throws {
        let members = TestMembers()
        let machines = try members.machines()
        let perTask = 40
        try await whileRunning(machines) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for machine in machines {
                    for _ in 0..<4 {
                        group.addTask {
                            for _ in 0..<perTask {
                                _ = try await machine.submit(1, timeout: .seconds(120))
                                try await Task.sleep(for: .milliseconds(10))
                            }
                        }
                    }
                }
                for _ in 0..<3 {
                    try await eventually("a leader") {
                        machines.contains { $0.leadership.leadership != nil }
                    }
                    try await Task.sleep(for: .milliseconds(150))
                    guard let leader = machines.first(where: { $0.leadership.leadership != nil }) else {
                        continue
                    }
                    members.memory.isolate(leader.group.plan.configuration.name)
                    try await Task.sleep(for: .milliseconds(700))
                    members.memory.healAll()
                }
                try await group.waitForAll()
            }
            #expect(try await machines[0].read(true) == 12 * perTask)
            #expect(try await machines[1].read(false) == 12 * perTask)
        }
    }

    @Test func aStateOutlivesItsNodes() async throws {
        let members = TestMembers()
        var settings = ReplicatedStateMachineSettings()
        settings.snapshotEntryCount = 10
        let first = try members.machines(settings)
        try await whileRunning(first) {
            for number in 1...25 {
                let sum = try await first[0].submit(1)
                #expect(sum == number)
            }
        }
        let second = try members.machines(settings)
        try await whileRunning(second) {
            let count = try await second[1].read(true)
            #expect(count == 25)
            let sum = try await second[2].submit(5)
            #expect(sum == 30)
        }
    }

    @Test func whatCannotBeDoneIsSaid() async throws {
        let members = TestMembers()
        var settings = ReplicatedStateMachineSettings()
        settings.maximumCommandSizeBytes = 3
        settings.maximumOutstandingCommands = 1
        settings.maximumWaitingCommands = 0
        let machines = try members.machines(settings)
        // Not running yet.
        await #expect(throws: SubmitError.noLeader) {
            try await machines[0].submit(1, timeout: .milliseconds(50))
        }
        await #expect(throws: ReadError.timeout) {
            try await machines[0].read(true, timeout: .milliseconds(50))
        }
        try await whileRunning(machines) {
            await #expect(throws: SubmitError.tooLarge(sizeBytes: 4, maximumSizeBytes: 3)) {
                try await machines[0].submit(1_000)
            }
            #expect(try await machines[0].submit(1) == 1)
            for other in ["b", "c"] { members.memory.cut("a", other) }
            let stuck = Task { try await machines[0].submit(1, timeout: .seconds(60)) }
            try await eventually("a command under way") { machines[0].gate.outstandingCount == 1 }
            await #expect(throws: SubmitError.overloaded) { try await machines[0].submit(1) }
            stuck.cancel()
            await #expect(throws: SubmitError.outcomeUnknown(.cancelled)) { try await stuck.value }
            members.memory.healAll()
            // The one whose outcome is unknown was executed once or never.
            let sum = try await machines[0].submit(1)
            #expect(sum == 2 || sum == 3)
        }
        await #expect(throws: SubmitError.stopped) { try await machines[0].submit(1) }
        await #expect(throws: ReadError.stopped) { try await machines[0].read(true) }
    }

    /// A client that the cluster has forgotten opens another session, and nothing is executed twice.
    @Test func aForgottenClientGoesOn() async throws {
        let machines = try TestMembers().machines()
        try await whileRunning(machines) {
            _ = try await machines[0].submit(1)
            let bound = SessionedMachine<TallyState>.maximumSessions
            let group = machines[1].group
            for _ in 0..<bound {
                await withCheckedContinuation { continuation in
                    group.loop.execute {
                        do {
                            try group.host!.group.propose(SessionedCommand.open.encode()) { _ in
                                continuation.resume()
                            }
                        } catch {
                            Issue.record("a session is refused: \(error)")
                            continuation.resume()
                        }
                    }
                }
            }
            #expect(try await machines[0].submit(1) == 2)
            #expect(try await machines[0].read(true) == 2)
        }
    }

    @Test func settingsAreChecked() {
        for change in [
            { (settings: inout ReplicatedStateMachineSettings) in settings.maximumOutstandingCommands = 0 },
            { $0.maximumOutstandingCommands = 1_025 }, { $0.snapshotEntryCount = 0 },
            { $0.maximumCommandSizeBytes = 0 }, { $0.maximumWaitingCommands = -1 },
        ] {
            var settings = ReplicatedStateMachineSettings()
            change(&settings)
            #expect(throws: HoldfastConfigurationError.self) { try TestMembers().machines(settings) }
        }
    }
}
