import SystemPackage

/// Reads a whole file that a person names on the command line.
enum TextFile {
    private static let maximumSizeBytes = 64 << 20

    static func read(_ path: String) throws -> String {
        do {
            let file = try FileDescriptor.open(FilePath(path), .readOnly)
            return try file.closeAfter {
                var bytes: [UInt8] = []
                var buffer = [UInt8](repeating: 0, count: 64 << 10)
                while bytes.count <= maximumSizeBytes {
                    let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
                    if count == 0 { return String(decoding: bytes, as: UTF8.self) }
                    bytes += buffer[..<count]
                }
                throw CommandFailure(
                    message: "\(path) is larger than \(maximumSizeBytes) bytes", exitCode: 64)
            }
        } catch let error as Errno {
            throw CommandFailure(message: "\(path) cannot be read: \(error)", exitCode: 64)
        }
    }
}
