import ConsensusTypes

/// One file of a ``SimulatedFileSystem``: what its readers see, what the disk holds, and which sectors
/// differ for want of a sync.
///
/// Pages are arrays of their own, so that copies of a whole simulated disk share all pages that neither
/// side changes; an empty array stands for a page of zeros.
struct SimulatedInode: Sendable {
    static let pageSizeBytes = 4_096
    static let sectorSizeBytes = 512

    private(set) var sizeBytes = 0
    private var diskSizeBytes = 0
    private var pages: [[UInt8]] = []
    private var diskPages: [[UInt8]] = []
    /// One bit for each of a page's eight sectors.
    private var dirtySectors: [UInt8] = []
    /// Pages with dirty sectors, in the order in which they became dirty.
    private var dirtyPages: [Int] = []
    /// Pages that a failed sync left marked clean though the disk does not hold them.
    private var forsakenPages: [Int] = []
    /// Pages that the device cannot read, as readers see it, and as it is without what was not synced.
    private var unreadablePages: [Int] = []
    private var unreadableDiskPages: [Int] = []

    init() {}

    var allocatedBytes: Int { pages.count * SimulatedInode.pageSizeBytes }

    static func pagesNeeded(for sizeBytes: Int) -> Int {
        (sizeBytes + pageSizeBytes - 1) / pageSizeBytes
    }

    mutating func resize(to newSizeBytes: Int) {
        let count = SimulatedInode.pagesNeeded(for: newSizeBytes)
        if count < pages.count {
            pages.removeLast(pages.count - count)
            dirtySectors.removeLast(dirtySectors.count - count)
            dirtyPages.removeAll { $0 >= count }
            forsakenPages.removeAll { $0 >= count }
            unreadablePages.removeAll { $0 >= count }
            unreadableDiskPages.removeAll { $0 >= count }
        }
        while pages.count < count {
            dirtySectors.append(0)
            let page = pages.count
            if page < diskPages.count, !diskPages[page].isEmpty {
                // It was cut off and grows again: the disk must still learn that it is zero.
                pages.append([UInt8](repeating: 0, count: SimulatedInode.pageSizeBytes))
                markDirty(page: page, sectors: 0xff)
            } else {
                pages.append([])
            }
        }
        let tail = newSizeBytes % SimulatedInode.pageSizeBytes
        if newSizeBytes < sizeBytes, tail > 0, !pages[count - 1].isEmpty {
            for position in tail..<SimulatedInode.pageSizeBytes {
                pages[count - 1][position] = 0
            }
            markDirty(page: count - 1, sectors: 0xff)
        }
        sizeBytes = newSizeBytes
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        let end = min(offset + buffer.count, sizeBytes)
        var position = offset
        while position < end {
            let (page, within) = position.quotientAndRemainder(dividingBy: SimulatedInode.pageSizeBytes)
            let count = min(SimulatedInode.pageSizeBytes - within, end - position)
            let target = UnsafeMutableRawBufferPointer(
                rebasing: buffer[position - offset..<position - offset + count])
            if pages[page].isEmpty {
                target.initializeMemory(as: UInt8.self, repeating: 0)
            } else {
                pages[page].withBytes {
                    target.copyMemory(from: .init(rebasing: $0[within..<within + count]))
                }
            }
            position += count
        }
        return max(0, end - offset)
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        let end = offset + bytes.count
        if !unreadablePages.isEmpty {
            let replaced = offset..<end
            unreadablePages = unreadablePages.filter { !replaced.contains(part(ofPage: $0)) }
        }
        if end > sizeBytes { resize(to: end) }
        var position = offset
        while position < end {
            let (page, within) = position.quotientAndRemainder(dividingBy: SimulatedInode.pageSizeBytes)
            let count = min(SimulatedInode.pageSizeBytes - within, end - position)
            if pages[page].isEmpty {
                pages[page] = [UInt8](repeating: 0, count: SimulatedInode.pageSizeBytes)
            }
            let source = UnsafeRawBufferPointer(
                rebasing: bytes[position - offset..<position - offset + count])
            pages[page].withMutableBytes { target in
                UnsafeMutableRawBufferPointer(rebasing: target[within..<within + count]).copyMemory(
                    from: source)
            }
            let first = within / SimulatedInode.sectorSizeBytes
            let last = (within + count - 1) / SimulatedInode.sectorSizeBytes
            markDirty(page: page, sectors: UInt8(truncatingIfNeeded: (1 << (last + 1)) - (1 << first)))
            position += count
        }
    }

    mutating func flipBit(_ bit: Int, at offset: Int) {
        let (page, within) = offset.quotientAndRemainder(dividingBy: SimulatedInode.pageSizeBytes)
        func flip(_ pages: inout [[UInt8]]) {
            guard page < pages.count else { return }
            if pages[page].isEmpty {
                pages[page] = [UInt8](repeating: 0, count: SimulatedInode.pageSizeBytes)
            }
            pages[page][within] ^= 1 << UInt8(bit)
        }
        flip(&pages)
        flip(&diskPages)
    }

    /// Makes this part zero, on the disk and in memory.
    mutating func zero(_ range: Range<Int>) {
        func clear(_ pages: inout [[UInt8]]) {
            for offset in range {
                let (page, within) = offset.quotientAndRemainder(dividingBy: SimulatedInode.pageSizeBytes)
                guard page < pages.count, !pages[page].isEmpty else { continue }
                pages[page][within] = 0
            }
        }
        clear(&pages)
        clear(&diskPages)
    }

    /// The pages with anything but zeros in them: their numbers, and from where to where.
    var usedPages: [Range<Int>] {
        pages.indices.compactMap { page in
            guard let first = pages[page].firstIndex(where: { $0 != 0 }),
                let last = pages[page].lastIndex(where: { $0 != 0 })
            else { return nil }
            let start = page * SimulatedInode.pageSizeBytes
            return start + first..<start + last + 1
        }
    }

    // MARK: What the device cannot read

    /// A page without what lies behind the file's end.
    private func part(ofPage page: Int) -> Range<Int> {
        let start = page * SimulatedInode.pageSizeBytes
        return start..<min(start + SimulatedInode.pageSizeBytes, sizeBytes)
    }

    /// The pages that hold any of these bytes. Answers which bytes that are; `nil` where there are none.
    mutating func makeUnreadable(_ range: Range<Int>) -> Range<Int>? {
        let held = range.clamped(to: 0..<sizeBytes)
        guard !held.isEmpty else { return nil }
        let pageSize = SimulatedInode.pageSizeBytes
        let touched = held.lowerBound / pageSize...(held.upperBound - 1) / pageSize
        for page in touched {
            if !unreadablePages.contains(page) { unreadablePages.append(page) }
            if !unreadableDiskPages.contains(page) { unreadableDiskPages.append(page) }
        }
        return touched.lowerBound * pageSize..<part(ofPage: touched.upperBound).upperBound
    }

    mutating func makeReadable() {
        unreadablePages.removeAll()
        unreadableDiskPages.removeAll()
    }

    /// The first of these bytes that cannot be read.
    func firstUnreadable(in range: Range<Int>) -> Int? {
        guard !unreadablePages.isEmpty else { return nil }
        return unreadablePages.filter { part(ofPage: $0).overlaps(range) }.min().map {
            max(range.lowerBound, part(ofPage: $0).lowerBound)
        }
    }

    /// Whether no page has to be read before these bytes are written that cannot be.
    func canWrite(_ range: Range<Int>) -> Bool {
        unreadablePages.allSatisfy {
            let part = part(ofPage: $0)
            return !part.overlaps(range) || range.contains(part)
        }
    }

    private mutating func markDirty(page: Int, sectors: UInt8) {
        if dirtySectors[page] == 0 { dirtyPages.append(page) }
        dirtySectors[page] |= sectors
    }

    private mutating func growDisk() {
        while diskPages.count < pages.count { diskPages.append([]) }
    }
}

// MARK: - Reaching the disk, or not

extension SimulatedInode {
    mutating func synchronize() {
        growDisk()
        for page in dirtyPages {
            diskPages[page] = pages[page]
            dirtySectors[page] = 0
        }
        if !forsakenPages.isEmpty {
            // A page is written back whole, which heals what an earlier failure left behind in it.
            let healed = dirtyPages
            forsakenPages.removeAll { healed.contains($0) }
        }
        unreadableDiskPages = unreadableDiskPages.filter {
            unreadablePages.contains($0) || !dirtyPages.contains($0)
        }
        dirtyPages.removeAll(keepingCapacity: true)
        if diskPages.count > pages.count { diskPages.removeLast(diskPages.count - pages.count) }
        diskSizeBytes = sizeBytes
    }

    /// A sync that fails: each dirty sector reaches the disk or does not, and all are marked clean, so that
    /// a second sync would succeed without having written them.
    mutating func failSynchronize(_ random: inout SeededRandom) {
        growDisk()
        for page in dirtyPages {
            writeBackSome(page, &random) { $0.chance(1, outOf: 2) }
            dirtySectors[page] = 0
            if !forsakenPages.contains(page) { forsakenPages.append(page) }
        }
        dirtyPages.removeAll(keepingCapacity: true)
        if random.chance(1, outOf: 2) { diskSizeBytes = sizeBytes }
    }

    /// The kernel writes some dirty sectors back by itself, as it may at any time.
    mutating func writeBackSome(_ random: inout SeededRandom) {
        growDisk()
        for page in dirtyPages {
            writeBackSome(page, &random) { $0.chance(1, outOf: 2) }
        }
    }

    /// The process died, the machine did not: what was written is still seen, except that pages which a
    /// failed sync left marked clean may have been evicted and read again.
    mutating func loseProcess(_ random: inout SeededRandom) {
        growDisk()
        for page in forsakenPages where dirtySectors[page] == 0 && random.chance(1, outOf: 2) {
            pages[page] = diskPages[page]
            if unreadableDiskPages.contains(page), !unreadablePages.contains(page) {
                unreadablePages.append(page)
            }
        }
    }

    /// The machine lost power: of what was not synced, anything may have reached the disk.
    mutating func losePower(_ random: inout SeededRandom) {
        growDisk()
        let style = random.next(below: 4)
        for page in dirtyPages {
            writeBackSome(page, &random) { random in
                switch style {
                case 0: false
                case 1: true
                default: random.chance(1, outOf: 2)
                }
            }
            dirtySectors[page] = 0
        }
        dirtyPages.removeAll(keepingCapacity: true)
        forsakenPages.removeAll(keepingCapacity: true)
        if diskSizeBytes != sizeBytes {
            let size = random.chance(1, outOf: 2) ? sizeBytes : diskSizeBytes
            diskSizeBytes = size
        }
        let count = SimulatedInode.pagesNeeded(for: diskSizeBytes)
        while diskPages.count < count { diskPages.append([]) }
        if diskPages.count > count { diskPages.removeLast(diskPages.count - count) }
        let tail = diskSizeBytes % SimulatedInode.pageSizeBytes
        if tail > 0, !diskPages[count - 1].isEmpty {
            for position in tail..<SimulatedInode.pageSizeBytes { diskPages[count - 1][position] = 0 }
        }
        pages = diskPages
        sizeBytes = diskSizeBytes
        unreadableDiskPages.removeAll { $0 >= count }
        unreadablePages = unreadableDiskPages
        dirtySectors = [UInt8](repeating: 0, count: count)
    }

    /// Brings those dirty sectors of a page to the disk for which `reaches` says so; now and then only the
    /// first part of a sector, in steps of eight bytes.
    private mutating func writeBackSome(
        _ page: Int, _ random: inout SeededRandom, _ reaches: (inout SeededRandom) -> Bool
    ) {
        guard !pages[page].isEmpty else { return }
        if diskPages[page].isEmpty {
            diskPages[page] = [UInt8](repeating: 0, count: SimulatedInode.pageSizeBytes)
        }
        for sector in 0..<8 where dirtySectors[page] & (1 << UInt8(sector)) != 0 && reaches(&random) {
            let start = sector * SimulatedInode.sectorSizeBytes
            var count = SimulatedInode.sectorSizeBytes
            if random.chance(1, outOf: 8) {
                count = Int(random.next(below: UInt64(count / 8))) * 8
            }
            for position in start..<start + count {
                diskPages[page][position] = pages[page][position]
            }
        }
    }
}
