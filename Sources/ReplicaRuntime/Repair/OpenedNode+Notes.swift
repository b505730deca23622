import ConsensusTypes
import RaftCore
import WriteAheadLog

// What was found to be damaged at earlier starts, until it is repaired: see ``RepairNote``.
extension OpenedNode {
    func readNotes() throws(NodeError) {
        do throws(DataDirectoryError) {
            notes = try directory.repairNotes()
        } catch {
            guard case .damaged = error else { throw .dataDirectory(error) }
            damages.append("\(error)")
            hasLostNotes = true
        }
    }

    /// What was noted of a group; `nil` where nothing was, or it was repaired.
    func note(of group: GroupID) -> RepairNote? {
        hasLostNotes
            ? RepairNote(group: group, hardState: nil, end: nil) : notes.first { $0.group == group }
    }

    /// Whether the log has what was noted: the repair was done, and the node ended before it removed the note.
    static func isRestored(_ state: RestoredState, _ note: RepairNote) -> Bool {
        guard let hardState = note.hardState, let end = note.end else { return false }
        return state.hardState.term >= hardState.term
            && state.entries.last?.position ?? state.snapshot.position >= end
    }

    /// Of groups that are not hosted too it is known what they lack.
    func checkUnhosted() {
        for found in unhosted {
            guard let note = note(of: found.group) else { continue }
            let state = RestoredState(
                hardState: found.hardState,
                snapshot: found.snapshot
                    ?? SnapshotMetadata(index: .zero, term: .zero, membership: membership),
                entries: found.entries)
            if !OpenedNode.isRestored(state, note) { incompleteUnhosted.append(found.group) }
        }
    }

    /// The node is under repair, which is noted before anything else: more damage may take what tells of this.
    func noteDamage() throws(NodeError) {
        var found = unhostedNotes
        for group in groups {
            if case .damaged(let left) = group.start { found.append(left.note(group.id)) }
        }
        guard found != notes || hasLostNotes, !found.isEmpty else { return }
        do throws(DataDirectoryError) {
            try directory.noteRepair(found)
        } catch {
            // Without room for the note the repair is as good as long as nothing more is damaged meanwhile.
            guard error.isNoSpace else { throw .dataDirectory(error) }
            damages.append("there is no room to note what must be restored: \(error)")
        }
    }

    /// Of groups that are not hosted what was known of them stays known.
    private var unhostedNotes: [RepairNote] {
        incompleteUnhosted.map { RepairNote(group: $0, hardState: nil, end: nil) }
    }

    /// Everything that the node hosts is whole. What it does not host and that is not is noted with the group.
    func endRepair() throws(NodeError) {
        guard !notes.isEmpty || hasLostNotes else { return }
        for group in incompleteUnhosted { try requireAdoption(of: group) }
        do throws(DataDirectoryError) {
            try directory.noteRepair([])
        } catch {
            throw .dataDirectory(error)
        }
        notes = []
        hasLostNotes = false
    }
}
