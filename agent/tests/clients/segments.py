"""Reads segments from a bucket, as agent/src/storage/FORMAT.md draws them, and speaks enough S3 to do so. Used by `run`."""

import collections
import datetime
import hashlib
import hmac
import os
import re
import struct
import urllib.error
import urllib.parse
import urllib.request

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

Entry = collections.namedtuple("Entry", "topic partition position stored raw codec crc batches records oldest newest")


def _table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


_CRC = list(_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def footer(segment):
    """The entries of a whole segment's footer; ValueError where it is not one."""
    if segment[:8] != b"PSTKSEG1" or segment[-8:] != b"PSTKEND1":
        raise ValueError("not a segment of version 1")
    position, length, crc = struct.unpack(">QII", segment[-24:-8])
    if position + length + 24 != len(segment):
        raise ValueError("the footer does not end at the trailer")
    if crc32c(segment[position : position + length] + segment[-24:-12]) != crc:
        raise ValueError("the footer's checksum is wrong")
    (count,) = struct.unpack_from(">I", segment, position)
    receipts = position + 4 + 64 * count
    (bytes_after,) = struct.unpack_from(">I", segment, receipts + 4)
    if length != 4 + 64 * count + 8 + bytes_after:
        raise ValueError("a footer of %d bytes for %d blocks and %d bytes of receipts" % (length, count, bytes_after))
    return [Entry(*struct.unpack_from(">16sIIIIIIIIqq", segment, position + 4 + 64 * i)) for i in range(count)]


def codecs(segment):
    """How many records of a segment each codec packed. Blocks that the agent packed hold record batches that were not."""
    found = collections.Counter()
    for entry in footer(segment):
        if entry.codec != 0:
            found["none"] += entry.records
            continue
        at, end = entry.position + 4, entry.position + entry.stored
        while at < end:
            (length,) = struct.unpack_from(">i", segment, at + 8)
            (attributes,) = struct.unpack_from(">h", segment, at + 21)
            (records,) = struct.unpack_from(">i", segment, at + 57)
            found[CODECS[attributes & 7]] += records
            at += 12 + length
    return found


def in_folder(bucket):
    """Paths of all segments in a bucket that is a folder."""
    return {os.path.join(folder, name) for folder, _, names in os.walk(bucket) for name in names
            if os.path.basename(os.path.dirname(folder)) == "segments"}


class S3:
    """Signed requests (Signature Version 4) to one bucket, addressed by path."""

    def __init__(self, endpoint, bucket, access, secret):
        self.endpoint, self.bucket, self.access, self.secret = endpoint, bucket, access, secret
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(self, method, key="", query=()):
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        path = urllib.parse.quote("/" + self.bucket + ("/" + key if key else ""))
        query = urllib.parse.urlencode(sorted(query), quote_via=urllib.parse.quote)
        host, payload = urllib.parse.urlsplit(self.endpoint).netloc, "UNSIGNED-PAYLOAD"
        headers = "host:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n" % (host, payload, stamp)
        names = "host;x-amz-content-sha256;x-amz-date"
        canonical = "\n".join((method, path, query, headers, names, payload))
        scope = day + "/us-east-1/s3/aws4_request"
        text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        signing = ("AWS4" + self.secret).encode()
        for part in scope.split("/"):
            signing = hmac.digest(signing, part.encode(), "sha256")
        signature = hmac.digest(signing, text.encode(), "sha256").hex()
        authorization = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
            self.access, scope, names, signature)
        request = urllib.request.Request(self.endpoint + path + ("?" + query if query else ""), method=method, headers={
            "x-amz-content-sha256": payload, "x-amz-date": stamp, "Authorization": authorization})
        with self.opener.open(request, timeout=30) as answer:
            return answer.read()

    def create_bucket(self):
        try:
            self.request("PUT")
        except urllib.error.HTTPError as error:
            if error.code != 409:  # it is there, from an earlier try whose answer was another
                raise

    def keys(self, prefix):
        """Of all segments."""
        more = ()
        while True:
            page = self.request("GET", query=(("list-type", "2"), ("prefix", prefix), *more)).decode()
            yield from (key for key in re.findall(r"<Key>([^<]*)</Key>", page) if "/segments/" in key)
            token = re.search(r"<NextContinuationToken>([^<]*)<", page)
            if not token:
                return
            more = (("continuation-token", token[1]),)
