"""confluent-kafka (librdkafka) as its users write it: `write`, `read`; what else it is asked is in `cases.py`."""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import content


def create(bootstrap, topics, partitions, config=None):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    new = [NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config or {}) for topic in topics]
    for future in admin.create_topics(new).values():
        future.result()
    return admin


def write(options):
    """Records `first` to `end` of each topic, record n into partition n % partitions."""
    if options.first == 0:
        create(options.bootstrap, options.topics, options.partitions)
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(error)

    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "enable.idempotence": True,
            "compression.type": options.codec,
            "linger.ms": 20,
            "queue.buffering.max.messages": 200000,
        }
    )
    for n in range(options.first, options.end):
        key, value, headers = content.record("whole", n)
        for topic in options.topics:
            while True:
                try:
                    producer.produce(topic, value, key, n % options.partitions, on_delivery=delivered, headers=headers)
                    break
                except BufferError:
                    producer.poll(0.1)
        if n % 1000 == 0:
            producer.poll(0)
    if producer.flush(120) != 0:
        raise SystemExit("records were not acknowledged within two minutes")
    if failures:
        raise SystemExit("%d records were refused, the first: %s" % (len(failures), failures[0]))


def read(options):
    """Every record of each topic, from assigned partitions."""
    consumer = Consumer({"bootstrap.servers": options.bootstrap, "group.id": "not-used", "enable.auto.commit": False,
                         "enable.partition.eof": True})
    topics = {t: content.Topic(options.shape, options.partitions, options.records, options.layout) for t in options.topics}
    consumer.assign([TopicPartition(t, p, OFFSET_BEGINNING) for t in topics for p in range(options.partitions)])
    open_partitions = {(t, p) for t in topics for p in range(options.partitions)}
    patience = time.monotonic() + 240
    while open_partitions:
        if time.monotonic() > patience:
            raise SystemExit("no end of %d partitions was seen" % len(open_partitions))
        for message in consumer.consume(10000, 0.2):
            error = message.error()
            if error is None:
                topics[message.topic()].add(
                    message.partition(), message.offset(), message.key(), message.value(), message.headers() or []
                )
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard((message.topic(), message.partition()))
            else:
                raise KafkaException(error)
    consumer.close()
    for topic in topics.values():
        topic.finish()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("write", "read"):
        command = commands.add_parser(name)
        command.add_argument("--topics", required=True, type=lambda names: names.split(","))
        command.add_argument("--partitions", required=True, type=int)
    command.add_argument("--records", required=True, type=int)
    command.add_argument("--shape", required=True, choices=content.SHAPES)
    command.add_argument("--layout", required=True, choices=("modulo", "numbered"))
    command = commands.choices["write"]
    command.add_argument("--codec", required=True)
    command.add_argument("--first", required=True, type=int)
    command.add_argument("--end", required=True, type=int)
    options = parser.parse_args()
    {"write": write, "read": read}[options.command](options)


main()
