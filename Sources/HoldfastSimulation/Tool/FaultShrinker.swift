/// Finds out which of a run's faults matter: a list as short as possible that fails in the same way (delta
/// debugging, Zeller and Hildebrandt 2002), with durations as short as possible.
public struct FaultShrinker {
    /// Whether a run with these faults fails in the same way.
    public typealias Test = (_ faults: [Fault]) -> Bool

    private let test: Test
    private let maximumRuns: Int
    public private(set) var runCount = 0

    public init(maximumRuns: Int = 400, test: @escaping Test) {
        self.maximumRuns = maximumRuns
        self.test = test
    }

    /// `nil` where the list itself does not fail.
    public mutating func shrink(_ faults: [Fault]) -> [Fault]? {
        guard fails(faults) else { return nil }
        if fails([]) { return [] }
        var current = faults
        var partCount = 2
        while current.count >= 2, runCount < maximumRuns {
            let size = (current.count + partCount - 1) / partCount
            var isShorter = false
            var start = 0
            while start < current.count, runCount < maximumRuns {
                let end = min(start + size, current.count)
                let rest = Array(current[..<start] + current[end...])
                if !rest.isEmpty, fails(rest) {
                    current = rest
                    isShorter = true
                    // What followed has moved to `start`.
                } else {
                    start = end
                }
            }
            if isShorter {
                partCount = max(partCount / 2, 2)
            } else if size == 1 {
                break
            } else {
                partCount = min(partCount * 2, current.count)
            }
        }
        shortenDurations(&current)
        return current
    }

    private mutating func shortenDurations(_ faults: inout [Fault]) {
        for position in faults.indices {
            for _ in 0..<6 where faults[position].durationMicroseconds > 1_000 && runCount < maximumRuns {
                var shorter = faults
                shorter[position].durationMicroseconds /= 2
                guard fails(shorter) else { break }
                faults = shorter
            }
        }
    }

    private mutating func fails(_ faults: [Fault]) -> Bool {
        runCount += 1
        return test(faults)
    }
}
