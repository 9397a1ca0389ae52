// Connections to an agent that is told to stop: what it took from them, it also answers. Requests are made by hand on
// connections that nobody gives up, because a client that hears that its broker has left closes them itself.

package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Requests under way at a time on the connection, each to a partition of its own.
const drainedInFlight = 16

// drained sends to one agent until that closes the connection.
type drained struct {
	agent      string
	instance   uint32
	ledger     *ledger
	client     *kgo.Client
	topicID    [16]byte
	answered   atomic.Int64
	unanswered atomic.Int64
	done       sync.WaitGroup
}

func (w *world) startDrained(agent row) (*drained, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(agent.Address))
	if err != nil {
		return nil, err
	}
	d := &drained{agent: agent.Name, instance: w.ledger.newInstance(w.partitions), ledger: &w.ledger, client: client}
	w.ledger.allowGaps(d.instance)
	if d.topicID, err = topicID(context.Background(), client); err != nil {
		return nil, err
	}
	for partition := range min(drainedInFlight, w.partitions) {
		d.done.Add(1)
		go d.send(int32(partition))
	}
	for deadline := time.Now().Add(settleMax); d.answered.Load() < drainedInFlight; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s answers nothing", agent.Name)
		}
	}
	return d, nil
}

// send goes on until there is no answer any more.
func (d *drained) send(partition int32) {
	defer d.done.Done()
	for {
		sequence := d.ledger.next(d.instance, partition)
		offset, err := d.produce(partition, writeValue(d.instance, sequence, 100))
		if err != nil {
			d.unanswered.Add(1)
			return
		}
		d.answered.Add(1)
		if offset >= 0 {
			d.ledger.ack(d.instance, partition, sequence, offset)
		}
	}
}

// produce gives the offset of the record, or -1 when the agent refuses it.
func (d *drained) produce(partition int32, value []byte) (int64, error) {
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 30_000
	to := kmsg.NewProduceRequestTopicPartition()
	to.Partition, to.Records = partition, batchOf(value)
	in := kmsg.NewProduceRequestTopic()
	in.Topic, in.TopicID, in.Partitions = topic, d.topicID, append(in.Partitions, to)
	request.Topics = append(request.Topics, in)
	answer, err := d.client.SeedBrokers()[0].Request(context.Background(), request)
	if err != nil {
		return 0, err
	}
	for _, t := range answer.(*kmsg.ProduceResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == 0 {
				return p.BaseOffset, nil
			}
		}
	}
	return -1, nil
}

// end waits until the connection is closed.
func (d *drained) end() {
	d.done.Wait()
	d.client.Close()
}

// judge counts what was stored and never answered.
func (d *drained) judge(all *reader) error {
	silent := 0
	for p := range all.seen[d.instance] {
		for sequence, there := range all.seen[d.instance][p].sequences {
			if there && d.ledger.streams[d.instance][p].offsets[sequence] == unacked {
				silent++
			}
		}
	}
	return unless(silent == 0, "%d records are there that it did not acknowledge", silent)
}

// batchOf makes a record batch of one record.
func batchOf(value []byte) []byte {
	record := kmsg.Record{Value: value}
	record.Length = int32(len(record.AppendTo(nil)) - 1) // the length itself is one byte while it is 0
	now := time.Now().UnixMilli()
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: now, MaxTimestamp: now, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: 1, Records: record.AppendTo(nil),
	}
	const lengthEnd, crcEnd = 12, 21
	batch.Length = int32(len(batch.AppendTo(nil)) - lengthEnd)
	batch.CRC = int32(crc32.Checksum(batch.AppendTo(nil)[crcEnd:], crc32.MakeTable(crc32.Castagnoli)))
	return batch.AppendTo(nil)
}
