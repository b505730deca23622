"""The clients of the failover benchmark: they write without a pause, and remember what was acknowledged when."""

import base64
import json
import threading
import time

import grpc_client


class Writer(threading.Thread):
    """Writes growing numbers, one at a time, for as long as the run lasts.

    A request goes to the writer's own node. Where that fails it is tried once more, at once, through another one;
    where that fails too, the request failed. After a failure the writer stays with the other node for a second.
    As with any client that keeps connections to several nodes, a node that takes no connection, or has said that
    it is going away, is passed over: nothing was tried there.

    After a request with an attempt of unknown outcome it goes on with another key: that attempt may still take
    effect later, and must not hide a newer one.
    """

    AWAY_SECONDS = 1.0

    def __init__(self, nodes, home, number, timeout, pause):
        super().__init__(daemon=True)
        position = nodes.index(home)
        self.order = nodes[position:] + nodes[:position]
        self.home, self.timeout, self.pause = home, timeout, pause
        self.prefix = f"failover/{home.name}/{number}/"
        # For each key the last number that was acknowledged, and the last that was sent.
        self.keys = []
        # (sent, answered, node) of each acknowledged attempt, on the monotonic clock.
        self.successes = []
        self.acknowledged_count = self.retried_count = 0
        # When the request began, and what became of both attempts.
        self.failures = []
        self.is_ending = False
        self.connections = {}
        self.choice, self.away_since = 0, 0.0

    def run(self):
        key, number = None, 0
        while not self.is_ending:
            if key is None or key["acknowledged"] != key["sent"] or key["is_unsure"]:
                key = {"name": f"{self.prefix}{len(self.keys)}".encode(), "acknowledged": 0, "sent": 0,
                       "is_unsure": False}
                self.keys.append(key)
            number += 1
            key["sent"] = number
            self._request(key, number)
            time.sleep(self.pause)
        for connection in self.connections.values():
            connection.close()

    def _request(self, key, number):
        if self.choice and time.monotonic() > self.away_since + self.AWAY_SECONDS:
            self.choice = 0
        begin = time.monotonic()
        errors = []
        for attempt in range(2):
            node = self._connect(errors)
            if node is None:
                break
            sent = time.monotonic()
            error = self._attempt(node, key, number)
            if error is None:
                self.successes.append((sent, time.monotonic(), node))
                key["acknowledged"] = number
                self.acknowledged_count += 1
                return
            errors.append(f"{node.name}, {time.monotonic() - sent:.3f} s: {error}")
            self._choose_next()
            if attempt == 0:
                self.retried_count += 1
        self.failures.append((begin, errors))

    def _choose_next(self):
        self.choice = (self.choice + 1) % len(self.order)
        self.away_since = time.monotonic()

    def _connect(self, errors):
        """The first node, from the chosen one on, that takes calls; None where there is none."""
        for _ in self.order:
            node = self.order[self.choice]
            connection = self.connections.get(node)
            if connection is not None and connection.is_usable():
                return node
            if connection is not None:
                connection.close()
                del self.connections[node]
            try:
                self.connections[node] = grpc_client.Connection(node.host, node.client_port, self.timeout)
                return node
            except grpc_client.NotConnected as error:
                errors.append(f"{node.name}: {error}")
                self._choose_next()
        return None

    def _attempt(self, node, key, number):
        """What went wrong, or None."""
        connection = self.connections[node]
        try:
            # From here on it may take effect, whatever is answered.
            key["is_unsure"], was_unsure = True, key["is_unsure"]
            request = grpc_client.put_request(key["name"], str(number).encode())
            connection.call("/etcdserverpb.KV/Put", request, self.timeout)
            key["is_unsure"] = was_unsure
            return None
        except grpc_client.ConnectionBroken as error:
            connection.close()
            del self.connections[node]
            return f"connection broken: {error}"
        except (grpc_client.CallFailed, grpc_client.CallTimedOut) as error:
            return str(error)


class Load:
    """All writers of a run, several for each node."""

    def __init__(self, cluster, writers_per_node, timeout, pause):
        self.cluster = cluster
        self.writers = [Writer(cluster.nodes, node, number, timeout, pause)
                        for node in cluster.nodes for number in range(1, writers_per_node + 1)]

    def __enter__(self):
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(self, *_):
        for writer in self.writers:
            writer.is_ending = True
        for writer in self.writers:
            writer.join(5)

    def total(self, name):
        values = [getattr(writer, name) for writer in self.writers]
        return sum(len(value) if isinstance(value, list) else value for value in values)

    def failures(self):
        return sorted(failure for writer in self.writers for failure in writer.failures)

    def first_success(self, after):
        """When the first write that was sent after this moment was acknowledged, or None."""
        answers = []
        for writer in self.writers:
            for sent, answered, _ in reversed(writer.successes):
                if sent <= after:
                    break
                answers.append(answered)
        return min(answers, default=None)

    def count_through(self, node, after):
        """How many writes that were sent through the node after this moment were acknowledged."""
        return sum(1 for writer in self.writers for sent, _, through in list(writer.successes)
                   if through is node and sent > after)

    def gaps(self, begin, end):
        """The times between two acknowledgements that follow each other, from one moment to another."""
        moments = sorted(answered for writer in self.writers for _, answered, _ in list(writer.successes)
                         if begin < answered < end)
        moments = [begin, *moments, end]
        return [later - earlier for earlier, later in zip(moments, moments[1:])]

    def forget(self):
        """Drops what is measured; only the newest matters from here on."""
        for writer in self.writers:
            del writer.successes[:-10]

    def wait_until_writing(self, seconds):
        """Every node has acknowledged a write that was sent from now on. Says which have not, or None."""
        start = time.monotonic()
        missing = set(self.cluster.nodes)
        while missing and time.monotonic() < start + seconds:
            for writer in self.writers:
                for sent, _, node in reversed(writer.successes):
                    if sent < start:
                        break
                    missing.discard(node)
            time.sleep(0.01)
        return ", ".join(sorted(node.name for node in missing)) or None

    def lost_keys(self):
        """What is not there although it was acknowledged, on any node, one line each; after the writers' end.
        Reads each node's own copy too."""
        keys = [key for writer in self.writers for key in writer.keys]
        lines = []
        for node in self.cluster.nodes:
            for extra in ([], ["--consistency=s"]):
                answer = json.loads(self.cluster.control(
                    "get", "failover/", "--prefix", "-w", "json", *extra, endpoints=[node.endpoint]))
                found = {base64.b64decode(pair["key"]): int(base64.b64decode(pair["value"]))
                         for pair in answer.get("kvs", [])}
                for key in keys:
                    if found.get(key["name"], 0) not in (key["acknowledged"], key["sent"]):
                        lines.append(f"{node.name} has {found.get(key['name'])} under {key['name'].decode()}, write "
                                     f"{key['acknowledged']} was acknowledged, {key['sent']} was the last one sent")
        return lines
