import ConsensusTypes

/// What the replicated state remembers of one client.
struct ClientSession: Hashable, Sendable {
    struct Done: Hashable, Sendable {
        let sequence: UInt64
        let answer: [UInt8]
    }

    enum Standing {
        case new
        /// It was executed, with this answer.
        case done([UInt8])
        /// The client has its result, or wants it no more.
        case acknowledged
    }

    /// The number of the command, counted over all sessions, that used this one last.
    var lastUsedAt: UInt64
    private(set) var acknowledgedThrough: UInt64 = 0
    /// In the order of their sequences.
    private(set) var results: [Done] = []

    init(lastUsedAt: UInt64) {
        self.lastUsedAt = lastUsedAt
    }

    mutating func acknowledge(through sequence: UInt64) {
        guard sequence > acknowledgedThrough else { return }
        acknowledgedThrough = sequence
        results.removeFirst(position(of: sequence + 1))
    }

    func standing(of sequence: UInt64) -> Standing {
        if sequence <= acknowledgedThrough { return .acknowledged }
        let position = position(of: sequence)
        guard position < results.count, results[position].sequence == sequence else { return .new }
        return .done(results[position].answer)
    }

    mutating func note(_ answer: [UInt8], of sequence: UInt64) {
        results.insert(Done(sequence: sequence, answer: answer), at: position(of: sequence))
    }

    /// Where the sequence is or would be.
    private func position(of sequence: UInt64) -> Int {
        var low = 0
        var high = results.count
        while low < high {
            let middle = (low + high) / 2
            if results[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func encode(into writer: inout ByteWriter) {
        writer.write(lastUsedAt)
        writer.write(acknowledgedThrough)
        writer.write(UInt32(results.count))
        for done in results {
            writer.write(done.sequence)
            writer.writeSized(done.answer)
        }
    }

    static func decode(
        from reader: inout ByteReader, maximumResults: Int
    ) throws(ByteDecodingError) -> ClientSession {
        var session = ClientSession(lastUsedAt: try reader.readUInt64())
        session.acknowledgedThrough = try reader.readUInt64()
        let count = Int(try reader.readUInt32())
        guard count <= maximumResults else {
            throw ByteDecodingError(offset: reader.offset - 4, reason: "\(count) results are too many")
        }
        for _ in 0..<count {
            let sequence = try reader.readUInt64()
            guard sequence > session.results.last?.sequence ?? session.acknowledgedThrough else {
                throw ByteDecodingError(
                    offset: reader.offset - 8, reason: "the result of command \(sequence) is out of order")
            }
            session.results.append(Done(sequence: sequence, answer: try reader.readSized().bytes))
        }
        return session
    }
}
