import Foundation

/// A Swift file with what the rules need to know of it.
struct SourceFile: Sendable {
    /// From the root of the repository, such as `Sources/RaftCore/RaftCore.swift`.
    let path: String
    let lines: [Substring]
    let tokens: [Token]
    let commentLines: Set<Int>
    /// Functions and initializers that have a body.
    let functions: [Function]

    struct Function: Sendable {
        let name: String
        /// Where the declaration begins, from 1.
        let line: Int
        /// The tokens between the braces of the body.
        let body: Range<Int>
        /// How many lines lie between the braces.
        let bodyLineCount: Int
    }

    init(path: String, text: String) {
        self.path = path
        var split = text.split(separator: "\n", omittingEmptySubsequences: false)
        if split.last == "" { split.removeLast() }
        lines = split
        let lexed = SwiftTokens(text)
        tokens = lexed.tokens
        commentLines = lexed.commentLines
        functions = Self.functions(in: lexed.tokens)
    }

    /// The directory below `Sources` or `Tests`.
    var target: String {
        let parts = path.split(separator: "/")
        return parts.count > 2 ? String(parts[1]) : ""
    }

    var isGenerated: Bool { path.contains("/Generated/") }

    /// Pure modules: the rules of `Core` hold for them.
    var isPure: Bool { target.hasSuffix("Core") || target == "ConsensusTypes" }

    /// The modules that the file imports, with their lines.
    var imports: [(module: String, line: Int)] {
        tokens.indices.compactMap { index in
            guard tokens[index].text == "import", index + 1 < tokens.count, text(index - 1) != "." else {
                return nil
            }
            let kinds = ["struct", "class", "enum", "protocol", "typealias", "func", "let", "var"]
            let name = kinds.contains(tokens[index + 1].text) ? index + 2 : index + 1
            return (text(name), tokens[index].line)
        }
    }

    /// The token's text, empty outside of the file.
    func text(_ index: Int) -> String {
        tokens.indices.contains(index) ? tokens[index].text : ""
    }

    /// Whether a comment stands on the line or just before it; lines of attributes may stand between.
    func hasComment(at line: Int) -> Bool {
        var line = line
        while !commentLines.contains(line) && !commentLines.contains(line - 1) {
            guard line > 1, lines[line - 2].drop(while: \.isWhitespace).first == "@" else {
                return false
            }
            line -= 1
        }
        return true
    }

    /// The index behind the bracket that closes the one at `open`.
    static func behindMatch(of open: Int, in tokens: [Token]) -> Int {
        let pairs = ["(": ")", "[": "]", "{": "}", "<": ">"]
        let opening = tokens[open].text
        let closing = pairs[opening] ?? ""
        var depth = 0
        for index in open..<tokens.count {
            if tokens[index].text == opening { depth += 1 }
            if tokens[index].text == closing {
                depth -= 1
                if depth == 0 { return index + 1 }
            }
        }
        return tokens.count
    }

    private static func functions(in tokens: [Token]) -> [Function] {
        tokens.indices.compactMap { index in
            let text = tokens[index].text
            let previous = index > 0 ? tokens[index - 1].text : ""
            let next = index + 1 < tokens.count ? tokens[index + 1].text : ""
            let isInitializer = text == "init" && ["(", "<", "?", "!"].contains(next)
            guard previous != ".", text == "func" || isInitializer || text == "deinit" && next == "{",
                let open = bodyStart(after: index + 1, in: tokens)
            else {
                return nil
            }
            let end = behindMatch(of: open, in: tokens)
            return Function(
                name: text == "func" ? next : text, line: tokens[index].line,
                body: open + 1..<max(open + 1, end - 1),
                bodyLineCount: max(0, tokens[end - 1].line - tokens[open].line - 1))
        }
    }

    /// The brace that opens a function's body, or `nil` for a requirement of a protocol.
    private static func bodyStart(after start: Int, in tokens: [Token]) -> Int? {
        let ends = [
            "}", "func", "var", "let", "init", "case", "static", "associatedtype", "subscript", "deinit",
        ]
        var index = start
        while index < tokens.count {
            switch tokens[index].text {
            case "{": return index
            case "(", "[": index = behindMatch(of: index, in: tokens)
            case let text where ends.contains(text) && index > start: return nil
            default: index += 1
            }
        }
        return nil
    }
}

/// The files of this repository.
enum Repository {
    static let root = URL(filePath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    static func directories(below path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(
            at: root.appending(path: path), includingPropertiesForKeys: [.isDirectoryKey]
        ).filter { try $0.resourceValues(forKeys: [.isDirectoryKey]).isDirectory == true }
            .map(\.lastPathComponent).sorted()
    }

    /// The Swift files below a directory, sorted by path.
    static func swiftFiles(below path: String) throws -> [SourceFile] {
        let base = root.appending(path: path)
        let found = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil)
        return try (found?.allObjects as? [URL] ?? []).filter { $0.pathExtension == "swift" }
            .map { String($0.path().dropFirst(root.path().count)) }
            .map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 }
            .sorted().map { try SourceFile(path: $0, text: text($0)) }
    }
}
