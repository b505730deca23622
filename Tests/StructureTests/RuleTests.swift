import Testing

/// Each rule finds a small sample of what it forbids, and lets the like of it pass that is allowed.
@Suite struct RuleTests {
    private func file(_ text: String, path: String = "Sources/SampleCore/Sample.swift") -> SourceFile {
        SourceFile(path: path, text: text)
    }

    // MARK: - Tokens

    @Test func commentsAndStringsAreNoCode() {
        let tokens = SwiftTokens(
            """
            // Date
            let a = "Date \\(b + c(d)) \\"Date" /* Date /* Date */ Date */
            let e = #"Date "\\(Date) \\#(f)"#
            let g = \"""
                Date " Date
                \"""
            """)
        #expect(
            tokens.tokens.map(\.text) == [
                "let", "a", "=", "\"\"", "(", "b", "+", "c", "(", "d", ")", ")", "let", "e", "=", "\"\"", "(",
                "f",
                ")", "let", "g", "=", "\"\"",
            ])
        #expect(tokens.commentLines == [1, 2])
        #expect(tokens.tokens.last?.line == 4)
    }

    @Test func functionsAreMeasured() {
        let functions = file(
            """
            protocol P {
                func required(_ a: Int)
                var x: Int { get }
            }
            struct S {
                init?(a: Int = { 1 }()) {
                    self.init()
                }
                func one<T>(_ a: T) throws(E) -> [Int: T] where T: P {
                    if true {
                    }
                    return [:]
                }
                func empty() {}
            }
            """
        ).functions
        #expect(functions.map(\.name) == ["init", "one", "empty"])
        #expect(functions.map(\.bodyLineCount) == [1, 3, 0])
    }

    @Test func publicNamesAreDocumented() {
        let sample = file(
            """
            /// A type.
            public struct A: Hashable {
                public let bare: Int
                /// A method.
                @inlinable
                public static func told() {}
                public var description: String { "" }
                public private(set) var alsoBare = 1
                let inner = 2
            }
            """)
        #expect(StyleRules.undocumented(sample).map(\.line) == [3, 8])
    }

    // MARK: - Imports

    @Test(arguments: ["RaftCore", "WriteAheadLog", "NIOCore", "Foundation", "Logging"])
    func coreThatImports(_ module: String) {
        let bad = file("import \(module)", path: "Sources/KeyValueCore/Sample.swift")
        #expect(ImportRules.imports(bad).count == 1)
        let kind = file(
            "@_exported public import struct \(module).Name", path: "Sources/KeyValueCore/Sample.swift")
        #expect(ImportRules.imports(kind).count == 1)
    }

    @Test func importsOfTheTablePass() {
        let good = file("import ConsensusTypes", path: "Sources/KeyValueCore/Sample.swift")
        #expect(ImportRules.imports(good).isEmpty)
    }

    @Test func targetWithoutARow() {
        #expect(ImportRules.imports(file("", path: "Sources/Unknown/Sample.swift")).count == 1)
    }

    @Test func foundationIsForGeneratedCode() {
        let text = "import Foundation"
        #expect(ImportRules.imports(file(text, path: "Sources/EtcdAPI/Sample.swift")).count == 1)
        #expect(ImportRules.imports(file(text, path: "Sources/EtcdAPI/Generated/Sample.swift")).isEmpty)
        #expect(ImportRules.imports(file(text, path: "Sources/RaftCore/Generated/Sample.swift")).count == 1)
    }

    @Test func dependenciesOfThePackage() {
        let manifest = file(
            """
            let package = Package(
                targets: [
                    .target(name: "ConsensusTypes"),
                    .target(
                        name: "RaftCore",
                        dependencies: [
                            "ConsensusTypes",
                            "WriteAheadLog",
                        ]),
                    .target(name: "Nobody"),
                ])
            """, path: "Package.swift")
        let found = ImportRules.declaredDependencies(manifest, names: ["ConsensusTypes", "WriteAheadLog"])
        #expect(found.map(\.line) == [8, 10])
    }

    // MARK: - Purity

    @Test(arguments: [
        "let a = Date()", "let a = ContinuousClock().now", "var g = SystemRandomNumberGenerator()",
        "let a = Int.random(in: 0..<3)", "let a = list.randomElement()", "let a = list.shuffled()",
        "func f() async {}", "Task { }", "print(1)", "let l = Logger(label: \"\")", "let a = b.hashValue",
        "var h = Hasher()", "let f = FileManager.default", "actor A {}", "let a = ObjectIdentifier(b)",
        "let a = \"\\(Date())\"", "let a = b ? Date : c",
    ])
    func coreThatReaches(_ line: String) {
        #expect(!PurityRules.reaches(file(line)).isEmpty)
        #expect(PurityRules.reaches(file(line, path: "Sources/PeerTransport/Sample.swift")).isEmpty)
    }

    @Test(arguments: [
        "let a = Int.random(in: 0..<3, using: &generator)", "let a = list.shuffled(using: &generator)",
        "// print the Date", "let a = \"Task\"", "func hash(into hasher: inout Hasher) {}", "f(print: 1)",
        "case socket", "let dates = 1",
    ])
    func coreThatReachesForNothing(_ line: String) {
        #expect(PurityRules.reaches(file(line)).isEmpty)
    }

    private func iterations(_ files: String...) -> [Int] {
        let files = files.map { file($0) }
        let rule = UnorderedIterationRule(files: files)
        return files.flatMap(rule.violations).map(\.line)
    }

    @Test(arguments: [
        "for a in votes {}", "for (a, b) in self.votes where a {}", "votes.map { $0 }",
        "votes?.forEach { f($0) }",
        "let a = votes.keys", "for a in votes.values {}", "let a = votes.values.reduce(0, +)",
        "let a = Array(votes)", "list.append(contentsOf: votes)", "let a = votes.first", "zip(votes, b)",
        "let a = votes.keys.min { f($0, $1) }", "let a = votes.values.contains(where: f)",
        "let a = state.votes.max()", "let a = votes.sorted().first; let b = votes.first",
    ])
    func iterationOverADeclaredName(_ use: String) {
        for declaration in [
            "var votes: [NodeID: Bool] = [:]", "let votes: Set<Int>", "var votes = Set<Int>()",
            "var votes = [Int: Bool]()", "var votes: Dictionary<Int, [Int]>?",
            "func f(votes: inout [Int: Int]) {}",
            "let votes = Set(list)",
        ] {
            #expect(iterations("\(declaration)\n\(use)") == [2], "\(declaration)")
        }
    }

    @Test(arguments: [
        "for a in votes.sorted() {}", "let a = votes[1]", "for a in votes[key] {}", "let a = votes.count",
        "for a in votes.keys.sorted() {}", "let a = votes.keys.max()", "votes.insert(1)",
        "votes.removeValue(forKey: 1)",
        "let a = votes.contains(1)", "list.map { a in votes.count + a }", "let a = votes.values.contains(1)",
        "f { b in votes }", "let a = votes == other", "let a = other.formUnion(votes)",
        "// for a in votes {}",
    ])
    func usesThatDoNotIterate(_ use: String) {
        #expect(iterations("var votes: [NodeID: Bool] = [:]\n\(use)") == [])
    }

    @Test func iterationOverWhatAFunctionOrInitializerMakes() {
        #expect(
            iterations("func all() -> Set<Int> { [] }\nfor a in all() {}\nlet b = all().map { $0 }") == [
                2, 3,
            ])
        #expect(
            iterations("for a in Set(list) {}\nlet b = Dictionary(grouping: a, by: f).map { $0 }") == [1, 2])
        #expect(iterations("func all() -> [Int] { [] }\nfor a in all() {}") == [])
    }

    @Test func propertiesCountInOtherFilesAndLocalsDoNot() {
        let use = "extension S { func f() { for a in votes {} } }"
        #expect(iterations("struct S { var votes: Set<Int> }", use) == [1])
        #expect(iterations("func g() { var votes: Set<Int> = [] }", use) == [])
        #expect(iterations("func g(votes: Set<Int>) {}", use) == [])
        #expect(iterations("let votes = Set(list).sorted()", use) == [])
        #expect(iterations("let votes: [Int]\nlet other: [[Int: Int]]\n", use) == [])
    }

    // MARK: - Style

    @Test func longFile() {
        #expect(StyleRules.sizes(file(String(repeating: "\n", count: 501))).count == 1)
        #expect(StyleRules.sizes(file(String(repeating: "\n", count: 500))).isEmpty)
        let generated = file(String(repeating: "\n", count: 501), path: "Sources/EtcdAPI/Generated/A.swift")
        #expect(StyleRules.sizes(generated).isEmpty)
    }

    @Test func longFunction() {
        let lines = String(repeating: "    f()\n", count: 71)
        #expect(StyleRules.sizes(file("func g() {\n\(lines)}")).map(\.line) == [1])
        #expect(StyleRules.sizes(file("init() {\n\(lines.dropFirst(8))}")).isEmpty)
    }

    @Test(arguments: [
        "final class A: @unchecked Sendable {}", "try! f()", "fatalError(\"a\")", "let a = b as! C",
        "nonisolated(unsafe) var a = 1",
    ])
    func unprovenWithoutAComment(_ line: String) {
        #expect(StyleRules.unproven(file("let z = 1\n\n\(line)")).map(\.line) == [3])
        #expect(StyleRules.unproven(file("// Proof.\n\(line)")).isEmpty)
        #expect(StyleRules.unproven(file("// Proof.\n@frozen\n\(line)")).isEmpty)
        #expect(StyleRules.unproven(file("// Of something else.\n\n\(line)")).map(\.line) == [3])
        #expect(StyleRules.unproven(file("// Of something else.\nlet a = 1\n\(line)")).map(\.line) == [3])
        #expect(StyleRules.unproven(file("let s = \"// none\"\n\(line)")).map(\.line) == [2])
    }

    @Test(arguments: ["assert(a)", "assertionFailure()", ".unsafeFlags([])", "print(a)"])
    func forbidden(_ line: String) {
        #expect(StyleRules.forbidden(file(line)).count == 1)
    }

    @Test func allowedLikesOfTheForbidden() {
        #expect(StyleRules.forbidden(file("precondition(a); x.assert(b); func print() {}")).isEmpty)
        #expect(StyleRules.forbidden(file("print(a)", path: "Sources/HoldfastCommand/A.swift")).isEmpty)
    }

    @Test func unfinished() {
        let mark = StyleRules.unfinishedMarks[0]
        #expect(StyleRules.unfinished(file("let a = 1\n// \(mark): later")).map(\.line) == [2])
        #expect(StyleRules.unfinished(file("let \(mark)s = 1")).isEmpty)
    }
}
