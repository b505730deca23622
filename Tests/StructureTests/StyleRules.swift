/// Rules for all sources: size, and what must not be there without a reason.
enum StyleRules {
    static let maximumFileLines = 500
    static let maximumFunctionLines = 70

    static func sizes(_ file: SourceFile) -> [Violation] {
        guard !file.isGenerated else {
            return []
        }
        var found: [Violation] = []
        if file.lines.count > maximumFileLines && Architecture.longFiles[file.path] == nil {
            found.append(
                Violation(
                    path: file.path, line: 1,
                    reason: "\(file.lines.count) lines, at most \(maximumFileLines): split it"))
        }
        for function in file.functions
        where function.bodyLineCount > maximumFunctionLines
            && Architecture.longFunctions["\(file.path): \(function.name)"] == nil
        {
            found.append(
                Violation(
                    path: file.path, line: function.line,
                    reason:
                        "\(function.name) has \(function.bodyLineCount) lines, at most \(maximumFunctionLines)"
                ))
        }
        return found
    }

    /// What needs a comment that proves it right.
    static func unproven(_ file: SourceFile) -> [Violation] {
        guard !file.isGenerated else {
            return []
        }
        return file.tokens.indices.compactMap { index in
            let next = file.text(index + 1)
            let what: String? =
                switch file.text(index) {
                case "unchecked" where next == "Sendable" && file.text(index - 1) == "@":
                    "@unchecked Sendable"
                case "nonisolated" where next == "(" && file.text(index + 2) == "unsafe":
                    "nonisolated(unsafe)"
                case "try" where next == "!": "try!"
                case "as" where next == "!": "as!"
                case "fatalError" where next == "(": "fatalError"
                default: nil
                }
            guard let what, !file.hasComment(at: file.tokens[index].line) else {
                return nil
            }
            return Violation(
                path: file.path, line: file.tokens[index].line,
                reason: "\(what) without a comment just before it that says why it holds")
        }
    }

    /// What users of a library see, beyond what protocols of the standard library ask for.
    static func undocumented(_ file: SourceFile) -> [Violation] {
        let exempt: Set<String> = [
            "description", "hash", "=", "<", "Element", "Failure", "Iterator", "makeAsyncIterator", "next",
        ]
        let kinds: Set<String> = [
            "func", "var", "let", "struct", "class", "enum", "actor", "protocol", "init", "typealias",
            "subscript",
        ]
        return file.tokens.indices.compactMap { index in
            guard file.text(index) == "public",
                let kind = (index + 1..<index + 8).first(where: { kinds.contains(file.text($0)) })
            else { return nil }
            let name = file.text(kind) == "init" ? "init" : file.text(kind + 1)
            let line = file.tokens[index].line
            guard !exempt.contains(name), !file.hasComment(at: line) else { return nil }
            return Violation(
                path: file.path, line: line, reason: "\(name) is public and has no documentation")
        }
    }

    static func forbidden(_ file: SourceFile) -> [Violation] {
        guard !file.isGenerated else {
            return []
        }
        return file.tokens.indices.compactMap { index in
            let isCall =
                file.text(index + 1) == "(" && file.text(index - 1) != "." && file.text(index - 1) != "func"
            let reason: String? =
                switch file.text(index) {
                case "unsafeFlags": "a package with unsafeFlags cannot be depended on"
                case "assert" where isCall, "assertionFailure" where isCall:
                    "an invariant that may be broken in release builds is none: use precondition"
                case "print" where isCall && !Architecture.printingTargets.contains(file.target):
                    "only the program writes to standard output: log it"
                default: nil
                }
            return reason.map { Violation(path: file.path, line: file.tokens[index].line, reason: $0) }
        }
    }

    /// Put together, so that this file does not break its own rule.
    static let unfinishedMarks = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]

    static func unfinished(_ file: SourceFile) -> [Violation] {
        guard !file.isGenerated else {
            return []
        }
        return file.lines.enumerated().flatMap { offset, line in
            unfinishedMarks.filter { mark in
                line.split(whereSeparator: { !$0.isLetter }).contains { $0 == mark }
            }.map { Violation(path: file.path, line: offset + 1, reason: "\($0): finish it or take it out") }
        }
    }
}
