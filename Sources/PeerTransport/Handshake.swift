import ConsensusTypes

/// The versions of the protocol that this code speaks.
enum ProtocolVersion {
    static let lowest: UInt32 = 1
    static let highest: UInt32 = 1

    /// Before the handshake is done a frame may not be larger: an upper bound on ``Hello`` and ``Refusal``.
    static let maximumHandshakeBytes = 4_096
}

/// Who is speaking, and to whom it believes to speak. Both sides send one: the acceptor's answer (a welcome)
/// names the one version that the connection uses from then on.
struct Hello: Hashable {
    var lowestVersion = ProtocolVersion.lowest
    var highestVersion = ProtocolVersion.highest
    /// Zero of a node that joins a cluster and was not told its id yet.
    let cluster: ClusterID
    let sender: NodeID
    let receiver: NodeID
    /// Unique to one start of the sender's process.
    let incarnation: UInt64
    /// What the sender says of itself to those who may not know it.
    var introduction: SelfIntroduction?

    func encoded() -> [UInt8] {
        var writer = ByteWriter(reserving: 96)
        writer.write(lowestVersion)
        writer.write(highestVersion)
        writer.write(cluster.rawValue)
        writer.write(sender.rawValue)
        writer.write(receiver.rawValue)
        writer.write(incarnation)
        writer.write(introduction == nil ? 0 : SelfIntroduction.feature)
        writer.writeSized(introduction?.encoded() ?? [])
        return writer.bytes
    }

    init(
        cluster: ClusterID, sender: NodeID, receiver: NodeID, incarnation: UInt64,
        versions: ClosedRange<UInt32> = ProtocolVersion.lowest...ProtocolVersion.highest
    ) {
        self.cluster = cluster
        self.sender = sender
        self.receiver = receiver
        self.incarnation = incarnation
        lowestVersion = versions.lowerBound
        highestVersion = versions.upperBound
    }

    init(decoding payload: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(payload)
        lowestVersion = try reader.readUInt32()
        highestVersion = try reader.readUInt32()
        cluster = ClusterID(try reader.readUInt64())
        sender = NodeID(try reader.readUInt64())
        receiver = NodeID(try reader.readUInt64())
        incarnation = try reader.readUInt64()
        // Other features and their data, which this version does not know, are ignored.
        let features = try reader.readUInt32()
        let data = try reader.readSized()
        if features & SelfIntroduction.feature != 0 {
            introduction = try SelfIntroduction(decoding: data)
        }
        try reader.requireEnd()
    }

    /// The highest version that both sides speak.
    var commonVersion: UInt32? {
        let highest = min(highestVersion, ProtocolVersion.highest)
        return highest >= max(lowestVersion, ProtocolVersion.lowest) ? highest : nil
    }
}

/// What a node says of itself in its hello, for an acceptor whose knowledge of the members is behind.
struct SelfIntroduction: Hashable {
    /// The bit among the features which says that the data begins with this.
    static let feature: UInt32 = 0x100
    private static let maximumHostSizeBytes = 255

    /// Where in its log the sender knew itself to be a member, and one more; zero where it does not know yet.
    let memberSince: UInt64
    /// Where the sender listens; an empty host where that is not known.
    let host: String
    let port: Int

    init(memberSince: UInt64, host: String, port: Int) {
        self.memberSince = memberSince
        self.host = host
        self.port = port
    }

    func encoded() -> [UInt8] {
        var writer = ByteWriter(reserving: 48)
        writer.write(memberSince)
        writer.writeSized(Array(host.utf8.prefix(SelfIntroduction.maximumHostSizeBytes)))
        writer.write(UInt32(truncatingIfNeeded: port))
        return writer.bytes
    }

    /// What follows is for later versions.
    init(decoding data: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(data)
        memberSince = try reader.readUInt64()
        let text = try reader.readSized()
        guard text.count <= SelfIntroduction.maximumHostSizeBytes,
            let host = String(validating: text.bytes, as: UTF8.self),
            host.unicodeScalars.allSatisfy({ $0.isASCII && $0.value > 32 && $0.value < 127 })
        else { throw ByteDecodingError(offset: 8, reason: "the sender's host is no host") }
        self.host = host
        port = Int(try reader.readUInt32())
        guard port <= 65_535 else {
            throw ByteDecodingError(offset: 8, reason: "port \(port) does not exist")
        }
    }
}

/// Why an acceptor does not want a connection.
struct Refusal: Error, Hashable {
    enum Code: UInt32 {
        case malformed = 1
        case version = 2
        case cluster = 3
        case receiver = 4
        case sender = 5
        /// The sender was a member and is none any more.
        case removed = 6
        /// Too many questions at a time.
        case busy = 7
        /// The acceptor answers no questions.
        case unanswered = 8
    }

    /// A number that this version may not know.
    let code: UInt32
    let reason: String

    init(_ code: Code, _ reason: String) {
        self.code = code.rawValue
        self.reason = reason
    }

    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(code)
        writer.writeSized(Array(reason.utf8.prefix(1_024)))
        return writer.bytes
    }

    init(decoding payload: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(payload)
        code = try reader.readUInt32()
        let text = try reader.readSized()
        try reader.requireEnd()
        // The text goes to a log: a stranger's control characters do not.
        reason = String(
            String.UnicodeScalarView(
                String(decoding: text.bytes, as: UTF8.self).unicodeScalars.map {
                    $0.properties.generalCategory == .control ? " " : $0
                }))
    }
}
