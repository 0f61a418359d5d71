"""
test/checker/relay.py
    The network between a source and a node: it can be cut in each way it is cut.

    open      all passes
    frozen    nothing passes, and nobody is told: a cable that was pulled
    deaf      what the source sends doesn't arrive; what the node sends does
    mute      the other way around
    refused   connections end, and no new ones are taken

Bytes that were taken in from one side before a cut are passed on after it: only
time is lost, as with TCP.
"""

import socket
import threading

WAYS = {"open": (True, True), "frozen": (False, False), "deaf": (False, True),
        "mute": (True, False), "refused": (True, True)}


class Relay:
    """Listens at a port of its own, and passes on to the source's socket."""

    def __init__(self, path):
        self.path = str(path)
        self.mode = "open"
        self._down = threading.Event()      # from the source
        self._up = threading.Event()
        self._lock = threading.Lock()
        self._sockets = set()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(50)
        self.port = self._listener.getsockname()[1]
        self.set("open")
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, mode):
        """Cuts it, or lets it go on."""
        with self._lock:
            self.mode = mode
            for gate, is_open in zip((self._down, self._up), WAYS[mode]):
                if is_open:
                    gate.set()
                else:
                    gate.clear()
            ended = list(self._sockets) if mode == "refused" else []
        for end in ended:
            self._end(end)

    def _end(self, end):
        with self._lock:
            self._sockets.discard(end)
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _accept(self):
        while True:
            node, _ = self._listener.accept()
            source = socket.socket(socket.AF_UNIX)
            try:
                if self.mode == "refused":
                    raise ConnectionError
                source.connect(self.path)
            except OSError:
                node.close()
                source.close()
                continue
            node.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {node, source}
            pumps = [threading.Thread(target=self._pump, args=ends, daemon=True)
                     for ends in ((source, node, self._down), (node, source, self._up))]
            for pump in pumps:
                pump.start()
            threading.Thread(target=self._close, args=(pumps, node, source), daemon=True).start()

    def _pump(self, one, other, gate):
        try:
            while True:
                gate.wait()
                data = one.recv(65536)
                gate.wait()
                if not data:
                    break
                other.sendall(data)
        except OSError:
            pass
        self._end(one)
        self._end(other)

    @staticmethod
    def _close(pumps, *ends):
        for pump in pumps:
            pump.join()
        for end in ends:
            end.close()
