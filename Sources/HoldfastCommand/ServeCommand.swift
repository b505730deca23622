import ArgumentParser
import ConsensusTypes
import EtcdAPI
import Logging
import PeerTransport
import ReplicaRuntime
import WriteAheadLog

/// `holdfast serve`: one node. The flags carry etcd's names where the meaning is the same.
struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Runs one node of a cluster.",
        discussion: """
            The flags carry etcd's names: an etcd command line starts a Holdfast node when the program's \
            name is changed. --initial-cluster counts at the first start; later the data says who the \
            members are, which 'etcdctl member' changes.
            """)

    @Option(help: "This node's name in --initial-cluster.")
    var name = "default"

    @Option(help: "Where the node keeps its data. (default: NAME.holdfast)")
    var dataDir: String?

    @Option(help: "Addresses to serve clients on, separated by commas.")
    var listenClientUrls = "http://127.0.0.1:2379"

    @Option(help: "Addresses at which clients reach this node. (default: --listen-client-urls)")
    var advertiseClientUrls: String?

    @Option(help: "Addresses to listen for the other nodes on.")
    var listenPeerUrls = "http://127.0.0.1:2380"

    @Option(help: "Addresses at which the other nodes reach this one.")
    var initialAdvertisePeerUrls = "http://127.0.0.1:2380"

    @Option(help: "All members: name=http://host:port,... (default: this node alone)")
    var initialCluster: String?

    @Option(
        help: ArgumentHelp(
            "Members that vote and keep no data: n3 or n4,n5.",
            discussion: """
                A witness needs little of its machine and never leads. It must be one of few: fewer than a \
                majority of --initial-cluster. All members are given the same, at the first start; a node that \
                joins is told by the cluster.
                """))
    var initialClusterWitnesses: String?

    @Option(help: "'new', or 'existing' where the cluster runs: the node joins it unless it has data.")
    var initialClusterState: InitialClusterState = .new

    @Option(
        help: ArgumentHelp(
            "Peer addresses of members of a running cluster that the node joins: http://host:port,...",
            discussion: """
                One is enough, any member's. The members must have been started with --accept-joins, and the token \
                must be the same. A node that has data does not ask.
                """))
    var join: String?

    @Flag(
        help: ArgumentHelp(
            "Lets nodes become members that ask for it with --join.",
            discussion: """
                They receive all data, and vote when they have caught up. Without TLS, whoever reaches the peer \
                port and knows the token can join.
                """))
    var acceptJoins = false

    @Option(help: "Tells clusters apart that might reach each other by mistake.")
    var initialClusterToken = "etcd-cluster"

    @Option(help: "Milliseconds between a leader's heartbeats.")
    var heartbeatInterval = 100

    @Option(help: "Milliseconds without a leader before an election.")
    var electionTimeout = 1_000

    @Option(
        help: ArgumentHelp(
            "Raises the election timeout, up to ten times, where round trips are long; 'false': never.",
            discussion: """
                It is to last for ten round trips between the members that are there, and falls back with them. Give \
                all nodes the same.
                """))
    var adaptiveTimeouts = true

    @Option(
        help: ArgumentHelp(
            "Milliseconds of silence after which a member is evicted; 0: never.",
            discussion: "It comes back by itself when its node is there again. Give all nodes the same."))
    var evictAfter = 0

    @Option(help: "Nobody is evicted where fewer voters would remain.")
    var minVoters = 3

    @Flag(
        help: ArgumentHelp(
            "Lets a leader answer linearizable reads without asking the others.",
            discussion: """
                While its lease lasts, nobody else can be elected, as long as no node's clock runs more than 1 % \
                slower or faster than true time. Give it to all nodes or to none. A node that starts again then \
                waits an election timeout before it votes.
                """))
    var leaseReads = false

    @Option(help: "Applied entries between two snapshots.")
    var snapshotCount = 100_000

    @Option(help: "Bytes of data beyond which writes are refused; 0 is 2 GiB.")
    var quotaBackendBytes = 0

    @Option(help: "The largest request in bytes.")
    var maxRequestBytes = 1_572_864

    @Option(help: "The most operations in a transaction.")
    var maxTxnOps = 128

    @Option(help: "trace, debug, info, notice, warn, error or critical.")
    var logLevel = "info"

    @Flag(
        help: ArgumentHelp(
            "Starts with the data that is intact, whatever is lost.",
            discussion: """
                A node whose data is damaged or missing repairs itself from its peers before it takes part. \
                This says to take part without that: acknowledged writes may be gone. For when no peer has \
                what is missing and none ever will.
                """))
    var acceptDataLoss = false

    @Option(
        help: ArgumentHelp(
            "Dials these peers elsewhere than --initial-cluster says, as through a proxy: "
                + "name=http://host:port,...", visibility: .hidden))
    var peerRoutes: String?

    @Option(help: ArgumentHelp("Bytes of each of the log's files.", visibility: .hidden))
    var logSegmentBytes = WriteAheadLogOptions().segmentSizeBytes

    @Flag(help: .hidden)
    var exitWithParent = false

    @OptionGroup(title: "TLS")
    var security: SecurityOptions

    enum InitialClusterState: String, ExpressibleByArgument {
        case new, existing
    }

    func run() throws {
        try ServeProcess(options: try options(), exitWithParent: exitWithParent).run()
    }

    private func options() throws -> ServeOptions {
        let advertised = try ClusterURL.list(initialAdvertisePeerUrls, flag: "--initial-advertise-peer-urls")
        var cluster = try InitialCluster(
            initialCluster ?? advertised.map { "\(name)=\($0.text)" }.joined(separator: ","),
            token: initialClusterToken)
        if let initialClusterWitnesses { try cluster.setWitnesses(initialClusterWitnesses) }
        guard let ownMember = cluster.members.first(where: { $0.name == name }) else {
            let names = cluster.members.map(\.name).joined(separator: ", ")
            throw CommandFailure(
                message: "--name \(name) is not in --initial-cluster, which names \(names)", exitCode: 64)
        }
        guard Set(advertised) == Set(ownMember.peerURLs) else {
            throw CommandFailure(
                message:
                    "--initial-cluster gives \(name) \(ownMember.peerURLs.map(\.text).joined(separator: ",")), "
                    + "but --initial-advertise-peer-urls is \(initialAdvertisePeerUrls); make them equal",
                exitCode: 64)
        }
        let listenClient = try ClusterURL.list(listenClientUrls, flag: "--listen-client-urls")
        let listenPeer = try ClusterURL.list(listenPeerUrls, flag: "--listen-peer-urls")
        let advertiseClient = try advertiseClientUrls.map {
            try ClusterURL.list($0, flag: "--advertise-client-urls")
        }
        let seeds = try seeds(advertised)
        guard let level = ServeCommand.level(logLevel) else {
            throw CommandFailure(
                message:
                    "--log-level: '\(logLevel)' is none of trace, debug, info, notice, warn, error, critical",
                exitCode: 64)
        }
        let settings = try replicaSettings()
        guard snapshotCount >= 1, quotaBackendBytes >= 0, maxRequestBytes >= 1, maxTxnOps >= 1 else {
            throw CommandFailure(
                message: "--snapshot-count, --max-request-bytes and --max-txn-ops must be at least 1, "
                    + "--quota-backend-bytes at least 0", exitCode: 64)
        }
        guard maxRequestBytes <= 8 << 20 else {
            throw CommandFailure(message: "--max-request-bytes must be at most 8388608 (8 MiB)", exitCode: 64)
        }
        let logOptions = WriteAheadLogOptions(segmentSizeBytes: logSegmentBytes)
        if let problem = logOptions.problem {
            throw CommandFailure(message: "--log-segment-bytes: \(problem)", exitCode: 64)
        }
        return ServeOptions(
            cluster: cluster, clusterToken: initialClusterToken, ownMember: ownMember,
            peerRoutes: try peerRoutes.map { try PeerRoutes($0, cluster: cluster) } ?? PeerRoutes(),
            dataDirectory: dataDir ?? "\(name).holdfast",
            joinsExisting: initialClusterState == .existing, seeds: seeds, acceptsJoins: acceptJoins,
            acceptsDataLoss: acceptDataLoss,
            listenClientURLs: listenClient,
            advertiseClientURLs: advertiseClient ?? listenClient,
            listenPeerURLs: listenPeer, readsUnderLease: leaseReads,
            clientSecurity: try security.clientSecurity(listenClient),
            peerSecurity: try security.peerSecurity(
                listenPeer + cluster.members.flatMap(\.peerURLs) + seeds),
            replicaSettings: settings, logOptions: logOptions,
            quotaBytes: quotaBackendBytes == 0 ? 2 << 30 : quotaBackendBytes,
            maximumRequestSizeBytes: maxRequestBytes, maximumTransactionOperations: maxTxnOps,
            logLevel: level)
    }

    private func replicaSettings() throws -> ReplicaSettings {
        var settings = ReplicaSettings()
        settings.raft.heartbeatIntervalMilliseconds = heartbeatInterval
        settings.raft.electionTimeoutMilliseconds = electionTimeout
        settings.snapshotEntryCount = snapshotCount
        settings.members.evictAfterMilliseconds = evictAfter == 0 ? nil : evictAfter
        settings.members.minimumVoters = minVoters
        settings.raft.promisesLeases = leaseReads
        settings.raft.adaptsToRoundTrips = adaptiveTimeouts
        if let problem = settings.raft.problem {
            throw CommandFailure(
                message: "--heartbeat-interval, --election-timeout: \(problem)", exitCode: 64)
        }
        if let problem = settings.members.problem(electionTimeoutMilliseconds: electionTimeout) {
            throw CommandFailure(message: "--evict-after, --min-voters: \(problem)", exitCode: 64)
        }
        return settings
    }

    private func seeds(_ own: [ClusterURL]) throws -> [ClusterURL] {
        guard let join else { return [] }
        let seeds = try ClusterURL.list(join, flag: "--join")
        guard initialCluster == nil, initialClusterState == .new else {
            throw CommandFailure(
                message:
                    "--join goes without --initial-cluster and --initial-cluster-state: who the members are is "
                    + "asked; leave those out", exitCode: 64)
        }
        if let same = seeds.first(where: own.contains) {
            throw CommandFailure(
                message: "--join: \(same.text) is this node's own address; give that of a member that runs",
                exitCode: 64)
        }
        return seeds
    }

    private static func level(_ text: String) -> Logger.Level? {
        switch text {
        case "warn": .warning
        case "panic", "fatal": .critical
        default: Logger.Level(rawValue: text)
        }
    }
}

/// What `holdfast serve` was asked to do, checked.
struct ServeOptions {
    let cluster: InitialCluster
    let clusterToken: String
    let ownMember: InitialCluster.Member
    let peerRoutes: PeerRoutes
    let dataDirectory: String
    let joinsExisting: Bool
    /// Whom a node that joins asks.
    let seeds: [ClusterURL]
    let acceptsJoins: Bool
    let acceptsDataLoss: Bool
    let listenClientURLs: [ClusterURL]
    let advertiseClientURLs: [ClusterURL]
    let listenPeerURLs: [ClusterURL]
    let readsUnderLease: Bool
    let clientSecurity: ClientSecurity
    let peerSecurity: PeerSecurity
    let replicaSettings: ReplicaSettings
    let logOptions: WriteAheadLogOptions
    let quotaBytes: Int
    let maximumRequestSizeBytes: Int
    let maximumTransactionOperations: Int
    let logLevel: Logger.Level
}
