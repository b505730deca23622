import ConsensusTypes
import NIOCore

/// Everything that concerns one peer: the link that this node dials and sends on, the connection that the peer
/// dialled and sends on, and what is known of its process.
final class PeerLink {
    enum State {
        case idle
        case waiting(Scheduled<Void>)
        case connecting
        case handshaking(PeerConnection)
        case connected(PeerConnection)
        /// Removed or shut down: nothing follows.
        case ended
    }

    let address: PeerAddress
    var statistics: PeerStatistics
    /// The connection that the peer dialled.
    private(set) var accepted: PeerConnection?
    private(set) var state = State.idle

    private unowned let transport: PeerTransport
    private var schedule: RedialSchedule
    /// Frames that the next flush sends in one write.
    private var batch = ByteBuffer()
    private var typicalBatchBytes = 4_096
    /// Of the process that was last seen.
    private var incarnation: UInt64?
    /// Seen, and not reported as stopped since.
    private var isBelievedAlive = false
    /// Which of the peer's addresses is dialled next, and which one last led to it.
    private var position = 0
    private var reachedPosition: Int?
    /// Attempts in succession that the kernel at the other end refused.
    private var refusedAttempts = 0
    /// By address.
    private var lastFailures: [String?]
    /// Whether the peer's last answer was that this node is no member any more.
    private var isRemoved = false

    var peer: NodeID { address.node }

    init(address: PeerAddress, transport: PeerTransport) {
        self.address = address
        self.transport = transport
        lastFailures = Array(repeating: nil, count: address.count)
        statistics = PeerStatistics(peer: address.node)
        schedule = RedialSchedule(
            minimumMilliseconds: transport.limits.minimumRedialDelayMilliseconds,
            maximumMilliseconds: transport.limits.maximumRedialDelayMilliseconds,
            seed: transport.incarnation ^ address.node.rawValue)
    }

    // MARK: - Sending

    var queuedBytes: Int {
        guard case .connected(let connection) = state else {
            return 0
        }
        return batch.readableBytes + connection.inFlightBytes
    }

    func send(_ payload: UnsafeRawBufferPointer, kind: UInt8) -> Bool {
        let size = FrameHeader.size + payload.count
        guard case .connected(let connection) = state,
            batch.readableBytes + connection.inFlightBytes + size
                <= transport.limits.maximumQueuedBytesPerPeer
        else {
            statistics.droppedFrames += 1
            return false
        }
        if batch.readableBytes == 0 {
            batch = transport.allocator.buffer(capacity: max(size, typicalBatchBytes))
        }
        batch.writeFrame(kind: .message, channel: kind, payload: payload)
        statistics.sentFrames += 1
        statistics.sentBytes += UInt64(size)
        return true
    }

    func flush() {
        guard batch.readableBytes > 0, case .connected(let connection) = state else {
            return
        }
        let bytes = batch
        batch = ByteBuffer()
        // Follows the load in both directions, so that a quiet link does not allocate for a burst long past.
        typicalBatchBytes = min(max((typicalBatchBytes + bytes.readableBytes) / 2, 4_096), 1 << 20)
        connection.write(bytes)
    }

    // MARK: - Dialling

    func dial() {
        guard address.isKnown else { return }
        switch state {
        case .connecting, .handshaking, .connected, .ended:
            return
        case .waiting(let task):
            task.cancel()
        case .idle:
            break
        }
        state = .connecting
        transport.connect(to: address.choice(position)).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel): self.connected(channel)
            case .failure(let error): self.dialFailed(error)
            }
        }
    }

    private func connected(_ channel: any Channel) {
        guard case .connecting = state,
            let connection = try? channel.pipeline.syncOperations.handler(type: PeerConnection.self),
            !connection.isClosed
        else {
            channel.close(promise: nil)
            dialFailed(ChannelError.eof)
            return
        }
        state = .handshaking(connection)
        connection.stage = .awaitingWelcome(self)
        connection.startHandshakeTimeout(milliseconds: transport.limits.handshakeTimeoutMilliseconds)
        connection.writeFrame(.hello, transport.hello(to: peer).encoded(), afterPreamble: true)
    }

    private func dialFailed(_ error: any Error) {
        guard case .connecting = state else {
            return
        }
        state = .idle
        let isRefused = error.isConnectionRefused
        reportFailure(isRefused ? "nothing listens there" : "\(error)", isFault: false)
        refusedAttempts = isRefused ? refusedAttempts + 1 : 0
        // A peer may not listen at all of its addresses: only where it was, or nowhere, is nobody.
        let isWhereItWas = reachedPosition == position || refusedAttempts >= address.count
        tryNextAddress()
        if isRefused && isWhereItWas && accepted == nil {
            reportStopped()
        }
        redialLater()
    }

    private func tryNextAddress() {
        position = (position + 1) % address.count
    }

    private func redialLater() {
        guard case .idle = state else {
            return
        }
        let delay =
            isRemoved
            ? TimeAmount.milliseconds(Int64(transport.limits.removedRedialDelayMilliseconds))
            : TimeAmount.microseconds(Int64(schedule.nextDelayMicroseconds()))
        isRemoved = false
        state = .waiting(transport.loop.assumeIsolated().scheduleTask(in: delay) { self.dial() })
    }

    // MARK: - The handshake

    func receiveWelcome(_ payload: ByteSlice, on connection: PeerConnection) {
        let welcome: Hello
        do throws(ByteDecodingError) {
            welcome = try Hello(decoding: payload)
        } catch {
            connection.fail("the welcome of peer \(address) is malformed: \(error)")
            return
        }
        let isExpected = welcome.cluster == transport.clusterID || transport.clusterID == ClusterID(0)
        guard isExpected, welcome.cluster != ClusterID(0), welcome.sender == peer,
            welcome.receiver == transport.nodeID, welcome.lowestVersion == welcome.highestVersion,
            welcome.commonVersion != nil
        else {
            connection.fail(
                "peer \(address) was expected, node \(welcome.sender) of cluster \(welcome.cluster) answered")
            return
        }
        connection.finishHandshake(
            incarnation: welcome.incarnation, stage: .sending(self),
            maximumPayloadBytes: ProtocolVersion.maximumHandshakeBytes)
        state = .connected(connection)
        lastFailures = Array(repeating: nil, count: address.count)
        reachedPosition = position
        refusedAttempts = 0
        batch = ByteBuffer()
        statistics.establishedLinks += 1
        statistics.isConnected = true
        statistics.roundTrip = nil
        see(incarnation: welcome.incarnation)
        guard !connection.isClosed else {
            return
        }
        transport.learn(welcome.cluster, from: peer)
        guard !connection.isClosed else {
            return
        }
        transport.logger.info("connected to peer \(address)")
        connection.sendPing(now: .now())
        transport.delegate?.transport(peerConnected: peer)
    }

    func receiveRefusal(_ payload: ByteSlice, on connection: PeerConnection) {
        do throws(ByteDecodingError) {
            let refusal = try Refusal(decoding: payload)
            reportFailure("it refuses this node: \(refusal.reason)", isFault: true)
            let isOfRemoval = refusal.code == Refusal.Code.removed.rawValue
            isRemoved = isOfRemoval
            // Which plans the next attempt.
            connection.close()
            if isOfRemoval { transport.delegate?.transport(removalReportedBy: peer) }
        } catch {
            connection.fail("the refusal of peer \(address) is malformed: \(error)")
        }
    }

    /// The peer dialled us and is who it says.
    func accept(_ connection: PeerConnection) {
        let older = accepted
        accepted = connection
        older?.close()
        see(incarnation: connection.incarnation)
        // It is up, so it can be reached: do not wait for the schedule.
        dial()
    }

    /// Notes which process spoke. What belonged to another one is over.
    private func see(incarnation seen: UInt64) {
        let isNew = incarnation != nil && incarnation != seen
        incarnation = seen
        if case .connected(let connection) = state, connection.incarnation != seen {
            connection.close()
        }
        if let connection = accepted, connection.incarnation != seen {
            connection.close()
        }
        if isNew {
            reportStopped()
        }
        isBelievedAlive = true
    }

    // MARK: - Endings

    func connectionClosed(_ connection: PeerConnection) {
        if accepted === connection {
            accepted = nil
            // Either the peer died, which dialling it finds out, or it can be reached again soon.
            dial()
            return
        }
        switch state {
        case .handshaking(let current) where current === connection:
            state = .idle
            refusedAttempts = 0
            tryNextAddress()
            redialLater()
        case .connected(let current) where current === connection:
            state = .idle
            linkBroke(connection)
        case .idle, .waiting, .connecting, .handshaking, .connected, .ended:
            break
        }
    }

    private func linkBroke(_ connection: PeerConnection) {
        batch = ByteBuffer()
        statistics.isConnected = false
        transport.logger.info("lost the link to peer \(address)")
        transport.delegate?.transport(peerDisconnected: peer)
        let lasted = NIODeadline.now() - connection.establishedAt
        guard lasted >= .milliseconds(Int64(transport.limits.stableLinkMilliseconds)) else {
            // A link that keeps breaking is not dialled in a tight loop.
            redialLater()
            return
        }
        schedule.reset()
        if case .idle = state {
            dial()
        }
    }

    private func reportStopped() {
        guard isBelievedAlive else {
            return
        }
        isBelievedAlive = false
        transport.logger.info("the process of peer \(address) has ended")
        transport.delegate?.transport(peerStopped: peer)
    }

    func reportFailure(_ reason: String, isFault: Bool) {
        guard lastFailures[position] != reason else {
            return
        }
        lastFailures[position] = reason
        transport.logger.log(
            level: isFault ? .warning : .info,
            "cannot connect to peer \(address.choice(position)): \(reason); it will be tried again")
    }

    func end() {
        if case .waiting(let task) = state {
            task.cancel()
        }
        let last = state
        state = .ended
        statistics.isConnected = false
        switch last {
        case .handshaking(let connection), .connected(let connection): connection.close()
        case .idle, .waiting, .connecting, .ended: break
        }
        let connection = accepted
        accepted = nil
        connection?.close()
    }

    // MARK: - Signs of life

    /// One round of the ping timer. Counts rounds, not time: a process that was itself frozen does not blame
    /// its peers for it.
    func checkLife(now: NIODeadline) {
        let limits = transport.limits
        let rounds = limits.pingTimeoutMilliseconds / limits.pingIntervalMilliseconds
        if case .connected(let connection) = state {
            if connection.pingSentAt == nil {
                connection.silentRounds = 0
                connection.sendPing(now: now)
            } else if connection.takenBytes != connection.takenBytesAtLastRound {
                // A ping may stand behind much data: what matters is that something moves.
                connection.silentRounds = 0
            } else {
                connection.silentRounds += 1
                if connection.silentRounds >= rounds {
                    connection.fail("peer \(address) answers no ping")
                }
            }
            connection.takenBytesAtLastRound = connection.takenBytes
        }
        if let connection = accepted {
            connection.silentRounds += 1
            if connection.silentRounds >= 3 * rounds {
                connection.fail("peer \(address) is silent")
            }
        }
    }
}
