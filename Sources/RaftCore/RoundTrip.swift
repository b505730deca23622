import ConsensusTypes

/// How long one member takes to answer a heartbeat, smoothed as TCP smooths it (RFC 6298), in integers: equal
/// samples give equal values on every machine.
struct RoundTrip: Hashable, Sendable {
    /// Before so many samples it says nothing: the first may have met a process that had just started.
    static let neededSamples = 3

    private(set) var smoothedNanoseconds: UInt64 = 0
    private(set) var sampleCount = 0

    mutating func note(_ sample: Interval) {
        if sampleCount < Self.neededSamples {
            smoothedNanoseconds =
                sampleCount == 0 ? sample.nanoseconds : min(smoothedNanoseconds, sample.nanoseconds)
            sampleCount += 1
        } else if sample.nanoseconds >= smoothedNanoseconds {
            smoothedNanoseconds += (sample.nanoseconds - smoothedNanoseconds) / 8
        } else {
            smoothedNanoseconds -= (smoothedNanoseconds - sample.nanoseconds) / 8
        }
    }

    var isKnown: Bool { sampleCount >= Self.neededSamples }
}
