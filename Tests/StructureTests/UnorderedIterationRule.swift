/// Finds iteration over Set and Dictionary, whose order changes from process to process.
///
/// A heuristic over names, not over types. It knows what is declared with a type that says so (`Set<…>`,
/// `Dictionary<…>`, `[K: V]`) or made by `Set(…)`, `Dictionary(…)` or `[K: V]()`: variables, parameters, and
/// functions that return one. Properties count in all files of their target, everything else in its own file. It
/// then finds loops over such a name, the methods that iterate, and copies into ordered collections.
///
/// It does not see what inference alone makes a set (`let a = b.union(c)`, `$0.votes`, a type alias, a generic
/// `Sequence` parameter). An array that shares its name with a set of the same file is found wrongly: rename one.
/// Sorting is allowed, also where the comparison leaves ties, whose order then changes.
struct UnorderedIterationRule {
    private static let iteratingMethods: Set<String> = [
        "map", "compactMap", "flatMap", "filter", "reduce", "forEach", "first", "last", "enumerated",
        "makeIterator", "randomElement", "popFirst", "removeFirst", "prefix", "suffix", "dropFirst",
        "dropLast",
        "lazy", "allSatisfy", "min", "max", "mapValues", "compactMapValues", "elementsEqual", "joined",
        "shuffled",
        "startIndex", "indices", "reversed", "partition",
    ]
    private static let harmlessOnViews: Set<String> = ["sorted", "count", "isEmpty"]
    private static let copyingCalls: Set<String> = ["Array", "ContiguousArray", "ArraySlice", "Deque", "zip"]
    private static let typeModifiers: Set<String> = [
        "inout", "borrowing", "consuming", "sending", "@", "escaping",
    ]

    /// Properties and functions of the target, by name.
    private var shared: Set<String> = []

    /// - Parameter files: all files of one target.
    init(files: [SourceFile]) {
        for file in files {
            for (name, index) in Self.declarations(in: file)
            where !file.functions.contains(where: { $0.body.contains(index) })
                && !Self.isParameter(index, file)
            {
                shared.insert(name)
            }
        }
    }

    func violations(in file: SourceFile) -> [Violation] {
        let names = shared.union(Self.declarations(in: file).map(\.name)).union(["Set", "Dictionary"])
        return file.tokens.indices.compactMap { index in
            guard names.contains(file.text(index)), let use = Self.iteration(of: index, in: file) else {
                return nil
            }
            return Violation(
                path: file.path, line: file.tokens[index].line,
                reason:
                    "\(use) goes through a Set or Dictionary, whose order changes from process to process: sort "
                    + "it, or keep a sorted array")
        }
    }

    // MARK: - Declarations

    private static func declarations(in file: SourceFile) -> [(name: String, index: Int)] {
        file.tokens.indices.compactMap { index in
            let isFunction = file.text(index - 1) == "func"
            if isFunction {
                return returnsUnordered(index, file) ? (file.text(index), index) : nil
            }
            guard file.text(index).first.map({ $0.isLetter || $0 == "_" }) == true else {
                return nil
            }
            if file.text(index + 1) == ":" {
                var type = index + 2
                while typeModifiers.contains(file.text(type)) { type += 1 }
                return isUnorderedType(type, file) ? (file.text(index), index) : nil
            }
            guard file.text(index + 1) == "=", ["let", "var"].contains(file.text(index - 1)) else {
                return nil
            }
            let value = index + 2
            let isCall = ["(", "<"].contains(file.text(value + 1)) || file.text(value) == "["
            let isMade = isUnorderedType(value, file) && isCall && isWholeExpression(value, file)
            return isMade ? (file.text(index), index) : nil
        }
    }

    /// `Set`, `Dictionary`, or a bracket with a colon directly within.
    private static func isUnorderedType(_ index: Int, _ file: SourceFile) -> Bool {
        if ["Set", "Dictionary"].contains(file.text(index)) {
            return true
        }
        guard file.text(index) == "[" else {
            return false
        }
        let end = SourceFile.behindMatch(of: index, in: file.tokens)
        var inner = index + 1
        while inner < end - 1 {
            if ["[", "("].contains(file.text(inner)) {
                inner = SourceFile.behindMatch(of: inner, in: file.tokens)
            } else if file.text(inner) == ":" {
                return true
            } else {
                inner += 1
            }
        }
        return false
    }

    /// Nothing is called on what `Set(…)` made, so that the variable is the set itself.
    private static func isWholeExpression(_ index: Int, _ file: SourceFile) -> Bool {
        file.text(behindCall(index, file)) != "."
    }

    private static func returnsUnordered(_ name: Int, _ file: SourceFile) -> Bool {
        var index = name + 1
        while index < file.tokens.count, !["{", "}", "func"].contains(file.text(index)) {
            if file.text(index) == "(" {
                index = SourceFile.behindMatch(of: index, in: file.tokens)
            } else if file.text(index) == "->" {
                return isUnorderedType(index + 1, file)
            } else {
                index += 1
            }
        }
        return false
    }

    /// Inside of parentheses: a parameter, or the label of an argument.
    private static func isParameter(_ index: Int, _ file: SourceFile) -> Bool {
        var depth = 0
        for position in stride(from: index - 1, through: 0, by: -1) {
            switch file.text(position) {
            case ")": depth += 1
            case "(" where depth == 0: return true
            case "(": depth -= 1
            case "{", "}": return false
            default: break
            }
        }
        return false
    }

    // MARK: - Uses

    /// Behind a name with its generic arguments, call and unwrapping.
    private static func behindCall(_ index: Int, _ file: SourceFile) -> Int {
        var end = index + 1
        if file.text(index) == "[" {
            end = SourceFile.behindMatch(of: index, in: file.tokens)
        } else if file.text(end) == "<", ["Set", "Dictionary"].contains(file.text(index)) {
            end = SourceFile.behindMatch(of: end, in: file.tokens)
        }
        if file.text(end) == "(", file.tokens[end].line == file.tokens[end - 1].line {
            end = SourceFile.behindMatch(of: end, in: file.tokens)
        }
        while ["?", "!"].contains(file.text(end)) { end += 1 }
        return end
    }

    /// How the name at `index` is iterated over, or `nil`.
    private static func iteration(of index: Int, in file: SourceFile) -> String? {
        let name = file.text(index)
        let next = behindCall(index, file)
        if file.text(next) == "." {
            return iteratingMember(name, next + 1, file)
        }
        guard file.text(next) != "[" else {
            return nil
        }
        var first = index
        while file.text(first - 1) == "." {
            first -= 2
            while ["?", "!"].contains(file.text(first)) { first -= 1 }
        }
        switch file.text(first - 1) {
        case "in" where isLoop(first - 1, file): return "a loop over \(name)"
        case "(" where copyingCalls.contains(file.text(first - 2)) && [")", ","].contains(file.text(next)):
            return "\(file.text(first - 2))(\(name))"
        case ":" where file.text(first - 2) == "contentsOf": return "contentsOf: \(name)"
        default: return nil
        }
    }

    private static func iteratingMember(_ name: String, _ member: Int, _ file: SourceFile) -> String? {
        let method = file.text(member)
        if iteratingMethods.contains(method) {
            return "\(name).\(method)"
        }
        guard ["keys", "values"].contains(method) else {
            return nil
        }
        let following = file.text(member + 2)
        guard file.text(member + 1) == "." else {
            return "\(name).\(method)"
        }
        let isMembership = following == "contains" && file.text(member + 4) != "where"
        let isExtreme = ["min", "max"].contains(following) && file.text(member + 4) == ")"
        return harmlessOnViews.contains(following) || isMembership || isExtreme ? nil : "\(name).\(method)"
    }

    /// The `in` of a loop, not of a closure's parameters.
    private static func isLoop(_ index: Int, _ file: SourceFile) -> Bool {
        for position in stride(from: index - 1, through: 0, by: -1) {
            switch file.text(position) {
            case "for": return true
            case "{", "}": return false
            default: break
            }
        }
        return false
    }
}
