"""Unary gRPC calls over one HTTP/2 connection, as much of it as a probe needs. Standard library only.

One call at a time on each connection. A call succeeded when its stream brought a message and ended in order: an
etcd server sends no message with an error, so the trailers, whose compression would need a large table, need
not be decoded.
"""

import socket
import struct
import time

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL = 8
MAXIMUM_FRAME = 1 << 14


class CallFailed(Exception):
    """The server answered the call with an error; the connection can be used on."""


class ConnectionBroken(Exception):
    """The connection cannot be used any more. A call under way may or may not have taken effect."""


class NotConnected(Exception):
    """Nothing was sent: the server takes no connection."""


class CallTimedOut(Exception):
    """No answer in time; the call was cancelled and may or may not have taken effect."""


def field(number, content):
    """A length-delimited protobuf field."""
    length, encoded = len(content), b""
    while length >= 128:
        encoded += bytes([length % 128 + 128])
        length //= 128
    return bytes([number << 3 | 2]) + encoded + bytes([length]) + content


def put_request(key, value):
    return field(1, key) + field(2, value)


def _frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _text(value):
    assert len(value) < 127, "header values are short here"
    return bytes([len(value)]) + value.encode()


class Connection:
    def __init__(self, host, port, timeout):
        self.authority = f"{host}:{port}"
        self.next_stream = 1
        # What the server still takes from us: on the whole connection, and on a new stream.
        self.connection_window = 65_535
        self.buffer = b""
        # The server said that it takes no more calls; it still answers those that it took.
        self.is_draining = False
        try:
            self.socket = socket.create_connection((host, port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # No dynamic header table; our own window is as good as endless.
            settings = struct.pack(">HIHI", 1, 0, 4, 1 << 30)
            self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0, settings)
                                + _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        except OSError as error:
            raise NotConnected(str(error)) from error

    def close(self):
        self.socket.close()

    def is_usable(self):
        """Whether the connection takes another call, as far as the server has said: looks at what has arrived."""
        try:
            self.socket.setblocking(False)
            try:
                received = self.socket.recv(65_536)
                if not received:
                    return False
                self.buffer += received
            except BlockingIOError:
                pass
            while len(self.buffer) >= 9 and len(self.buffer) >= 9 + int.from_bytes(self.buffer[:3], "big"):
                self.socket.settimeout(1)
                self._read_frame(time.monotonic() + 1, None)
            return not self.is_draining
        except (ConnectionBroken, OSError):
            return False

    def call(self, path, message, timeout):
        """The answer's message. Raises one of this module's exceptions."""
        body = b"\0" + len(message).to_bytes(4, "big") + message
        assert len(body) <= MAXIMUM_FRAME, "requests are short here"
        deadline = time.monotonic() + timeout
        try:
            while self.connection_window < len(body):
                self._read_frame(deadline, None)
            stream, self.next_stream = self.next_stream, self.next_stream + 2
            self.connection_window -= len(body)
            # Static table: 0x83 :method POST, 0x86 :scheme http; then literals that are not to be indexed.
            headers = (b"\x83\x86" + b"\x04" + _text(path) + b"\x01" + _text(self.authority)
                       + b"\x0f\x10" + _text("application/grpc") + b"\x00" + _text("te") + _text("trailers"))
            self.socket.settimeout(timeout)
            self.socket.sendall(_frame(HEADERS, END_HEADERS, stream, headers)
                                + _frame(DATA, END_STREAM, stream, body))
            answer, has_ended = b"", False
            while not has_ended:
                try:
                    data, has_ended = self._read_frame(deadline, stream)
                except TimeoutError:
                    self.socket.settimeout(1)
                    self.socket.sendall(_frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
                    raise CallTimedOut(f"no answer from {self.authority} in {timeout} s") from None
                answer += data
        except OSError as error:
            raise ConnectionBroken(str(error)) from error
        if len(answer) < 5 or len(answer) != 5 + int.from_bytes(answer[1:5], "big"):
            raise CallFailed(f"{self.authority} answered with an error")
        return answer[5:]

    def _receive(self, count, deadline):
        while len(self.buffer) < count:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self.socket.settimeout(remaining)
            received = self.socket.recv(65_536)
            if not received:
                raise ConnectionBroken(f"{self.authority} closed the connection")
            self.buffer += received

    def _read_frame(self, deadline, stream):
        """Handles one frame; gives the data that it brought for the stream, and whether it ended the stream."""
        self._receive(9, deadline)
        length = int.from_bytes(self.buffer[:3], "big")
        self._receive(9 + length, deadline)
        kind, flags, frame_stream = struct.unpack(">BBI", self.buffer[3:9])
        payload = self.buffer[9:9 + length]
        self.buffer = self.buffer[9 + length:]
        if kind == SETTINGS and not flags & ACK:
            self.socket.sendall(_frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(_frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and frame_stream == 0:
            self.connection_window += int.from_bytes(payload, "big") & 0x7FFF_FFFF
        elif kind == GOAWAY:
            self.is_draining = True
            if stream is not None and stream > int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF:
                raise ConnectionBroken(f"{self.authority} is going away and did not take the call")
        elif frame_stream == stream and stream is not None:
            if kind == RST_STREAM:
                raise CallFailed(f"{self.authority} reset the stream")
            if kind == DATA:
                return payload, bool(flags & END_STREAM)
            if kind == HEADERS:
                return b"", bool(flags & END_STREAM)
        return b"", False
