"""A network of its own for the nodes of a benchmark, so that the packets between them can be lost.

Each node gets a network namespace with two interfaces: `client`, for clients and for this program, and `peer`,
for the other nodes. Taking a node's peer interface off its bridge loses every packet in both directions without
a word to anybody, while clients reach the node as before. Addresses of the link layer are fixed, so that nobody
learns of the loss from unanswered questions for them either.

This program runs in a namespace too, so that nothing is left when it ends, however it ends. Without root, it
becomes root of a user namespace, where the system lets users have one. Needs Linux, unshare (util-linux) and ip
(iproute2).
"""

import ctypes
import os
import shutil
import subprocess
import sys

_MARK = "HOLDFAST_BENCHMARK_NETWORK"
_CLONE_NEWNET = 0x4000_0000
_system = ctypes.CDLL(None, use_errno=True)


def _checked(result, action):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{action}: {os.strerror(number)}")


def obstacle():
    """Why there can be no such network here, or None."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    for program, package in (("unshare", "util-linux"), ("ip", "iproute2")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: apt install {package})"
    trial = subprocess.run([*_unshare(), "ip", "link", "add", "trial", "type", "bridge"], capture_output=True,
                           text=True)
    if trial.returncode != 0:
        return f"this system gives no network namespace with a bridge: {trial.stderr.strip()}"
    return None


def _unshare():
    return ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]


def is_inside():
    return _MARK in os.environ


def enter():
    """Starts this program anew in a network namespace; does not return."""
    os.environ[_MARK] = "1"
    command = [*_unshare(), sys.executable, *sys.argv]
    os.execvp(command[0], command)


def _ip(*words):
    answer = subprocess.run(["ip", *words], capture_output=True, text=True)
    if answer.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {answer.stderr.strip()}")


class PrivateNetwork:
    """One for each cluster; only inside, see `enter`."""

    _count = 0

    def __init__(self, node_count):
        PrivateNetwork._count += 1
        self.number = PrivateNetwork._count
        self.node_count = node_count
        self.namespaces = {}
        self.bridges = {kind: f"{kind}s{self.number}" for kind in ("client", "peer")}

    def client_host(self, node):
        return f"10.{self.number}.1.{node}"

    def peer_host(self, node):
        return f"10.{self.number}.2.{node}"

    def _port(self, kind, node):
        return f"{kind}{self.number}x{node}"

    def start(self):
        _ip("link", "set", "lo", "up")
        for bridge in self.bridges.values():
            _ip("link", "add", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
        _ip("address", "add", f"{self.client_host(254)}/24", "dev", self.bridges["client"])
        for node in range(1, self.node_count + 1):
            self._add_namespace(node)

    def _add_namespace(self, node):
        # A namespace lives as long as a process is in it, or its file is open.
        holder = subprocess.Popen(["sleep", "infinity"], preexec_fn=_new_namespace)
        try:
            self.namespaces[node] = os.open(f"/proc/{holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            for kind, host in (("client", self.client_host(node)), ("peer", self.peer_host(node))):
                port = self._port(kind, node)
                _ip("link", "add", port, "type", "veth", "peer", "name", kind, "address",
                    self._link_address(node), "netns", str(holder.pid))
                _ip("link", "set", port, "master", self.bridges[kind], "up")
                self._inside(node, "address", "add", f"{host}/24", "dev", kind)
                self._inside(node, "link", "set", kind, "up")
            self._inside(node, "link", "set", "lo", "up")
            for other in range(1, self.node_count + 1):
                if other != node:
                    self._inside(node, "neighbour", "add", self.peer_host(other), "lladdr",
                                 self._link_address(other), "nud", "permanent", "dev", "peer")
        finally:
            holder.kill()
            holder.wait()

    @staticmethod
    def _link_address(node):
        return f"02:00:00:00:00:{node:02x}"

    def _inside(self, node, *words):
        answer = subprocess.run(["ip", *words], capture_output=True, text=True,
                                preexec_fn=lambda: self.enter_namespace(node))
        if answer.returncode != 0:
            raise OSError(f"ip {' '.join(words)}: {answer.stderr.strip()}")

    def enter_namespace(self, node):
        """For a process that is about to become the node's."""
        _checked(_system.setns(self.namespaces[node], _CLONE_NEWNET), "setns")

    def cut(self, node):
        """From now on every packet between this node and the others is lost."""
        _ip("link", "set", self._port("peer", node), "nomaster")

    def heal(self, node):
        _ip("link", "set", self._port("peer", node), "master", self.bridges["peer"])

    def stop(self):
        for node, descriptor in self.namespaces.items():
            os.close(descriptor)
            for kind in self.bridges:
                subprocess.run(["ip", "link", "delete", self._port(kind, node)], capture_output=True)
        self.namespaces = {}
        for bridge in self.bridges.values():
            subprocess.run(["ip", "link", "delete", bridge], capture_output=True)


def _new_namespace():
    _checked(_system.unshare(_CLONE_NEWNET), "unshare")
    # Gone with this program, should it be killed meanwhile.
    _checked(_system.prctl(1, 9), "prctl")
