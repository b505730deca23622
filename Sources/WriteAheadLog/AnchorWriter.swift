import ConsensusTypes
import struct SystemPackage.FilePath

/// Keeps the file `ANCHOR` up to date while the log is in use.
struct AnchorWriter: Sendable {
    private let file: any File
    /// Of the last votes that are durable.
    private var generation: UInt64
    private var positionSlot: Int

    /// Brings the anchor up to what was recovered and is durable, and makes that durable; creates the file
    /// where it is missing or cut short, and anew where a part of it cannot be read.
    init(
        _ directory: FilePath, _ fileSystem: any FileSystem, found: LogAnchor?,
        groups: [GroupCheckpoint], sequence: UInt64
    ) throws(FileSystemError) {
        let path = directory.appending(LogAnchor.fileName)
        let votes = LogAnchor.votes(of: groups)
        var positions: [UInt8] = []
        LogAnchor.encodePositions(sequence: sequence, groups, into: &positions)
        guard let found, found.isWhole else {
            generation = 1
            positionSlot = 1
            try AnchorWriter.create(directory, fileSystem, votes, &positions, sequence)
            file = try fileSystem.open(path, .readWrite)
            return
        }
        file = try fileSystem.open(path, .readWrite)
        generation = found.newestVotes?.generation ?? 0
        positionSlot = found.newestPositions == found.positions[0] ? 1 : 0
        if found.newestVotes?.groups != votes || votes == nil { try write(votes, sequence: sequence) }
        // Damage to one slot must not last until the next election.
        if found.votes.contains(nil) {
            for _ in 0..<2 { try write(votes, sequence: sequence) }
        }
        try write(&positions)
        if !found.hasAllPositions { try write(&positions) }
        try synchronize()
    }

    private static func create(
        _ directory: FilePath, _ fileSystem: any FileSystem, _ votes: [LogAnchor.Vote]?,
        _ positions: inout [UInt8], _ sequence: UInt64
    ) throws(FileSystemError) {
        // Written in full, so that no later write has to allocate anything.
        var bytes = [UInt8](repeating: 0, count: LogAnchor.fileSizeBytes)
        for slot in 0..<2 {
            let slotBytes = LogAnchor.encode(
                LogAnchor.Votes(generation: UInt64(slot), sequence: sequence, groups: votes), slot: slot)
            let offset = LogAnchor.voteOffset(slot)
            bytes.replaceSubrange(offset..<offset + slotBytes.count, with: slotBytes)
            LogAnchor.sealPositions(&positions, voteGeneration: 1, slot: slot)
            let place = LogAnchor.positionOffset(slot)
            bytes.replaceSubrange(place..<place + positions.count, with: positions)
        }
        try AtomicFile.write(bytes, directory, LogAnchor.fileName, fileSystem)
    }

    /// Makes the votes durable. The batch with this sequence must be durable already.
    mutating func write(_ votes: [LogAnchor.Vote]?, sequence: UInt64) throws(FileSystemError) {
        let next = generation + 1
        let slot = Int(next % 2)
        let bytes = LogAnchor.encode(
            LogAnchor.Votes(generation: next, sequence: sequence, groups: votes), slot: slot)
        try file.write(bytes, at: LogAnchor.voteOffset(slot))
        try file.synchronize()
        generation = next
    }

    /// Writes what ``LogAnchor/encodePositions(sequence:_:into:)`` made of a batch that is durable. Not
    /// durable itself: it is there after the process dies, and after a power cut it is as a rule there some
    /// seconds after it was written.
    mutating func write(_ positions: inout [UInt8]) throws(FileSystemError) {
        LogAnchor.sealPositions(&positions, voteGeneration: generation, slot: positionSlot)
        try file.write(positions, at: LogAnchor.positionOffset(positionSlot))
        positionSlot = 1 - positionSlot
    }

    func synchronize() throws(FileSystemError) {
        try file.synchronize()
    }
}
