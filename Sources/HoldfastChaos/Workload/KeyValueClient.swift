import ConsensusTypes
import EtcdAPI
import EtcdClient

/// A client that puts, gets, deletes and swaps on a small set of keys, one operation at a time, through whichever
/// node it can reach, and records everything. It never retries: a second attempt is another operation.
struct KeyValueClient {
    static let timeoutMilliseconds = 1_500
    static let keyCount: UInt64 = 6
    /// Every so often all clients go on to new keys, so that the history of each stays short.
    static let epochMilliseconds: UInt64 = 8_000

    let number: Int
    let endpoints: [Endpoint]
    let prefix: String
    /// Whether the cluster's refusals mean that a write was not executed. etcd's do not always.
    let trustsRefusals: Bool
    let pauseMilliseconds: Int
    let control: RunControl
    let recorder: OperationRecorder
    let begin: Instant

    private var random: SeededRandom
    private var connections: ClientConnections
    private var node: Int
    private var writeCount = 0
    /// What this client last knew of each key.
    private var known: [String: String] = [:]

    init(
        number: Int, endpoints: [Endpoint], prefix: String, trustsRefusals: Bool, pauseMilliseconds: Int,
        seed: UInt64, control: RunControl, recorder: OperationRecorder, begin: Instant
    ) {
        self.number = number
        self.endpoints = endpoints
        self.prefix = prefix
        self.trustsRefusals = trustsRefusals
        self.pauseMilliseconds = pauseMilliseconds
        self.control = control
        self.recorder = recorder
        self.begin = begin
        random = SeededRandom(seed: seed &+ UInt64(number) &* 0x9e37_79b9)
        connections = ClientConnections(endpoints)
        node = number % endpoints.count
    }

    mutating func run() async {
        while !control.isEnding {
            if random.chance(1, outOf: 50) { moveOn() }
            if let client = await connections.client(node) {
                await operate(client)
            } else {
                recorder.addFailure()
                moveOn()
                await pause(milliseconds: 20)
            }
            await pause(milliseconds: Int(random.next(below: UInt64(2 * pauseMilliseconds + 1))))
        }
        await connections.closeAll()
    }

    private mutating func moveOn() {
        node = Int(random.next(below: UInt64(endpoints.count)))
    }

    private mutating func operate(_ client: EtcdClient) async {
        let epoch = (ChaosClock.now() - begin).nanoseconds / (KeyValueClient.epochMilliseconds * 1_000_000)
        let key = "\(prefix)key/\(epoch)/\(random.next(below: KeyValueClient.keyCount))"
        let action = nextAction(key)
        let invokedAt = ChaosClock.now()
        let outcome: HistoryRecord.Outcome
        do throws(GRPCStatus) {
            let answer = try await KeyValueClient.perform(action, key, client)
            if case .get = action { known[key] = answer.value }
            if case .compareAndSwap = action, !answer.hasChanged { known[key] = answer.value }
            outcome = .acknowledged(answer)
        } catch {
            if action == .get {
                recorder.addFailure()
                await recover(from: error)
                return
            }
            outcome = trustsRefusals && KeyValueClient.isRefusal(error) ? .refused : .unknown
            await recover(from: error)
        }
        recorder.add(
            HistoryRecord(
                client: number, node: node, key: key, action: action, invokedAt: invokedAt,
                endedAt: ChaosClock.now(), outcome: outcome))
    }

    private mutating func nextAction(_ key: String) -> HistoryRecord.Action {
        switch random.next(below: 20) {
        case 0..<7: return .get
        case 7..<13: return .put(nextValue())
        case 13..<15: return .delete
        default: return .compareAndSwap(expected: known[key], value: nextValue())
        }
    }

    private mutating func nextValue() -> String {
        writeCount += 1
        return "c\(number)-\(writeCount)"
    }

    /// What may not be answered for long is left for another node.
    private mutating func recover(from error: GRPCStatus) async {
        if error.code == .deadlineExceeded { await connections.drop(node) }
        moveOn()
        await pause(milliseconds: 10)
    }

    static func isRefusal(_ status: GRPCStatus) -> Bool {
        [EtcdStatus.noLeader, EtcdStatus.tooManyRequests, EtcdStatus.noSpace].contains(status)
    }

    static func perform(
        _ action: HistoryRecord.Action, _ key: String, _ client: EtcdClient,
        timeoutMilliseconds: Int = KeyValueClient.timeoutMilliseconds
    ) async throws(GRPCStatus) -> HistoryRecord.Answer {
        switch action {
        case .get:
            let response = try await client.range(
                Request.get(key), timeoutMilliseconds: timeoutMilliseconds)
            return answer(of: response, revision: response.header.revision)
        case .put(let value):
            let response = try await client.put(
                Request.put(key, value), timeoutMilliseconds: timeoutMilliseconds)
            return HistoryRecord.Answer(revision: response.header.revision, hasChanged: true)
        case .delete:
            let response = try await client.deleteRange(
                Request.delete(key), timeoutMilliseconds: timeoutMilliseconds)
            return HistoryRecord.Answer(
                revision: response.header.revision, hasChanged: response.deleted > 0)
        case .compareAndSwap(let expected, let value):
            let response = try await client.transaction(
                Request.compareAndSwap(key, expected: expected, value: value),
                timeoutMilliseconds: timeoutMilliseconds)
            if response.succeeded {
                return HistoryRecord.Answer(revision: response.header.revision, hasChanged: true)
            }
            guard let read = response.responses.first?.responseRange else {
                throw GRPCStatus(.internal, "a transaction's answer lacks the read that it must contain")
            }
            return answer(of: read, revision: response.header.revision)
        }
    }

    private static func answer(
        of response: Etcdserverpb_RangeResponse, revision: Int64
    ) -> HistoryRecord.Answer {
        HistoryRecord.Answer(
            revision: revision, hasChanged: false, pair: response.kvs.first.map { HistoryPair($0) })
    }
}
