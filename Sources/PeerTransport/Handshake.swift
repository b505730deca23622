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
    let cluster: ClusterID
    let sender: NodeID
    let receiver: NodeID
    /// Unique to one start of the sender's process.
    let incarnation: UInt64

    func encoded() -> [UInt8] {
        var writer = ByteWriter(reserving: 48)
        writer.write(lowestVersion)
        writer.write(highestVersion)
        writer.write(cluster.rawValue)
        writer.write(sender.rawValue)
        writer.write(receiver.rawValue)
        writer.write(incarnation)
        // Room for what a later version needs before its first message, such as a proof of identity.
        writer.write(UInt32(0))
        writer.writeSized([UInt8]())
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
        // Features and their data, which this version does not know and therefore ignores.
        _ = try reader.readUInt32()
        _ = try reader.readSized()
        try reader.requireEnd()
    }

    /// The highest version that both sides speak.
    var commonVersion: UInt32? {
        let highest = min(highestVersion, ProtocolVersion.highest)
        return highest >= max(lowestVersion, ProtocolVersion.lowest) ? highest : nil
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
