import ConsensusTypes

/// The monotonic clock of one machine: it runs from an origin of its own, and may run too fast or too slow.
struct NodeClock {
    /// A moment of the world's time, and what this clock showed then.
    private var anchor: Instant
    private var shownAtAnchor: Instant
    /// How much faster than the world's time it runs; negative: slower.
    private(set) var driftPartsPerMillion: Int64 = 0

    init(origin: Instant) {
        anchor = .zero
        shownAtAnchor = origin
    }

    mutating func setDrift(_ partsPerMillion: Int64, at time: Instant) {
        precondition(abs(partsPerMillion) < 1_000_000, "a clock neither stands nor runs backwards")
        shownAtAnchor = shown(at: time)
        anchor = time
        driftPartsPerMillion = partsPerMillion
    }

    /// What the clock shows at a moment of the world's time.
    func shown(at time: Instant) -> Instant {
        let elapsed = time.nanoseconds - anchor.nanoseconds
        guard driftPartsPerMillion != 0 else {
            return Instant(nanoseconds: shownAtAnchor.nanoseconds + elapsed)
        }
        let (millions, rest) = Int64(elapsed).quotientAndRemainder(dividingBy: 1_000_000)
        let gained = millions * driftPartsPerMillion + rest * driftPartsPerMillion / 1_000_000
        return Instant(nanoseconds: shownAtAnchor.nanoseconds + UInt64(Int64(elapsed) + gained))
    }

    /// When, in the world's time, the clock shows `shown` or a little more.
    func time(showing shown: Instant) -> Instant {
        guard shown > shownAtAnchor else { return anchor }
        let wanted = shown.nanoseconds - shownAtAnchor.nanoseconds
        guard driftPartsPerMillion != 0 else { return anchor + Interval(nanoseconds: wanted) }
        let rate = UInt64(1_000_000 + driftPartsPerMillion)
        let (whole, rest) = wanted.quotientAndRemainder(dividingBy: rate)
        return anchor + Interval(nanoseconds: whole * 1_000_000 + rest * 1_000_000 / rate + 1)
    }
}
