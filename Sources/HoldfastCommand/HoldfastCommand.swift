import ArgumentParser

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The `holdfast` program.
@main
struct HoldfastCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "holdfast",
        abstract: "Keeps a service's state available and correct while machines fail.",
        version: HoldfastVersion.text,
        subcommands: [ServeCommand.self, DevCommand.self, SimulateCommand.self, ChaosCommand.self])

    /// Like the parser's own `main`, but a mistake costs the user one line, not a page.
    static func main() {
        // A peer that goes away must be an error of a write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let failure as CommandFailure {
            printError(failure.message)
            exit(withStatus: failure.exitCode)
        } catch {
            let code = exitCode(for: error)
            let text = fullMessage(for: error)
            if code.isSuccess {
                print(text)
                exit(withStatus: 0)
            }
            let firstLine = text.split(separator: "\n").first.map(String.init) ?? text
            let message = firstLine.hasPrefix("Error: ") ? String(firstLine.dropFirst(7)) : firstLine
            printError("\(message) (holdfast --help lists the commands, holdfast COMMAND --help its options)")
            exit(withStatus: code.rawValue)
        }
    }

    private static func exit(withStatus status: Int32) -> Never {
        fflush(nil)
        #if canImport(Glibc)
            Glibc.exit(status)
        #else
            Darwin.exit(status)
        #endif
    }
}

/// The version of this program, and of the API that it speaks.
enum HoldfastVersion {
    static let text = "0.1.0"
}

/// Ends the program with one line that says what is wrong and what to do.
struct CommandFailure: Error {
    let message: String
    var exitCode: Int32 = 1
}

/// Writes one line to standard error.
func printError(_ message: String) {
    let line = "holdfast: \(message)\n"
    line.withCString { _ = write(STDERR_FILENO, $0, strlen($0)) }
}

/// Writes a line to standard output at once, also into a pipe.
func printLine(_ line: String) {
    print(line)
    fflush(nil)
}
