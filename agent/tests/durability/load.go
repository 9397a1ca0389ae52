// Load for a cluster: producers that send one record to every partition at a steady pace, and consumers that read all of
// them all the time. Each may belong to a zone, and so to one agent; all write to and read from the same partitions.

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// Groups of partitions that are sent to at different moments of the interval.
	paceGroups = 4
	// As a user sets them who wants to be back soon after a broker died, and at the agent of the zone again once it is
	// back: Java's defaults for back-off, not franz-go's, which asks for the leaders at most every 5 s.
	clientSettings = "franz-go, retry back-off 100 ms to 1 s, metadata every 100 ms to 10 s, dial 3 s, request 10+5 s, linger 10 ms"
)

// clientOptions are those of a sensible user.
func clientOptions(seeds []string, name, zone string) []kgo.Opt {
	if zone != "" {
		name += ",zone=" + zone
	}
	return []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID(name),
		kgo.DialTimeout(3 * time.Second),
		kgo.RequestTimeoutOverhead(5 * time.Second),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.MetadataMaxAge(10 * time.Second),
		kgo.RetryBackoffFn(func(tries int) time.Duration {
			return min(100*time.Millisecond<<min(max(tries-1, 0), 4), time.Second)
		}),
	}
}

// pacer is one producer.
type pacer struct {
	zone     string
	instance uint32
	client   *kgo.Client
	ledger   *ledger
	gaps     *gapBook // none: not measured
	base     int      // its first stream in the book
	// Whether an error of a record is expected: without retries, at the agent that goes away.
	errors   func(error)
	acks     atomic.Int64
	lastAck  atomic.Int64 // unix nanoseconds
	stop     context.CancelFunc
	done     sync.WaitGroup
	interval time.Duration
	bytes    int
}

func (p *pacer) start(partitions int, options []kgo.Opt) error {
	p.instance = p.ledger.newInstance(partitions)
	options = append(options, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProduceRequestTimeout(10*time.Second), kgo.MaxBufferedRecords(200_000),
		kgo.ProducerOnDataLossDetected(func(string, int32) { p.errors(errors.New("the client detected data loss")) }))
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	p.client = client
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.done.Add(1)
	go p.send(ctx, partitions)
	return nil
}

func (p *pacer) send(ctx context.Context, partitions int) {
	defer p.done.Done()
	tick := time.NewTicker(p.interval / paceGroups)
	defer tick.Stop()
	for turn := 0; ; turn = (turn + 1) % paceGroups {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for partition := turn; partition < partitions; partition += paceGroups {
			p.one(int32(partition))
		}
	}
}

func (p *pacer) one(partition int32) {
	sequence := p.ledger.next(p.instance, partition)
	record := &kgo.Record{Partition: partition, Value: writeValue(p.instance, sequence, p.bytes)}
	p.client.Produce(context.Background(), record, func(record *kgo.Record, err error) {
		if err != nil {
			p.errors(fmt.Errorf("producer %d partition %d sequence %d: %w", p.instance, partition, sequence, err))
			return
		}
		now := time.Now()
		p.ledger.ack(p.instance, partition, sequence, record.Offset)
		p.acks.Add(1)
		p.lastAck.Store(now.UnixNano())
		if p.gaps != nil {
			p.gaps.note(p.base+int(partition), now)
		}
	})
}

// finish sends no more and waits for the last acks.
func (p *pacer) finish(limit time.Duration) error {
	p.stop()
	p.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	defer p.client.Close()
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("producer %d: %d records are not acknowledged after %v", p.instance, p.client.BufferedProduceRecords(), limit)
	}
	return nil
}

// tailer is one consumer of all partitions.
type tailer struct {
	zone   string
	reader *reader
	client *kgo.Client
	gaps   *gapBook
	base   int
	errors func(error)
	stop   context.CancelFunc
	done   sync.WaitGroup
}

func (t *tailer) start(partitions int, options []kgo.Opt) error {
	assigned := make(map[int32]kgo.Offset)
	for p := range partitions {
		assigned[int32(p)] = kgo.NewOffset().At(0)
	}
	options = append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assigned}),
		// An offset that is not there is a finding, not a reason to start elsewhere.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(500*time.Millisecond))
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	t.client = client
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	t.done.Add(1)
	go t.read(ctx)
	return nil
}

func (t *tailer) read(ctx context.Context) {
	defer t.done.Done()
	for {
		fetches := t.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fetches.EachError(func(_ string, partition int32, err error) {
			t.errors(fmt.Errorf("consumer of zone %s, partition %d: %w", t.zone, partition, err))
		})
		t.reader.takeAll(fetches)
		now := time.Now()
		fetches.EachPartition(func(partition kgo.FetchTopicPartition) {
			if len(partition.Records) > 0 && t.gaps != nil {
				t.gaps.note(t.base+int(partition.Partition), now)
			}
		})
	}
}

// finish waits until everything below `ends` was read.
func (t *tailer) finish(ends []int64, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	defer t.client.Close()
	defer t.done.Wait()
	defer t.stop()
	for {
		t.reader.ledger.mu.Lock()
		done := t.reader.done(ends)
		t.reader.ledger.mu.Unlock()
		if done {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the consumer of zone %s read to %v of %v", t.zone, t.reader.next, ends)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
