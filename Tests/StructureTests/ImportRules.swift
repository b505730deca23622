/// Rules about which module may use which.
enum ImportRules {
    static func imports(_ file: SourceFile) -> [Violation] {
        guard let allowed = Architecture.allowedImports(of: file.target) else {
            return [
                Violation(
                    path: file.path, line: 1,
                    reason: "the target \(file.target) has no row in Architecture.allowedImports")
            ]
        }
        let foundation: Set<String> = ["Foundation", "FoundationEssentials"]
        return file.imports.compactMap { module, line in
            if foundation.contains(module) {
                guard !file.isGenerated && Architecture.foundationUsers[file.path] == nil || file.isPure
                else {
                    return nil
                }
                return Violation(path: file.path, line: line, reason: "Foundation is for generated code only")
            }
            guard !allowed.contains(module) else {
                return nil
            }
            return Violation(path: file.path, line: line, reason: "\(file.target) must not import \(module)")
        }
    }

    /// The table itself: a target imports only what stands above it.
    static func directions() -> [Violation] {
        let order = Architecture.allowedImports.map(\.target)
        return Architecture.allowedImports.enumerated().flatMap { position, row in
            order[position...].filter(row.imports.contains).map { target in
                Violation(
                    path: "Architecture.swift", line: 1,
                    reason: "\(row.target) is allowed \(target), which is above it")
            }
        }
    }

    /// What Package.swift makes each target depend on.
    static func declaredDependencies(_ manifest: SourceFile, names: [String]) -> [Violation] {
        // Strings have no contents among the tokens: names are taken from the lines of each declaration.
        manifest.tokens.indices.flatMap { index -> [Violation] in
            guard ["target", "executableTarget"].contains(manifest.text(index)),
                manifest.text(index - 1) == ".",
                manifest.text(index + 1) == "("
            else {
                return []
            }
            let end = SourceFile.behindMatch(of: index + 1, in: manifest.tokens)
            let lines = manifest.tokens[index].line...manifest.tokens[end - 1].line
            let strings = lines.flatMap { line in
                quoted(manifest.lines[line - 1]).map { (name: $0, line: line) }
            }
            guard let target = strings.first?.name, let allowed = Architecture.allowedImports(of: target)
            else {
                return [
                    Violation(
                        path: manifest.path, line: lines.lowerBound,
                        reason: "the target has no row in Architecture.allowedImports")
                ]
            }
            return strings.dropFirst().filter { names.contains($0.name) && !allowed.contains($0.name) }.map {
                Violation(
                    path: manifest.path, line: $0.line, reason: "\(target) must not depend on \($0.name)")
            }
        }
    }

    private static func quoted(_ line: Substring) -> [String] {
        line.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String($0.element) }
    }
}
