import ConsensusTypes
import WriteAheadLog
import struct SystemPackage.FilePath

// What disks lose and garble.
extension SimulationRun {
    func beginLoss(_ fault: Fault) {
        if fault.kind == .damage { return damage(fault) }
        for number in fault.nodes.numbers where number < nodes.count && canLose(number) {
            switch fault.kind {
            case .lostWrite, .misdirectedWrite:
                // A disk that loses a vote, its copy and the mark that tells of both leaves no trace.
                if hasLostWrite[number] { continue }
                // A second process is found out by what all others remember.
                guard canForget(number) else { continue }
                mayHaveForgotten[number] = true
                mayBeDamaged[number] = true
                hasLostWrite[number] = true
                let place = 512 * Int(fault.amount)
                disks[number].injectOnce(
                    fault.kind == .lostWrite ? .lose : .misdirect(to: place), into: .write)
            case .wipe:
                guard canForget(number) else { continue }
                mayHaveForgotten[number] = true
                lacksPast[number] = true
                restartTimes[number] = downUntil(fault.durationMicroseconds)
                stop(number, losesPower: false)
                disks[number].wipe()
            default:
                guard canForget(number) else { continue }
                oldDisks[activeFaults.count] = disks[number].copy()
                // A start later than the copy is what the peers know the copy by.
                crash(
                    number, CrashManner(losesPower: false, isWithinWrite: false), downMicroseconds: 1_000)
            }
        }
        if fault.kind == .rollBack { keep(fault) }
    }

    private func damage(_ fault: Fault) {
        let place = DiskDamage(amount: fault.amount)
        for number in fault.nodes.numbers where number < nodes.count && canLose(number) {
            guard canForget(number) else { continue }
            // A power cut that the anchor did not survive, together with damage to what it did not know of,
            // leaves no trace.
            if place.place == .log, nodes[number] == nil, hasLostPower[number] { continue }
            mayHaveForgotten[number] = true
            mayBeDamaged[number] = true
            if place.place == .log { hasDamagedLog[number] = true }
            if fault.durationMicroseconds > 0 {
                let manner = CrashManner(amount: world.random.next(below: 4))
                crash(number, manner, downMicroseconds: fault.durationMicroseconds)
            }
            damage(place, number)
        }
    }

    private func damage(_ damage: DiskDamage, _ number: Int) {
        let disk = disks[number]
        let files =
            switch damage.place {
            case .log:
                disk.files(under: "/node/log").filter {
                    $0.sizeBytes > 0 && $0.path.string.hasSuffix(".segment")
                }
            case .snapshot: disk.files(under: "/node/snapshots").filter { $0.sizeBytes > 0 }
            case .anchor: disk.files(under: "/node/log").filter { $0.path.string.hasSuffix("ANCHOR") }
            case .members: disk.files(under: "/node").filter { $0.path.string.hasSuffix("/MEMBERS") }
            }
        guard !files.isEmpty else { return }
        if damage.isHelix {
            // The oldest files are most alike on all nodes.
            let file = files[files.count / 2]
            // What was allocated in advance holds nothing that could be damaged.
            let part = ((try? disk.usedSizeBytes(of: file.path)) ?? 0) / nodes.count
            let offset = number * part + Int(world.random.next(below: UInt64(max(part / 2, 1))))
            garble(damage.manner, disk, file.path, at: offset)
        } else {
            let file = files[Int(world.random.next(below: UInt64(files.count)))]
            garble(damage.manner, disk, file.path, at: nil)
        }
    }

    private func garble(
        _ manner: DiskDamage.Manner, _ disk: SimulatedFileSystem, _ path: FilePath, at offset: Int?
    ) {
        switch manner {
        case .flippedBit: _ = try? disk.damage(.flippedBit, of: path, at: offset)
        case .zeroedSector: _ = try? disk.damage(.zeroedSector, of: path, at: offset)
        case .zeroedBlock: _ = try? disk.damage(.zeroedBlock, of: path, at: offset)
        case .unreadableBlock:
            if let offset {
                _ = try? disk.makeUnreadable(path, offset..<offset + 1)
            } else {
                _ = try? disk.makeUnreadable(path)
            }
        }
    }

    // MARK: Syncs that lie

    func isLying(_ number: Int) -> Bool {
        activeFaults.contains { $0?.kind == .lyingSync && $0?.nodes.contains(number) == true }
    }

    /// Where syncs of the node's disk are to lie, they do from now on. What a process that ended had planned for
    /// its disk is over.
    func letSyncsLie(_ number: Int) {
        guard isLying(number), !disks[number].isCrashed else { return }
        hasLied[number] = true
        mayBeDamaged[number] = true
        disks[number].setPlan { operation in
            let name = operation.path.string
            let isLie =
                operation.operation == .synchronize
                && (name.hasSuffix(".segment") || name.hasPrefix("/node/snapshots"))
            return isLie ? .lose : .none
        }
    }

    /// Before a power cut that takes more than what was not synced: the operating system has written the anchor
    /// by then. Where it had not, what was lost would leave no trace (decision 4 says so).
    func keepAnchor(_ number: Int) {
        guard hasLied[number] || hasDamagedLog[number] else { return }
        if hasLied[number] { world.counts.powerCutsAfterLies += 1 }
        disks[number].restart(after: .process)
        for file in disks[number].files(under: "/node/log") where file.path.string.hasSuffix("ANCHOR") {
            try? disks[number].open(file.path, .readWrite).synchronize()
        }
    }
}
