import ConsensusTypes
import EtcdAPI
import EtcdClient
import Synchronization

/// Watches all keys of the run, and goes on at another node where it was when a node fails.
struct WatchClient {
    /// Without any change for this long the node is left for another one: the probers write all the time.
    static let patienceMilliseconds = 2_500

    let number: Int
    let endpoints: [Endpoint]
    let prefix: String
    let firstRevision: Int64
    let log: EventLog
    let control: RunControl
    /// Ends when it was told the change of this revision; 0 for never.
    let lastRevision: Atomic64
    private var position = 0
    private var nextRevision: Int64
    private var random: SeededRandom

    init(
        number: Int, endpoints: [Endpoint], prefix: String, firstRevision: Int64, log: EventLog,
        control: RunControl, lastRevision: Atomic64
    ) {
        self.number = number
        self.endpoints = endpoints
        self.prefix = prefix
        self.firstRevision = firstRevision
        self.log = log
        self.control = control
        self.lastRevision = lastRevision
        nextRevision = firstRevision
        random = SeededRandom(seed: UInt64(number))
    }

    private var isDone: Bool {
        let last = lastRevision.value
        return control.isEnding || (last > 0 && nextRevision > last)
    }

    /// Whether it was told everything up to the last revision.
    mutating func run() async -> Bool {
        while !isDone {
            let node = Int(random.next(below: UInt64(endpoints.count)))
            guard let client = try? await endpoints[node].connect() else {
                await pause(milliseconds: 20)
                continue
            }
            await follow(client, node)
            await client.close()
        }
        let last = lastRevision.value
        return last > 0 && nextRevision > last
    }

    private mutating func follow(_ client: EtcdClient, _ node: Int) async {
        let stream = await client.watch()
        stream.send(Request.watch(prefix: prefix, from: nextRevision))
        let lastHeard = Atomic64(Int64(ChaosClock.now().nanoseconds))
        let control = control
        let monitor = Task {
            while !Task.isCancelled {
                let silence = Int64(ChaosClock.now().nanoseconds) - lastHeard.value
                if control.isEnding || silence > Int64(WatchClient.patienceMilliseconds) * 1_000_000 { break }
                try? await Task.sleep(nanoseconds: 100_000_000)
            }
            stream.cancel()
        }
        do {
            for try await response in stream.responses {
                lastHeard.value = Int64(ChaosClock.now().nanoseconds)
                if response.canceled {
                    // Nobody compacts in a run; a node may end a watch for reasons of its own.
                    if response.compactRevision > 0 {
                        log.violate(
                            "node \(node + 1) ended watch \(number) at revision \(nextRevision): compacted up "
                                + "to \(response.compactRevision)")
                    }
                    await pause(milliseconds: 100)
                    break
                }
                if !take(response, node) || isDone { break }
            }
        } catch {
            // The node or the connection is gone: another one goes on.
        }
        monitor.cancel()
        stream.cancel()
    }

    private mutating func take(_ response: Etcdserverpb_WatchResponse, _ node: Int) -> Bool {
        for event in response.events {
            let change = HistoryEvent(event)
            let watcher = "watch \(number) at node \(node + 1)"
            if change.revision < nextRevision {
                log.violate(
                    "\(watcher) was told revision \(change.revision), and asked for \(nextRevision) on")
                return false
            }
            guard log.take(change, position: position, from: watcher) else { return false }
            position += 1
        }
        // All changes of a revision come in one response.
        if let last = response.events.last { nextRevision = last.kv.modRevision + 1 }
        return true
    }
}

extension HistoryEvent {
    init(_ event: Mvccpb_Event) {
        self.init(
            revision: event.kv.modRevision, key: String(decoding: event.kv.key, as: UTF8.self),
            pair: event.type == .put ? HistoryPair(event.kv) : nil)
    }
}

extension HistoryPair {
    init(_ pair: Mvccpb_KeyValue) {
        self.init(
            value: String(decoding: pair.value, as: UTF8.self), createRevision: pair.createRevision,
            modRevision: pair.modRevision, version: pair.version)
    }
}

/// A number that several tasks read and write.
final class Atomic64: Sendable {
    private let stored: Atomic<Int64>

    init(_ value: Int64) {
        stored = Atomic(value)
    }

    var value: Int64 {
        get { stored.load(ordering: .acquiring) }
        set { stored.store(newValue, ordering: .releasing) }
    }
}
