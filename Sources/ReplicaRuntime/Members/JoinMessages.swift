import ConsensusTypes
import WriteAheadLog

/// What a node that wants to join a running cluster asks of a member. docs/formats/peer-protocol.md shows the
/// bytes.
public struct JoinQuestion: Hashable, Sendable {
    public static let maximumClusterNameSizeBytes = 1_024
    static let version: UInt8 = 1
    private static let fixedSizeBytes = 1 + 4 + 8 + 8 + 4

    /// Must be the one that the member knows.
    public let clusterName: String
    /// The id that the node gives itself.
    public let node: NodeID
    /// Tells another start of this node from another node that says to be the same.
    public let directory: DirectoryID
    /// The node's name, and where members and clients reach it.
    public let information: MemberInformation

    public init(clusterName: String, node: NodeID, directory: DirectoryID, information: MemberInformation) {
        self.clusterName = clusterName
        self.node = node
        self.directory = directory
        self.information = information
    }

    /// What has no ``MemberInformation/problem``.
    func encode() -> [UInt8] {
        let information = information.encode()
        var writer = ByteWriter(
            reserving: Self.fixedSizeBytes + clusterName.utf8.count + information.count)
        writer.write(Self.version)
        writer.writeSized(Array(clusterName.utf8))
        writer.write(node.rawValue)
        writer.write(directory.rawValue)
        writer.writeSized(information)
        return writer.bytes
    }

    static func decode(_ bytes: ByteSlice) throws(ByteDecodingError) -> JoinQuestion {
        var reader = ByteReader(bytes)
        let found = try reader.readUInt8()
        guard found == version else {
            throw ByteDecodingError(offset: 0, reason: "a question of version \(found) is not known")
        }
        let name = try reader.readSized()
        guard name.count <= maximumClusterNameSizeBytes,
            let clusterName = String(validating: name.bytes, as: UTF8.self)
        else { throw ByteDecodingError(offset: 1, reason: "the cluster's name is no name") }
        let node = NodeID(try reader.readUInt64())
        let directory = DirectoryID(try reader.readUInt64())
        let information = try MemberInformation.decode(try reader.readSized())
        try reader.requireEnd()
        return JoinQuestion(
            clusterName: clusterName, node: node, directory: directory, information: information)
    }
}

/// Why a member does not let a node join. The numbers are part of the wire format.
public enum JoinRefusal: UInt8, Hashable, Sendable, CaseIterable {
    case malformed = 1
    /// The cluster takes members only from its operators.
    case notAccepted = 2
    /// The member belongs to a cluster of another name.
    case otherCluster = 3
    /// A member has the node's name, and is another node.
    case nameTaken = 4
    /// A member has one of the node's addresses, and is another node.
    case addressInUse = 5
    /// Nobody leads at the moment: ask again later.
    case noLeader = 6
    case tooManyMembers = 7
    /// It could not be done at the moment, or that is not known: ask again later.
    case busy = 8

    /// Whether the same question may be answered otherwise a little later. Other numbers are of later versions.
    var isPassing: Bool { self == .noLeader || self == .busy }
}

/// What a member answers.
public enum JoinAnswer: Hashable, Sendable {
    /// The node is a member: a learner that will vote as soon as it has caught up.
    case accepted(cluster: ClusterID, Membership)
    /// This member leads, and decides: ask it.
    case askLeader(NodeID, [MemberInformation.Address])
    /// A number that this version may not know, and a line for people.
    case refused(code: UInt8, reason: String)

    private static let version: UInt8 = 1
    private static let maximumReasonSizeBytes = 1_024

    static func refused(_ refusal: JoinRefusal, _ reason: String) -> JoinAnswer {
        .refused(code: refusal.rawValue, reason: reason)
    }

    func encode() -> [UInt8] {
        var writer = ByteWriter(reserving: 256)
        writer.write(Self.version)
        switch self {
        case .accepted(let cluster, let membership):
            writer.write(UInt8(0))
            writer.write(cluster.rawValue)
            membership.encode(into: &writer)
        case .askLeader(let leader, let addresses):
            writer.write(UInt8(1))
            writer.write(leader.rawValue)
            // Name and addresses in the form in which they are written down.
            writer.writeSized(MemberInformation(name: "", peerAddresses: addresses).encode())
        case .refused(let code, let reason):
            writer.write(UInt8(2))
            writer.write(code)
            writer.writeSized(Array(reason.utf8.prefix(Self.maximumReasonSizeBytes)))
        }
        return writer.bytes
    }

    static func decode(_ bytes: ByteSlice) throws(ByteDecodingError) -> JoinAnswer {
        var reader = ByteReader(bytes)
        let found = try reader.readUInt8()
        guard found == version else {
            throw ByteDecodingError(offset: 0, reason: "an answer of version \(found) is not known")
        }
        let kind = try reader.readUInt8()
        let answer: JoinAnswer
        switch kind {
        case 0:
            let cluster = ClusterID(try reader.readUInt64())
            answer = .accepted(cluster: cluster, try Membership.decode(from: &reader))
        case 1:
            let leader = NodeID(try reader.readUInt64())
            answer = .askLeader(leader, try MemberInformation.decode(try reader.readSized()).peerAddresses)
        case 2:
            let code = try reader.readUInt8()
            let text = String(decoding: try reader.readSized().bytes, as: UTF8.self)
            // It goes to a log: a stranger's control characters do not.
            let printable = text.unicodeScalars.map { scalar in
                scalar.properties.generalCategory == .control ? " " : scalar
            }
            answer = .refused(code: code, reason: String(String.UnicodeScalarView(printable)))
        default:
            throw ByteDecodingError(offset: 1, reason: "an answer of kind \(kind) is not known")
        }
        try reader.requireEnd()
        return answer
    }
}
