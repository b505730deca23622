import ConsensusTypes

/// How long to wait before a peer is dialled again: doubling, with jitter, so that nodes that lost the same
/// peer do not all knock at the same moment.
struct RedialSchedule {
    let minimumMilliseconds: Int
    let maximumMilliseconds: Int
    private var random: SeededRandom
    private var current: Int

    init(minimumMilliseconds: Int, maximumMilliseconds: Int, seed: UInt64) {
        self.minimumMilliseconds = minimumMilliseconds
        self.maximumMilliseconds = maximumMilliseconds
        random = SeededRandom(seed: seed)
        current = minimumMilliseconds
    }

    /// Between half of the present delay and all of it; the next one is about twice as long.
    mutating func nextDelayMicroseconds() -> Int {
        let half = UInt64(current) * 500
        current = min(current * 2, maximumMilliseconds)
        return Int(half + random.next(below: half + 1))
    }

    mutating func reset() {
        current = minimumMilliseconds
    }
}
