/// The value of a `grpc-timeout` header: at most eight digits and a unit.
public enum GRPCTimeout {
    /// The time in nanoseconds, or `nil` where the text is not a timeout. What does not fit (99,999,999
    /// hours) is the largest value.
    public static func parse(_ text: String) -> Int64? {
        let bytes = text.utf8
        guard bytes.count >= 2, bytes.count <= 9, let unit = bytes.last else { return nil }
        var amount: Int64 = 0
        for digit in bytes.dropLast() {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            amount = amount * 10 + Int64(digit - UInt8(ascii: "0"))
        }
        let unitNanoseconds: Int64
        switch unit {
        case UInt8(ascii: "H"): unitNanoseconds = 3_600_000_000_000
        case UInt8(ascii: "M"): unitNanoseconds = 60_000_000_000
        case UInt8(ascii: "S"): unitNanoseconds = 1_000_000_000
        case UInt8(ascii: "m"): unitNanoseconds = 1_000_000
        case UInt8(ascii: "u"): unitNanoseconds = 1_000
        case UInt8(ascii: "n"): unitNanoseconds = 1
        default: return nil
        }
        let (nanoseconds, overflow) = amount.multipliedReportingOverflow(by: unitNanoseconds)
        return overflow ? .max : nanoseconds
    }

    /// The header's value for a time, rounded up to what eight digits can say.
    public static func format(nanoseconds: Int64) -> String {
        let amount = max(nanoseconds, 1)
        let units: [(Int64, String)] = [
            (1, "n"), (1_000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M"),
        ]
        for (size, name) in units {
            let count = amount / size + (amount % size == 0 ? 0 : 1)
            if count < 100_000_000 { return "\(count)\(name)" }
        }
        return "99999999M"
    }
}
