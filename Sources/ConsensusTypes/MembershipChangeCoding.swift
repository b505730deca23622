extension MembershipChange {
    private enum Kind: UInt8 {
        case addLearner = 1
        case addVoter = 2
        case promote = 3
        case demote = 4
        case remove = 5
        case describe = 6
        case evict = 7
    }

    /// A count in four bytes; each step is a kind in one byte and a node in eight, or a description.
    public func encode(into writer: inout ByteWriter) {
        writer.write(UInt32(steps.count))
        for step in steps {
            switch step {
            case .addLearner(let description): MembershipChange.encode(.addLearner, description, &writer)
            case .addVoter(let description): MembershipChange.encode(.addVoter, description, &writer)
            case .describe(let description): MembershipChange.encode(.describe, description, &writer)
            case .promote(let node): MembershipChange.encode(.promote, node, &writer)
            case .demote(let node): MembershipChange.encode(.demote, node, &writer)
            case .remove(let node): MembershipChange.encode(.remove, node, &writer)
            case .evict(let node): MembershipChange.encode(.evict, node, &writer)
            }
        }
    }

    /// The payload of a proposal.
    public var encoded: ByteSlice {
        var writer = ByteWriter()
        encode(into: &writer)
        return ByteSlice(writer.bytes)
    }

    private static func encode(_ kind: Kind, _ description: MemberDescription, _ writer: inout ByteWriter) {
        writer.write(kind.rawValue)
        description.encode(into: &writer)
    }

    private static func encode(_ kind: Kind, _ node: NodeID, _ writer: inout ByteWriter) {
        writer.write(kind.rawValue)
        writer.write(node.rawValue)
    }

    public static func decode(from reader: inout ByteReader) throws(ByteDecodingError) -> MembershipChange {
        let count = Int(try reader.readUInt32())
        guard count <= maximumSteps else {
            throw ByteDecodingError(offset: reader.offset - 4, reason: "\(count) steps are too many")
        }
        var steps: [Step] = []
        for _ in 0..<count {
            steps.append(try decodeStep(from: &reader))
        }
        return MembershipChange(steps)
    }

    private static func decodeStep(from reader: inout ByteReader) throws(ByteDecodingError) -> Step {
        let rawKind = try reader.readUInt8()
        guard let kind = Kind(rawValue: rawKind) else {
            throw ByteDecodingError(
                offset: reader.offset - 1, reason: "step \(rawKind) of a membership change is unknown")
        }
        switch kind {
        case .addLearner: return .addLearner(try MemberDescription.decode(from: &reader))
        case .addVoter: return .addVoter(try MemberDescription.decode(from: &reader))
        case .promote: return .promote(NodeID(try reader.readUInt64()))
        case .demote: return .demote(NodeID(try reader.readUInt64()))
        case .remove: return .remove(NodeID(try reader.readUInt64()))
        case .evict: return .evict(NodeID(try reader.readUInt64()))
        case .describe: return .describe(try MemberDescription.decode(from: &reader))
        }
    }
}
