"""Small things that broke other brokers, asked through confluent-kafka. `cases.py BOOTSTRAP NAME`; 0 if all is well."""

import sys
import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

BOOTSTRAP = sys.argv[1]
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})


def create(topic, partitions=1, **config):
    new = NewTopic(topic, partitions, 1, config={name.replace("_", "."): str(value) for name, value in config.items()})
    for future in ADMIN.create_topics([new]).values():
        future.result(30)


def producer(**settings):
    settings = {name.replace("_", "."): value for name, value in settings.items()}
    return Producer({"bootstrap.servers": BOOTSTRAP, **settings})


def consumer(**settings):
    settings = {name.replace("_", "."): value for name, value in settings.items()}
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "not-used", "enable.auto.commit": False, **settings})


def send(client, topic, values, **more):
    """One flush, so one batch where it fits; what became of each, in order of delivery: None, or the error's name."""
    errors = []
    for value in values:
        client.produce(topic, value, partition=0, on_delivery=lambda error, _: errors.append(error and error.name()), **more)
    check(client.flush(60) == 0, "not all records were acknowledged")
    return errors


def take(client, count, seconds=30):
    """The next records, however they come."""
    found, end = [], time.monotonic() + seconds
    while len(found) < count:
        check(time.monotonic() < end, "%d of %d records came" % (len(found), count))
        message = client.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        found.append(message)
    return found


def check(condition, what):
    if not condition:
        raise SystemExit(what)


def equal(found, wanted, what):
    check(found == wanted, "%s: %r, wanted %r" % (what, found, wanted))


def read(topic, count, offset=OFFSET_BEGINNING):
    client = consumer()
    client.assign([TopicPartition(topic, 0, offset)])
    found = take(client, count)
    client.close()
    return found


def produce_after_create():
    """A topic takes records as soon as its creation was answered, without an error and without a pause."""
    client = producer(**{"message.send.max.retries": 0})
    for i in range(20):
        topic = "after-create-%d" % i
        create(topic, partitions=4)
        equal(send(client, topic, [b"now"]), [None], "delivery")


def auto_create():
    """The first record to an unknown topic makes it."""
    equal(send(producer(), "auto-created", [b"first"]), [None], "delivery")
    equal([m.value() for m in read("auto-created", 1)], [b"first"], "records")


def unknown_topic():
    """A consumer does not make topics unless it is told to."""
    client = consumer()
    try:
        client.get_watermark_offsets(TopicPartition("nobody-made-this", 0), timeout=10)
    except KafkaException as error:
        check(error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION,
                                       KafkaError._UNKNOWN_TOPIC), repr(error))
    else:
        raise SystemExit("watermarks of a topic that is not there")
    check("nobody-made-this" not in ADMIN.list_topics(timeout=10).topics, "the topic was made")
    client.close()


def middle_of_batch():
    """A fetch from every offset of two packed batches begins at that offset."""
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = "middle-" + codec
        create(topic)
        client = producer(compression_type=codec, linger_ms=100)
        values = [b"record %d, long enough to pack, long enough to pack" % n for n in range(20)]
        send(client, topic, values[:10])
        send(client, topic, values[10:])
        # A consumer that has to wait at the end holds up its own next fetch.
        reader = consumer(fetch_wait_max_ms=10)
        for offset in range(20):
            reader.assign([TopicPartition(topic, 0, offset)])
            found = [(m.offset(), m.value()) for m in take(reader, 20 - offset)]
            equal(found, list(enumerate(values))[offset:], "%s from offset %d" % (topic, offset))
        reader.close()


def offsets_by_time():
    """The first record at or after a time, inside packed batches; none after the last."""
    start = int(time.time() * 1000) - 100_000
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = "times-" + codec
        create(topic)
        client = producer(compression_type=codec, linger_ms=100)
        for first in (0, 10):
            for n in range(first, first + 10):
                client.produce(topic, b"the same bytes, the same bytes, the same bytes", partition=0, timestamp=start + 10 * n)
            client.flush(30)
        reader = consumer()

        def offset_at(when, reader=reader, topic=topic):
            (found,) = reader.offsets_for_times([TopicPartition(topic, 0, when)], timeout=10)
            check(found.error is None, str(found.error))
            return found.offset

        for n in range(20):
            equal(offset_at(start + 10 * n), n, "%s: offset at the time of record %d" % (topic, n))
            equal(offset_at(start + 10 * n - 5), n, "%s: offset just before record %d" % (topic, n))
        equal(offset_at(start + 10 * 19 + 1), -1, "%s: offset after the last record" % topic)
        equal(reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10), (0, 20), "%s: ends" % topic)
        reader.close()


# What a batch of one record adds to its value: 61 bytes of header, 3 and 3 of lengths, 5 of small fields.
BATCH_AROUND_A_VALUE = 72


def largest_record():
    """A batch as large as max.message.bytes is taken and read back at default settings; a byte more is MESSAGE_TOO_LARGE."""
    create("large-default")
    create("large-set", max_message_bytes=200_000)
    client = producer(message_max_bytes=10_000_000)
    for topic, limit in (("large-default", 1_048_588), ("large-set", 200_000)):
        fits = bytes(i % 251 for i in range(limit - BATCH_AROUND_A_VALUE))
        equal(send(client, topic, [fits]), [None], topic + ": as large as allowed")
        equal(send(client, topic, [fits + b"x"]), ["MSG_SIZE_TOO_LARGE"], topic + ": one byte more")
        equal(send(client, topic, [b"after"]), [None], topic + ": after the refusal")
        found = read(topic, 2)
        check([m.value() for m in found] == [fits, b"after"], topic + ": read back something else")
        equal([m.offset() for m in found], [0, 1], topic + ": offsets")


def acks():
    """acks=0 and acks=1 store what they are given."""
    for level in (0, 1):
        topic = "acks-%d" % level
        create(topic)
        values = [b"%d" % n for n in range(5000)]
        equal(set(send(producer(acks=level), topic, values)), {None}, topic)
        equal([m.value() for m in read(topic, len(values))], values, topic)


def in_flight():
    """Five small requests in flight of an idempotent producer keep their order."""
    create("in-flight")
    client = producer(**{"enable.idempotence": True, "max.in.flight": 5, "batch.num.messages": 20, "linger.ms": 0})
    values = [b"%d" % n for n in range(5_000)]
    equal(set(send(client, "in-flight", values)), {None}, "delivery")
    equal([(m.offset(), m.value()) for m in read("in-flight", len(values))], list(enumerate(values)), "records")


def nagle():
    """Small batches are acknowledged as often behind Nagle's algorithm, librdkafka's default, as without it: counted in turns, in
    the same run. A busy machine may hold one of them up by itself, but hardly five times."""
    create("nagle")
    small = {"enable.idempotence": True, "linger.ms": 0, "batch.num.messages": 1}
    clients = [producer(**small, **{"socket.nagle.disable": free}) for free in (False, True)]
    for _ in range(5):
        counts = [0, 0]
        for turn in range(8):
            counts[turn % 2] += acknowledged(clients[turn % 2], "nagle", 0.3)
        print("%d acks with Nagle's algorithm, %d without" % tuple(counts))
        if counts[0] * 2 >= counts[1]:
            return
    raise SystemExit("Nagle's algorithm makes acks rare")


def acknowledged(client, topic, seconds):
    """How many of records sent one after another are acknowledged meanwhile."""
    count, end = 0, time.monotonic() + seconds

    def delivered(error, _message):
        nonlocal count
        count += error is None and time.monotonic() < end

    while time.monotonic() < end:
        if len(client) < 50:
            client.produce(topic, b"small", partition=0, on_delivery=delivered)
        client.poll(0 if len(client) < 50 else 0.01)
    check(client.flush(60) == 0, "not all records were acknowledged")
    return count


def admin():
    """Create, describe, list, grow, describe settings, delete."""
    create("admin", partitions=3, retention_ms=3_600_000, cleanup_policy="compact")
    equal(len(ADMIN.list_topics(timeout=10).topics["admin"].partitions), 3, "partitions")
    try:
        create("admin")
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.TOPIC_ALREADY_EXISTS, "creating it twice")
    else:
        raise SystemExit("created twice")
    (future,) = ADMIN.create_partitions([NewPartitions("admin", 7)]).values()
    future.result(30)
    (future,) = ADMIN.describe_topics(TopicCollection(["admin"])).values()
    described = future.result(30)
    equal([p.id for p in described.partitions], list(range(7)), "partitions described")
    check(all(p.leader is not None and p.isr for p in described.partitions), "a partition without a leader")
    (future,) = ADMIN.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, "admin")]).values()
    configs = future.result(30)
    equal(configs["retention.ms"].value, "3600000", "retention.ms")
    equal(configs["cleanup.policy"].value, "compact", "cleanup.policy")
    equal(configs["max.message.bytes"].value, "1048588", "max.message.bytes")
    cluster = ADMIN.describe_cluster().result(30)
    check(cluster.cluster_id and len(cluster.nodes) == 1, "the cluster")
    (future,) = ADMIN.delete_topics(["admin"]).values()
    future.result(30)
    check("admin" not in ADMIN.list_topics(timeout=10).topics, "deleted, but listed")
    (future,) = ADMIN.delete_topics(["admin"]).values()
    try:
        future.result(30)
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.UNKNOWN_TOPIC_OR_PART, "deleting it twice")
    else:
        raise SystemExit("deleted twice")


def recreate():
    """A topic is deleted and made again under a consumer, which then reads the new records from the first one."""
    create("recreated")
    equal(send(producer(), "recreated", [b"old %d" % n for n in range(50)]), [None] * 50, "delivery")
    reader = consumer(auto_offset_reset="earliest", topic_metadata_refresh_interval_ms=500)
    reader.assign([TopicPartition("recreated", 0, OFFSET_BEGINNING)])
    take(reader, 50)
    (future,) = ADMIN.delete_topics(["recreated"]).values()
    future.result(30)
    reader.poll(1.0)
    create("recreated")
    equal(send(producer(), "recreated", [b"new %d" % n for n in range(3)]), [None] * 3, "delivery")
    found, end = [], time.monotonic() + 30
    while len(found) < 3 and time.monotonic() < end:
        message = reader.poll(0.2)
        # Errors while the topic is away are what a consumer is told.
        if message is not None and message.error() is None:
            found.append((message.offset(), message.value()))
    equal(found, [(n, b"new %d" % n) for n in range(3)], "records of the new topic")
    reader.close()


def idle():
    """Waits five seconds at the end of a partition; `run` counts the requests."""
    create("idle")
    send(producer(), "idle", [b"one"])
    reader = consumer()
    reader.assign([TopicPartition("idle", 0, OFFSET_BEGINNING)])
    take(reader, 1)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        check(reader.poll(0.5) is None, "a record nobody wrote")
    reader.close()


CASES = {case.__name__.replace("_", "-"): case for case in (
    produce_after_create, auto_create, unknown_topic, middle_of_batch, offsets_by_time, largest_record, acks, in_flight, nagle,
    admin, recreate, idle)}

if __name__ == "__main__":
    CASES[sys.argv[2]]()
