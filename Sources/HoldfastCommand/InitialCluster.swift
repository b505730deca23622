import ConsensusTypes
import ReplicaRuntime

/// The members that `--initial-cluster` names, with ids that every node computes alike.
struct InitialCluster {
    struct Member {
        let id: NodeID
        let name: String
        let peerURLs: [ClusterURL]
        var isWitness = false
    }

    private(set) var members: [Member]
    private(set) var clusterID: UInt64

    /// `text` is `name=http://host:port,...`; a name may come more than once, with one address each time.
    init(_ text: String, token: String) throws {
        var names: [String] = []
        var urls: [String: [ClusterURL]] = [:]
        for part in text.split(separator: ",") {
            guard let equals = part.firstIndex(of: "="), equals != part.startIndex else {
                throw CommandFailure(
                    message: "--initial-cluster: '\(part)' is not name=http://host:port", exitCode: 64)
            }
            let name = String(part[..<equals])
            let url = try ClusterURL(String(part[part.index(after: equals)...]), flag: "--initial-cluster")
            if urls[name] == nil { names.append(name) }
            urls[name, default: []].append(url)
        }
        guard !names.isEmpty else {
            throw CommandFailure(message: "--initial-cluster names no member", exitCode: 64)
        }
        members = names.map { name in
            let peerURLs = urls[name]!
            return Member(
                id: InitialCluster.memberID(token: token, peerURLs: peerURLs), name: name, peerURLs: peerURLs)
        }
        let ids = members.map(\.id).sorted()
        for (first, second) in zip(ids, ids.dropFirst()) where first == second {
            throw CommandFailure(
                message: "--initial-cluster: two members have the same peer address", exitCode: 64)
        }
        clusterID = StableHash.of("cluster\n\(token)\n\(ids.map(\.description).joined(separator: ","))")
    }

    /// `text` names the witnesses among the members: `n3` or `n4,n5`.
    mutating func setWitnesses(_ text: String) throws {
        for name in text.split(separator: ",").map(String.init) {
            guard let position = members.firstIndex(where: { $0.name == name }) else {
                throw CommandFailure(
                    message: "--initial-cluster-witnesses: \(name) is not in --initial-cluster, which names "
                        + members.map(\.name).joined(separator: ", "), exitCode: 64)
            }
            members[position].isWitness = true
        }
        // Nodes that are told of other witnesses must not meet.
        let ids = members.filter(\.isWitness).map(\.id).sorted()
        clusterID = StableHash.of("\(clusterID)\nwitnesses\n\(ids.map(\.description).joined(separator: ","))")
        guard try membership.hasDataInEveryQuorum else {
            let most = Membership.majority(of: members.count) - 1
            throw CommandFailure(
                message: "--initial-cluster-witnesses: of \(members.count) members at most \(most) may be "
                    + "witnesses, so that every quorum has a member with data", exitCode: 64)
        }
    }

    /// The id of the member that listens at these addresses, the same on every node.
    static func memberID(token: String, peerURLs: [ClusterURL]) -> NodeID {
        let addresses = peerURLs.map(\.text).sorted().joined(separator: ",")
        return NodeID(StableHash.of("member\n\(token)\n\(addresses)"))
    }
}

extension InitialCluster {
    /// All members vote.
    var membership: Membership {
        get throws {
            Membership(voters: members.map(\.id), descriptions: try members.map { try $0.description })
        }
    }
}

extension InitialCluster.Member {
    /// Client addresses are not said here: only the member itself knows its own.
    var description: MemberDescription {
        get throws {
            let information = MemberInformation(
                name: name, peerAddresses: peerURLs.map { .init(host: $0.host, port: $0.port) })
            if let problem = information.problem {
                throw CommandFailure(message: "--initial-cluster: member \(name): \(problem)", exitCode: 64)
            }
            return MemberDescription(node: id, isWitness: isWitness, information: information.encode())
        }
    }
}

/// A hash that is the same in every process: 64-bit FNV-1a with a final mix. Not for secrets.
enum StableHash {
    static func of(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
        }
        hash = (hash ^ (hash >> 33)) &* 0xff51_afd7_ed55_8ccd
        hash ^= hash >> 33
        return hash == 0 ? 1 : hash
    }
}
