import ConsensusTypes
import NIOCore

/// A stranger's question and its answer: what the owners above say to each other, and the versions of this
/// protocol by which it comes.
enum QuestionFrame {
    static func encode(_ body: [UInt8]) -> [UInt8] {
        var writer = ByteWriter(reserving: body.count + 12)
        writer.write(ProtocolVersion.lowest)
        writer.write(ProtocolVersion.highest)
        writer.writeSized(body)
        return writer.bytes
    }

    static func decode(
        _ payload: ByteSlice
    ) throws(ByteDecodingError) -> (lowest: UInt32, highest: UInt32, body: ByteSlice) {
        var reader = ByteReader(payload)
        let (lowest, highest) = (try reader.readUInt32(), try reader.readUInt32())
        let body = try reader.readSized()
        try reader.requireEnd()
        return (lowest, highest, body)
    }

    static func encodeAnswer(_ body: [UInt8], version: UInt32) -> [UInt8] {
        var writer = ByteWriter(reserving: body.count + 8)
        writer.write(version)
        writer.writeSized(body)
        return writer.bytes
    }

    static func decodeAnswer(_ payload: ByteSlice) throws(ByteDecodingError) -> ByteSlice {
        var reader = ByteReader(payload)
        let version = try reader.readUInt32()
        guard (ProtocolVersion.lowest...ProtocolVersion.highest).contains(version) else {
            throw ByteDecodingError(offset: 0, reason: "version \(version) was not offered")
        }
        let body = try reader.readSized()
        try reader.requireEnd()
        return body
    }
}

/// Counts strangers' questions, so that they cost this node little whatever strangers do.
struct QuestionBounds {
    private(set) var underWay = 0
    private var window = NIODeadline.distantPast
    private var inWindow = 0

    /// Whether one more may be answered; it counts until ``ended()``.
    mutating func admit(_ limits: PeerTransportLimits, now: NIODeadline) -> Bool {
        if window == .distantPast || now - window >= .seconds(1) {
            window = now
            inWindow = 0
        }
        guard underWay < limits.maximumQuestionsAtOnce, inWindow < limits.maximumQuestionsPerSecond else {
            return false
        }
        inWindow += 1
        underWay += 1
        return true
    }

    mutating func ended() {
        underWay -= 1
    }
}

// What strangers ask. Nothing of it weakens the handshake of peers: the connection carries one question and one
// answer, and ends.
extension PeerTransport {
    func receiveQuestion(_ payload: ByteSlice, on connection: PeerConnection) {
        do throws(Refusal) {
            let (version, body) = try questionBody(payload)
            guard questions.admit(limits, now: .now()) else {
                throw Refusal(.busy, "node \(nodeID) is asked too much at the moment: ask again later")
            }
            noLongerPending(connection)
            connection.beginAnswering(timeoutMilliseconds: limits.questionTimeoutMilliseconds)
            let isAnswered =
                delegate?.transport(asked: body) { [loop] bytes in
                    loop.preconditionInEventLoop()
                    precondition(
                        bytes.count <= PeerQuestion.maximumAnswerSizeBytes,
                        "an answer is larger than answers are")
                    connection.writeLast(.answer, QuestionFrame.encodeAnswer(bytes, version: version))
                } ?? false
            guard !isAnswered else { return }
            let refusal = Refusal(.unanswered, "node \(nodeID) answers no questions")
            connection.writeLast(.refusal, refusal.encoded())
        } catch {
            connection.writeFrame(.refusal, error.encoded(), afterPreamble: true)
            connection.fail("a question was refused: \(error.reason)")
        }
    }

    private func questionBody(_ payload: ByteSlice) throws(Refusal) -> (version: UInt32, body: ByteSlice) {
        let question: (lowest: UInt32, highest: UInt32, body: ByteSlice)
        do throws(ByteDecodingError) {
            question = try QuestionFrame.decode(payload)
        } catch {
            throw Refusal(.malformed, "the question is malformed: \(error)")
        }
        let version = min(question.highest, ProtocolVersion.highest)
        guard version >= max(question.lowest, ProtocolVersion.lowest) else {
            throw Refusal(
                .version,
                "the question comes by versions \(question.lowest) to \(question.highest) of the peer protocol, "
                    + "node \(nodeID) speaks \(ProtocolVersion.lowest) to \(ProtocolVersion.highest)")
        }
        return (version, question.body)
    }
}
