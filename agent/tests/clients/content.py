"""What record number n looks like (README.md has it in words), and the check of a partition that was read back.

Used by `run` for what kcat and Kafka's console consumer print, and by `confluent/client.py`."""

import collections

# What a client can say. `whole`: everything. `no-null-header`: kafkajs. `text`: Kafka's console producer.
# `kcat`: one set of headers for all records, empty is sent as null. `value`: ProducerPerformance.
SHAPES = ("whole", "no-null-header", "text", "kcat", "value")
KCAT_HEADERS = [("z", b"9"), ("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None)]

_LETTERS = bytes(97 + i % 26 for i in range(26 + 1100))
_BYTES = bytes(i % 256 for i in range(256 + 256))


def record(shape, n):
    """Key, value and headers of record n: bytes or None, bytes or None, list of (name, bytes or None)."""
    if shape == "value":
        return None, b"%d" % n, []
    kind = n % 16
    text = shape == "text"
    key = b"k%d" % n
    if kind == 1:
        key = None
    elif kind == 2:
        key = None if shape == "kcat" else b""
    elif kind == 10:
        key = _binary(n, 12, text)
    if kind == 3:
        value = None
    elif kind == 4:
        value = None if shape == "kcat" else b""
    elif kind == 5:
        value = _binary(n, 256, text)
    else:
        padding = 1000 if kind == 15 else n % 89
        start = n % 26
        value = b"v%d:%s" % (n, _LETTERS[start : start + padding])
    return key, value, KCAT_HEADERS if shape == "kcat" else _headers(shape, n, kind)


def _binary(n, length, text):
    start = n % 256
    value = _BYTES[start : start + length]
    return value.hex().encode() if text else value


def _headers(shape, n, kind):
    if kind == 6:
        return []
    if kind == 7:
        return [("dup", b"1"), ("dup", b"2"), ("dup", b"1")]
    if kind == 8:
        null = b"" if shape == "no-null-header" else None
        return [("null", null), ("empty", b""), ("bin", _binary(n, 16, shape == "text"))]
    if kind == 9:
        return [("schl\u00fcssel", "stra\u00dfe".encode())]
    return [("n", b"%d" % n), ("a", b"1")]


def number(key, value):
    """The number that a record says it has: no kind hides it in both places."""
    if value is not None:
        if value[:1] == b"v":
            digits = value[1:].partition(b":")[0]
            if digits.isdigit():
                return int(digits)
        elif value.isdigit() and key is None:
            return int(value)
    if key is not None and key[:1] == b"k" and key[1:].isdigit():
        return int(key[1:])
    raise Wrong("a record without a number: key %r, value %r" % (key, value))


class Wrong(Exception):
    """Something that was read is not what was written."""


class Topic:
    """Holds every record of one topic, as it is read, against what was written to it.

    Offsets begin at 0 and have no gaps; each record is what its number says, byte by byte; numbers rise within a partition;
    in the layout `modulo` record n stands in partition n % partitions at offset n / partitions; at the end every number
    below `records` was there once."""

    def __init__(self, shape, partitions, records, layout):
        self.shape, self.partitions, self.records, self.layout = shape, partitions, records, layout
        self.next_offset = collections.Counter()
        self.last = {}
        self.seen = bytearray(records)
        self.count = 0

    def add(self, partition, offset, key, value, headers):
        if offset != self.next_offset[partition]:
            raise Wrong("partition %d: offset %d where %d comes next" % (partition, offset, self.next_offset[partition]))
        self.next_offset[partition] = offset + 1
        n = offset * self.partitions + partition if self.layout == "modulo" else number(key, value)
        wanted = record(self.shape, n)
        if (key, value, headers) != wanted:
            raise Wrong("partition %d offset %d: read %r, written was %r" % (partition, offset, (key, value, headers), wanted))
        if n <= self.last.get(partition, -1):
            raise Wrong("partition %d offset %d: record %d after record %d" % (partition, offset, n, self.last[partition]))
        if n >= self.records or self.seen[n]:
            raise Wrong("partition %d offset %d: record %d twice, or never written" % (partition, offset, n))
        self.last[partition] = n
        self.seen[n] = 1
        self.count += 1

    def finish(self):
        if self.count != self.records:
            lost = [n for n in range(self.records) if not self.seen[n]]
            raise Wrong("%d of %d records were read; the first that is missing is %d" % (self.count, self.records, lost[0]))
