import ConsensusTypes
import EtcdAPI
import EtcdClient
import Synchronization

/// Writes through one node at a steady pace, whether or not the writes before were answered, and notes when
/// writes are acknowledged.
final class Prober: Sendable {
    struct Acknowledgement: Sendable {
        let sentAt: Instant
        let at: Instant
        let revision: Int64
        let value: String
    }

    private struct State {
        var acknowledgements: [Acknowledgement] = []
        var sentCount = 0
        var outstanding = 0
    }

    static let maximumOutstanding = 50
    static let timeoutMilliseconds = 1_000

    let node: Int
    let key: String
    private let endpoint: Endpoint
    private let intervalMilliseconds: Int
    private let padding: String
    private let control: RunControl
    private let state = Mutex(State())

    init(
        node: Int, endpoint: Endpoint, prefix: String, intervalMilliseconds: Int, paddingBytes: Int,
        control: RunControl
    ) {
        padding = String(repeating: ".", count: paddingBytes)
        self.node = node
        self.endpoint = endpoint
        self.intervalMilliseconds = intervalMilliseconds
        self.control = control
        key = "\(prefix)prober/\(node + 1)"
    }

    func run() async {
        await withDiscardingTaskGroup { group in
            var client: EtcdClient?
            var next = ChaosClock.now()
            while !control.isEnding {
                if client?.isActive != true {
                    await client?.close()
                    client = try? await endpoint.connect(timeoutMilliseconds: 200)
                }
                if let client, let number = begin() {
                    group.addTask { await self.put(number, client) }
                }
                next = max(next + .milliseconds(intervalMilliseconds), ChaosClock.now())
                await control.sleep(until: next)
            }
            await client?.close()
        }
    }

    /// The number of the next write; `nil` where too many are not answered.
    private func begin() -> Int? {
        state.withLock { state in
            guard state.outstanding < Prober.maximumOutstanding else { return nil }
            state.outstanding += 1
            state.sentCount += 1
            return state.sentCount
        }
    }

    private func put(_ number: Int, _ client: EtcdClient) async {
        let value = "p\(node + 1)-\(number)\(padding)"
        let sentAt = ChaosClock.now()
        let response = try? await client.put(
            Request.put(key, value), timeoutMilliseconds: Prober.timeoutMilliseconds)
        let now = ChaosClock.now()
        state.withLock { state in
            state.outstanding -= 1
            if let response {
                state.acknowledgements.append(
                    Acknowledgement(sentAt: sentAt, at: now, revision: response.header.revision, value: value)
                )
            }
        }
    }

    var acknowledgements: [Acknowledgement] { state.withLock(\.acknowledgements) }

    var lastAcknowledgement: Instant? { state.withLock { $0.acknowledgements.last?.at } }

    /// The first answer to a write that was sent after the moment.
    func firstAcknowledgement(sentAfter moment: Instant) -> Instant? {
        state.withLock { state in
            var first: Instant?
            for acknowledgement in state.acknowledgements.reversed() {
                if acknowledgement.at < moment { break }
                if acknowledgement.sentAt >= moment {
                    first = min(first ?? .distantFuture, acknowledgement.at)
                }
            }
            return first
        }
    }
}
