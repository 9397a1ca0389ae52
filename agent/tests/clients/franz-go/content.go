package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What record number n looks like: ../README.md has it in words, ../content.py in Python.

var kcatHeaders = []kgo.RecordHeader{
	{Key: "z", Value: []byte("9")}, {Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")},
	{Key: "empty", Value: []byte{}}, {Key: "null"},
}

func content(shape string, n int) (key, value []byte, headers []kgo.RecordHeader) {
	if shape == "value" {
		return nil, strconv.AppendInt(nil, int64(n), 10), nil
	}
	kind := n % 16
	switch {
	case kind == 1 || kind == 2 && shape == "kcat":
	case kind == 2:
		key = []byte{}
	case kind == 10:
		key = pattern(n, 12, shape)
	default:
		key = strconv.AppendInt([]byte{'k'}, int64(n), 10)
	}
	switch {
	case kind == 3 || kind == 4 && shape == "kcat":
	case kind == 4:
		value = []byte{}
	case kind == 5:
		value = pattern(n, 256, shape)
	default:
		padding := n % 89
		if kind == 15 {
			padding = 1000
		}
		value = append(strconv.AppendInt([]byte{'v'}, int64(n), 10), ':')
		for i := range padding {
			value = append(value, byte('a'+(n+i)%26))
		}
	}
	if shape == "kcat" {
		return key, value, kcatHeaders
	}
	return key, value, headersOf(shape, n, kind)
}

func headersOf(shape string, n, kind int) []kgo.RecordHeader {
	switch kind {
	case 6:
		return nil
	case 7:
		return []kgo.RecordHeader{{Key: "dup", Value: []byte("1")}, {Key: "dup", Value: []byte("2")}, {Key: "dup", Value: []byte("1")}}
	case 8:
		null := kgo.RecordHeader{Key: "null"}
		if shape == "no-null-header" {
			null.Value = []byte{}
		}
		return []kgo.RecordHeader{null, {Key: "empty", Value: []byte{}}, {Key: "bin", Value: pattern(n, 16, shape)}}
	case 9:
		return []kgo.RecordHeader{{Key: "schl\u00fcssel", Value: []byte("stra\u00dfe")}}
	}
	return []kgo.RecordHeader{{Key: "n", Value: strconv.AppendInt(nil, int64(n), 10)}, {Key: "a", Value: []byte("1")}}
}

func pattern(n, length int, shape string) []byte {
	value := make([]byte, length)
	for i := range value {
		value[i] = byte(n + i)
	}
	if shape == "text" {
		return []byte(hex.EncodeToString(value))
	}
	return value
}

// number is what a record says of itself: no kind hides it in both places.
func number(key, value []byte) (int, error) {
	if len(value) > 0 {
		digits, _, _ := bytes.Cut(bytes.TrimPrefix(value, []byte{'v'}), []byte{':'})
		if value[0] == 'v' || key == nil {
			if n, err := strconv.Atoi(string(digits)); err == nil {
				return n, nil
			}
		}
	}
	if len(key) > 1 && key[0] == 'k' {
		if n, err := strconv.Atoi(string(key[1:])); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("a record without a number: key %q, value %q", key, value)
}

// topicCheck holds every record of one topic, as it is read, against what was written to it; see ../content.py.
type topicCheck struct {
	shape, layout       string
	partitions, records int
	next                []int64
	last                []int
	seen                []bool
	count               int
}

func newTopicCheck(shape, layout string, partitions, records int) *topicCheck {
	check := &topicCheck{shape: shape, layout: layout, partitions: partitions, records: records}
	check.next = make([]int64, partitions)
	check.last = make([]int, partitions)
	for i := range check.last {
		check.last[i] = -1
	}
	check.seen = make([]bool, records)
	return check
}

func (c *topicCheck) add(r *kgo.Record) error {
	at := fmt.Sprintf("%s partition %d offset %d", r.Topic, r.Partition, r.Offset)
	p := int(r.Partition)
	if r.Offset != c.next[p] {
		return fmt.Errorf("%s, where %d comes next", at, c.next[p])
	}
	c.next[p]++
	n := int(r.Offset)*c.partitions + p
	if c.layout == "numbered" {
		var err error
		if n, err = number(r.Key, r.Value); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	key, value, headers := content(c.shape, n)
	if !same(key, r.Key) || !same(value, r.Value) || !sameHeaders(headers, r.Headers) {
		return fmt.Errorf("%s: read %q %q %v, written was %q %q %v", at, r.Key, r.Value, r.Headers, key, value, headers)
	}
	if n <= c.last[p] {
		return fmt.Errorf("%s: record %d after record %d", at, n, c.last[p])
	}
	if n >= c.records || c.seen[n] {
		return fmt.Errorf("%s: record %d twice, or never written", at, n)
	}
	c.last[p], c.seen[n] = n, true
	c.count++
	return nil
}

// same tells null from empty.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func sameHeaders(a, b []kgo.RecordHeader) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || !same(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}
