// Idempotent producers at full speed. An instance lives through a crash of the broker, or is closed with it.

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producer is one client instance with its own producer id.
type producer struct {
	instance uint32
	client   *kgo.Client
	ledger   *ledger
	closing  atomic.Bool
	stop     context.CancelFunc
	done     sync.WaitGroup
}

// startProducer begins to send to all partitions at once. Odd ones compress, even ones do not.
func startProducer(address string, partitions int, l *ledger, seed uint64) (*producer, error) {
	p := &producer{instance: l.newInstance(partitions), ledger: l}
	codec := kgo.NoCompression()
	if p.instance%2 == 1 {
		codec = kgo.SnappyCompression()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(address),
		kgo.ClientID(fmt.Sprintf("durability-%d", p.instance)),
		kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(2000),
		// The broker comes back soon; what makes a client wait longer than that only makes rounds longer.
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20*time.Millisecond),
		kgo.RequestTimeoutOverhead(5*time.Second),
		kgo.ProduceRequestTimeout(10*time.Second),
		kgo.ProducerOnDataLossDetected(func(string, int32) {
			l.refuse(p.instance, -1, -1, errors.New("the client detected data loss"))
		}),
	)
	if err != nil {
		return nil, err
	}
	p.client = client
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.done.Add(1)
	go p.send(ctx, partitions, rand.New(rand.NewPCG(seed, uint64(p.instance))))
	return p, nil
}

func (p *producer) send(ctx context.Context, partitions int, random *rand.Rand) {
	defer p.done.Done()
	for ctx.Err() == nil {
		partition := int32(random.IntN(partitions))
		size := valueHeadBytes + random.IntN(400)
		if random.IntN(1000) == 0 {
			size = 100_000
		}
		sequence := p.ledger.next(p.instance, partition)
		record := &kgo.Record{Partition: partition, Value: writeValue(p.instance, sequence, size)}
		// Blocks while too many are buffered. Not with `ctx`: what was handed over stays the client's duty when we stop.
		p.client.Produce(context.Background(), record, func(record *kgo.Record, err error) {
			switch {
			case err == nil:
				p.ledger.ack(p.instance, partition, sequence, record.Offset)
			case !p.closing.Load():
				p.ledger.refuse(p.instance, partition, sequence, err)
			}
		})
	}
}

// abandon forgets everything that is not acknowledged yet, as a client that crashes does.
func (p *producer) abandon() {
	p.closing.Store(true)
	p.stop()
	p.client.Close()
	p.done.Wait()
}

// finish stops sending and waits until everything is acknowledged.
func (p *producer) finish(limit time.Duration) error {
	p.stop()
	p.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := p.client.Flush(ctx)
	p.closing.Store(true)
	p.client.Close()
	return err
}
