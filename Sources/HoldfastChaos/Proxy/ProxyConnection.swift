import ConsensusTypes
import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A connection that one node dialled and the proxy passes on to the other. Lives on the event loop.
final class ProxyConnection {
    /// What the dialling node has opened.
    private let front: any Channel
    private var back: (any Channel)?
    private var forth: ProxyPipe?
    private var backwards: ProxyPipe?
    private var forward: LinkConditions
    private var backward: LinkConditions
    private var random: SeededRandom
    private let connect: () -> EventLoopFuture<any Channel>
    private let onLoss: (Int) -> Void
    private let onEnd: (ProxyConnection) -> Void
    private var isConnecting = false
    private var isEnded = false

    init(
        front: any Channel, forward: LinkConditions, backward: LinkConditions, random: SeededRandom,
        connect: @escaping () -> EventLoopFuture<any Channel>, onLoss: @escaping (Int) -> Void,
        onEnd: @escaping (ProxyConnection) -> Void
    ) {
        self.front = front
        self.forward = forward
        self.backward = backward
        self.random = random
        self.connect = connect
        self.onLoss = onLoss
        self.onEnd = onEnd
    }

    /// Through a cut no connection comes about: it waits for the cut's end.
    func begin() {
        guard back == nil, !isConnecting, !isEnded, forward.cut == .none, backward.cut == .none else {
            return
        }
        isConnecting = true
        connect().assumeIsolated().whenComplete { [self] result in
            switch result {
            case .success(let channel):
                connected(channel)
            case .failure:
                reset()
            }
        }
    }

    private func connected(_ channel: any Channel) {
        guard !isEnded, front.isActive else {
            channel.close(promise: nil)
            reset()
            return
        }
        back = channel
        let forth = ProxyPipe(
            source: front, sink: channel, conditions: forward, random: random.split(), onLoss: onLoss)
        let backwards = ProxyPipe(
            source: channel, sink: front, conditions: backward, random: random.split(), onLoss: onLoss)
        self.forth = forth
        self.backwards = backwards
        do {
            try front.pipeline.syncOperations.addHandler(
                PipeHandler(pipe: forth) { [weak self] in self?.channelClosed() })
            try channel.pipeline.syncOperations.addHandler(
                PipeHandler(pipe: backwards) { [weak self] in self?.channelClosed() })
            // Reading was off until both ends were there.
            for end in [front, channel] {
                try end.syncOptions?.setOption(.autoRead, value: true)
            }
        } catch {
            reset()
            return
        }
        // Conditions may have changed while the connection came about.
        set(forward: forward, backward: backward)
    }

    func set(forward: LinkConditions, backward: LinkConditions) {
        let isHealed =
            (self.forward.cut != .none && forward.cut == .none)
            || (self.backward.cut != .none && backward.cut == .none)
        self.forward = forward
        self.backward = backward
        if isHealed,
            forward.cut == .none && forth?.hasLostBytes == true
                || backward.cut == .none && backwards?.hasLostBytes == true
        {
            reset()
            return
        }
        forth?.set(forward)
        backwards?.set(backward)
        begin()
    }

    private func channelClosed() {
        if let back, !front.isActive, !back.isActive { finish() }
    }

    /// Closes both ends with RST.
    func reset() {
        guard !isEnded else { return }
        // First of all, or the end of one side would be passed on to the other as an ordinary one.
        forth?.stop()
        backwards?.stop()
        for channel in [front, back] {
            guard let channel else { continue }
            let sent = (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
            _ = sent
            channel.close(promise: nil)
        }
        finish()
    }

    private func finish() {
        guard !isEnded else { return }
        isEnded = true
        forth?.stop()
        backwards?.stop()
        onEnd(self)
    }
}

/// Hands what a channel reads to a pipe.
private final class PipeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let pipe: ProxyPipe
    private let onClose: () -> Void

    init(pipe: ProxyPipe, onClose: @escaping () -> Void) {
        self.pipe = pipe
        self.onClose = onClose
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        pipe.receive(unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) {
        pipe.sourceClosed()
        onClose()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
