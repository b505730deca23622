import Foundation
import HoldfastChaos
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The machine's Debian package records: real keys and values of very different sizes.
enum PackageRecords {
    struct Record: Sendable {
        let name: [UInt8]
        /// Everything that `apt-cache dumpavail` says of the package.
        let control: [UInt8]
    }

    static let wantedCount = 24_000
    static let leastCount = 20_000

    static let unavailable: String? =
        all.count >= leastCount
        ? nil
        : "needs \(leastCount) Debian package records, there are \(all.count): "
            + (Programs.aptCache == nil ? "there is no apt-cache" : "run `apt-get update`")

    /// The first ``wantedCount`` packages, each once.
    static let all: [Record] = {
        guard let program = Programs.aptCache, let directory = try? TemporaryDirectory() else { return [] }
        let path = directory.path + "/dumpavail"
        guard
            let process = try? ChildProcess(
                testing: program, ["dumpavail"], outputPath: path, errorPath: directory.path + "/errors")
        else { return [] }
        while process.ending == nil { usleep(1_000) }
        return (try? read(path)) ?? []
    }()

    /// Records are separated by empty lines.
    private static func read(_ path: String) throws -> [Record] {
        guard let file = fopen(path, "r") else { throw TestFailure("cannot read \(path)") }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer {
            free(line)
            fclose(file)
        }
        let label = "Package: "
        var records: [Record] = []
        var seen: Set<[UInt8]> = []
        var name: [UInt8] = []
        var control: [UInt8] = []
        func finish() {
            if !name.isEmpty, seen.insert(name).inserted {
                records.append(Record(name: name, control: control))
            }
            name = []
            control = []
        }
        while records.count < wantedCount {
            let count = getline(&line, &capacity, file)
            guard count > 0, let line else { break }
            let bytes = UnsafeRawBufferPointer(start: line, count: count)
            if count == 1 {
                finish()
            } else {
                if name.isEmpty, memcmp(line, label, min(count, label.utf8.count)) == 0 {
                    name = Array(bytes[label.utf8.count..<count - 1])
                }
                control += bytes
            }
        }
        finish()
        return records
    }
}
