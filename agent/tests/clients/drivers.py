"""One driver per client: how it writes numbered records and reads them back. Used by `run`.

`write(topics, partitions, codec, first, end)` writes records first to end of each topic and makes the topics where first is 0;
`read(topics, partitions, shape, layout, records)` reads all of each topic and checks it."""

import os
import re

import content
from harness import HERE, Failed, Skipped

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class Driver:
    shape, layout = "whole", "modulo"
    # How many partitions an object holds at least once, of three topics with sixteen partitions.
    partitions_at_once = 40

    def __init__(self, processes, broker, path):
        self.processes, self.broker, self.path = processes, broker, path

    def at_another(self, broker):
        """The same client for another broker."""
        return type(self)(self.processes, broker, self.path)

    def call(self, *arguments, **more):
        return self.run([*self.command(), *arguments], **more)

    def run(self, command, **more):
        return self.processes.run(command, self.name, **more)


# librdkafka puts one partition into a request, and an idempotent producer has five requests in flight.
LIBRDKAFKA_AT_ONCE = 5


class Confluent(Driver):
    name = part = "confluent"
    partitions_at_once = LIBRDKAFKA_AT_ONCE

    def command(self):
        client = os.path.join(HERE, "confluent", "client.py")
        return [os.path.join(self.path, "bin", "python"), "-B", client, "--bootstrap", self.broker.bootstrap]

    def write(self, topics, partitions, codec, first, end):
        self.call("write", "--topics", ",".join(topics), "--partitions", str(partitions), "--codec", codec,
                  "--first", str(first), "--end", str(end))

    def read(self, topics, partitions, shape, layout, records):
        self.call("read", "--topics", ",".join(topics), "--partitions", str(partitions), "--shape", shape,
                  "--layout", layout, "--records", str(records))

    def case(self, name):
        *interpreter, client, _flag, _bootstrap = self.command()
        self.run([*interpreter, client.replace("client.", "cases."), self.broker.bootstrap, name])


class Kafkajs(Confluent):
    name = part = "kafkajs"
    shape = "no-null-header"
    partitions_at_once = Driver.partitions_at_once

    def command(self):
        return ["node", os.path.join(HERE, "kafkajs", "client.js"), "--bootstrap", self.broker.bootstrap]

    def run(self, command, **more):
        modules = os.path.join(self.path, "node_modules")
        more["env"] = {**os.environ, "NODE_PATH": modules, "KAFKAJS_NO_PARTITIONER_WARNING": "1"}
        return super().run(command, **more)

    def consume(self, topic, records):
        self.call("consume", "--topics", topic, "--records", str(records))


class FranzGo(Driver):
    name = part = "franz-go"

    def command(self):
        return [os.path.join(self.path, "client")]

    def write(self, topics, partitions, codec, first, end):
        self.call("write", "-bootstrap", self.broker.bootstrap, "-topics", ",".join(topics), "-partitions", str(partitions),
                  "-codec", codec, "-first", str(first), "-end", str(end))

    def read(self, topics, partitions, shape, layout, records):
        self.call("read", "-bootstrap", self.broker.bootstrap, "-topics", ",".join(topics), "-partitions", str(partitions),
                  "-shape", shape, "-layout", layout, "-records", str(records))

    def case(self, name):
        self.call("case", "-bootstrap", self.broker.bootstrap, "-name", name)


# What separates things in streams of text: nothing that is in a record.
KEY, RECORD, HEADER, NULL = b"\x1eK\x1e", b"\x1eR\x1e", b"\x1eH\x1e", b"\x1eN\x1e"


class Kcat(Driver):
    """One process for each partition, or one for a topic where its partitioner chooses (`numbered`)."""

    name = part = "kcat"
    shape = "kcat"
    partitions_at_once = LIBRDKAFKA_AT_ONCE

    def command(self):
        return [self.path, "-b", self.broker.bootstrap]

    def write(self, topics, partitions, codec, first, end):
        for topic in topics:
            if first == 0:
                self.broker.create_topic(topic, partitions)
            flags = ["-P", "-t", topic, "-Z", "-z", codec, "-K", KEY.decode(), "-D", RECORD.decode()]
            flags += ["-X", "enable.idempotence=true", "-X", "linger.ms=20"]
            for name, value in content.KCAT_HEADERS:
                flags += ["-H", name if value is None else "%s=%s" % (name, value.decode())]
            if self.layout == "numbered":
                self.call(*flags, give=self._lines(range(first, end)))
                continue
            for partition in range(partitions):
                start = first + (partition - first) % partitions
                self.call(*flags, "-p", str(partition), give=self._lines(range(start, end, partitions)))

    @staticmethod
    def _lines(numbers):
        for n in numbers:
            key, value, _headers = content.record("kcat", n)
            # Kind 1 has no key at all, kind 2 an empty one: both are null on the wire.
            head = b"" if n % 16 == 1 else (key or b"") + KEY
            yield head + (value or b"") + RECORD

    def read(self, topics, partitions, shape, layout, records):
        for topic in topics:
            form = "%p %o %K %S|%k%s%h" + RECORD.decode()
            printed = self.call("-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", form)
            check = content.Topic(shape, partitions, records, layout)
            at = 0
            while at < len(printed):
                bar = printed.index(b"|", at)
                partition, offset, key_length, value_length = map(int, printed[at:bar].split())
                key, at = _cut(printed, bar + 1, key_length)
                value, at = _cut(printed, at, value_length)
                end = printed.index(RECORD, at)
                headers, at = printed[at:end], end + len(RECORD)
                # kcat prints headers as text, where null and NULL are the same: what is printed is what must be printed.
                number = offset * partitions + partition if layout == "modulo" else content.number(key, value)
                wanted = content.record(shape, number)[2]
                shown = b",".join(name.encode() + b"=" + (b"NULL" if v is None else v) for name, v in wanted)
                if headers != shown:
                    raise Failed("%s %d %d: headers %r, wanted %r" % (topic, partition, offset, headers, shown))
                check.add(partition, offset, key, value, wanted)
            check.finish()


def _cut(printed, at, length):
    return (None, at) if length < 0 else (printed[at : at + length], at + length)


class Java(Driver):
    """Kafka's own tools; a JVM for each step."""

    part = "java"

    def tool(self, name, *arguments, package="org.apache.kafka.tools.", **more):
        # For a JVM that lives for seconds, starting fast is all that counts.
        command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx512m",
                   "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", os.path.join(self.path, "libs", "*")]
        return self.processes.run([*command, package + name, *arguments], name, **more)

    def at(self, name, *arguments, **more):
        """A tool that is told the broker in the usual way."""
        return self.tool(name, "--bootstrap-server", self.broker.bootstrap, *arguments, **more)

    def ends(self, topic):
        """End offset by partition, from GetOffsetShell."""
        lines = self.at("GetOffsetShell", "--topic", topic).decode().split()
        return {int(p): int(offset) for p, offset in (line.rsplit(":", 2)[1:] for line in lines)}


class Console(Java):
    """ConsoleProducer writes lines; ConsoleConsumer reads one partition at a time."""

    name = "console"
    shape, layout = "text", "numbered"
    partitions_at_once = 12  # of sixteen: it writes one topic, and records go to the partition of their key
    sampled = False  # read one partition of each topic, where there are many

    def write(self, topics, partitions, codec, first, end):
        for topic in topics:
            if first == 0:
                self.broker.create_topic(topic, partitions)
            flags = ["--topic", topic, "--compression-codec", codec, "--request-timeout-ms", "30000"]
            for setting in ("parse.key=true", "parse.headers=true", "null.marker=" + NULL.decode()):
                flags += ["--reader-property", setting]
            self.at("ConsoleProducer", *flags, give=self._lines(range(first, end)))

    @staticmethod
    def _lines(numbers):
        for n in numbers:
            key, value, headers = content.record("text", n)
            shown = b",".join(name.encode() + b":" + (NULL if v is None else v) for name, v in headers)
            yield b"\t".join((shown or NULL, NULL if key is None else key, NULL if value is None else value)) + b"\n"

    def read(self, topics, partitions, shape, layout, records):
        for topic in topics:
            ends = self.ends(topic)
            check = content.Topic(shape, partitions, records, layout)
            for partition, end in sorted(ends.items()):
                if end > 0 and not (self.sampled and partition % 16 != 5):
                    for record in self.partition(topic, partition, "earliest", end):
                        check.add(partition, *record)
            if not self.sampled:
                check.finish()
            elif check.count == 0:
                raise Failed("nothing was read of %s" % topic)

    def partition(self, topic, partition, offset, count):
        """Records of one partition: offset, key, value, headers."""
        flags = ["--topic", topic, "--partition", str(partition), "--offset", str(offset), "--max-messages", str(count)]
        settings = {"print.key": "true", "print.headers": "true", "print.offset": "true", "null.literal": NULL.decode(),
                    "key.separator": KEY.decode(), "headers.separator": HEADER.decode(), "line.separator": RECORD.decode()}
        for name, value in settings.items():
            flags += ["--formatter-property", "%s=%s" % (name, value)]
        printed = self.at("consumer.ConsoleConsumer", *flags)
        for line in printed.split(RECORD)[:-1]:
            at, headers, key, value = line.split(KEY)
            headers = [] if headers == b"NO_HEADERS" else [pair.split(b":", 1) for pair in headers.split(HEADER)]
            yield (int(re.fullmatch(rb"Offset:(\d+)", at)[1]), _null(key), _null(value),
                   [(name.decode(), _null(value)) for name, value in headers])


def _null(shown):
    return None if shown == NULL else shown


class Performance(Java):
    """ProducerPerformance, whose records are their numbers; without a reader of its own that needs no group."""

    name = "producer-performance"
    shape, layout = "value", "numbered"
    partitions_at_once = 2  # one topic, and without keys one partition after the other gets a batch

    def write(self, topics, partitions, codec, first, end):
        for topic in topics:
            self.broker.create_topic(topic, partitions)
            printed = self.at("ProducerPerformance", "--topic", topic, "--num-records", str(end), "--payload-monotonic",
                              "--throughput", "-1", "--command-property", "acks=all", "compression.type=" + codec)
            if b"%d records sent" % end not in printed:
                raise Failed(printed.decode())

    read = None


DRIVERS = (Kcat, Confluent, Kafkajs, Console, Performance, FranzGo)


class Missing:
    """In the place of a driver whose part is not installed."""

    def __init__(self, kind, reason):
        self.kind, self.reason = kind, reason

    def __getattr__(self, _name):
        raise Skipped(self.reason)
