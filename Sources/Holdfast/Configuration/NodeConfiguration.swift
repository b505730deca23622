import Logging
import Metrics

/// A member of a cluster.
public struct Peer: Hashable, Sendable, CustomStringConvertible {
    /// Unique in the cluster. A node is known by its name, wherever it listens.
    public var name: String
    /// Where the other members reach it: `host:port`.
    public var address: String
    /// Whether it votes and keeps no data: it never leads, and answers neither commands nor queries. Witnesses
    /// must be fewer than a majority of the members. A member stays what it was added as.
    public var isWitness: Bool

    /// The address is checked, for its form and for what ``NodeConfiguration/security`` allows, by whatever uses it.
    public init(name: String, address: String, isWitness: Bool = false) {
        self.name = name
        self.address = address
        self.isWitness = isWitness
    }

    public var description: String { "\(name) at \(address)" }
}

/// How this process takes part in a cluster: who it is, who the others are, where its data lies and how fast it
/// reacts. Every member is given the same peers, the same cluster name and the same times.
///
/// Three members go on when one fails, five when two fail. What is wrong with a configuration is said, as
/// ``HoldfastConfigurationError``, by whatever is made from it.
public struct NodeConfiguration: Sendable {
    /// How nodes speak to each other.
    public enum Security: Hashable, Sendable {
        /// Unencrypted, and every address must be one of this machine (`localhost`, `127.0.0.1`, `::1`).
        case plaintextOnLoopback
        /// Unencrypted over a network: whoever reaches a node's port can read and change everything.
        case plaintext
        /// TLS 1.3, in which both sides show a certificate. All three files are PEM: this node's certificate with
        /// what links it to its authority, its key (not encrypted), and the authorities that signed the nodes'
        /// certificates, each of which must be for the host in the node's address. The files are read again
        /// while the node runs, so they can be replaced. Whoever has a certificate of these authorities takes
        /// part: let them sign for nothing else.
        case mutualTLS(certificateFile: String, keyFile: String, trustFile: String)
    }

    /// By which way nodes speak to each other, and where their data lies.
    public enum Transport: Sendable {
        /// Over TCP, with files in ``NodeConfiguration/dataDirectory``.
        case sockets
        /// Within this process, with disks in memory: for tests.
        case inMemory(InMemoryCluster)
    }

    /// This node's name; one of ``peers`` has it.
    public var name: String
    /// All members at the cluster's first start, this one among them. Later members are known from the data
    /// directory.
    public var peers: [Peer]
    /// A directory of this node's own, made where it is missing. Votes, terms, members and data lie in it: it
    /// must outlive the process.
    public var dataDirectory: String
    /// Where this node listens, where that is not its address in ``peers``.
    public var listenAddress: String?
    /// Keeps clusters apart that could meet on the network: nodes of other clusters are refused.
    public var clusterName = "default"
    /// How the links between nodes are protected; the same on all of them.
    public var security = Security.plaintextOnLoopback
    /// Sockets and files, or for tests everything in memory.
    public var transport = Transport.sockets
    /// A node that hears no leader for this long, up to a quarter longer, wants to replace it. Also how long a
    /// leader counts as certain after it was last confirmed.
    public var electionTimeoutMilliseconds = 1_000
    /// Whether ``electionTimeoutMilliseconds`` is raised, up to ten times, while round trips between members take more
    /// than a tenth of it. How long a leader counts as certain stays as configured.
    public var adaptsToRoundTrips = true
    /// How often a leader is confirmed. At most a fifth of ``electionTimeoutMilliseconds``.
    public var heartbeatIntervalMilliseconds = 100
    /// By how much, in millionths, the clocks of two machines may differ in speed. Leaders give up so much
    /// earlier.
    public var maximumClockDriftPartsPerMillion = 10_000
    /// A member that has not answered the leader for so long is evicted, if those that remain can decide and are
    /// at least ``minimumVoters``, so that they tolerate another failure. When its node is back it is taken
    /// back, and votes again once it has caught up. `nil`: members stay. At least twice the election timeout.
    public var evictAfterMilliseconds: Int? = 60_000
    /// Nobody is evicted below so many voters.
    public var minimumVoters = 3
    /// Whether the cluster runs already and this node, where its directory is empty, joins it. Then ``peers`` are
    /// this node and members that run, and one of them must have added this node, see
    /// ``ClusterMembership/add(_:as:timeout:)``.
    public var joinsRunningCluster = false
    /// Where the cluster runs already and nobody added this node: the address of one of its members, any of them,
    /// or several. While its directory is empty, this node asks there to become a member, see
    /// ``init(name:address:seed:dataDirectory:)``. With ``Transport/inMemory(_:)``: names of members.
    public var seeds: [String] = []
    /// How long the ``seeds`` are asked before `run()` gives up with ``NodeRunError/cannotJoin(_:)``.
    public var joinTimeoutMilliseconds = 60_000
    /// Whether nodes may become members by asking this one, without ``ClusterMembership/add(_:as:timeout:)``.
    /// Whoever reaches the port of a node that speaks unencrypted, and knows the names, can then join: say
    /// `false` where that is too many.
    public var acceptsJoins = true
    /// How long a node that resigned leaves leadership to others.
    public var resignationPauseMilliseconds = 10_000
    /// Receives what is worth knowing, at the level `info` a few lines for each change.
    public var logger = Logger(label: "holdfast")
    /// Receives counters, gauges and timers whose names begin with `holdfast_`.
    public var metricsFactory: any MetricsFactory = MetricsSystem.factory

    /// - Parameters:
    ///   - name: this node's name, one of the peers'.
    ///   - peers: all members at the cluster's first start.
    ///   - dataDirectory: a directory of this node's own.
    public init(name: String, peers: [Peer], dataDirectory: String) {
        self.name = name
        self.peers = peers
        self.dataDirectory = dataDirectory
    }

    /// For a node that joins a running cluster of which it knows one member.
    ///
    /// It asks the member, which names the leader, to become a member; it votes as soon as it has caught up. When
    /// its directory holds data, it starts as any member, and nobody is asked.
    ///
    /// - Parameters:
    ///   - name: this node's name, which no member has.
    ///   - address: where the other members reach this node.
    ///   - seed: the address of a member that runs and has ``acceptsJoins``; any member will do.
    ///   - dataDirectory: a directory of this node's own.
    public init(name: String, address: String, seed: String, dataDirectory: String) {
        self.init(name: name, peers: [Peer(name: name, address: address)], dataDirectory: dataDirectory)
        joinsRunningCluster = true
        seeds = [seed]
    }

    /// With all members at the cluster's first start as `["name": "host:port", …]`.
    public init(name: String, peers: KeyValuePairs<String, String>, dataDirectory: String) {
        self.init(
            name: name, peers: peers.map { Peer(name: $0.key, address: $0.value) },
            dataDirectory: dataDirectory)
    }
}
