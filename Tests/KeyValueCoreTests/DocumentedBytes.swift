import Foundation

/// The bytes of the blocks marked `hex` in a document under docs/formats: pairs of hexadecimal digits, with
/// anything after a `;` being a comment.
func documentedBytes(_ name: String) throws -> [[UInt8]] {
    let file = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("docs/formats/\(name)")
    let document = try String(contentsOf: file, encoding: .utf8)
    var blocks: [[UInt8]] = []
    var isInside = false
    for line in document.split(separator: "\n", omittingEmptySubsequences: false) {
        if line.hasPrefix("```") {
            isInside = line == "```hex"
            if isInside { blocks.append([]) }
        } else if isInside {
            let code = line.prefix { $0 != ";" }
            blocks[blocks.count - 1] += code.split(separator: " ").compactMap { UInt8($0, radix: 16) }
        }
    }
    return blocks
}
