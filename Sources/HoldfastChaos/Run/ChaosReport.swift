import ConsensusTypes

/// What a run prints at its end.
struct ChaosReport {
    let faults: [InjectedFault]
    let probers: [Prober]

    /// Gaps as a table: one row for each kind of fault, and one for all.
    func gapLines() -> [String] {
        let finder = AvailabilityGaps(faults: faults)
        let merged = finder.gaps(in: probers.flatMap { $0.acknowledgements.map(\.at) })
        let each = probers.flatMap { prober in
            finder.gaps(in: prober.acknowledgements.map(\.at), through: prober.node)
        }
        var lines = [
            "times without an acknowledged write, of more than 100 ms, in milliseconds:",
            ChaosReport.row(["", "through any node", "through each node that no fault stopped or cut off"]),
            ChaosReport.row(["fault", "count", "p50", "p99", "max", "count", "p50", "p99", "max"]),
        ]
        for kind in FaultKind.allCases where faults.contains(where: { $0.kind == kind }) {
            lines.append(
                row(kind.rawValue, merged.filter { $0.kind == kind }, each.filter { $0.kind == kind }))
        }
        let quiet = (merged.filter { $0.kind == nil }, each.filter { $0.kind == nil })
        if !quiet.0.isEmpty || !quiet.1.isEmpty { lines.append(row("no fault", quiet.0, quiet.1)) }
        lines.append(row("all", merged, each))
        return lines
    }

    private func row(
        _ name: String, _ merged: [AvailabilityGaps.Gap], _ each: [AvailabilityGaps.Gap]
    ) -> String {
        ChaosReport.row([name] + ChaosReport.cells(merged) + ChaosReport.cells(each))
    }

    private static func cells(_ gaps: [AvailabilityGaps.Gap]) -> [String] {
        let statistics = GapStatistics(gaps.map(\.milliseconds))
        let values = [statistics.percentile(50), statistics.percentile(99), statistics.maximum]
        return ["\(statistics.count)"] + values.map { $0.map { decimal($0, 0) } ?? "-" }
    }

    private static func row(_ cells: [String]) -> String {
        let widths = cells.count == 3 ? [10, 33, 0] : [10, 7, 8, 8, 8, 7, 8, 8, 8]
        let padded = zip(cells, widths).map { cell, width in
            let space = String(repeating: " ", count: max(0, width - cell.count))
            return cells.count == 3 || cell == cells[0] ? cell + space : space + cell
        }
        return "  " + padded.joined(separator: " ")
    }

    static func verdictLines(_ violations: [String]) -> [String] {
        guard !violations.isEmpty else {
            return ["verdict: linearizable, nothing acknowledged is lost, watches complete, all nodes equal"]
        }
        let shown = violations.prefix(20).map { "  \($0)" }
        let rest = violations.count > 20 ? ["  and \(violations.count - 20) more"] : []
        return ["verdict: VIOLATED (\(violations.count))"] + shown + rest
    }
}
