import KeyValueCore
import NIOCore

/// One `Watch` stream with any number of watches on it.
///
/// Nothing is queued here: events stay in the store's history until the stream has room for them, so a
/// client that does not read costs no more than its stream's bound.
final class WatchStream: StreamHandler {
    private struct Watch {
        let serviceID: WatchID
        let mayFragment: Bool
        let wantsProgress: Bool
        /// Its id is in ``ready``.
        var isReady = false
        var sentAt: NIODeadline
    }

    /// Pulls before other streams have their turn.
    private static let pullsPerTurn = 64
    private static let batchSizeBytes = 64 << 10
    /// Stands for every watch of the stream, in the answer to a request for progress.
    private static let everyWatch: Int64 = -1

    private let call: GRPCCall
    private let service: any KeyValueService
    private var watches: [Int64: Watch] = [:]
    private var nextWatchID: Int64 = 0
    /// Watches that have something to pull, in turn.
    private var ready: CircularBuffer<Int64> = CircularBuffer(initialCapacity: 4)
    private var isProgressRequested = false
    private var isDelivering = false
    private var isDeliveryScheduled = false
    private var isEnded = false

    init(call: GRPCCall, service: any KeyValueService) {
        self.call = call
        self.service = service
    }

    func receive(_ message: ByteBuffer) {
        guard let request = call.core.services.decode(Etcdserverpb_WatchRequest.self, message, call) else {
            return
        }
        switch request.requestUnion {
        case .createRequest(let create): self.create(create)
        case .cancelRequest(let cancel): self.cancel(cancel.watchID)
        case .progressRequest:
            isProgressRequested = true
            deliver()
        // As in etcd, a kind of request that is not known does not end the stream.
        case nil: break
        }
    }

    // MARK: Creating and cancelling

    private func create(_ request: Etcdserverpb_WatchCreateRequest) {
        let revision = service.store.revision
        guard let id = chooseID(request.watchID) else {
            refuse("mvcc: duplicate watch ID provided on the WatchStream")
            return
        }
        guard call.connection.watchCount < call.core.limits.maximumWatchesPerConnection else {
            refuse("holdfast: too many watches on one connection")
            return
        }
        let serviceID: WatchID
        do throws(WatchError) {
            serviceID = try service.watch(WatchRequest(request)) { [weak self] in self?.notePending(id) }
        } catch {
            refuse(WatchStream.reason(error))
            return
        }
        if id == nextWatchID {
            nextWatchID += 1
        }
        watches[id] = Watch(
            serviceID: serviceID, mayFragment: request.fragment, wantsProgress: request.progressNotify,
            sentAt: .now())
        call.connection.watchCount += 1
        var response = Etcdserverpb_WatchResponse()
        response.header = service.header.message(revision: revision)
        response.watchID = id
        response.created = true
        call.send(response)
        // One that starts in the past has something at once; the service may have said so before the watch
        // was in the table.
        notePending(id)
    }

    /// The client's choice, or the next free one; `nil` where the client's is taken.
    private func chooseID(_ requested: Int64) -> Int64? {
        if requested != 0 {
            return watches[requested] == nil ? requested : nil
        }
        while watches[nextWatchID] != nil {
            nextWatchID += 1
        }
        return nextWatchID
    }

    private func refuse(_ reason: String) {
        var response = Etcdserverpb_WatchResponse()
        response.header = service.header.message(revision: service.store.revision)
        response.watchID = WatchStream.everyWatch
        response.created = true
        response.canceled = true
        response.cancelReason = reason
        call.send(response)
    }

    private func cancel(_ id: Int64) {
        guard remove(id) else { return }
        var response = Etcdserverpb_WatchResponse()
        response.header = service.header.message(revision: service.store.revision)
        response.watchID = id
        response.canceled = true
        call.send(response)
    }

    private func remove(_ id: Int64) -> Bool {
        guard let watch = watches.removeValue(forKey: id) else { return false }
        service.cancelWatch(watch.serviceID)
        call.connection.watchCount -= 1
        return true
    }

    private static func reason(_ error: WatchError) -> String {
        switch error {
        case .compacted: EtcdStatus.compacted.message
        case .emptyRange: "mvcc: watcher range is empty"
        case .tooManyWatches: "holdfast: too many watches on this member"
        case .unknownWatch: "holdfast: the watch is not known"
        }
    }

    // MARK: Delivering

    private func notePending(_ id: Int64) {
        guard let watch = watches[id], !watch.isReady else { return }
        watches[id]?.isReady = true
        ready.append(id)
        deliver()
    }

    /// Sends what the stream has room for.
    private func deliver() {
        guard !isDelivering, !isEnded else { return }
        isDelivering = true
        defer { isDelivering = false }
        var pulls = 0
        while !isEnded, !ready.isEmpty {
            guard call.hasRoom else { return }
            guard pulls < WatchStream.pullsPerTurn else {
                scheduleDelivery()
                return
            }
            pulls += 1
            pullNext()
        }
        answerProgressRequest()
    }

    private func pullNext() {
        let id = ready.removeFirst()
        guard let watch = watches[id], watch.isReady else { return }
        let batch: WatchBatch
        do throws(WatchError) {
            batch = try service.pull(
                watch.serviceID,
                limits: EventLimits(
                    maximumSizeBytes: WatchStream.batchSizeBytes, mayFragment: watch.mayFragment))
        } catch {
            end(id, error)
            return
        }
        if batch.hasMore {
            ready.append(id)
        } else {
            watches[id]?.isReady = false
        }
        guard !batch.events.isEmpty else { return }
        watches[id]?.sentAt = .now()
        call.send(
            FastResponses.watch(
                batch.events, watchID: id, isFragment: batch.isFragment, revision: service.store.revision,
                header: service.header, allocator: call.allocator))
    }

    /// Ends a watch whose next revision has been compacted.
    private func end(_ id: Int64, _ error: WatchError) {
        guard remove(id) else { return }
        var response = Etcdserverpb_WatchResponse()
        response.header = service.header.message(revision: service.store.revision)
        response.watchID = id
        response.canceled = true
        response.cancelReason = WatchStream.reason(error)
        if case .compacted(let revision) = error {
            response.compactRevision = revision
        }
        call.send(response)
    }

    /// Lets other streams have their turn between two parts of a long history.
    private func scheduleDelivery() {
        guard !isDeliveryScheduled else { return }
        isDeliveryScheduled = true
        call.core.eventLoop.assumeIsolated().execute { [self] in
            isDeliveryScheduled = false
            deliver()
        }
    }

    // MARK: Progress

    /// The revision must not be ahead of events that any watch of the stream has still to be sent.
    private func answerProgressRequest() {
        guard isProgressRequested, ready.isEmpty, !isEnded else { return }
        isProgressRequested = false
        var revision = service.store.revision
        for watch in watches.values {
            revision = min(revision, service.watchProgress(watch.serviceID) ?? revision)
        }
        var response = Etcdserverpb_WatchResponse()
        response.header = service.header.message(revision: revision)
        response.watchID = WatchStream.everyWatch
        call.send(response)
    }

    /// Tells idle watches that asked for it how far they are.
    func sweep(now: NIODeadline) {
        let interval = TimeAmount.milliseconds(Int64(call.core.limits.watchProgressIntervalMilliseconds))
        let idle = watches.filter { _, watch in
            watch.wantsProgress && !watch.isReady && now - watch.sentAt >= interval
        }
        for (id, watch) in idle {
            guard call.hasRoom, let revision = service.watchProgress(watch.serviceID) else { continue }
            watches[id]?.sentAt = now
            var response = Etcdserverpb_WatchResponse()
            response.header = service.header.message(revision: revision)
            response.watchID = id
            call.send(response)
        }
    }

    // MARK: The stream

    /// As in etcd, a client that has no more to ask for still gets its events.
    func halfClosed() {}

    func roomAvailable() {
        deliver()
    }

    func ended() {
        isEnded = true
        for id in Array(watches.keys) {
            _ = remove(id)
        }
        ready.removeAll()
    }
}

extension WatchRequest {
    init(_ message: Etcdserverpb_WatchCreateRequest) {
        // No key means the smallest one, as in etcd.
        let key = [UInt8](message.key)
        self.init(
            range: KeyRange(key: key.isEmpty ? [0] : key, rangeEnd: [UInt8](message.rangeEnd)),
            // As in etcd, only 0 means "from now on".
            startRevision: message.startRevision < 0 ? 1 : message.startRevision,
            filtersPuts: message.filters.contains(.noput),
            filtersDeletes: message.filters.contains(.nodelete), previousKeyValues: message.prevKv)
    }
}
