import ConsensusTypes
import struct SystemPackage.FilePath

/// What happens to bytes at rest, that nobody is writing.
public enum SimulatedDiskFault: Hashable, Sendable, CaseIterable {
    /// One bit has another value.
    case flippedBit
    /// A sector of 512 bytes is zero.
    case zeroedSector
    /// A block of 4,096 bytes is zero.
    case zeroedBlock
}

// What happens to the disk as a whole, or to bytes at rest. All of it is seen at once and survives crashes.
extension SimulatedFileSystem {
    /// Changes one bit on the disk and in memory. The file must exist and be longer than `offset`.
    public func flipBit(_ bit: Int, of path: FilePath, at offset: Int) throws(FileSystemError) {
        try state.withLock { (state) throws(FileSystemError) in
            let inode = try state.disk.file(path.string, .write)
            precondition(offset < state.disk[inode].sizeBytes && (0..<8).contains(bit), "no such bit")
            state.disk[inode].flipBit(bit, at: offset)
        }
    }

    /// Damages the file at `offset`, or at a random place of it that holds anything, by the seed. Answers
    /// which bytes were damaged; `nil` where the file holds nothing but zeros, or ends before `offset`.
    @discardableResult
    public func damage(
        _ fault: SimulatedDiskFault, of path: FilePath, at offset: Int? = nil
    ) throws(FileSystemError) -> Range<Int>? {
        try state.withLock { (state) throws(FileSystemError) -> Range<Int>? in
            let inode = try state.disk.file(path.string, .write)
            let size = state.disk[inode].sizeBytes
            guard let place = offset ?? state.usedPlace(inode), place < size else { return nil }
            let unit: Int
            switch fault {
            case .flippedBit:
                state.disk[inode].flipBit(Int(state.random.next(below: 8)), at: place)
                return place..<place + 1
            case .zeroedSector: unit = SimulatedInode.sectorSizeBytes
            case .zeroedBlock: unit = SimulatedInode.pageSizeBytes
            }
            let start = place / unit * unit
            let range = start..<min(start + unit, size)
            state.disk[inode].zero(range)
            return range
        }
    }

    /// Makes the device unable to read the blocks of 4,096 bytes that hold `range` (latent sector errors), as
    /// an operating system sees it that reads whole blocks: every read that touches one fails with `EIO`, and
    /// so does a write that does not replace all of a block, which has to read it first. A block that is
    /// overwritten as a whole can be read again; before that is synced, a power cut brings the error back.
    ///
    /// The blocks stay with the file when it is renamed. Answers which bytes cannot be read; `nil` where the
    /// file ends before `range`.
    @discardableResult
    public func makeUnreadable(_ path: FilePath, _ range: Range<Int>) throws(FileSystemError) -> Range<Int>? {
        try state.withLock { (state) throws(FileSystemError) -> Range<Int>? in
            let inode = try state.disk.file(path.string, .read)
            return state.disk[inode].makeUnreadable(range)
        }
    }

    /// The same for a block around a random place of the file that holds anything, by the seed. Answers
    /// `nil` where the file holds nothing but zeros.
    @discardableResult
    public func makeUnreadable(_ path: FilePath) throws(FileSystemError) -> Range<Int>? {
        try state.withLock { (state) throws(FileSystemError) -> Range<Int>? in
            let inode = try state.disk.file(path.string, .read)
            guard let place = state.usedPlace(inode) else { return nil }
            return state.disk[inode].makeUnreadable(place..<place + 1)
        }
    }

    /// The device reads all of the file again, with what it held.
    public func makeReadable(_ path: FilePath) throws(FileSystemError) {
        try state.withLock { (state) throws(FileSystemError) in
            let inode = try state.disk.file(path.string, .read)
            state.disk[inode].makeReadable()
        }
    }

    /// Where the last part of the file ends, in pages, that holds anything but zeros.
    public func usedSizeBytes(of path: FilePath) throws(FileSystemError) -> Int {
        try state.withLock { (state) throws(FileSystemError) -> Int in
            let inode = try state.disk.file(path.string, .read)
            return state.disk[inode].usedPages.last?.upperBound ?? 0
        }
    }

    /// Does this to the next operation of the kind (on this file, where one is given), before the plan is
    /// asked, and to none after it: loses or misdirects a write, fails a sync.
    public func injectOnce(
        _ fault: SimulatedFault, into operation: FileOperation, of path: FilePath? = nil
    ) {
        state.withLock { $0.pendingFaults.append((fault, operation, path)) }
    }

    /// Forgets what ``injectOnce(_:into:of:)`` was told and has not happened.
    public func cancelInjections() {
        state.withLock { $0.pendingFaults.removeAll() }
    }

    /// All files below a directory, sorted by path, as their readers see them.
    public func files(under directory: FilePath = "/") -> [(path: FilePath, sizeBytes: Int)] {
        state.withLock { state in
            state.disk.files(under: directory.string).map {
                (FilePath($0.path), state.disk[$0.inode].sizeBytes)
            }
        }
    }

    /// Puts the whole disk back to what it was when `other` was copied from it. Files opened before fail
    /// from then on, as after a crash.
    public func restore(_ other: SimulatedFileSystem) {
        let disk = other.state.withLock { $0.disk }
        state.withLock { state in
            let capacity = state.disk.capacityBytes
            state.replaceDisk(disk)
            state.disk.capacityBytes = capacity
        }
    }

    /// Replaces the disk by an empty one. Files opened before fail from then on, as after a crash.
    public func wipe() {
        state.withLock { state in
            var disk = SimulatedDisk()
            disk.capacityBytes = state.disk.capacityBytes
            state.replaceDisk(disk)
        }
    }
}

extension SimulatedFileSystem.State {
    mutating func replaceDisk(_ disk: SimulatedDisk) {
        self.disk = disk
        generation += 1
        isCrashed = false
        lockOwner.removeAll()
    }

    /// Where a misdirected write goes.
    func misdirected(_ place: Int, _ count: Int, _ inode: Int) -> Int {
        let room = max(0, disk[inode].sizeBytes - count) / SimulatedInode.sectorSizeBytes + 1
        return Int(place.magnitude % UInt(room)) * SimulatedInode.sectorSizeBytes
    }

    /// A random place between the first and the last byte of a random page that holds anything.
    fileprivate mutating func usedPlace(_ inode: Int) -> Int? {
        let used = disk[inode].usedPages
        guard !used.isEmpty else { return nil }
        let range = used[Int(random.next(below: UInt64(used.count)))]
        return range.lowerBound + Int(random.next(below: UInt64(range.count)))
    }
}
