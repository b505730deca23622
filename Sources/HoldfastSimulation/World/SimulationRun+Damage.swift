import ConsensusTypes
import WriteAheadLog

// What disks lose and garble.
extension SimulationRun {
    func beginLoss(_ fault: Fault) {
        if fault.kind == .damage { return damage(fault) }
        for number in fault.nodes.numbers where number < nodes.count {
            switch fault.kind {
            case .lostWrite, .misdirectedWrite:
                // A disk that loses a vote, its copy and the mark that tells of both leaves no trace.
                if hasLostWrite[number] { continue }
                mayBeDamaged[number] = true
                hasLostWrite[number] = true
                let place = 512 * Int(fault.amount)
                disks[number].injectOnce(
                    fault.kind == .lostWrite ? .lose : .misdirect(to: place), into: .write)
            case .wipe:
                restartTimes[number] = downUntil(fault.durationMicroseconds)
                stop(number, losesPower: false)
                disks[number].wipe()
            default:
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
        for number in fault.nodes.numbers where number < nodes.count {
            mayBeDamaged[number] = true
            if fault.durationMicroseconds > 0 {
                let manner = CrashManner(amount: world.random.next(below: 4))
                crash(number, manner, downMicroseconds: fault.durationMicroseconds)
            }
            damage(place, number)
        }
    }

    private func damage(_ damage: DiskDamage, _ number: Int) {
        let disk = disks[number]
        let manner: SimulatedDiskFault =
            switch damage.manner {
            case .flippedBit: .flippedBit
            case .zeroedSector: .zeroedSector
            case .zeroedBlock: .zeroedBlock
            }
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
            _ = try? disk.damage(manner, of: file.path, at: offset)
        } else {
            let file = files[Int(world.random.next(below: UInt64(files.count)))]
            _ = try? disk.damage(manner, of: file.path)
        }
    }
}
