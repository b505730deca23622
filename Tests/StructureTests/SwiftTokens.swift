/// One word, number, string or punctuation mark of Swift source. Comments are no tokens.
struct Token: Equatable, Sendable {
    let text: String
    /// From 1.
    let line: Int
}

/// Cuts Swift source into tokens, well enough for the rules here: comments (nested ones too) and the contents of
/// strings (raw and of several lines too) are left out, what strings interpolate is kept. Regex literals are not
/// known.
struct SwiftTokens {
    private(set) var tokens: [Token] = []
    /// The lines that hold a comment or a part of one.
    private(set) var commentLines: Set<Int> = []

    private let bytes: [UInt8]
    private var position = 0
    private var line = 1

    init(_ text: String) {
        bytes = Array(text.utf8)
        readTokens(until: nil)
    }

    private func peek(_ distance: Int = 0) -> UInt8 {
        position + distance < bytes.count ? bytes[position + distance] : 0
    }

    private mutating func advance() {
        if peek() == UInt8(ascii: "\n") {
            line += 1
        }
        position += 1
    }

    private func starts(with text: String) -> Bool {
        var distance = 0
        for byte in text.utf8 {
            guard peek(distance) == byte else { return false }
            distance += 1
        }
        return true
    }

    /// - Parameter closing: how many parentheses an interpolation has open; it ends when the last one closes.
    private mutating func readTokens(until closing: Int?) {
        var open = closing ?? 0
        while position < bytes.count {
            let byte = peek()
            if byte == UInt8(ascii: "/") && [UInt8(ascii: "/"), UInt8(ascii: "*")].contains(peek(1)) {
                readComment()
            } else if byte <= UInt8(ascii: " ") {
                advance()
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "#") && isRawString {
                readString()
            } else if Self.isWord(byte) || byte == UInt8(ascii: "`") {
                readWord()
            } else if starts(with: "->") {
                tokens.append(Token(text: "->", line: line))
                position += 2
            } else {
                tokens.append(Token(text: String(UnicodeScalar(byte)), line: line))
                advance()
                if byte == UInt8(ascii: "(") { open += 1 }
                if byte == UInt8(ascii: ")") { open -= 1 }
                if closing != nil && open == 0 { return }
            }
        }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
            true
        default: false
        }
    }

    private mutating func readWord() {
        var word: [UInt8] = []
        while Self.isWord(peek()) || peek() == UInt8(ascii: "`") {
            if peek() != UInt8(ascii: "`") {
                word.append(peek())
            }
            position += 1
        }
        tokens.append(Token(text: String(decoding: word, as: UTF8.self), line: line))
    }

    private mutating func readComment() {
        commentLines.insert(line)
        if starts(with: "//") {
            while position < bytes.count && peek() != UInt8(ascii: "\n") {
                position += 1
            }
            return
        }
        var depth = 0
        repeat {
            commentLines.insert(line)
            if starts(with: "/*") {
                depth += 1
                position += 2
            } else if starts(with: "*/") {
                depth -= 1
                position += 2
            } else {
                advance()
            }
        } while depth > 0 && position < bytes.count
    }

    private var isRawString: Bool {
        var distance = 0
        while peek(distance) == UInt8(ascii: "#") {
            distance += 1
        }
        return peek(distance) == UInt8(ascii: "\"")
    }

    private mutating func readString() {
        tokens.append(Token(text: "\"\"", line: line))
        var pounds = ""
        while peek() == UInt8(ascii: "#") {
            pounds += "#"
            position += 1
        }
        let quotes = starts(with: "\"\"\"") ? "\"\"\"" : "\""
        position += quotes.utf8.count
        while position < bytes.count {
            if starts(with: quotes + pounds) {
                position += quotes.utf8.count + pounds.utf8.count
                return
            }
            if starts(with: "\\" + pounds + "(") {
                position += 1 + pounds.utf8.count
                readTokens(until: 0)
            } else if starts(with: "\\" + pounds) {
                position += 1 + pounds.utf8.count
                advance()
            } else {
                advance()
            }
        }
    }
}
