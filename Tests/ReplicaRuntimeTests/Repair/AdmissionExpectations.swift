import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

func expectExact(
    _ node: FakeNode, _ original: [Entry], sourceLocation: SourceLocation = #_sourceLocation
) {
    guard node.isActive, case .restored(let group, let adoptedAt) = node.outcome else {
        let said = node.reports.last ?? "nothing"
        Issue.record("node \(node.id) was not restored and said: \(said)", sourceLocation: sourceLocation)
        return
    }
    #expect(adoptedAt == nil, sourceLocation: sourceLocation)
    #expect(group.entries == original, sourceLocation: sourceLocation)
    #expect(group.hardState.term == original.last?.term, sourceLocation: sourceLocation)
}

func expectAdopted(
    _ world: AdmissionWorld, _ number: Int, _ committed: [Entry],
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let node = world[number]
    guard node.isActive, case .restored(let group, let adoptedAt?) = node.outcome else {
        let said = node.reports.last ?? "nothing"
        Issue.record("node \(node.id) was not adopted and said: \(said)", sourceLocation: sourceLocation)
        return
    }
    #expect(Array(group.entries.prefix(committed.count)) == committed, sourceLocation: sourceLocation)
    #expect(group.entries.last?.index == adoptedAt, sourceLocation: sourceLocation)
    for other in world.nodes where other !== node && other.isActive {
        #expect(
            other.admission?.standing(of: node.id) == .accepted, sourceLocation: sourceLocation)
    }
}

/// The nodes keep a snapshot and the entries after it.
func compact(_ world: AdmissionWorld, at index: Int, of numbers: [Int]? = nil) -> SnapshotMetadata {
    let entry = world[1].entries[index - 1]
    let snapshot = SnapshotMetadata(
        index: entry.index, term: entry.term, membership: world.membership)
    for number in numbers ?? Array(1...world.nodes.count) {
        let node = world[number]
        node.base = snapshot
        node.snapshots = [snapshot]
        node.entries.removeAll { $0.index <= snapshot.index }
        node.group?.base = snapshot
        node.group?.entries.removeAll { $0.index <= snapshot.index }
    }
    return snapshot
}
