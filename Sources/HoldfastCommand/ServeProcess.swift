import ConsensusTypes
import EtcdAPI
import KeyValueCore
import Logging
import NIOCore
import NIOPosix
import PeerTransport
import ReplicaRuntime
import Synchronization
import TransportSecurity
import struct SystemPackage.FilePath

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The life of `holdfast serve`: recover, serve, and end in order when asked to.
struct ServeProcess {
    let options: ServeOptions
    let exitWithParent: Bool

    func run() throws {
        TerminationSignals.block()
        try requireSomebodyToJoin()
        var logger = Logger(label: "holdfast", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = options.logLevel
        logger[metadataKey: "node"] = "\(options.ownMember.name)"

        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        if exitWithParent { endWhenParentEnds(loops.next()) }
        let running = RunningNode(options: options, loop: loops.next(), logger: logger)
        do {
            try running.requireStartable()
            guard try running.join() else {
                logger.info("stopped before this node had joined")
                return try loops.syncShutdownGracefully()
            }
            try running.start()
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw CommandFailure(message: "\(error)")
        }
        let signal = TerminationSignals.wait()
        logger.info("stopping", metadata: ["signal": "\(signal)"])
        running.stop()
        try loops.syncShutdownGracefully()
        logger.info("stopped")
    }

    private func requireSomebodyToJoin() throws {
        guard options.joinsExisting, options.cluster.members.count == 1 else { return }
        guard access("\(options.dataDirectory)/IDENTITY", F_OK) == 0 else {
            throw CommandFailure(
                message:
                    "--initial-cluster-state is existing, but \(options.dataDirectory) holds no data, and "
                    + "--initial-cluster names nobody else; give the right --data-dir, or name the members")
        }
    }

    /// A node that `holdfast dev` started must not outlive it, however it ended.
    private func endWhenParentEnds(_ loop: any EventLoop) {
        let parent = getppid()
        loop.scheduleRepeatedTask(initialDelay: .milliseconds(200), delay: .milliseconds(200)) { _ in
            if getppid() != parent { kill(getpid(), SIGTERM) }
        }
    }
}

/// A node and its client port, which is opened when the node is admitted.
///
/// Sendable without a lock: `node` is set by ``start()`` before anything else uses it, and `server` is touched
/// on the loop alone.
private final class RunningNode: @unchecked Sendable {
    private let options: ServeOptions
    private let loop: any EventLoop
    private let logger: Logger
    private var nodeOptions: ReplicaNodeOptions!
    private var node: KeyValueNode!
    private var server: EtcdServer?

    init(options: ServeOptions, loop: any EventLoop, logger: Logger) {
        self.options = options
        self.loop = loop
        self.logger = logger
    }

    /// Before the data directory is made: a start that fails for a mistyped address must leave nothing that
    /// holds the next one to the mistake.
    func requireStartable() throws {
        for (url, flag) in options.listenClientURLs.map({ ($0, "--listen-client-urls") })
            + options.listenPeerURLs.map({ ($0, "--listen-peer-urls") })
        {
            try requireFree(url, flag: flag)
        }
        try requireUsableCertificates()
        warnOfPlaintext()
    }

    /// Returns when peers can connect.
    func start() throws {
        try loop.submit { [self] in try makeNode() }.wait()
        do {
            try loop.flatSubmit { [self] in node.start() }.wait()
        } catch {
            // The transport's own error names the address and the flag.
            throw CommandFailure(message: "\(error)")
        }
    }

    private func requireFree(_ url: ClusterURL, flag: String) throws {
        if let problem = ListenProbe.problem(host: url.host, port: url.port) {
            throw ListenFailure(url: url, flag: flag, reason: problem)
        }
    }

    private func requireUsableCertificates() throws {
        do throws(TLSError) {
            try options.peerSecurity.requireUsable()
        } catch {
            throw CommandFailure(
                message: "--peer-cert-file, --peer-key-file, --peer-trusted-ca-file: \(error)")
        }
        do throws(TLSError) {
            try options.clientSecurity.requireUsable()
        } catch {
            throw CommandFailure(message: "--cert-file, --key-file, --trusted-ca-file: \(error)")
        }
    }

    private func warnOfPlaintext() {
        for (urls, whose) in [(options.listenClientURLs, "clients"), (options.listenPeerURLs, "nodes")] {
            for url in urls where !url.isSecure && !url.isLoopback {
                logger.warning(
                    "\(url.text) takes \(whose) in plaintext: whoever reaches it can read and change everything; use https:// or a network that you trust"
                )
            }
        }
    }

    /// Asks to become a member where that is wanted and the data directory is empty. `false`: the process was
    /// told to stop meanwhile.
    func join() throws -> Bool {
        let options = try makeOptions()
        nodeOptions = options
        guard !options.seeds.isEmpty else { return true }
        let promise = loop.makePromise(of: ReplicaNodeOptions.self)
        let task = promise.completeWithTask { [loop, logger] in
            try await ClusterJoin.joining(options, loop: loop, logger: logger)
        }
        let end = Flag()
        promise.futureResult.whenComplete { _ in end.raise() }
        while !end.isRaised {
            guard TerminationSignals.wait(milliseconds: 20) else { continue }
            task.cancel()
            _ = try? promise.futureResult.wait()
            return false
        }
        nodeOptions = try promise.futureResult.wait()
        return true
    }

    private func makeOptions() throws -> ReplicaNodeOptions {
        var nodeOptions = ReplicaNodeOptions(
            nodeID: options.ownMember.id, name: options.ownMember.name,
            clusterID: ClusterID(options.cluster.clusterID), membership: try membership,
            network: SocketNetwork(
                listeningOn: options.listenPeerURLs.map { ListenAddress(host: $0.host, port: $0.port) },
                security: options.peerSecurity),
            dataDirectory: FilePath(options.dataDirectory))
        nodeOptions.joinsCluster = options.joinsExisting
        nodeOptions.seeds = options.seeds.map { QuestionTarget(host: $0.host, port: $0.port) }
        nodeOptions.clusterName = options.clusterToken
        nodeOptions.acceptsJoins = options.acceptsJoins
        nodeOptions.routes = options.peerRoutes.addresses(in: options.cluster)
        nodeOptions.replicaSettings = options.replicaSettings
        nodeOptions.logOptions = options.logOptions
        nodeOptions.acceptsDataLoss = options.acceptsDataLoss
        return nodeOptions
    }

    /// Who joins tells the members its client addresses too.
    private var membership: Membership {
        get throws {
            guard !options.seeds.isEmpty else { return try options.cluster.membership }
            let own = options.ownMember
            let information = MemberInformation(
                name: own.name, peerAddresses: own.peerURLs.map { .init(host: $0.host, port: $0.port) },
                clientURLs: options.advertiseClientURLs.map(\.text))
            if let problem = information.problem {
                throw CommandFailure(message: "this node cannot ask to join: \(problem)", exitCode: 64)
            }
            return Membership(
                voters: [own.id], descriptions: [MemberDescription(node: own.id, information)])
        }
    }

    private func makeNode() throws {
        var groupSettings = KeyValueGroupSettings()
        groupSettings.quotaBytes = options.quotaBytes
        let timeout = options.replicaSettings.raft.electionTimeoutMilliseconds
        groupSettings.requestTimeoutMilliseconds = 5_000 + 2 * timeout
        groupSettings.leaseExtensionMilliseconds = timeout
        node = try KeyValueNode(
            options: nodeOptions, groupSettings: groupSettings, loop: loop, logger: logger,
            onAdmitted: { [self] in serve() },
            onEnd: { [logger] ending in
                switch ending {
                case .failed(let reason):
                    // What was acknowledged is durable; what happens after a failed sync would not be.
                    printError("\(reason); this node stops")
                    exit(1)
                case .restart(let reason):
                    logger.warning("\(reason); this node starts again to be adopted by a leader")
                    ProcessRestart.run()
                }
            })
        node.onRemoved = {
            printError(
                "this node was removed from its cluster, and stops; to use it again, add it as a member and "
                    + "start it with an empty --data-dir")
            exit(1)
        }
        node.announce(
            Announcement(
                name: options.ownMember.name, clientURLs: options.advertiseClientURLs.map(\.text)
            ).encode())
    }

    /// Opens the client port: the node takes part.
    private func serve() {
        let timeout = options.replicaSettings.raft.electionTimeoutMilliseconds
        var limits = ServerLimits()
        limits.maximumRequestSizeBytes = options.maximumRequestSizeBytes
        limits.maximumTransactionOperations = options.maximumTransactionOperations
        // As etcd: one and a half election timeouts, so that no lease runs out while a leader is found.
        limits.minimumLeaseTimeToLiveSeconds = (3 * timeout / 2 + 999) / 1_000
        let server = EtcdServer(
            service: NodeService(node: node, options: options), eventLoop: loop, limits: limits,
            logger: logger, startedAtSeconds: Int64(time(nil)))
        self.server = server
        let listening = options.listenClientURLs.map { url in
            server.start(
                host: url.host, port: url.port, security: url.isSecure ? options.clientSecurity : .plaintext
            ).map { _ in }.flatMapErrorThrowing { error in
                // The certificates' own error names the file.
                if error is TLSError { throw error }
                throw ListenFailure(url: url, flag: "--listen-client-urls", reason: ListenFailure.text(error))
            }
        }
        let isWitness = node.group.replica.isWitness && !node.group.replica.core.isMisplaced
        let clusterID = node.clusterID ?? ClusterID(options.cluster.clusterID)
        EventLoopFuture.andAllSucceed(listening, on: loop).whenComplete { [options, logger] result in
            switch result {
            case .success:
                if isWitness {
                    logger.notice(
                        "this node is a witness: it votes, has no data and serves no requests for it")
                }
                logger.info(
                    "serving",
                    metadata: [
                        "version": "\(HoldfastVersion.text)", "member-id": "\(options.ownMember.id)",
                        "cluster-id": "\(clusterID)",
                        "clients": "\(options.listenClientURLs.map(\.text).joined(separator: ","))",
                        "peers": "\(options.listenPeerURLs.map(\.text).joined(separator: ","))",
                    ])
            case .failure(let error):
                printError("\(error)")
                exit(1)
            }
        }
    }

    /// Lets calls end, then closes everything.
    func stop() {
        let done = loop.makePromise(of: Void.self)
        done.completeWithTask { [self] in
            let server = try? await loop.submit { self.server }.get()
            await server?.shutdown(gracePeriodMilliseconds: 1_000)
            await node.shutDown()
        }
        try? done.futureResult.wait()
    }
}

/// An address that could not be listened on.
private struct ListenFailure: Error, CustomStringConvertible {
    let url: ClusterURL
    let flag: String
    let reason: String

    var description: String {
        "cannot listen on \(url.text): \(reason); stop the process that uses it or give another \(flag)"
    }

    static func text(_ error: any Error) -> String {
        if let error = error as? IOError {
            return errorText(error.errnoCode)
        }
        return "\(error)"
    }
}

/// Raised once, on any thread.
private final class Flag: Sendable {
    private let value = Mutex(false)

    var isRaised: Bool { value.withLock { $0 } }

    func raise() {
        value.withLock { $0 = true }
    }
}
