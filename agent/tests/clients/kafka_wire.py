"""CreateTopics by hand, for clients that cannot create topics themselves and so that one client can be tested alone."""

import socket
import struct


def create_topic(bootstrap, topic, partitions):
    """CreateTopics version 2: before flexible versions, so it is a few fixed fields."""
    name = topic.encode()
    body = struct.pack(">ih", 1, len(name)) + name
    body += struct.pack(">ih", partitions, 1) + struct.pack(">ii", 0, 0) + struct.pack(">i?", 30000, False)
    header = struct.pack(">hhih", 19, 2, 1, len(b"tests")) + b"tests"
    host, port = bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(struct.pack(">i", len(header + body)) + header + body)
        answer = connection.makefile("rb")
        (length,) = struct.unpack(">i", answer.read(4))
        reply = answer.read(length)
    # correlation id, throttle time, one topic: its name, then the error
    at = 4 + 4 + 4
    (length,) = struct.unpack_from(">h", reply, at)
    (error,) = struct.unpack_from(">h", reply, at + 2 + length)
    if error != 0:
        raise OSError("creating %s gives error %d" % (topic, error))
