"""Clusters of three nodes on loopback, for the benchmarks next to this file.

Standard library only. Everything that is started is stopped by its process id, also when the benchmark is
interrupted or killed.
"""

import atexit
import ctypes
import http.client
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
NODE_COUNT = 3
_taken_ports = set()


class BenchmarkError(Exception):
    """Something that the person at the keyboard can put right; shown as one line."""


def need(program, package):
    path = shutil.which(program)
    if path is None:
        raise BenchmarkError(f"{program} is not installed (Debian: apt install {package})")
    return path


def add_common_arguments(parser):
    parser.add_argument("--holdfast", default=str(REPOSITORY / ".build/release/holdfast"), metavar="PATH",
                        help="the program to measure (default: .build/release/holdfast)")
    parser.add_argument("--etcd", default="etcd", metavar="PATH", help="default: etcd, from the search path")
    parser.add_argument("--etcdctl", default="etcdctl", metavar="PATH",
                        help="default: etcdctl, from the search path")
    parser.add_argument("--directory", default=str(REPOSITORY / ".build"), metavar="PATH",
                        help="where the data of all nodes goes, below a temporary directory that is removed at "
                             "the end; must be on a disk for the figures to mean anything (default: .build)")


def programs(arguments, systems):
    """The paths of the programs to start, by system; says what to do where one is missing."""
    found = {}
    for system in systems:
        if system == "etcd":
            found[system] = need(arguments.etcd, "etcd-server")
        else:
            path = shutil.which(arguments.holdfast)
            if path is None:
                raise BenchmarkError(f"{arguments.holdfast} is missing: build it with "
                                     "'swift build -c release', or name it with --holdfast")
            found[system] = path
    return found


def free_port():
    """A port below those that the system hands to outgoing connections, so that it stays free while a node is
    down."""
    generator = random.SystemRandom()
    for _ in range(1_000):
        port = generator.randrange(20_000, 32_000)
        if port in _taken_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken_ports.add(port)
        return port
    raise BenchmarkError("no free port was found between 20000 and 32000")


def _end_with_parent():
    # Linux: a node does not outlive this program, however it ends.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Node:
    def __init__(self, cluster, number):
        self.cluster = cluster
        self.number = number
        self.name = f"node{number}"
        network = cluster.network
        self.host = network.client_host(number) if network else "127.0.0.1"
        self.peer_host = network.peer_host(number) if network else "127.0.0.1"
        self.client_port = free_port()
        self.peer_port = free_port()
        self.process = None
        self.log = cluster.directory / f"{self.name}.log"

    @property
    def endpoint(self):
        return f"{self.host}:{self.client_port}"

    @property
    def peer_url(self):
        return f"http://{self.peer_host}:{self.peer_port}"

    def _prepare_process(self):
        _end_with_parent()
        if self.cluster.network is not None:
            self.cluster.network.enter_namespace(self.number)

    def start(self):
        client, peer = f"http://{self.endpoint}", self.peer_url
        command = [
            self.cluster.program, *(["serve"] if self.cluster.system == "holdfast" else []),
            "--name", self.name, "--data-dir", str(self.cluster.directory / f"{self.name}.data"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", self.cluster.initial_cluster, "--initial-cluster-state", "new",
            "--initial-cluster-token", self.cluster.token, *self.cluster.extra,
        ]
        # The process ends with the thread that started it: nodes are started from the main thread only.
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=self._prepare_process)

    def signal(self, number):
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, number)

    def wait_for_end(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()

    def is_healthy(self):
        try:
            connection = http.client.HTTPConnection(self.host, self.client_port, timeout=2)
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                return answer.status == 200 and json.loads(answer.read()).get("health") == "true"
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError):
            return False

    def last_words(self):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        except OSError:
            return "(no log)"


class Cluster:
    """Three nodes of one system, on loopback or in a network of their own. Use it in a with statement."""

    def __init__(self, system, program, etcdctl, directory, extra=(), network=None, keeps_files=False):
        self.system = system
        self.network = network
        self.keeps_files = keeps_files
        self.program = program
        self.etcdctl = etcdctl
        self.extra = list(extra)
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"benchmark-{system}-", dir=directory))
        self.token = self.directory.name
        self.nodes = [Node(self, number) for number in range(1, NODE_COUNT + 1)]
        self.initial_cluster = ",".join(f"{node.name}={node.peer_url}" for node in self.nodes)

    def __enter__(self):
        atexit.register(self.stop)
        try:
            if self.network is not None:
                self.network.start()
            for node in self.nodes:
                node.start()
            self.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        atexit.unregister(self.stop)
        running = [node for node in self.nodes if node.process is not None and node.process.poll() is None]
        for node in running:
            node.signal(signal.SIGCONT)
            node.signal(signal.SIGTERM)
        for node in running:
            node.wait_for_end(10)
        if self.network is not None:
            self.network.stop()
        if self.keeps_files:
            print(f"kept: {self.directory}", file=sys.stderr)
            return
        shutil.rmtree(self.directory, ignore_errors=True)

    def wait_until_healthy(self, nodes=None, seconds=30):
        deadline = time.monotonic() + seconds
        for node in nodes or self.nodes:
            while not node.is_healthy():
                if node.process.poll() is not None:
                    raise BenchmarkError(f"{self.system} {node.name} ended with code {node.process.returncode}; "
                                         f"its last words:\n{node.last_words()}")
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{self.system} {node.name} was not healthy after {seconds} s; its last "
                                         f"words:\n{node.last_words()}")
                time.sleep(0.02)

    def control(self, *words, endpoints=None, seconds=10):
        """Runs etcdctl and gives its output; raises CalledProcessError where it fails."""
        endpoints = ",".join(endpoints or [node.endpoint for node in self.nodes])
        return subprocess.run(
            [self.etcdctl, f"--endpoints={endpoints}", "--dial-timeout=2s", "--command-timeout=5s", *words],
            env={**os.environ, "ETCDCTL_API": "3"}, check=True, timeout=seconds, capture_output=True).stdout

    def status(self, node):
        """What the node says of itself: leader, revision, version."""
        answer = json.loads(self.control("endpoint", "status", "-w", "json", endpoints=[node.endpoint]))
        status = answer[0]["Status"]
        return {
            "leader": status.get("leader", 0), "member": status["header"]["member_id"],
            "revision": status["header"].get("revision", 0), "version": status.get("version", "?"),
        }

    def leader(self, seconds=30):
        """The node that every running node takes for the leader."""
        deadline = time.monotonic() + seconds
        last = "nothing"
        while time.monotonic() < deadline:
            try:
                found = {node: self.status(node) for node in self.nodes if node.process.poll() is None}
            except subprocess.CalledProcessError as error:
                last = error.stderr.decode(errors="replace")
                time.sleep(0.1)
                continue
            except (subprocess.SubprocessError, ValueError, KeyError) as error:
                last = repr(error)
                time.sleep(0.1)
                continue
            last = ", ".join(f"{node.name}: {status}" for node, status in found.items())
            leaders = {status["leader"] for status in found.values()}
            for node, status in found.items():
                if leaders == {status["member"]}:
                    return node
            time.sleep(0.1)
        words = "\n".join(f"{node.name}:\n{node.last_words()}" for node in self.nodes)
        raise BenchmarkError(f"the {self.system} nodes agreed on no leader within {seconds} s; the last answer was "
                             f"{last}; their last words:\n{words}")


def file_system(path):
    """The type of the file system that holds the path, where the system tells."""
    try:
        best = ("", "unknown")
        target = os.path.realpath(path)
        for line in open("/proc/self/mounts"):
            _, mount, kind, *_ = line.split(" ")
            inside = target == mount or target.startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= len(best[0]):
                best = (mount, kind)
        return best[1]
    except OSError:
        return "unknown"


def sync_microseconds(directory):
    """The median time of a 4 KiB write with fdatasync into space that is already written."""
    sync = getattr(os, "fdatasync", os.fsync)
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        os.write(file.fileno(), bytes(1 << 20))
        os.fsync(file.fileno())
        times = []
        for position in range(200):
            start = time.perf_counter()
            os.pwrite(file.fileno(), bytes([position]) * 4_096, position % 256 * 4_096)
            sync(file.fileno())
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1e6


def machine_facts(directory):
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    processor = platform.processor() or platform.machine()
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                processor = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    kind = file_system(directory)
    facts = [
        f"processor: {processor}, {os.cpu_count()} cores; all nodes and the load on this one machine",
        f"system: {platform.system()} {platform.release()}",
        f"data on: {kind}; 4 KiB write and sync: {sync_microseconds(directory):.0f} µs (median of 200)",
    ]
    if kind in ("tmpfs", "ramfs"):
        facts.append("WARNING: the data is in memory, where a sync costs nothing; use --directory")
    return facts


def run(main):
    """Runs a benchmark's main function with plain errors, and so that every way out passes the cleaning up."""
    def interrupt(number, _):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BenchmarkError as error:
        print(f"{pathlib.Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(2)
