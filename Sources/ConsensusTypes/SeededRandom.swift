/// A small, fast generator that gives the same sequence for the same seed on every platform (SplitMix64,
/// Steele, Lea and Flood 2014). Not for secrets.
@frozen
public struct SeededRandom: RandomNumberGenerator, Sendable {
    @usableFromInline var state: UInt64

    @inlinable
    public init(seed: UInt64) {
        state = seed
    }

    @inlinable
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A number from zero up to, but not including, `bound`, which must be positive.
    ///
    /// Own arithmetic rather than `Int.random(in:using:)`, whose algorithm the standard library may change.
    @inlinable
    public mutating func next(below bound: UInt64) -> UInt64 {
        precondition(bound > 0, "the bound of a random number must be positive")
        return next().multipliedFullWidth(by: bound).high
    }

    /// True `numerator` times out of `denominator`.
    @inlinable
    public mutating func chance(_ numerator: UInt64, outOf denominator: UInt64) -> Bool {
        next(below: denominator) < numerator
    }

    /// A generator whose sequence does not overlap with this one's in practice.
    @inlinable
    public mutating func split() -> SeededRandom {
        SeededRandom(seed: next())
    }
}
