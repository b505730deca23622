extension Membership {
    /// The most members of one kind that an encoding may name: a bound for decoders.
    public static let maximumMembers = 1_024

    /// Three lists of node ids, each a count in four bytes and the ids in eight.
    public func encode(into writer: inout ByteWriter) {
        for group in [voters, outgoingVoters, learners] {
            writer.write(UInt32(group.count))
            for node in group {
                writer.write(node.rawValue)
            }
        }
    }

    public static func decode(from reader: inout ByteReader) throws(ByteDecodingError) -> Membership {
        let voters = try decodeGroup(from: &reader)
        let outgoingVoters = try decodeGroup(from: &reader)
        let learners = try decodeGroup(from: &reader)
        return Membership(voters: voters, outgoingVoters: outgoingVoters, learners: learners)
    }

    private static func decodeGroup(from reader: inout ByteReader) throws(ByteDecodingError) -> [NodeID] {
        let count = Int(try reader.readUInt32())
        guard count <= maximumMembers else {
            throw ByteDecodingError(offset: reader.offset - 4, reason: "\(count) members are too many")
        }
        var nodes: [NodeID] = []
        nodes.reserveCapacity(count)
        for _ in 0..<count {
            nodes.append(NodeID(try reader.readUInt64()))
        }
        return nodes
    }
}
