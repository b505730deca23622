import EtcdAPI
import EtcdClient
import Foundation

/// Everything that a node holds, read over its client port.
enum Reading {
    /// All pairs, in pages.
    static func pairs(_ client: EtcdClient, serializable: Bool) async throws -> [Mvccpb_KeyValue] {
        var found: [Mvccpb_KeyValue] = []
        var request = Etcdserverpb_RangeRequest()
        request.key = Data([0])
        request.rangeEnd = Data([0])
        request.limit = 1_000
        request.serializable = serializable
        while true {
            let page = try await client.range(request, timeoutMilliseconds: 30_000)
            found += page.kvs
            // Later pages are of the same moment.
            request.revision = page.header.revision
            guard page.more, let last = page.kvs.last else { return found }
            request.key = last.key + [0]
        }
    }

    /// Every change from the first on to a revision, as a watch of all keys tells them.
    static func history(_ client: EtcdClient, to revision: Int64) async throws -> [Mvccpb_Event] {
        var events: [Mvccpb_Event] = []
        let stream = await client.watch()
        defer { stream.cancel() }
        var request = Etcdserverpb_WatchRequest()
        request.createRequest.key = Data([0])
        request.createRequest.rangeEnd = Data([0])
        request.createRequest.startRevision = 1
        stream.send(request)
        for try await response in stream.responses {
            guard !response.canceled else { throw TestFailure("the watch was cancelled: \(response)") }
            events += response.events
            if let last = events.last, last.kv.modRevision >= revision { return events }
        }
        throw TestFailure("the watch ended")
    }
}
