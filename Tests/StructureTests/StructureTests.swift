import Testing

/// The rules of docs/ARCHITECTURE.md, applied to this repository. ``RuleTests`` shows that each can fail.
@Suite struct StructureTests {
    private static let allSources = Result { try Repository.swiftFiles(below: "Sources") }

    let sources: [SourceFile]

    init() throws {
        sources = try Self.allSources.get()
    }

    @Test func sourcesAreFound() {
        #expect(sources.count > 10)
        #expect(sources.contains { $0.path == "Sources/ConsensusTypes/Membership.swift" })
    }

    @Test func targetsImportOnlyWhatTheyMay() {
        let found = sources.flatMap(ImportRules.imports) + ImportRules.directions()
        #expect(found.isEmpty, "\(found.text)")
    }

    @Test func packageDeclaresOnlyWhatTargetsMayImport() throws {
        let manifest = SourceFile(path: "Package.swift", text: try Repository.text("Package.swift"))
        let names = try Repository.directories(below: "Sources")
        let found = ImportRules.declaredDependencies(manifest, names: names) + StyleRules.forbidden(manifest)
        #expect(found.isEmpty, "\(found.text)")
    }

    @Test func everyTargetIsOnTheMap() throws {
        let map = try Repository.text("docs/ARCHITECTURE.md")
        for target in try Repository.directories(below: "Sources") {
            #expect(
                Architecture.allowedImports(of: target) != nil, "\(target) has no row in Architecture.swift")
            #expect(map.contains("`\(target)`"), "\(target) is not in docs/ARCHITECTURE.md")
        }
    }

    @Test func pureModulesReachForNothing() {
        let found = sources.flatMap(PurityRules.reaches)
        #expect(found.isEmpty, "\(found.text)")
    }

    @Test func pureModulesIterateOverNothingUnordered() {
        let targets = Dictionary(grouping: sources.filter(\.isPure), by: \.target)
        let found = targets.sorted { $0.key < $1.key }.flatMap { _, files in
            let rule = UnorderedIterationRule(files: files)
            return files.flatMap(rule.violations)
        }
        #expect(found.isEmpty, "\(found.text)")
    }

    @Test func whatTheLibraryOffersIsDocumented() {
        let library = sources.filter { $0.target == "Holdfast" }
        let found = library.flatMap(StyleRules.undocumented)
        #expect(library.count > 10 && found.isEmpty, "\(found.text)")
    }

    @Test func filesAndFunctionsAreShort() {
        let found = sources.flatMap(StyleRules.sizes)
        #expect(found.isEmpty, "\(found.text)")
    }

    @Test func unprovenThingsAreExplained() {
        let found = sources.flatMap(StyleRules.unproven)
        #expect(found.isEmpty, "\(found.text)")
    }

    @Test func nothingForbiddenIsUsed() {
        let found = sources.flatMap(StyleRules.forbidden)
        #expect(found.isEmpty, "\(found.text)")
    }

    @Test func nothingIsUnfinished() throws {
        let found = try (sources + Repository.swiftFiles(below: "Tests")).flatMap(StyleRules.unfinished)
        #expect(found.isEmpty, "\(found.text)")
    }

    /// An exception whose file or reason is gone is taken out of the table.
    @Test func exceptionsAreStillNeeded() throws {
        for path in Architecture.foundationUsers.keys.sorted() {
            let file = sources.first { $0.path == path }
            #expect(file?.imports.contains { $0.module.hasPrefix("Foundation") } == true, "\(path)")
        }
        for path in Architecture.longFiles.keys.sorted() {
            let file = sources.first { $0.path == path }
            #expect((file?.lines.count ?? 0) > StyleRules.maximumFileLines, "\(path)")
        }
        for key in Architecture.longFunctions.keys.sorted() {
            let isLong = sources.contains { file in
                file.functions.contains {
                    key == "\(file.path): \($0.name)" && $0.bodyLineCount > StyleRules.maximumFunctionLines
                }
            }
            #expect(isLong, "\(key)")
        }
    }
}
