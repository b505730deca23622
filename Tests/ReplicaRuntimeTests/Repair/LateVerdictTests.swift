import ConsensusTypes
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// What a peer says of a start that is over does not end the present one.
@Suite struct LateVerdictTests {
    private let peer = NodeID(2)

    private func admission(startCount: UInt64) -> NodeAdmission {
        NodeAdmission(
            nodeID: NodeID(1), group: GroupID(1),
            membership: Membership(voters: [NodeID(1), NodeID(2), NodeID(3)]), directory: DirectoryID(7),
            startCount: startCount, incarnation: 9, records: [], start: .certain, now: .zero)
    }

    private func behind(_ knownStartCount: UInt64) -> RepairMessage {
        .verdict(Verdict(judgement: .behind, incarnation: 9, knownStartCount: knownStartCount))
    }

    /// A leader has adopted the node since it introduced itself, which counts as a later start.
    @Test func aVerdictOnTheStartBeforeAnAdoptionIsLate() {
        let admission = admission(startCount: 5)
        admission.receive(behind(4), from: peer, now: .zero)
        #expect(admission.isActive)
        // The peer is told of the present start, and judges that.
        let isIntroduced = admission.takeEffects().contains { effect in
            if case .send(.introduction(let introduction), peer) = effect {
                return introduction.startCount == 5
            }
            return false
        }
        #expect(isIntroduced)
    }

    @Test(arguments: [5, 6] as [UInt64])
    func aPeerThatKnowsALaterStartIsBelieved(knownStartCount: UInt64) {
        let admission = admission(startCount: 5)
        admission.receive(behind(knownStartCount), from: peer, now: .zero)
        #expect(!admission.isActive)
    }

    /// What a process said before it took part may arrive after what it said since.
    @Test func anIntroductionFromBeforeTheNodeTookPartIsLate() {
        let admission = admission(startCount: 5)
        func introduce(startCount: UInt64, incarnation: UInt64, _ stage: Introduction.Stage)
            -> [RepairMessage]
        {
            let introduction = Introduction(
                directory: DirectoryID(8), startCount: startCount, incarnation: incarnation, stage: stage)
            admission.receive(.introduction(introduction), from: peer, now: .zero)
            var messages: [RepairMessage] = []
            for effect in admission.takeEffects() {
                if case .send(let message, peer) = effect { messages.append(message) }
                if case .remember(let record) = effect { admission.remembered(record, now: .zero) }
            }
            return messages
        }
        _ = introduce(startCount: 40, incarnation: 3, .active)
        _ = admission.takeEffects()
        #expect(admission.standing(of: peer) == .accepted)
        #expect(introduce(startCount: 1, incarnation: 3, .underRepair).isEmpty)
        #expect(admission.standing(of: peer) == .accepted)
        #expect(introduce(startCount: 40, incarnation: 3, .fresh).isEmpty)
        #expect(admission.standing(of: peer) == .accepted)
        // Another process with an earlier start is told.
        let answer = introduce(startCount: 1, incarnation: 4, .underRepair)
        #expect(answer == [.verdict(Verdict(judgement: .behind, incarnation: 4, knownStartCount: 40))])
    }
}
