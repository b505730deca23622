import Logging
import NIOCore
import NIOSSL
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A node's certificates as connections use them. They are read again while the node runs, so that they can be
/// replaced without a restart: connections that begin later use the new ones, those that exist keep theirs.
public final class CertificateStore: Sendable {
    private struct State {
        var loaded: LoadedCertificates
        var readAt: NIODeadline
        /// What is wrong with the files now, while `loaded` is what they held before.
        var problem: TLSError?
    }

    public let files: CertificateFiles
    private let use: TLSUse
    private let reloadInterval: TimeAmount
    private let logger: Logger
    private let state: Mutex<State>

    /// Reads the files, and blocks for it.
    ///
    /// - Parameter reloadIntervalMilliseconds: a new connection reads the files again if they were not read for
    ///   this long.
    public init(
        _ files: CertificateFiles, for use: TLSUse, reloadIntervalMilliseconds: Int, logger: Logger
    ) throws(TLSError) {
        precondition(use == .clients || files.trustFile != nil, "peers are verified")
        self.files = files
        self.use = use
        self.logger = logger
        reloadInterval = .milliseconds(Int64(reloadIntervalMilliseconds))
        let loaded = try LoadedCertificates(files, contents: files.readContents(), use: use)
        state = Mutex(State(loaded: loaded, readAt: .now()))
    }

    /// Puts TLS at the end of the pipeline of a connection that another side dialled: call it before the first
    /// handler of what goes inside is added.
    public func secureAccepted(_ channel: any Channel) throws {
        let handler = NIOSSLServerHandler(context: current().accepting)
        try add(handler, to: channel, host: nil)
    }

    /// The same for a connection that this node dials. The other side's certificate must be for `host`.
    public func secureDialled(_ channel: any Channel, host: String) throws {
        guard let context = current().dialling else {
            preconditionFailure("who dials must trust somebody")
        }
        // Addresses are compared with that of the connection: TLS has no place for them in its hello.
        let name = Self.isAddress(host) ? nil : host
        try add(NIOSSLClientHandler(context: context, serverHostname: name), to: channel, host: host)
    }

    private func add(_ handler: NIOSSLHandler, to channel: any Channel, host: String?) throws {
        let translator = TLSFailureHandler(handler, host: host, trustFile: files.trustFile)
        try channel.pipeline.syncOperations.addHandlers([handler, translator])
    }

    private static func isAddress(_ host: String) -> Bool {
        var version4 = in_addr()
        var version6 = in6_addr()
        return inet_pton(AF_INET, host, &version4) == 1 || inet_pton(AF_INET6, host, &version6) == 1
    }

    // MARK: - Reading again

    /// Reads small local files on the caller's thread: once in some seconds, and only if somebody connects.
    private func current() -> LoadedCertificates {
        state.withLock { state in
            let now = NIODeadline.now()
            if now - state.readAt >= reloadInterval {
                state.readAt = now
                reload(&state)
            }
            return state.loaded
        }
    }

    private func reload(_ state: inout State) {
        do throws(TLSError) {
            let contents = try files.readContents()
            if contents == state.loaded.contents {
                try state.loaded.requireStillValid()
            } else {
                state.loaded = try LoadedCertificates(files, contents: contents, use: use)
                logger.info("read new certificates from \(files.certificateFile)")
            }
            state.problem = nil
        } catch {
            // Both files may be in the midst of being replaced. What was read before stays in use.
            guard state.problem != error else { return }
            state.problem = error
            logger.warning("\(error); until then the certificates stay in use that were read before")
        }
    }
}
