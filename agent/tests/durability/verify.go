// Reads everything back without groups and compares it with the ledger.

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// verdict counts what is wrong; all zero is right.
type verdict struct {
	read       int64
	lost       int64 // acknowledged, not there
	duplicated int64 // there twice
	reordered  int64 // a producer's later record before an earlier one, in one partition
	gaps       int64 // a record is there, one its producer sent before it is not
	misplaced  int64 // acknowledged at one offset, read at another
	foreign    int64 // not a value anybody sent
	holes      int64 // offsets that no record has
	errors     []string
}

func (v *verdict) wrong() int64 {
	return v.lost + v.duplicated + v.reordered + v.gaps + v.misplaced + v.foreign + v.holes
}

func (v *verdict) say(format string, args ...any) {
	if len(v.errors) < 50 {
		v.errors = append(v.errors, fmt.Sprintf(format, args...))
	}
}

// endOffsets asks for the latest offsets of all partitions.
func endOffsets(ctx context.Context, client *kgo.Client, partitions int) ([]int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	wanted := kmsg.NewListOffsetsRequestTopic()
	wanted.Topic = topic
	for p := range partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp, partition.CurrentLeaderEpoch = int32(p), -1, -1
		wanted.Partitions = append(wanted.Partitions, partition)
	}
	request.Topics = append(request.Topics, wanted)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	ends := make([]int64, partitions)
	seen := 0
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || p.Partition < 0 || int(p.Partition) >= partitions {
				return nil, fmt.Errorf("ListOffsets of partition %d: error %d", p.Partition, p.ErrorCode)
			}
			ends[p.Partition] = p.Offset
			seen++
		}
	}
	if seen != partitions {
		return nil, fmt.Errorf("ListOffsets answered %d of %d partitions", seen, partitions)
	}
	return ends, nil
}

// readOn consumes every partition from where the reader stands to its end as asked now.
func readOn(address string, reader *reader, limit time.Duration) error {
	partitions := len(reader.next)
	assigned := make(map[int32]kgo.Offset)
	for p, next := range reader.next {
		assigned[int32(p)] = kgo.NewOffset().At(next)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(address),
		kgo.ClientID("durability-reader"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assigned}),
		// An offset that is not there is a finding, not a reason to start elsewhere.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(200*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ends, err := endOffsets(ctx, client, partitions)
	if err != nil {
		return err
	}
	for !reader.done(ends) {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("read to %v of %v in %v", reader.next, ends, limit)
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("fetch of partition %d: %w", errs[0].Partition, errs[0].Err)
		}
		reader.takeAll(fetches)
	}
	return nil
}

// reader follows all streams at once. It may read while producers still send.
type reader struct {
	verdict verdict
	ledger  *ledger
	next    []int64     // by partition: the offset expected next
	seen    [][]readOut // by instance, partition
}

// readOut is what was read of one stream.
type readOut struct {
	sequences []bool
	last      int64 // the highest sequence seen
	settled   int   // below this, everything acknowledged was found
}

func newReader(partitions int, l *ledger) *reader {
	return &reader{ledger: l, next: make([]int64, partitions)}
}

// grow wants the ledger's lock held: makes room for what was sent since.
func (r *reader) grow() {
	for len(r.seen) < len(r.ledger.streams) {
		streams := make([]readOut, len(r.next))
		for p := range streams {
			streams[p].last = -1
		}
		r.seen = append(r.seen, streams)
	}
	for instance, partitions := range r.ledger.streams {
		for p, s := range partitions {
			seen := &r.seen[instance][p]
			seen.sequences = append(seen.sequences, make([]bool, len(s.offsets)-len(seen.sequences))...)
		}
	}
}

func (r *reader) takeAll(fetches kgo.Fetches) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	r.grow()
	fetches.EachRecord(r.take)
}

// missing finds the first record that was acknowledged below `acked` but not read. `acked` was noted before the ends
// that were read to were asked for.
func (r *reader) missing(acked []int64) error {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	r.grow()
	for instance, partitions := range r.ledger.streams {
		for p, s := range partitions {
			seen := &r.seen[instance][p]
			for seen.settled < len(s.offsets) {
				offset := s.offsets[seen.settled]
				if offset < 0 || offset >= acked[p] {
					break
				}
				if !seen.sequences[seen.settled] {
					return fmt.Errorf("partition %d: instance %d sequence %d, acknowledged at %d, is not there after the restart",
						p, instance, seen.settled, offset)
				}
				seen.settled++
			}
		}
	}
	return nil
}

func (r *reader) done(ends []int64) bool {
	for p, end := range ends {
		if r.next[p] < end {
			return false
		}
	}
	return true
}

func (r *reader) take(record *kgo.Record) {
	v, p := &r.verdict, record.Partition
	v.read++
	if record.Offset != r.next[p] {
		v.holes++
		v.say("partition %d: offset %d came where %d was due", p, record.Offset, r.next[p])
	}
	r.next[p] = record.Offset + 1
	instance, sequence, err := readValue(record.Value)
	if err == nil && (int(instance) >= len(r.seen) || sequence < 0 || sequence >= int64(len(r.seen[instance][p].sequences))) {
		err = fmt.Errorf("instance %d never sent sequence %d", instance, sequence)
	}
	if err != nil {
		v.foreign++
		v.say("partition %d offset %d: %v", p, record.Offset, err)
		return
	}
	seen := &r.seen[instance][p]
	switch {
	case seen.sequences[sequence]:
		v.duplicated++
		v.say("partition %d offset %d: instance %d sequence %d again", p, record.Offset, instance, sequence)
	case sequence < seen.last:
		v.reordered++
		v.say("partition %d offset %d: instance %d sequence %d after %d", p, record.Offset, instance, sequence, seen.last)
	}
	seen.sequences[sequence] = true
	seen.last = max(seen.last, sequence)
	acked := r.ledger.streams[instance][p].offsets[sequence]
	if acked != unacked && acked != record.Offset {
		v.misplaced++
		v.say("partition %d: instance %d sequence %d was acknowledged at %d and read at %d", p, instance, sequence, acked, record.Offset)
	}
}

// finish looks for what never came. Nobody sends any more.
func (r *reader) finish() *verdict {
	v := &r.verdict
	r.grow()
	for instance, partitions := range r.ledger.streams {
		for p, s := range partitions {
			for sequence, offset := range s.offsets {
				switch {
				case r.seen[instance][p].sequences[sequence]:
				case offset != unacked:
					v.lost++
					v.say("partition %d: instance %d sequence %d, acknowledged at %d, is not there", p, instance, sequence, offset)
				case int64(sequence) < r.seen[instance][p].last && !r.ledger.lossy[uint32(instance)]:
					v.gaps++
					v.say("partition %d: instance %d sequence %d is not there, a later one is", p, instance, sequence)
				}
			}
		}
	}
	return v
}
