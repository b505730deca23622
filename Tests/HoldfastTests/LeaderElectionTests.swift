import ConsensusTypes
import ServiceLifecycle
import Testing

@testable import Holdfast

@Suite(.serialized, .timeLimit(.minutes(10))) struct LeaderElectionTests {
    @Test func oneOfThreeLeads() async throws {
        let elections = try TestMembers().elections()
        try await whileRunning(elections) {
            let leadership = try await elections.leader().leadership
            #expect(leadership.fencingToken > FencingToken(0))
            try await eventually("one leader and two that follow it") {
                let states = elections.map(\.leadership)
                guard let leader = states.firstIndex(where: { $0.leadership != nil }) else { return false }
                return states.count { $0 == .follower(of: TestMembers.names[leader]) } == 2
            }
        }
        for election in elections { #expect(election.leadership.leadership == nil) }
    }

    /// Whatever happens, no two are certain at once, and tokens grow.
    @Test func aLeaderThatIsCutOffLosesBeforeAnotherGains() async throws {
        let members = TestMembers()
        let elections = try members.elections()
        try await whileRunning(elections) {
            for _ in 0..<3 {
                let (old, leadership) = try await elections.leader()
                members.memory.isolate(TestMembers.names[old])
                try await eventually("another leader") {
                    // The new one first: should it have gained before the old one lost, this sees it.
                    let new = elections.enumerated().contains { position, election in
                        position != old && election.leadership.leadership != nil
                    }
                    if new { #expect(!leadership.isCertain) }
                    return new
                }
                let new = try await elections.leader(except: old).leadership
                #expect(new.fencingToken > leadership.fencingToken)
                #expect(!leadership.isCertain)
                members.memory.healAll()
                try await eventually("the old one follows") {
                    if case .follower = elections[old].leadership { true } else { false }
                }
            }
        }
    }

    @Test func leadershipIsRenewed() async throws {
        let elections = try TestMembers().elections()
        try await whileRunning(elections) {
            try await eventually("a renewal") {
                let leadership = try await elections.leader().leadership
                let first = leadership.certainUntil
                try await Task.sleep(for: .milliseconds(100))
                return leadership.isCertain && leadership.certainUntil > first
            }
        }
    }

    @Test func workIsCancelledWithTheLoss() async throws {
        let members = TestMembers()
        let elections = try members.elections()
        try await whileRunning(elections) {
            let leader = try await elections.leader().position
            let hasEnded = Box(false)
            let work = Task {
                try await elections[leader].withLeadership { leadership in
                    defer {
                        // Cancelled in time: nobody else can lead yet.
                        hasEnded.value = true
                    }
                    try await Task.sleep(for: .seconds(600))
                }
            }
            members.memory.isolate(TestMembers.names[leader])
            await #expect(throws: LeadershipLostError.self) { try await work.value }
            #expect(hasEnded.value == true)
        }
    }

    @Test func workReturnsItsValueAndItsErrors() async throws {
        struct Refused: Error {}
        let elections = try TestMembers().elections()
        try await whileRunning(elections) {
            let leader = try await elections.leader().position
            let token = try await elections[leader].withLeadership { $0.fencingToken }
            #expect(token > FencingToken(0))
            await #expect(throws: Refused.self) {
                try await elections[leader].withLeadership { _ in throw Refused() }
            }
            // Whoever does not lead waits, until it is cancelled.
            let waiting = Task { try await elections[(leader + 1) % 3].withLeadership { _ in } }
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
        }
        await #expect(throws: ElectionEndedError.self) { try await elections[0].withLeadership { _ in } }
    }

    @Test func whoeverResignsHandsOver() async throws {
        let elections = try TestMembers(resignationPauseMilliseconds: 60_000).elections()
        try await whileRunning(elections) {
            let (old, leadership) = try await elections.leader()
            let started = Box(false)
            let endedBefore = Box<Bool>()
            let work = Task {
                try await elections[old].withLeadership { _ in
                    started.value = true
                    try? await Task.sleep(for: .seconds(600))
                    // Handing over waits for this.
                    endedBefore.value = !elections.enumerated().contains { position, election in
                        position != old && election.leadership.leadership != nil
                    }
                }
            }
            try await eventually("the work") { started.value == true }
            await elections[old].resign()
            #expect(!leadership.isCertain)
            let new = try await elections.leader(except: old).leadership
            #expect(new.fencingToken > leadership.fencingToken)
            await #expect(throws: LeadershipLostError.self) { try await work.value }
            #expect(endedBefore.value == true)
        }
    }

    @Test func theLeadershipIsTransferred() async throws {
        let elections = try TestMembers().elections()
        try await whileRunning(elections) {
            let (old, leadership) = try await elections.leader()
            let target = (old + 1) % 3
            await #expect(throws: LeadershipTransferError.notLeader) {
                try await elections[target].transferLeadership()
            }
            await #expect {
                try await elections[old].transferLeadership(to: "nobody")
            } throws: { error in
                if case LeadershipTransferError.refused = error { true } else { false }
            }
            // Told again that it leads, since it does.
            try await eventually("its leadership") { elections[old].leadership.leadership != nil }
            #expect(!leadership.isCertain)
            try await elections[old].transferLeadership(to: TestMembers.names[target])
            #expect(elections[old].leadership.leadership == nil)
            _ = try await elections.leader(except: old)
        }
        await #expect(throws: LeadershipTransferError.stopped) { try await elections[0].transferLeadership() }
    }

    @Test func whoeverResignedMayLeadAgainAfterThePause() async throws {
        let members = TestMembers(resignationPauseMilliseconds: 100)
        let elections = try members.elections()
        try await whileRunning(elections) {
            let old = try await elections.leader().position
            await elections[old].resign()
            let new = try await elections.leader(except: old).position
            await elections[new].resign()
            await elections[3 - old - new].resign()
            _ = try await elections.leader()
        }
    }

    /// Votes and terms are durable.
    @Test func tokensGrowOverRestarts() async throws {
        let members = TestMembers()
        var last = FencingToken(0)
        for _ in 0..<2 {
            let elections = try members.elections()
            let token = try await whileRunning(elections) {
                try await elections.leader().leadership.fencingToken
            }
            #expect(token > last)
            last = token
        }
    }

    @Test func aGracefulShutdownHandsOver() async throws {
        let elections = try TestMembers().elections()
        try await whileRunning(Array(elections[1...])) {
            let group = ServiceGroup(
                services: [elections[0]], logger: TestMembers().configuration("a").logger)
            let service = Task { try await group.run() }
            try await eventually("an election") { elections[0].leadership != .unknown }
            await group.triggerGracefulShutdown()
            try await service.value
            #expect(elections[0].leadership.leadership == nil)
            _ = try await elections.leader(except: 0)
        }
    }

    @Test func anElectionRunsOnce() async throws {
        let elections = try TestMembers().elections()
        try await whileRunning(elections) { _ = try await elections.leader() }
        await #expect(throws: NodeRunError.ranBefore) { try await elections[0].run() }
    }

    @Test func theNameOfAnElectionIsChecked() throws {
        #expect(throws: HoldfastConfigurationError.self) {
            try LeaderElection(named: "a/b", TestMembers().configuration("a"))
        }
    }

    /// Elections of different names on the same members do not meet.
    @Test func electionsOfOtherNamesAreOthers() async throws {
        let members = TestMembers()
        let first = try members.elections("first")
        let second = try members.elections("second")
        try await whileRunning(first + second) {
            _ = try await first.leader()
            _ = try await second.leader()
        }
    }
}
