"""What real clients do that broke other brokers, each a small test of a second or so. Used by `run`.

The bodies for confluent-kafka, kafkajs and franz-go are programs beside those clients; the tools on the command line are
asked from here."""

import json
import re
import subprocess
import time

from harness import Failed, until

CONFLUENT = ("produce-after-create", "auto-create", "unknown-topic", "middle-of-batch", "offsets-by-time", "largest-record",
             "acks", "in-flight", "nagle", "admin", "recreate")
FRANZ_GO = ("middle-of-batch", "offsets-by-time", "in-flight", "nagle", "largest-record", "unknown-topic", "admin", "recreate")
KAFKAJS = ("admin", "acks", "nagle")


def of(drivers, broker, stranger):
    """Name and body of each case. The name begins with the client's. `stranger` makes a broker for a producer that comes from
    another cluster."""
    cases = [("confluent/" + name, lambda name=name: drivers["confluent"].case(name)) for name in CONFLUENT]
    cases += [("franz-go/" + name, lambda name=name: drivers["franz-go"].case(name)) for name in FRANZ_GO]
    cases += [("kafkajs/" + name, lambda name=name: drivers["kafkajs"].case(name)) for name in KAFKAJS]
    cases += [("kafkajs/consumer", lambda: group_consumer(drivers["kafkajs"]))]
    cases += [(name + "/idle", lambda name=name: idle(drivers[name], broker)) for name in ("confluent", "franz-go")]
    cases += [(name + "/stranger", lambda name=name: stranger_is_told(drivers[name], stranger))
              for name in ("kcat", "confluent", "franz-go", "kafkajs", "console")]
    kcat, java = drivers["kcat"], drivers["console"]
    cases += [("kcat/" + body.__name__.replace("_", "-"), lambda body=body: body(kcat, broker))
              for body in (auto_create, places_to_begin, metadata, idle_kcat)]
    cases += [("console/" + body.__name__.replace("_", "-"), lambda body=body: body(java))
              for body in (from_the_middle, topic_command, config_command, get_offset_shell, api_versions, verifiable_producer)]
    cases += [("console/client-compatibility-test", lambda: client_compatibility(java))]
    cases += [("producer-performance/consumer-performance", lambda: consumer_performance(java))]
    return cases


def check(condition, what):
    if not condition:
        raise Failed(what if isinstance(what, str) else repr(what))


def equal(found, wanted, what):
    check(found == wanted, "%s: %r, wanted %r" % (what, found, wanted))


# -- any client


def idle(driver, broker):
    """A consumer at the end of a partition waits; it does not ask again and again."""
    before = fetches(broker)
    driver.case("idle")
    return few(fetches(broker) - before, 5)


def fetches(broker):
    return broker.metric("penstock_requests_total", api="Fetch")


def few(count, seconds):
    # These clients let a fetch wait for 500 ms, and may not ask much more often than that; one that spins asks thousands of
    # times.
    check(1 <= count <= 10 * seconds, "%d fetches in %d s" % (count, seconds))
    return "%d fetches in %d s" % (count, seconds)


def group_consumer(driver):
    """kafkajs' public consumer."""
    driver.write(["js-group"], 1, "none", 0, 100)
    driver.consume("js-group", 100)


def stranger_is_told(driver, stranger):
    """A producer whose id was never handed out here fails at once with what its user can look up; the next one works."""
    with stranger() as broker:
        driver = driver.at_another(broker)
        form = (["stranger"], 1)
        driver.write(*form, "none", 0, 100)
        broker.expect(1)
        try:
            if driver.name == "console":
                # Otherwise it only logs what failed, and ends well.
                driver.at("ConsoleProducer", "--topic", "stranger", "--sync", give=b"record\n")
            else:
                driver.write(*form, "none", 100, 200)
        except Failed as failure:
            # Each client has words of its own for the code; kafkajs has none.
            told = re.search("fence|FENCED|error code 90", str(failure))
            check(told and "hangs" not in str(failure), failure)
        else:
            raise Failed("nobody was told")
        equal(broker.left(), 0, "producers that began without an id of this cluster")
        driver.write(*form, "none", 100, 200)
        driver.read(*form, driver.shape, driver.layout, 200)


# -- kcat


def auto_create(kcat, broker):
    """The first record to an unknown topic makes it."""
    kcat.call("-P", "-t", "kcat-first", give=b"hello\n")
    equal(kcat.call("-C", "-t", "kcat-first", "-o", "beginning", "-e", "-q"), b"hello\n", "read back")


def places_to_begin(kcat, broker):
    """By offset, from the end, by time; and the offset of a time."""
    broker.create_topic("kcat-places", 1)
    for first in (0, 50):
        lines = b"".join(b"%d\n" % n for n in range(first, first + 50))
        kcat.call("-P", "-t", "kcat-places", "-p", "0", "-z", "zstd", give=lines)
        if first == 0:
            between = int(time.time() * 1000) + 1
            time.sleep(0.05)  # so that the times of the two halves differ

    def read(*flags):
        return [int(line) for line in kcat.call("-C", "-t", "kcat-places", "-p", "0", "-e", "-q", *flags).split()]

    equal(read("-o", "17"), list(range(17, 100)), "from offset 17")
    equal(read("-o", "-5"), list(range(95, 100)), "the last five")
    equal(read("-o", "s@%d" % between), list(range(50, 100)), "from a time")
    equal(read("-o", "end"), [], "from the end")
    asked = kcat.call("-Q", "-t", "kcat-places:0:%d" % between)
    equal(asked.split(), [b"kcat-places", b"[0]", b"offset", b"50"], "offset of a time")
    # A place that is not there is where auto.offset.reset says.
    equal(read("-o", "1000", "-X", "auto.offset.reset=earliest"), list(range(100)), "from past the end")


def metadata(kcat, broker):
    """`kcat -L`, as text and as JSON."""
    broker.create_topic("kcat-listed", 3)
    shown = json.loads(kcat.call("-L", "-J", "-t", "kcat-listed"))
    equal([p["partition"] for p in shown["topics"][0]["partitions"]], [0, 1, 2], "partitions")
    equal(shown["brokers"][0]["name"], broker.bootstrap, "broker")
    check(b'topic "kcat-listed" with 3 partitions' in kcat.call("-L"), "not in the list of all topics")


def idle_kcat(kcat, broker):
    """The same for kcat, whose librdkafka is an old one; and a record comes as soon as it is written."""
    broker.create_topic("kcat-idle", 1)
    command = [*kcat.command(), "-C", "-t", "kcat-idle", "-o", "end", "-u", "-q"]
    reader = kcat.processes.start(command, "kcat", stdout=subprocess.PIPE)
    try:
        before = fetches(broker)
        until(lambda: fetches(broker) > before, "the first fetch")
        before = fetches(broker)
        time.sleep(3)
        note = few(fetches(broker) - before, 3)
        kcat.call("-P", "-t", "kcat-idle", "-p", "0", give=b"now\n")
        equal(reader.stdout.readline(), b"now\n", "what the waiting consumer reads")
    finally:
        kcat.processes.end(reader)
        reader.stdout.close()
    return note


# -- Kafka's tools


def from_the_middle(java):
    """ConsoleConsumer begins at any offset of a packed batch."""
    java.write(["console-middle"], 1, "zstd", 0, 200)
    for offset in (1, 137):
        found = list(java.partition("console-middle", 0, offset, 5))
        equal([record[0] for record in found], list(range(offset, offset + 5)), "offsets")


def topic_command(java):
    """Create, list, describe, grow and delete a topic."""
    java.at("TopicCommand", "--create", "--topic", "commanded", "--partitions", "3", "--replication-factor", "1",
            "--config", "retention.ms=3600000")
    check(b"commanded" in java.at("TopicCommand", "--list").split(), "not listed")
    java.at("TopicCommand", "--create", "--topic", "commanded", lawful=(1,))
    java.at("TopicCommand", "--alter", "--topic", "commanded", "--partitions", "5")
    shown = java.at("TopicCommand", "--describe", "--topic", "commanded").decode()
    check("PartitionCount: 5" in shown and "retention.ms=3600000" in shown, shown)
    equal(len(re.findall(r"Partition: \d+\tLeader: 1\t", shown)), 5, "partitions with a leader")
    java.at("TopicCommand", "--delete", "--topic", "commanded")
    check(b"commanded" not in java.at("TopicCommand", "--list").split(), "deleted, but listed")


def config_command(java):
    """Settings of a topic and of the broker."""
    java.at("TopicCommand", "--create", "--topic", "configured", "--config", "max.message.bytes=12345")

    def describe(kind, name, *more):
        return java.at("ConfigCommand", "--describe", "--entity-type", kind, "--entity-name", name, *more,
                       package="kafka.admin.").decode()

    shown = describe("topics", "configured")
    check("max.message.bytes=12345" in shown and "retention.ms" not in shown, shown)
    shown = describe("topics", "configured", "--all")
    check("retention.ms=604800000" in shown and "cleanup.policy=delete" in shown, shown)
    check("auto.create.topics.enable=true" in describe("brokers", "1", "--all"), "the broker's settings")


def get_offset_shell(java):
    """First, last, and by time."""
    java.write(["offsets"], 1, "lz4", 0, 300)

    def at(when):
        return java.at("GetOffsetShell", "--topic", "offsets", "--time", str(when)).decode().strip()

    equal([at("earliest"), at("latest")], ["offsets:0:0", "offsets:0:300"], "ends")
    equal(at(0), "offsets:0:0", "at the beginning of time")
    check(re.fullmatch(r"offsets:0:\d+", at("max-timestamp")), at("max-timestamp"))


def api_versions(java):
    """The versions that BrokerApiVersionsCommand reads are usable by Kafka's own client."""
    shown = java.at("BrokerApiVersionsCommand").decode()
    for api in ("Produce(0)", "Fetch(1)", "ListOffsets(2)", "Metadata(3)", "CreateTopics(19)", "InitProducerId(22)"):
        check(re.search(re.escape(api) + r": .*usable: \d+", shown), "%s is not usable:\n%s" % (api, shown))


def verifiable_producer(java):
    """VerifiableProducer counts its own acks."""
    java.broker.create_topic("verifiable", 4)
    printed = java.at("VerifiableProducer", "--topic", "verifiable", "--max-messages", "5000", "--acks", "-1").decode()
    said = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    equal(sum(event["name"] == "producer_send_success" for event in said), 5000, "acks")
    equal(sum(java.ends("verifiable").values()), 5000, "records")


def client_compatibility(java):
    """Kafka's ClientCompatibilityTest; without ACLs, which are not there."""
    flags = {"offsets-for-times-supported": "true", "cluster-id-supported": "true", "expect-record-too-large-exception": "false",
             "num-cluster-nodes": "1", "create-topics-supported": "true", "describe-acls-supported": "false",
             "describe-configs-supported": "true", "idempotent-producer-supported": "true"}
    words = [word for name, value in flags.items() for word in ("--" + name, value)]
    printed = java.at("ClientCompatibilityTest", "--topic", "compatibility", *words).decode()
    check("SUCCESS" in printed, printed)


def consumer_performance(java):
    """ConsumerPerformance, which joins a group."""
    java.write(["consumer-performance"], 1, "none", 0, 100)
    flags = ("--topic", "consumer-performance", "--num-records", "100", "--timeout", "5000")
    printed = java.at("ConsumerPerformance", *flags).decode()
    check("WARNING" not in printed, printed.splitlines()[-2] if printed else "nothing printed")
