// What was sent and what was acknowledged: the truth that the broker is judged by.
// A value names its producer instance and its place in that instance's sequence for its partition.

package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"
)

const (
	valueHeadBytes = 4 + 8 + 4 // instance, sequence, checksum of all the rest
	// Acked, but at no known offset: a broker that answers a retried batch without its offset is wrong for us.
	unknownOffset = -2
	unacked       = -1
)

// stream is what one producer instance sent to one partition: offsets[sequence], unacked where nothing was heard.
type stream struct {
	offsets []int64
	acked   int64
}

// ledger holds all streams: by instance, then by partition.
type ledger struct {
	mu      sync.Mutex
	streams [][]stream
	lossy   map[uint32]bool // instances that send nothing twice, so that one record may be missing and a later one there
	acked   int64
	errors  []string
}

// newInstance gives a fresh producer its number.
func (l *ledger) newInstance(partitions int) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams = append(l.streams, make([]stream, partitions))
	return uint32(len(l.streams) - 1)
}

// allowGaps is for producers that give up a record and go on.
func (l *ledger) allowGaps(instance uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lossy == nil {
		l.lossy = make(map[uint32]bool)
	}
	l.lossy[instance] = true
}

// next takes the next sequence of an instance in a partition.
func (l *ledger) next(instance uint32, partition int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.streams[instance][partition]
	s.offsets = append(s.offsets, unacked)
	return int64(len(s.offsets) - 1)
}

// ack notes where a record was placed.
func (l *ledger) ack(instance uint32, partition int32, sequence, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.streams[instance][partition]
	if s.offsets[sequence] != unacked {
		l.fail("instance %d partition %d sequence %d was acknowledged twice", instance, partition, sequence)
	}
	if offset < 0 {
		l.fail("instance %d partition %d sequence %d was acknowledged at offset %d", instance, partition, sequence, offset)
		offset = unknownOffset
	}
	s.offsets[sequence] = offset
	s.acked++
	l.acked++
}

// refuse notes an error that an idempotent producer must never see.
func (l *ledger) refuse(instance uint32, partition int32, sequence int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail("instance %d partition %d sequence %d was refused: %v", instance, partition, sequence, err)
}

// fail wants the lock held. Only the first errors are worth reading.
func (l *ledger) fail(format string, args ...any) {
	if len(l.errors) < 50 {
		l.errors = append(l.errors, fmt.Sprintf(format, args...))
	}
}

// ackedOf counts what an instance has heard of.
func (l *ledger) ackedOf(instance uint32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var acked int64
	for _, s := range l.streams[instance] {
		acked += s.acked
	}
	return acked
}

// ends gives, for each partition, the offset after the last acknowledged one.
func (l *ledger) ends(partitions int) []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends := make([]int64, partitions)
	for _, instance := range l.streams {
		for p, s := range instance {
			// Sequences are acknowledged in order, so the last acked one has the highest offset.
			for i := len(s.offsets) - 1; i >= 0; i-- {
				if s.offsets[i] >= 0 {
					ends[p] = max(ends[p], s.offsets[i]+1)
					break
				}
			}
		}
	}
	return ends
}

// write makes a value of `size` bytes, at least its head.
func writeValue(instance uint32, sequence int64, size int) []byte {
	value := make([]byte, max(size, valueHeadBytes))
	binary.BigEndian.PutUint32(value, instance)
	binary.BigEndian.PutUint64(value[4:], uint64(sequence))
	state := uint64(instance)<<40 ^ uint64(sequence) ^ 0x9e3779b97f4a7c15
	for i := valueHeadBytes; i < len(value); i++ {
		// Half noise, half the same letter: compressible, but no two values alike.
		if i%2 == 0 {
			state ^= state << 13
			state ^= state >> 7
			state ^= state << 17
			value[i] = byte(state)
		} else {
			value[i] = 'p'
		}
	}
	binary.BigEndian.PutUint32(value[12:], checksum(value))
	return value
}

// readValue checks a value and tells whose it is.
func readValue(value []byte) (instance uint32, sequence int64, err error) {
	if len(value) < valueHeadBytes {
		return 0, 0, fmt.Errorf("a value of %d bytes is none of ours", len(value))
	}
	if binary.BigEndian.Uint32(value[12:]) != checksum(value) {
		return 0, 0, fmt.Errorf("a value of %d bytes has a wrong checksum", len(value))
	}
	return binary.BigEndian.Uint32(value), int64(binary.BigEndian.Uint64(value[4:])), nil
}

func checksum(value []byte) uint32 {
	sum := crc32.ChecksumIEEE(value[:12])
	return crc32.Update(sum, crc32.IEEETable, value[valueHeadBytes:])
}
