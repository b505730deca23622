extension Membership {
    /// The most members of one kind that an encoding may name: a bound for decoders.
    public static let maximumMembers = 1_024
    /// What the longer form begins with. No count is as large.
    private static let longFormMark: UInt32 = 0x8000_0001

    /// Three lists of node ids, each a count in four bytes and the ids in eight. Where there is more to say: a
    /// mark in four bytes, those three lists, those of the next learners and of the evicted, and the descriptions: a
    /// count in four bytes, and for each the node, the priority in one byte, flags in one byte (1: promoted when
    /// ready; 2: a witness), and the sized information.
    public func encode(into writer: inout ByteWriter) {
        let isLong = !learnersNext.isEmpty || !evicted.isEmpty || !descriptions.isEmpty
        if isLong { writer.write(Membership.longFormMark) }
        for group in [voters, outgoingVoters, learners] {
            Membership.encode(group, into: &writer)
        }
        guard isLong else { return }
        Membership.encode(learnersNext, into: &writer)
        Membership.encode(evicted, into: &writer)
        writer.write(UInt32(descriptions.count))
        for description in descriptions {
            description.encode(into: &writer)
        }
    }

    private static func encode(_ group: [NodeID], into writer: inout ByteWriter) {
        writer.write(UInt32(group.count))
        for node in group {
            writer.write(node.rawValue)
        }
    }

    public static func decode(from reader: inout ByteReader) throws(ByteDecodingError) -> Membership {
        var ahead = reader
        guard try ahead.readUInt32() == longFormMark else {
            let voters = try decodeGroup(from: &reader)
            let outgoingVoters = try decodeGroup(from: &reader)
            let learners = try decodeGroup(from: &reader)
            return Membership(voters: voters, outgoingVoters: outgoingVoters, learners: learners)
        }
        reader = ahead
        let voters = try decodeGroup(from: &reader)
        let outgoingVoters = try decodeGroup(from: &reader)
        let learners = try decodeGroup(from: &reader)
        let learnersNext = try decodeGroup(from: &reader)
        let evicted = try decodeGroup(from: &reader)
        let count = try decodeCount(from: &reader)
        var descriptions: [MemberDescription] = []
        for _ in 0..<count {
            descriptions.append(try MemberDescription.decode(from: &reader))
        }
        return Membership(
            voters: voters, outgoingVoters: outgoingVoters, learners: learners, learnersNext: learnersNext,
            evicted: evicted, descriptions: descriptions)
    }

    private static func decodeCount(from reader: inout ByteReader) throws(ByteDecodingError) -> Int {
        let count = Int(try reader.readUInt32())
        guard count <= maximumMembers else {
            throw ByteDecodingError(offset: reader.offset - 4, reason: "\(count) members are too many")
        }
        return count
    }

    private static func decodeGroup(from reader: inout ByteReader) throws(ByteDecodingError) -> [NodeID] {
        let count = try decodeCount(from: &reader)
        var nodes: [NodeID] = []
        nodes.reserveCapacity(count)
        for _ in 0..<count {
            nodes.append(NodeID(try reader.readUInt64()))
        }
        return nodes
    }
}

extension MemberDescription {
    func encode(into writer: inout ByteWriter) {
        writer.write(node.rawValue)
        writer.write(priority)
        writer.write((isPromotedWhenReady ? UInt8(1) : 0) | (isWitness ? UInt8(2) : 0))
        writer.writeSized(information)
    }

    static func decode(from reader: inout ByteReader) throws(ByteDecodingError) -> MemberDescription {
        let node = NodeID(try reader.readUInt64())
        let priority = try reader.readUInt8()
        let flags = try reader.readUInt8()
        guard flags <= 3 else {
            throw ByteDecodingError(
                offset: reader.offset - 1, reason: "flags \(flags) of a member are unknown")
        }
        let count = Int(try reader.readUInt32())
        guard count <= maximumInformationSizeBytes else {
            throw ByteDecodingError(
                offset: reader.offset - 4, reason: "\(count) bytes of information on a member are too many")
        }
        // A copy: the membership outlives the message that it came in.
        let information = ByteSlice(try reader.readRaw(count).bytes)
        return MemberDescription(
            node: node, priority: priority, isPromotedWhenReady: flags & 1 != 0, isWitness: flags & 2 != 0,
            information: information)
    }
}
