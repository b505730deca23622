#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Small files, read and written whole.
enum TextFile {
    /// `nil` where the file cannot be read.
    static func read(_ path: String, lastBytes: Int? = nil) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        if let lastBytes {
            fseek(file, 0, SEEK_END)
            fseek(file, max(0, ftell(file) - lastBytes), SEEK_SET)
        }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&block, 1, block.count, file)
            guard count > 0 else { break }
            bytes += block[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func write(_ lines: some Sequence<String>, to path: String) throws(ChaosFailure) {
        guard let file = fopen(path, "w") else {
            throw ChaosFailure("cannot write \(path): \(errorText(errno))")
        }
        var isWritten = true
        for line in lines {
            isWritten = isWritten && fputs(line, file) >= 0 && fputc(0x0a, file) >= 0
        }
        guard fclose(file) == 0, isWritten else {
            throw ChaosFailure("cannot write \(path): \(errorText(errno))")
        }
    }

    /// A program in the directories of `PATH`.
    static func program(_ name: String) -> String? {
        guard let path = getenv("PATH") else { return nil }
        return String(cString: path).split(separator: ":").map { "\($0)/\(name)" }
            .first { access($0, X_OK) == 0 }
    }
}
