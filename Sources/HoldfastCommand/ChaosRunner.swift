import HoldfastChaos
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Runs what `holdfast chaos` does beside a thread that waits for Ctrl-C.
enum ChaosRunner {
    /// - Parameter body: gives the number of violations.
    static func run(_ body: @escaping @Sendable (RunControl) async throws -> Int) throws {
        TerminationSignals.block()
        let control = RunControl()
        let outcome = Mutex<Result<Int, any Error>?>(nil)
        let shared = Shared(outcome)
        Task {
            do {
                let count = try await body(control)
                shared.outcome.withLock { $0 = .success(count) }
            } catch {
                shared.outcome.withLock { $0 = .failure(error) }
            }
        }
        while true {
            if let result = shared.outcome.withLock({ $0 }) {
                try finish(result)
                return
            }
            guard TerminationSignals.wait(milliseconds: 50) else { continue }
            if control.isEnding {
                // The guard process ends what was started.
                throw CommandFailure(message: "interrupted twice; nothing was judged", exitCode: 130)
            }
            printLine("ending: press Ctrl-C again to end without a verdict")
            control.end()
        }
    }

    private static func finish(_ result: Result<Int, any Error>) throws {
        switch result {
        case .success(0):
            return
        case .success(let count):
            throw CommandFailure(message: "\(count) violations")
        case .failure(let failure as ChaosFailure):
            throw CommandFailure(message: failure.description)
        case .failure(let error):
            throw error
        }
    }

    private final class Shared: Sendable {
        let outcome: Mutex<Result<Int, any Error>?>

        init(_ outcome: consuming Mutex<Result<Int, any Error>?>) {
            self.outcome = outcome
        }
    }
}

/// Turns what stops a run into what the program says of it.
func chaosResult<Value>(exitCode: Int32 = 1, _ body: () throws(ChaosFailure) -> Value) throws -> Value {
    do throws(ChaosFailure) {
        return try body()
    } catch {
        throw CommandFailure(message: error.description, exitCode: exitCode)
    }
}

/// The program that runs, also when its file was replaced meanwhile.
var runningExecutable: String {
    #if os(Linux)
        "/proc/self/exe"
    #else
        CommandLine.arguments[0]
    #endif
}
