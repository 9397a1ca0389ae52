"""A producer id that this cluster never handed out, as a client brings it along from another cluster. Here a proxy puts it into
the first answers to InitProducerId; everything else passes as it is."""

import contextlib
import socket
import struct
import threading

from harness import Broker

INIT_PRODUCER_ID = 22
INVENTED = 2**62


class Stranger:
    """A broker of its own that is reached through a proxy, whose clients begin with ids that it never gave them."""

    def __init__(self, processes, binary, data):
        self.processes, self.invented, self.lock = processes, 0, threading.Lock()
        self.door = socket.create_server(("127.0.0.1", 0))
        self.bootstrap = "127.0.0.1:%d" % self.door.getsockname()[1]
        self.vital = processes.vital
        self.broker = Broker(processes, binary, data, ("--advertise", self.bootstrap, "--bucket", "memory:", "--store", "memory:"))
        self.create_topic = self.broker.create_topic
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.door.close()
        self.broker.stop()
        self.processes.vital = self.vital

    def expect(self, times):
        """So many producers that begin from now on are given an id that is not theirs."""
        with self.lock:
            self.invented = times

    def left(self):
        return self.invented

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.door.accept()[0]
                host, port = self.broker.bootstrap.rsplit(":", 1)
                broker = socket.create_connection((host, int(port)))
                asked = {}  # correlation id of each InitProducerId -> its version
                for ends in ((client, broker, self._asked), (broker, client, self._answered)):
                    threading.Thread(target=_pass, args=(*ends, asked), daemon=True).start()

    @staticmethod
    def _asked(frame, asked):
        api, version, correlation = struct.unpack_from(">hhi", frame)
        if api == INIT_PRODUCER_ID:
            asked[correlation] = version
        return frame

    def _answered(self, frame, asked):
        (correlation,) = struct.unpack_from(">i", frame)
        if (version := asked.pop(correlation, None)) is None:
            return frame
        with self.lock:
            if not self.invented:
                return frame
            self.invented -= 1
        # Correlation id, tags of the header from version 2 on, throttle time, error; then the id and its epoch.
        at = (5 if version >= 2 else 4) + 4 + 2
        return frame[:at] + struct.pack(">qh", INVENTED, 0) + frame[at + 10 :]


def _pass(source, target, change, asked):
    """Frames from one socket to another until one of them ends."""
    with contextlib.suppress(OSError), source, target, source.makefile("rb") as frames:
        while len(head := frames.read(4)) == 4:
            frame = change(frames.read(*struct.unpack(">i", head)), asked)
            target.sendall(struct.pack(">i", len(frame)) + frame)
        # The other direction waits in a read of its own.
        for end in (source, target):
            end.shutdown(socket.SHUT_RDWR)
