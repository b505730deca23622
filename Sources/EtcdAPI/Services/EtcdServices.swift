import KeyValueCore
import NIOCore
import ReplicaRuntime
import SwiftProtobuf

/// What each method does.
final class EtcdServices {
    unowned let core: ServerCore
    let service: any KeyValueService
    let keyValueLimits: KeyValueLimits
    /// Each keeps a version of the store alive.
    static let maximumHashesUnderway = 4
    var hashesUnderway = 0

    init(core: ServerCore) {
        self.core = core
        service = core.service
        keyValueLimits = KeyValueLimits(maximumOperations: core.limits.maximumTransactionOperations)
    }

    /// Carries out a unary call.
    func call(_ method: Method, _ call: GRPCCall, _ message: ByteBuffer) {
        switch method {
        case .put: put(call, message)
        case .range: range(call, message)
        case .deleteRange: deleteRange(call, message)
        case .transaction: transaction(call, message)
        case .compact: compact(call, message)
        case .leaseGrant: leaseGrant(call, message)
        case .leaseRevoke: leaseRevoke(call, message)
        case .leaseTimeToLive: leaseTimeToLive(call, message)
        case .leaseLeases: leaseLeases(call)
        case .memberList: memberList(call, message)
        case .memberAdd: memberAdd(call, message)
        case .memberRemove: memberRemove(call, message)
        case .memberUpdate: memberUpdate(call, message)
        case .memberPromote: memberPromote(call, message)
        case .moveLeader: moveLeader(call, message)
        case .alarm: alarm(call, message)
        case .status: status(call)
        case .defragment: defragment(call)
        case .hash: hash(call)
        case .hashKeyValue: hashKeyValue(call, message)
        case .authStatus: authStatus(call)
        case .watch, .leaseKeepAlive:
            preconditionFailure("\(method) is a stream")
        case .snapshot, .downgrade:
            preconditionFailure("\(method) was answered when it was routed")
        }
    }

    /// Begins a streaming call.
    func open(_ method: Method, _ call: GRPCCall) -> any StreamHandler {
        switch method {
        case .watch: WatchStream(call: call, service: service)
        case .leaseKeepAlive: KeepAliveStream(call: call, service: service)
        default: preconditionFailure("\(method) is no stream")
        }
    }

    // MARK: Common parts

    /// Reads a message, or ends the call.
    func decode<M: Message>(_ type: M.Type, _ message: ByteBuffer, _ call: GRPCCall) -> M? {
        do {
            return try M(serializedBytes: [UInt8](message.readableBytesView))
        } catch {
            call.finish(GRPCStatus(.internal, "grpc: error unmarshalling request: \(error)"))
            return nil
        }
    }

    /// Replicates a command; an error ends the call.
    func propose(_ command: Command, _ call: GRPCCall, _ then: @escaping (CommandResult) -> Void) {
        let connection = call.connection
        connection.outstandingOperations += 1
        service.propose(command) { result in
            connection.outstandingOperations -= 1
            switch result {
            case .success(let value): then(value)
            case .failure(let error): call.finish(EtcdStatus.of(error))
            }
        }
    }

    /// Goes on once the store is fresh enough and the client takes its answers; an error ends the call.
    func readLinearizably(_ call: GRPCCall, _ then: @escaping () -> Void) {
        let connection = call.connection
        connection.outstandingOperations += 1
        service.linearizableRead { error in
            connection.outstandingOperations -= 1
            if let error {
                call.finish(EtcdStatus.of(error))
            } else {
                call.whenUncongested(then)
            }
        }
    }

    /// What etcd's log adds to a request, roughly; its limit is on both.
    private static let entryOverheadBytes = 18

    /// The request fits into a log entry.
    func isSmallEnough(_ message: ByteBuffer, _ call: GRPCCall) -> Bool {
        guard message.readableBytes + EtcdServices.entryOverheadBytes <= core.limits.maximumRequestSizeBytes
        else {
            call.finish(EtcdStatus.requestTooLarge)
            return false
        }
        return true
    }

    /// The command makes sense.
    func isValid(_ command: Command, _ call: GRPCCall) -> Bool {
        do throws(KeyValueError) {
            try KeyValueStore.validate(command, limits: keyValueLimits)
            return true
        } catch {
            call.finish(EtcdStatus.of(error))
            return false
        }
    }

    func header(revision: Int64) -> Etcdserverpb_ResponseHeader {
        service.header.message(revision: revision)
    }
}

extension GRPCCall {
    /// Answers a unary call.
    func respond<M: Message>(_ message: M) {
        guard let framed = frame(message) else { return }
        respond(framed)
    }

    /// Sends one message of many.
    func send<M: Message>(_ message: M) {
        guard let framed = frame(message) else { return }
        send(framed)
    }

    private func frame<M: Message>(_ message: M) -> ByteBuffer? {
        do {
            let bytes: [UInt8] = try message.serializedBytes()
            return MessageFraming.frame(sizeBytes: bytes.count, allocator: allocator) { buffer in
                buffer.writeBytes(bytes)
            }
        } catch {
            finish(GRPCStatus(.resourceExhausted, "grpc: the response cannot be encoded: \(error)"))
            return nil
        }
    }
}
