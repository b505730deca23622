import EtcdAPI
import NIOCore
import NIOHTTP2
import NIOPosix
import SwiftProtobuf

/// A small client of the etcd API over one connection, for this project's tests, benchmarks and tools.
///
/// It does not connect again by itself and does not retry: whoever tests what happens in between must see
/// every failure. All failures are ``GRPCStatus``.
public final class EtcdClient: Sendable {
    private let channel: any Channel
    private let connection: NIOLoopBound<ClientConnection>

    private init(channel: any Channel, connection: NIOLoopBound<ClientConnection>) {
        self.channel = channel
        self.connection = connection
    }

    /// Connects to one member. Failing to is ``GRPCStatus/Code/unavailable``.
    public static func connect(
        host: String, port: Int, on group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        timeoutMilliseconds: Int = 2_000
    ) async throws(GRPCStatus) -> EtcdClient {
        do {
            return try await ClientBootstrap(group: group)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connectTimeout(.milliseconds(Int64(timeoutMilliseconds)))
                .connect(host: host, port: port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        var configuration = NIOHTTP2Handler.ConnectionConfiguration()
                        configuration.initialSettings = [
                            HTTP2Setting(
                                parameter: .initialWindowSize,
                                value: ClientConnection.streamWindowSizeBytes),
                            HTTP2Setting(parameter: .maxHeaderListSize, value: 1 << 20),
                            HTTP2Setting(parameter: .enablePush, value: 0),
                        ]
                        let handler = ClientConnection(authority: "\(host):\(port)")
                        try channel.pipeline.syncOperations.addHandlers([
                            NIOHTTP2Handler(mode: .client, connectionConfiguration: configuration),
                            handler,
                        ])
                        return EtcdClient(
                            channel: channel,
                            connection: NIOLoopBound(handler, eventLoop: channel.eventLoop))
                    }
                }
        } catch {
            throw GRPCStatus(.unavailable, "cannot connect to \(host):\(port): \(error)")
        }
    }

    /// Whether calls may still be made.
    public var isActive: Bool { channel.isActive }

    public func close() async {
        try? await channel.close()
    }

    /// One message there, one back.
    public func call<Request: Message & Sendable, Response: Message & Sendable>(
        _ path: String, _ request: Request, returning: Response.Type = Response.self,
        timeoutMilliseconds: Int? = 10_000
    ) async throws(GRPCStatus) -> Response {
        let framed: ByteBuffer
        do {
            let bytes: [UInt8] = try request.serializedBytes()
            framed = MessageFraming.frame(sizeBytes: bytes.count, allocator: ByteBufferAllocator()) {
                $0.writeBytes(bytes)
            }
        } catch {
            throw GRPCStatus(.internal, "the request cannot be encoded: \(error)")
        }
        let answer = try await callRaw(path, framed: framed, timeoutMilliseconds: timeoutMilliseconds)
        do {
            return try Response(serializedBytes: [UInt8](answer.readableBytesView))
        } catch {
            throw GRPCStatus(.internal, "the response cannot be decoded: \(error)")
        }
    }

    /// One message, framed already, there; the bytes of one message back.
    public func callRaw(
        _ path: String, framed: ByteBuffer, timeoutMilliseconds: Int? = 10_000
    ) async throws(GRPCStatus) -> ByteBuffer {
        let connection = connection
        let timeout = timeoutMilliseconds.map { TimeAmount.milliseconds(Int64($0)) }
        let result: Result<ByteBuffer, GRPCStatus> = await withCheckedContinuation { continuation in
            channel.eventLoop.execute {
                var answer: ByteBuffer?
                let stream = connection.value.open(
                    path: path, timeout: timeout,
                    onMessage: { answer = $0 },
                    onEnd: { status in
                        if status.code == .ok, let answer {
                            continuation.resume(returning: .success(answer))
                        } else if status.code == .ok {
                            continuation.resume(
                                returning: .failure(GRPCStatus(.internal, "the response has no message")))
                        } else {
                            continuation.resume(returning: .failure(status))
                        }
                    })
                if let stream {
                    connection.value.send(stream, framed, endStream: true)
                }
            }
        }
        return try result.get()
    }

    /// A call with any number of messages in both directions.
    public func stream<Request: Message & Sendable, Response: Message & Sendable>(
        _ path: String, sending: Request.Type = Request.self, receiving: Response.Type = Response.self
    ) async -> EtcdStream<Request, Response> {
        let (responses, continuation) = AsyncThrowingStream.makeStream(of: Response.self)
        let connection = connection
        let eventLoop = channel.eventLoop
        return await withCheckedContinuation { ready in
            eventLoop.execute {
                let stream = connection.value.open(
                    path: path, timeout: nil,
                    onMessage: { bytes in
                        do {
                            continuation.yield(
                                try Response(serializedBytes: [UInt8](bytes.readableBytesView)))
                        } catch {
                            continuation.finish(
                                throwing: GRPCStatus(.internal, "a response cannot be decoded: \(error)"))
                        }
                    },
                    onEnd: { status in
                        continuation.finish(throwing: status.code == .ok ? nil : status)
                    })
                ready.resume(
                    returning: EtcdStream(
                        responses: responses, eventLoop: eventLoop, connection: connection,
                        stream: NIOLoopBound(stream, eventLoop: eventLoop)))
            }
        }
    }
}

/// A call with any number of messages in both directions.
public struct EtcdStream<Request: Message & Sendable, Response: Message & Sendable>: Sendable {
    /// What the server sends; ends with the call, throwing its ``GRPCStatus`` unless that is OK.
    public let responses: AsyncThrowingStream<Response, any Error>

    let eventLoop: any EventLoop
    let connection: NIOLoopBound<ClientConnection>
    let stream: NIOLoopBound<ClientConnection.Stream?>

    /// Messages arrive in the order of the calls.
    public func send(_ request: Request) {
        guard let bytes: [UInt8] = try? request.serializedBytes() else { return }
        let framed = MessageFraming.frame(sizeBytes: bytes.count, allocator: ByteBufferAllocator()) {
            $0.writeBytes(bytes)
        }
        eventLoop.execute {
            if let stream = stream.value {
                connection.value.send(stream, framed, endStream: false)
            }
        }
    }

    /// No more will be sent.
    public func halfClose() {
        eventLoop.execute {
            if let stream = stream.value {
                connection.value.halfClose(stream)
            }
        }
    }

    public func cancel() {
        eventLoop.execute {
            if let stream = stream.value {
                connection.value.cancel(stream, GRPCStatus(.cancelled, "cancelled by the client"))
            }
        }
    }
}
