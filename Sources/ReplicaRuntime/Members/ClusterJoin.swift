import ConsensusTypes
import Logging
import NIOCore
import PeerTransport
import WriteAheadLog

/// Lets a node join a running cluster of which it knows one peer address: any member's.
///
/// The member names the leader, which makes the node a learner that votes by itself once it has caught up, and
/// answers with the cluster's id and members. The node writes them down (`CLUSTER`) before anything else; from
/// then on it starts as any member. What is lost on the way is asked for again, and answered alike.
public struct ClusterJoin: Sendable {
    private static let maximumRedirects = 8
    private static let firstDelayMilliseconds = 50
    private static let maximumDelayMilliseconds = 2_000

    private let options: ReplicaNodeOptions
    private let directory: DirectoryID
    private let loop: any EventLoop
    private let logger: Logger

    /// What a node with these options is started with, once it is a member: it asks where its directory is empty
    /// and ``ReplicaNodeOptions/seeds`` names members, and returns when the answer is durable.
    ///
    /// Asks again, ever more slowly, for ``ReplicaNodeOptions/joinTimeoutMilliseconds`` at most, as long as that may
    /// help.
    public static func joining(
        _ options: ReplicaNodeOptions, loop: any EventLoop, logger: Logger
    ) async throws(JoinError) -> ReplicaNodeOptions {
        guard !options.seeds.isEmpty else { return options }
        var result = options
        result.joinsCluster = true
        let known: ClusterRecord?
        do throws(DataDirectoryError) {
            let isPresent = try exists(options)
            known =
                isPresent
                ? try ClusterFile.read(options.dataDirectory, fileSystem: options.fileSystem) : nil
            let identity =
                isPresent
                ? try DataDirectory.identity(options.dataDirectory, fileSystem: options.fileSystem) : nil
            // A node of which only the record is damaged says so when it starts.
            if known == nil, identity != nil { return result }
        } catch {
            throw .dataDirectory(error)
        }
        if let known {
            result.clusterID = known.cluster
            return result
        }
        let directory = options.newDirectoryID ?? .random()
        let join = ClusterJoin(options: options, directory: directory, loop: loop, logger: logger)
        let answer = try await join.askUntilAccepted()
        try join.writeDown(answer)
        result.newDirectoryID = directory
        result.clusterID = answer.cluster
        return result
    }

    private static func exists(_ options: ReplicaNodeOptions) throws(DataDirectoryError) -> Bool {
        do throws(FileSystemError) {
            return try options.fileSystem.exists(options.dataDirectory)
        } catch {
            throw .fileSystem(error)
        }
    }

    private typealias Accepted = (cluster: ClusterID, membership: Membership)

    private func askUntilAccepted() async throws(JoinError) -> Accepted {
        guard
            let information = options.membership.description(of: options.nodeID)?.memberInformation
        else { throw .invalid("neither its name nor its addresses are known") }
        let question = JoinQuestion(
            clusterName: options.clusterName, node: options.nodeID, directory: directory,
            information: information
        ).encode()
        guard question.count <= PeerQuestion.maximumSizeBytes else {
            throw .invalid(
                "its name and addresses take \(question.count) bytes, and \(PeerQuestion.maximumSizeBytes) is the "
                    + "most; shorten them")
        }
        let end = ContinuousClock.now + .milliseconds(options.joinTimeoutMilliseconds)
        var delayMilliseconds = Self.firstDelayMilliseconds
        var lastReport = ""
        while true {
            var failure = JoinError.cancelled
            for seed in options.seeds {
                do throws(JoinError) {
                    return try await ask(question, seed: seed)
                } catch {
                    guard error.isPassing else { throw error }
                    failure = error
                }
            }
            guard ContinuousClock.now + .milliseconds(delayMilliseconds) < end else { throw failure }
            if "\(failure)" != lastReport {
                lastReport = "\(failure)"
                logger.warning("has not joined yet, and asks again: \(failure)")
            }
            try await pause(delayMilliseconds)
            delayMilliseconds = min(2 * delayMilliseconds, Self.maximumDelayMilliseconds)
        }
    }

    /// Between half of the delay and all of it, so that nodes which start together do not ask together.
    private func pause(_ delayMilliseconds: Int) async throws(JoinError) {
        do {
            try await Task.sleep(
                for: .milliseconds(Int.random(in: delayMilliseconds / 2...delayMilliseconds)))
        } catch {
            throw .cancelled
        }
    }

    /// Asks the seed, and whom it names, and so on.
    private func ask(_ question: [UInt8], seed: QuestionTarget) async throws(JoinError) -> Accepted {
        var targets = [seed]
        var redirects = 0
        var failure = JoinError.unreachable(seed: seed, reason: "it names no leader's address")
        while let target = targets.first {
            targets.removeFirst()
            if Task.isCancelled { throw .cancelled }
            let answer: JoinAnswer
            do throws(JoinError) {
                answer = try await ask(question, at: target)
            } catch {
                failure = error
                continue
            }
            switch answer {
            case .accepted(let cluster, let membership):
                guard cluster != ClusterID(0), membership.isMember(options.nodeID) else {
                    throw .notUnderstood(seed: target, reason: "its answer does not name this node")
                }
                return (cluster, membership)
            case .refused(let code, let reason):
                throw JoinError(code, reason, from: target)
            case .askLeader(let leader, let addresses):
                redirects += 1
                guard redirects <= Self.maximumRedirects else {
                    throw .noLeader(seed: seed, reason: "its members name each other as the leader")
                }
                targets = addresses.map { QuestionTarget(host: $0.host, port: $0.port, node: leader) }
            }
        }
        throw failure
    }

    private func ask(_ question: [UInt8], at target: QuestionTarget) async throws(JoinError) -> JoinAnswer {
        let answer: [UInt8]
        do {
            answer = try await options.network.ask(question, at: target, loop: loop, logger: logger).get()
        } catch let error as PeerQuestionError {
            switch error {
            // Certificates may be put in place, and the next try reads them again.
            case .unreachable(let reason), .notSecure(let reason):
                throw .unreachable(seed: target, reason: reason)
            case .busy: throw .unavailable(seed: target, reason: "\(error)")
            case .refused(let reason): throw .notUnderstood(seed: target, reason: reason)
            case .malformed(let reason): throw .notUnderstood(seed: target, reason: reason)
            }
        } catch {
            throw .unreachable(seed: target, reason: "\(error)")
        }
        do throws(ByteDecodingError) {
            return try JoinAnswer.decode(ByteSlice(answer))
        } catch {
            throw .notUnderstood(seed: target, reason: "its answer cannot be read: \(error)")
        }
    }

    /// As of a node that an operator added: it begins with the members without itself, and has from its log since
    /// when it is one.
    private func writeDown(_ answer: Accepted) throws(JoinError) {
        let first = answer.membership.without(options.nodeID)
        let record = ClusterRecord(cluster: answer.cluster, isJoined: true, first: first, latest: first)
        do throws(DataDirectoryError) {
            try DataDirectory.create(options.dataDirectory, options.fileSystem)
            try ClusterFile.write(record, options.dataDirectory, fileSystem: options.fileSystem)
        } catch {
            throw .dataDirectory(error)
        }
        logger.notice(
            "joins the cluster",
            metadata: ["cluster": "\(answer.cluster)", "voters": "\(answer.membership.voters)"])
    }
}
