import Foundation
import Holdfast

/// What holds the key: a device that all signers can reach, here a file with one line for each signature.
///
/// The fence stands here and nowhere else: where a signature is made, in one step with it. Whatever a signer
/// believes of itself, and however long its process stood still before it came here, a height is signed once.
public struct SigningDevice: Sendable {
    public enum Refusal: Error, Hashable, CustomStringConvertible {
        /// Whoever asks was replaced by a leader with a greater token.
        case replaced(FencingToken, by: FencingToken)
        case alreadySigned(height: Int)

        public var description: String {
            switch self {
            case .replaced(let token, let newer): "the token \(token) is older than \(newer)"
            case .alreadySigned(let height): "height \(height) is signed"
            }
        }
    }

    public struct Signature: Hashable, Sendable {
        public let height: Int
        public let token: FencingToken
        public let signer: String

        public init(height: Int, token: FencingToken, signer: String) {
            self.height = height
            self.token = token
            self.signer = signer
        }
    }

    private let path: String
    private let isFenced: Bool
    /// How long a request is on its way to the device.
    private let delayMicroseconds: UInt32

    public init(path: String, isFenced: Bool, delayMicroseconds: UInt32 = 20_000) {
        self.path = path
        self.isFenced = isFenced
        self.delayMicroseconds = delayMicroseconds
    }

    /// Everything that was ever signed, in order.
    public func signatures() -> [Signature] {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").compactMap { line in
            let parts = line.split(separator: " ")
            guard parts.count == 3, let height = Int(parts[0]), let token = UInt64(parts[1]) else {
                return nil
            }
            return Signature(height: height, token: FencingToken(token), signer: String(parts[2]))
        }
    }

    /// Signs the block of this height, or refuses.
    public func sign(height: Int, token: FencingToken, signer: String) throws {
        // The request is on its way. A process that is stopped here comes back without knowing it.
        usleep(delayMicroseconds)
        try exclusively { file in
            if isFenced, let last = signatures().last {
                if token < last.token { throw Refusal.replaced(token, by: last.token) }
                if height <= last.height { throw Refusal.alreadySigned(height: height) }
            }
            let line = Array("\(height) \(token) \(signer)\n".utf8)
            guard write(file, line, line.count) == line.count, fsync(file) == 0 else {
                throw POSIXError(.init(rawValue: errno) ?? .EIO)
            }
        }
    }

    /// Does something while nobody signs. Whoever stops processes does it here: a real device would not stop with
    /// the signer whose request it works on.
    public func exclusively<Result>(_ body: (_ file: Int32) throws -> Result) throws -> Result {
        let file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw POSIXError(.init(rawValue: errno) ?? .EIO) }
        defer { close(file) }
        guard flock(file, LOCK_EX) == 0 else { throw POSIXError(.init(rawValue: errno) ?? .EIO) }
        return try body(file)
    }
}
