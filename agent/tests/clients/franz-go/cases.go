package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Small things that broke other brokers, asked through franz-go: `client case -name NAME`.
var cases = map[string]func(context.Context, options) error{
	"middle-of-batch": middleOfBatch, "offsets-by-time": offsetsByTime, "in-flight": inFlight, "largest-record": largestRecord,
	"unknown-topic": unknownTopic, "admin": admin, "recreate": recreate, "idle": idle, "nagle": nagle,
}

func runCase(ctx context.Context, o options) error {
	body, ok := cases[o.name]
	if !ok {
		return fmt.Errorf("there is no case %s", o.name)
	}
	return body(ctx, o)
}

func open(o options, more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(o.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner())}, more...)...)
}

// twoBatches makes a topic of one partition with two record batches of ten records, a millisecond apart from `start` on.
func twoBatches(ctx context.Context, o options, topic, codec string, start time.Time) (*kgo.Client, error) {
	client, err := open(o, kgo.ProducerBatchCompression(codecOf(codec)), kgo.ProducerLinger(50*time.Millisecond))
	if err != nil {
		return nil, err
	}
	if err := create(ctx, client, 1, nil, topic); err != nil {
		return nil, err
	}
	for first := 0; first < 20; first += 10 {
		var records []*kgo.Record
		for n := first; n < first+10; n++ {
			value := fmt.Appendf(nil, "record %d, long enough to pack, long enough to pack", n)
			at := start.Add(time.Duration(10*n) * time.Millisecond)
			records = append(records, &kgo.Record{Topic: topic, Value: value, Timestamp: at})
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return nil, err
		}
	}
	return client, nil
}

// fetchAt asks for one partition by hand, and gives what came and the base offsets of its record batches.
func fetchAt(ctx context.Context, client *kgo.Client, topic string, offset int64) (*kmsg.FetchResponseTopicPartition, []int64, error) {
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.FetchOffset = offset
	partition.PartitionMaxBytes = 1 << 20
	asked := kmsg.NewFetchRequestTopic()
	asked.Topic = topic
	asked.Partitions = append(asked.Partitions, partition)
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis = 10
	request.MinBytes = 1
	request.Topics = append(request.Topics, asked)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, nil, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return nil, nil, errors.New("a partition was asked for, and is not in the answer")
	}
	answer := &response.Topics[0].Partitions[0]
	var bases []int64
	for batches := answer.RecordBatches; len(batches) >= 12; {
		bases = append(bases, int64(binary.BigEndian.Uint64(batches)))
		batches = batches[min(len(batches), 12+int(binary.BigEndian.Uint32(batches[8:]))):]
	}
	return answer, bases, nil
}

// middleOfBatch: a fetch gives whole batches from the one that holds the offset on, and OFFSET_OUT_OF_RANGE outside.
func middleOfBatch(ctx context.Context, o options) error {
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		topic := "franz-middle-" + codec
		client, err := twoBatches(ctx, o, topic, codec, time.Now())
		if err != nil {
			return err
		}
		defer client.Close()
		for offset := range int64(20) {
			answer, bases, err := fetchAt(ctx, client, topic, offset)
			if err != nil {
				return err
			}
			wanted := []int64{0, 10}
			if offset >= 10 {
				wanted = wanted[1:]
			}
			if answer.ErrorCode != 0 || answer.HighWatermark != 20 || fmt.Sprint(bases) != fmt.Sprint(wanted) {
				return fmt.Errorf("%s from %d: error %d, high watermark %d, batches at %v, wanted %v",
					topic, offset, answer.ErrorCode, answer.HighWatermark, bases, wanted)
			}
		}
		for offset, wanted := range map[int64]error{20: nil, 21: kerr.OffsetOutOfRange, -1: kerr.OffsetOutOfRange} {
			answer, bases, err := fetchAt(ctx, client, topic, offset)
			if err != nil {
				return err
			}
			if got := kerr.ErrorForCode(answer.ErrorCode); !errors.Is(got, wanted) || len(bases) != 0 {
				return fmt.Errorf("%s from %d: %v with batches %v, wanted %v", topic, offset, got, bases, wanted)
			}
		}
	}
	return nil
}

// offsetsByTime: the first record at or after a time inside packed batches, with its own timestamp.
func offsetsByTime(ctx context.Context, o options) error {
	start := time.UnixMilli(time.Now().UnixMilli() - 100_000)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		topic := "franz-times-" + codec
		client, err := twoBatches(ctx, o, topic, codec, start)
		if err != nil {
			return err
		}
		defer client.Close()
		admin := kadm.NewClient(client)
		for n := range int64(20) {
			for _, before := range []int64{0, 5} {
				listed, err := admin.ListOffsetsAfterMilli(ctx, start.UnixMilli()+10*n-before, topic)
				if err != nil {
					return err
				}
				found, _ := listed.Lookup(topic, 0)
				if found.Err != nil || found.Offset != n || found.Timestamp != start.UnixMilli()+10*n {
					return fmt.Errorf("%s: %d ms before record %d: %+v", topic, before, n, found)
				}
			}
		}
		latest, err := admin.ListMaxTimestampOffsets(ctx, topic)
		if err != nil {
			return err
		}
		if found, _ := latest.Lookup(topic, 0); found.Err != nil || found.Offset != 19 || found.Timestamp != start.UnixMilli()+190 {
			return fmt.Errorf("%s: largest timestamp: %+v", topic, found)
		}
	}
	return nil
}

// inFlight: small requests of an idempotent producer, of which this client keeps up to five in flight, keep their order.
func inFlight(ctx context.Context, o options) error {
	client, err := open(o, kgo.ProducerLinger(0), kgo.ProducerBatchMaxBytes(2048))
	if err != nil {
		return err
	}
	defer client.Close()
	topic, count := "franz-in-flight", 20_000
	if err := create(ctx, client, 1, nil, topic); err != nil {
		return err
	}
	var once sync.Once
	var failed error
	for n := range count {
		client.Produce(ctx, &kgo.Record{Topic: topic, Value: fmt.Append(nil, n)}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	if err := client.Flush(ctx); err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	records, err := take(ctx, o, topic, count)
	for n, r := range records {
		if r.Offset != int64(n) || string(r.Value) != fmt.Sprint(n) {
			return fmt.Errorf("record %d is %q at offset %d", n, r.Value, r.Offset)
		}
	}
	return err
}

// nagle counts in turns how many small batches are acknowledged behind Nagle's algorithm, and without it as Go's sockets are.
func nagle(ctx context.Context, o options) error {
	topic := "franz-nagle"
	var clients [2]*kgo.Client
	for i := range clients {
		dial := func(ctx context.Context, network, host string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, host)
			if err != nil {
				return nil, err
			}
			return conn, conn.(*net.TCPConn).SetNoDelay(i == 1)
		}
		client, err := open(o, kgo.Dialer(dial), kgo.ProducerLinger(0), kgo.ProducerBatchMaxBytes(512), kgo.MaxBufferedRecords(50))
		if err != nil {
			return err
		}
		defer client.Close()
		clients[i] = client
	}
	if err := create(ctx, clients[0], 1, nil, topic); err != nil {
		return err
	}
	// A busy machine may hold one of them up by itself, but hardly five times.
	for range 5 {
		var counts [2]int
		for turn := range 8 {
			count, err := acknowledged(ctx, clients[turn%2], topic, 300*time.Millisecond)
			if err != nil {
				return err
			}
			counts[turn%2] += count
		}
		fmt.Printf("%d acks with Nagle's algorithm, %d without\n", counts[0], counts[1])
		if counts[0]*2 >= counts[1] {
			return nil
		}
	}
	return errors.New("Nagle's algorithm makes acks rare")
}

// acknowledged says how many of records sent one after another, each a batch of its own, are acknowledged meanwhile.
func acknowledged(ctx context.Context, client *kgo.Client, topic string, span time.Duration) (int, error) {
	var count atomic.Int64
	end, value := time.Now().Add(span), make([]byte, 400)
	for time.Now().Before(end) {
		client.Produce(ctx, &kgo.Record{Topic: topic, Value: value}, func(_ *kgo.Record, err error) {
			if err == nil && time.Now().Before(end) {
				count.Add(1)
			}
		})
	}
	return int(count.Load()), client.Flush(ctx)
}

// take reads the first records of partition 0.
func take(ctx context.Context, o options, topic string, count int) ([]*kgo.Record, error) {
	from := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}
	client, err := open(o, kgo.ConsumePartitions(from))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, err
		}
		records = append(records, fetches.Records()...)
	}
	return records, nil
}

// largestRecord: one byte over max.message.bytes is MESSAGE_TOO_LARGE, and the producer goes on.
func largestRecord(ctx context.Context, o options) error {
	client, err := open(o, kgo.ProducerBatchMaxBytes(10_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	topic, limit := "franz-large", "300000"
	if err := create(ctx, client, 1, map[string]*string{"max.message.bytes": &limit}, topic); err != nil {
		return err
	}
	fits := make([]byte, 300_000-72)
	for _, step := range []struct {
		value  []byte
		wanted error
	}{{fits, nil}, {append(fits, 'x'), kerr.MessageTooLarge}, {[]byte("after"), nil}} {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: step.value}).FirstErr(); !errors.Is(err, step.wanted) {
			return fmt.Errorf("a value of %d bytes: %v, wanted %v", len(step.value), err, step.wanted)
		}
	}
	records, err := take(ctx, o, topic, 2)
	if err == nil && (len(records[0].Value) != len(fits) || string(records[1].Value) != "after" || records[1].Offset != 1) {
		err = errors.New("something else was read back")
	}
	return err
}

// unknownTopic: this client asks brokers not to make topics, and then none is made.
func unknownTopic(ctx context.Context, o options) error {
	client, err := open(o, kgo.UnknownTopicRetries(1))
	if err != nil {
		return err
	}
	defer client.Close()
	err = client.ProduceSync(ctx, &kgo.Record{Topic: "franz-nobody-made-this", Value: []byte("x")}).FirstErr()
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("producing to an unknown topic: %v", err)
	}
	return nil
}

func admin(ctx context.Context, o options) error {
	client, err := open(o)
	if err != nil {
		return err
	}
	defer client.Close()
	admin, topic, hour := kadm.NewClient(client), "franz-admin", "3600000"
	if err := create(ctx, client, 3, map[string]*string{"retention.ms": &hour}, topic); err != nil {
		return err
	}
	if err := create(ctx, client, 3, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("creating it twice: %v", err)
	}
	if grown, err := admin.UpdatePartitions(ctx, 7, topic); err != nil || grown.Error() != nil {
		return errors.Join(err, grown.Error())
	}
	topics, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	if found := topics[topic]; found.Err != nil || len(found.Partitions) != 7 || found.ID == (kadm.TopicID{}) {
		return fmt.Errorf("listed: %+v", found)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	described, err := configs.On(topic, nil)
	if err != nil || described.Err != nil {
		return errors.Join(err, described.Err)
	}
	got := map[string]string{}
	for _, config := range described.Configs {
		got[config.Key] = config.MaybeValue()
	}
	if got["retention.ms"] != hour || got["cleanup.policy"] != "delete" {
		return fmt.Errorf("settings: %v", got)
	}
	if _, err := admin.DeleteTopic(ctx, topic); err != nil {
		return err
	}
	if _, err := admin.DeleteTopic(ctx, topic); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("deleting it twice: %v", err)
	}
	return nil
}

// recreate: a topic made again has another id, and holds nothing of the old one.
func recreate(ctx context.Context, o options) error {
	ids := map[kadm.TopicID]bool{}
	for round := range 3 {
		id, err := lifeOfATopic(ctx, o, "franz-recreated", round)
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		ids[id] = true
	}
	if len(ids) != 3 {
		return fmt.Errorf("made three times, but with %d ids", len(ids))
	}
	return nil
}

// lifeOfATopic makes a topic, writes, reads, deletes it, and gives its id. With a client of its own, because clients remember
// topics for a while, and what is tested here is the broker.
func lifeOfATopic(ctx context.Context, o options, topic string, round int) (kadm.TopicID, error) {
	client, err := open(o)
	if err != nil {
		return kadm.TopicID{}, err
	}
	defer client.Close()
	if err := create(ctx, client, 1, nil, topic); err != nil {
		return kadm.TopicID{}, err
	}
	for n := range 5 {
		record := &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%d/%d", round, n)}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return kadm.TopicID{}, err
		}
	}
	records, err := take(ctx, o, topic, 5)
	if err != nil {
		return kadm.TopicID{}, err
	}
	for n, r := range records {
		if r.Offset != int64(n) || string(r.Value) != fmt.Sprintf("%d/%d", round, n) {
			return kadm.TopicID{}, fmt.Errorf("%q at offset %d", r.Value, r.Offset)
		}
	}
	topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return kadm.TopicID{}, err
	}
	_, err = kadm.NewClient(client).DeleteTopic(ctx, topic)
	return topics[topic].ID, err
}

// idle waits five seconds at the end of a partition; `run` counts the requests.
func idle(ctx context.Context, o options) error {
	client, err := twoBatches(ctx, o, "franz-idle", "none", time.Now())
	if err != nil {
		return err
	}
	client.Close()
	from := map[string]map[int32]kgo.Offset{"franz-idle": {0: kgo.NewOffset().At(20)}}
	reader, err := open(o, kgo.ConsumePartitions(from), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if records := reader.PollFetches(ctx).Records(); len(records) != 0 {
		return fmt.Errorf("%d records nobody wrote", len(records))
	}
	return nil
}
