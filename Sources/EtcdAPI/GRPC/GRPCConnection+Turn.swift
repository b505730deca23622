import NIOCore
import NIOHTTP2

// The end of a turn of the event loop.
extension GRPCConnection {
    /// Something was written, or can go on: see to it when the event loop has handled what is at hand.
    func markDirty() {
        guard !isDirty else { return }
        isDirty = true
        if !isReading {
            core.scheduleTurnEnd(self)
        }
    }

    /// Lets what waited go on, and flushes.
    func endTurn() {
        guard isDirty, !isEndingTurn, context != nil else { return }
        isEndingTurn = true
        // Going on writes more, which frees more; the rounds are bounded so that other connections have
        // their turn.
        for _ in 0..<16 {
            guard isDirty, let context else { break }
            isDirty = false
            resetHalfOpenStreams()
            resumeStreams()
            while !deferred.isEmpty, !isCongested {
                let (id, body) = deferred.removeFirst()
                resume(id, body)
            }
            context.flush()
        }
        isEndingTurn = false
        if isDraining || isPeerLeaving, streams.isEmpty {
            close(nil)
        } else if isDirty {
            core.scheduleTurnEnd(self)
        }
    }

    func resume(_ id: HTTP2StreamID, _ body: () -> Void) {
        guard let stream = streams[id], !stream.isFinished else { return }
        body()
    }

    func resetHalfOpenStreams() {
        guard !resetQueue.isEmpty else { return }
        let ids = resetQueue
        resetQueue.removeAll(keepingCapacity: true)
        for id in ids where streams[id] != nil {
            writeOwn(HTTP2Frame(streamID: id, payload: .rstStream(.noError)))
        }
    }

    func resumeStreams() {
        guard !roomQueue.isEmpty else { return }
        let ids = roomQueue
        roomQueue.removeAll(keepingCapacity: true)
        for id in ids {
            guard let stream = streams[id], !stream.isFinished else { continue }
            stream.handler?.roomAvailable()
            process(stream)
            reopenWindow(stream)
        }
    }

    /// The window of a stream that waited was not opened as its data came.
    func reopenWindow(_ stream: GRPCStream) {
        guard !stream.isRemoteClosed, !stream.isFinished, !stream.isWaitingForRoom else { return }
        let withheld = stream.withheldWindowBytes
        guard withheld > 0 else { return }
        stream.withheldWindowBytes = 0
        write(HTTP2Frame(streamID: stream.id, payload: .windowUpdate(windowSizeIncrement: withheld)))
        markDirty()
    }
}
