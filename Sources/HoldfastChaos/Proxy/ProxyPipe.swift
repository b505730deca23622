import ConsensusTypes
import NIOCore

/// One direction of one connection: bytes that `source` read are written to `sink` as the conditions allow.
/// Lives on the event loop.
final class ProxyPipe {
    /// Beyond this no more is read, so that whoever sends notices as with a full socket.
    static let maximumQueuedBytes = 1 << 20
    /// A slow link's bytes come in pieces of this long, rather than as they were read.
    private static let pieceMilliseconds = 20

    private enum Item {
        case bytes(ByteBuffer)
        /// The source closed its side.
        case end
    }

    private let source: any Channel
    private let sink: any Channel
    private var conditions: LinkConditions
    private var random: SeededRandom
    private var queue: CircularBuffer<(at: NIODeadline, item: Item)> = []
    private var queuedBytes = 0
    private var lastAt = NIODeadline.uptimeNanoseconds(0)
    /// When the link has passed on the piece before, as slow as it is.
    private var linkIsFreeAt = NIODeadline.uptimeNanoseconds(0)
    private var timer: Scheduled<Void>?
    private var isReading = true
    private(set) var hasLostBytes = false
    private let onLoss: (Int) -> Void
    private var isEnded = false

    init(
        source: any Channel, sink: any Channel, conditions: LinkConditions, random: SeededRandom,
        onLoss: @escaping (Int) -> Void
    ) {
        self.source = source
        self.sink = sink
        self.conditions = conditions
        self.random = random
        self.onLoss = onLoss
    }

    func receive(_ bytes: ByteBuffer) {
        if conditions.cut == .swallow {
            hasLostBytes = true
            onLoss(bytes.readableBytes)
            return
        }
        queuedBytes += bytes.readableBytes
        queue.append((arrival(), .bytes(bytes)))
        pump()
    }

    func sourceClosed() {
        guard !isEnded else { return }
        isEnded = true
        queue.append((arrival(), .end))
        pump()
    }

    /// When bytes that were read now come to the other end at the earliest: in order.
    private func arrival() -> NIODeadline {
        var delay = Int64(conditions.delayMilliseconds) * 1_000_000
        if conditions.jitterMilliseconds > 0 {
            delay += Int64(random.next(below: UInt64(conditions.jitterMilliseconds) * 1_000_000))
        }
        lastAt = max(.now() + .nanoseconds(delay), lastAt)
        return lastAt
    }

    /// What waits for a slow link waits no longer when the link is as fast as ever.
    func set(_ new: LinkConditions) {
        if new.bytesPerSecond != conditions.bytesPerSecond { linkIsFreeAt = .now() }
        conditions = new
        pump()
    }

    /// Takes as much of the bytes as the link passes on in one piece, and keeps the rest as the first of the queue.
    private func takePiece(_ bytes: ByteBuffer, since at: NIODeadline, _ now: NIODeadline) -> ByteBuffer {
        let rate = conditions.bytesPerSecond
        guard rate > 0 else { return bytes }
        var rest = bytes
        let count = min(bytes.readableBytes, max(1, rate * ProxyPipe.pieceMilliseconds / 1_000))
        let piece = rest.readSlice(length: count) ?? bytes
        if rest.readableBytes > 0 { queue.prepend((at, .bytes(rest))) }
        linkIsFreeAt = now + .nanoseconds(Int64(count) * 1_000_000_000 / Int64(rate))
        return piece
    }

    private func pump() {
        timer?.cancel()
        timer = nil
        let now = NIODeadline.now()
        var hasWritten = false
        while conditions.cut == .none, let first = queue.first, max(first.at, linkIsFreeAt) <= now {
            queue.removeFirst()
            switch first.item {
            case .bytes(let bytes):
                write(takePiece(bytes, since: first.at, now))
                hasWritten = true
            case .end:
                if hasWritten { sink.flush() }
                hasWritten = false
                sink.close(promise: nil)
            }
        }
        if hasWritten { sink.flush() }
        if conditions.cut == .none, let first = queue.first {
            timer = sink.eventLoop.assumeIsolated().scheduleTask(
                deadline: max(first.at, linkIsFreeAt)
            ) { [weak self] in
                self?.pump()
            }
        }
        updateReading()
    }

    private func write(_ bytes: ByteBuffer) {
        let count = bytes.readableBytes
        let promise = sink.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { [weak self] _ in
            self?.queuedBytes -= count
            self?.updateReading()
        }
        sink.write(bytes, promise: promise)
    }

    private func updateReading() {
        let mayRead =
            conditions.cut != .hold
            && queuedBytes <= (isReading ? ProxyPipe.maximumQueuedBytes : ProxyPipe.maximumQueuedBytes / 2)
        guard mayRead != isReading else { return }
        isReading = mayRead
        try? source.syncOptions?.setOption(.autoRead, value: mayRead)
    }

    /// Nothing is passed on any more, not even the end.
    func stop() {
        isEnded = true
        timer?.cancel()
        timer = nil
        queue.removeAll()
    }
}
