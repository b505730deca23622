import PeerTransport
import RaftCore
import ReplicaRuntime

extension NodeConfiguration {
    /// Names and directories are also parts of paths.
    static let maximumNameLength = 64

    /// Where the node listens.
    func check() throws(HoldfastConfigurationError) -> ListenAddress {
        try checkName(name, field: "name")
        try checkName(clusterName, field: "clusterName")
        guard !dataDirectory.isEmpty || isInMemory else {
            throw HoldfastConfigurationError(
                field: "dataDirectory", value: "", remedy: "name a directory of this node's own")
        }
        try checkPeers()
        try checkSeeds()
        guard (0...600_000).contains(resignationPauseMilliseconds) else {
            throw HoldfastConfigurationError(
                field: "resignationPauseMilliseconds", value: "\(resignationPauseMilliseconds)",
                remedy: "it must be from 0 to 600000")
        }
        guard (0...500_000).contains(maximumClockDriftPartsPerMillion) else {
            throw HoldfastConfigurationError(
                field: "maximumClockDriftPartsPerMillion", value: "\(maximumClockDriftPartsPerMillion)",
                remedy: "it must be from 0 to 500000; usual clocks drift by less than 200")
        }
        if isInMemory { return ListenAddress(host: "memory", port: 0) }
        try checkSecurity()
        let own = peers.first { $0.name == name }!
        let listener = try address(
            listenAddress ?? own.address, field: listenAddress == nil ? "peers" : "listenAddress")
        return ListenAddress(host: listener.host, port: listener.port)
    }

    var isInMemory: Bool {
        if case .inMemory = transport { true } else { false }
    }

    private func checkPeers() throws(HoldfastConfigurationError) {
        guard peers.contains(where: { $0.name == name }) else {
            throw HoldfastConfigurationError(
                field: "name", value: name,
                remedy: "it must be one of the peers: " + peers.map(\.name).joined(separator: ", "))
        }
        guard peers.count <= 64 else {
            throw HoldfastConfigurationError(
                field: "peers", value: "\(peers.count) members", remedy: "a cluster has at most 64")
        }
        let witnesses = peers.count(where: \.isWitness)
        guard witnesses <= peers.count / 2 || joinsRunningCluster else {
            throw HoldfastConfigurationError(
                field: "peers", value: "\(witnesses) witnesses of \(peers.count) members",
                remedy: "every majority must have a member with data: at most \(peers.count / 2) may be "
                    + "witnesses")
        }
        for (position, peer) in peers.enumerated() {
            try checkName(peer.name, field: "peers")
            if peers[..<position].contains(where: { $0.name == peer.name }) {
                throw HoldfastConfigurationError(
                    field: "peers", value: peer.name, remedy: "each member must have a name of its own")
            }
            if isInMemory { continue }
            let address = try address(peer.address, field: "peers")
            if peers[..<position].contains(where: { HostAndPort($0.address) == address }) {
                throw HoldfastConfigurationError(
                    field: "peers", value: "\(peer)", remedy: "each member must have an address of its own")
            }
        }
    }

    private func checkSeeds() throws(HoldfastConfigurationError) {
        guard seeds.count <= 64 else {
            throw HoldfastConfigurationError(
                field: "seeds", value: "\(seeds.count) seeds", remedy: "a cluster has at most 64 members")
        }
        guard (0...86_400_000).contains(joinTimeoutMilliseconds) else {
            throw HoldfastConfigurationError(
                field: "joinTimeoutMilliseconds", value: "\(joinTimeoutMilliseconds)",
                remedy: "it must be from 0 to 86400000")
        }
        for seed in seeds {
            if isInMemory {
                try checkName(seed, field: "seeds")
            } else {
                let address = try address(seed, field: "seeds")
                guard !peers.contains(where: { $0.name == name && HostAndPort($0.address) == address }) else {
                    throw HoldfastConfigurationError(
                        field: "seeds", value: seed,
                        remedy: "this is the node's own address: give that of a member that runs")
                }
            }
        }
    }

    func checkName(_ name: String, field: String) throws(HoldfastConfigurationError) {
        let isPlain = name.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || [UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ".")].contains(byte)
        }
        guard isPlain, (1...Self.maximumNameLength).contains(name.utf8.count), name.first != "." else {
            throw HoldfastConfigurationError(
                field: field, value: name,
                remedy:
                    "a name has from 1 to \(Self.maximumNameLength) letters, digits, '-', '_' and '.', and "
                    + "does not begin with '.'")
        }
    }

    private func address(_ text: String, field: String) throws(HoldfastConfigurationError) -> HostAndPort {
        guard let address = HostAndPort(text) else {
            throw HoldfastConfigurationError(
                field: field, value: text,
                remedy: "an address is host:port, with [] around an IPv6 address, such as 127.0.0.1:7000")
        }
        switch security {
        case .plaintextOnLoopback where !address.isLoopback:
            throw HoldfastConfigurationError(
                field: field, value: text,
                remedy: "nodes speak unencrypted, so addresses must be of this machine (127.0.0.1); on a "
                    + "network that you trust, say security = .plaintext, on others .mutualTLS")
        case .plaintextOnLoopback, .plaintext, .mutualTLS:
            return address
        }
    }

    var peerSecurity: PeerSecurity {
        switch security {
        case .plaintextOnLoopback, .plaintext: .plaintext
        case .mutualTLS(let certificateFile, let keyFile, let trustFile):
            .mutualTLS(certificateFile: certificateFile, keyFile: keyFile, trustFile: trustFile)
        }
    }

    private func checkSecurity() throws(HoldfastConfigurationError) {
        do {
            try peerSecurity.requireUsable()
        } catch {
            throw HoldfastConfigurationError(field: "security", value: "\(security)", remedy: "\(error)")
        }
    }

    func raftSettings() throws(HoldfastConfigurationError) -> RaftSettings {
        var settings = RaftSettings()
        settings.electionTimeoutMilliseconds = electionTimeoutMilliseconds
        settings.heartbeatIntervalMilliseconds = heartbeatIntervalMilliseconds
        settings.promisesLeases = true
        settings.adaptsToRoundTrips = adaptsToRoundTrips
        settings.maximumClockDriftPartsPerMillion = maximumClockDriftPartsPerMillion
        if let problem = settings.problem {
            throw HoldfastConfigurationError(
                field: "electionTimeoutMilliseconds",
                value: "\(electionTimeoutMilliseconds), with a heartbeat every "
                    + "\(heartbeatIntervalMilliseconds) ms",
                remedy: problem)
        }
        return settings
    }

    func memberSettings() throws(HoldfastConfigurationError) -> MembershipKeeperSettings {
        var settings = MembershipKeeperSettings()
        settings.evictAfterMilliseconds = evictAfterMilliseconds
        settings.minimumVoters = minimumVoters
        if let problem = settings.problem(electionTimeoutMilliseconds: electionTimeoutMilliseconds) {
            throw HoldfastConfigurationError(
                field: minimumVoters < 1 ? "minimumVoters" : "evictAfterMilliseconds",
                value: minimumVoters < 1 ? "\(minimumVoters)" : "\(evictAfterMilliseconds ?? 0)",
                remedy: problem)
        }
        return settings
    }

    /// The address of another member, as it is to be told to the cluster.
    func check(_ peer: Peer) throws(HoldfastConfigurationError) {
        try checkName(peer.name, field: "name")
        if !isInMemory { _ = try address(peer.address, field: "address") }
    }
}
