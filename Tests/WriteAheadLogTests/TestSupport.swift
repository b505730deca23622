import ConsensusTypes
import struct SystemPackage.Errno
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

let logDirectory: FilePath = "/log"

func openLog(
    _ fileSystem: any FileSystem, _ options: WriteAheadLogOptions = .init(segmentSizeBytes: 4_096)
) throws(WriteAheadLogError) -> WriteAheadLog.Opened {
    try WriteAheadLog.open(directory: logDirectory, fileSystem: fileSystem, options: options)
}

func segmentPath(_ number: UInt64) -> FilePath {
    logDirectory.appending(SegmentName.segment(number))
}

func entries(_ range: ClosedRange<Int>, term: UInt64 = 1, payloadBytes: Int = 16) -> [Entry] {
    range.map { index in
        Entry(
            index: LogIndex(UInt64(index)), term: Term(term), kind: .command,
            proposal: ProposalID(session: 7, sequence: UInt64(index)),
            payload: ByteSlice([UInt8](repeating: UInt8(truncatingIfNeeded: index), count: payloadBytes)))
    }
}

let threeVoters = Membership(voters: [NodeID(1), NodeID(2), NodeID(3)])

func snapshot(_ index: UInt64, term: UInt64 = 1) -> SnapshotMetadata {
    SnapshotMetadata(index: LogIndex(index), term: Term(term), membership: threeVoters)
}

/// All bytes of a file, whatever it is.
func contents(_ path: FilePath, _ fileSystem: any FileSystem) throws -> [UInt8] {
    let file = try fileSystem.open(path, .read)
    return try file.readBytes(try file.sizeBytes(), at: 0)
}

/// Replaces what a file holds, durably.
func replace(_ path: FilePath, with bytes: [UInt8], _ fileSystem: any FileSystem) throws {
    let file = try fileSystem.open(path, .createOrOpen)
    try file.truncate(to: 0)
    try file.write(bytes, at: 0)
    try file.synchronize()
    try fileSystem.synchronizeDirectory(path.removingLastComponent())
}

/// A log of several segments, three groups, with everything flushed, and what it holds.
func makeLog(
    seed: UInt64, steps: Int, closes: Bool
) throws -> (fileSystem: SimulatedFileSystem, model: LogModel) {
    let fileSystem = SimulatedFileSystem(seed: seed)
    let log = try openLog(fileSystem).log
    var maker = StepMaker(seed: seed)
    for _ in 0..<steps {
        log.encode(maker.next().writes)
        try log.flush()
    }
    if closes { try log.close() }
    fileSystem.restart(after: .process)
    return (fileSystem, maker.model)
}
