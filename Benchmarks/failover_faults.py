"""What the failover benchmark does to a node. Each begins a fault and heals it."""

import shutil
import signal
import subprocess
import time


class Fault:
    # Whether it lasts for a while after writes are acknowledged again.
    is_held = True
    hits_leader = True
    # Whether it is in force when `begin` returns, and the node can acknowledge nothing until it is healed.
    silences_node = True
    # Which of the measured times the targets are about.
    judged = "next_write"
    targets_ms = {}

    def __init__(self, cluster):
        self.cluster = cluster

    def begin(self, node):
        raise NotImplementedError

    def heal(self, node):
        raise NotImplementedError

    def obstacle(self):
        """Why it cannot be done here, or None."""
        return None


class Kill(Fault):
    name, title = "kill", "SIGKILL of the leader"
    is_held = False
    targets_ms = {"p50": 50, "p99": 250}

    def begin(self, node):
        node.signal(signal.SIGKILL)

    def heal(self, node):
        node.process.wait()
        node.start()


class Partition(Fault):
    name, title = "partition", "leader cut off from the other nodes, packets lost without a word"
    targets_ms = {"p99": 1_500}

    def obstacle(self):
        return None if self.cluster.network is not None else "it needs network namespaces"

    def begin(self, node):
        self.cluster.network.cut(node.number)

    def heal(self, node):
        self.cluster.network.heal(node.number)


class Stall(Fault):
    """No sync that the node begins ends before the fault does. `strace` holds each one up; all other calls pass,
    somewhat slower."""

    name, title = "stall", "disk of the leader stands still: no sync ends"
    silences_node = False
    judged = "longest_gap"
    targets_ms = {"p99": 2_000}
    _tracer = None

    def obstacle(self):
        return None if shutil.which("strace") else "strace is not installed (Debian: apt install strace)"

    def begin(self, node):
        self._trace = self.cluster.directory / "strace.trace"
        self._log = self.cluster.directory / "strace.log"
        with open(self._log, "wb") as output:
            self._tracer = subprocess.Popen(
                ["strace", "-f", "-tt", "-o", str(self._trace), "-p", str(node.process.pid),
                 "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:delay_enter=600000000"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def heal(self, node):
        if self._tracer.poll() is not None:
            raise RuntimeError(f"strace ended by itself: {self._log.read_text(errors='replace')}")
        self._tracer.send_signal(signal.SIGTERM)
        self._tracer.wait(10)
        # A measurement of a disk that did not stand still would mean nothing.
        trace = self._trace.read_text(errors="replace")
        if "sync(" not in trace or ") = 0" in trace:
            raise RuntimeError(f"the syncs of {node.name} were not held up; strace saw:\n{trace[-2_000:]}")


class Pause(Fault):
    name, title = "pause", "SIGSTOP of the leader"

    def begin(self, node):
        node.signal(signal.SIGSTOP)

    def heal(self, node):
        node.signal(signal.SIGCONT)


class Restart(Fault):
    """Not a fault but a planned restart: SIGTERM, the end of the process, and a start. Healing is the start."""

    name, title = "restart", "planned restart of each node in turn"
    is_held = False
    hits_leader = False
    silences_node = False
    judged = "longest_gap"

    def begin(self, node):
        node.signal(signal.SIGTERM)
        deadline = time.monotonic() + 30
        while node.process.poll() is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{node.name} did not end within 30 s of SIGTERM")
            time.sleep(0.002)
        if node.process.returncode not in (0, -signal.SIGTERM):
            raise RuntimeError(f"{node.name} ended with code {node.process.returncode} after SIGTERM:\n"
                               f"{node.last_words()}")

    def heal(self, node):
        node.start()


ALL = {fault.name: fault for fault in (Kill, Partition, Stall, Restart, Pause)}
