// Command client is franz-go as its users write it: `write`, `read`, and what else it is asked in cases.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type options struct {
	bootstrap, codec, shape, layout, name string
	topics                                []string
	partitions, first, end, records       int
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: client version|write|read|case [flags]")
		os.Exit(2)
	}
	var o options
	var topics string
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.bootstrap, "bootstrap", "", "broker")
	flags.StringVar(&topics, "topics", "", "topics, with commas")
	flags.StringVar(&o.codec, "codec", "none", "compression")
	flags.StringVar(&o.shape, "shape", "whole", "of the records")
	flags.StringVar(&o.layout, "layout", "modulo", "of the records over partitions")
	flags.StringVar(&o.name, "name", "", "of the case")
	flags.IntVar(&o.partitions, "partitions", 1, "of each topic")
	flags.IntVar(&o.first, "first", 0, "number of the first record to write")
	flags.IntVar(&o.end, "end", 0, "number after the last record to write")
	flags.IntVar(&o.records, "records", 0, "of each topic, to read")
	_ = flags.Parse(os.Args[2:])
	o.topics = strings.Split(topics, ",")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	switch os.Args[1] {
	case "version":
		err = version()
	case "write":
		err = write(ctx, o)
	case "read":
		err = read(ctx, o)
	case "case":
		err = runCase(ctx, o)
	default:
		err = fmt.Errorf("there is no command %s", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func version() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("built without modules")
	}
	for _, module := range info.Deps {
		fmt.Println(module.Path, module.Version)
	}
	return nil
}

func codecOf(name string) kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[name]
}

// write produces the records first to end of each topic, record n into partition n % partitions. The client is idempotent
// unless told otherwise.
func write(ctx context.Context, o options) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(o.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecOf(o.codec)), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	if o.first == 0 {
		if err := create(ctx, client, o.partitions, nil, o.topics...); err != nil {
			return err
		}
	}
	var once sync.Once
	var failed error
	for n := o.first; n < o.end; n++ {
		key, value, headers := content(o.shape, n)
		for _, topic := range o.topics {
			record := &kgo.Record{Topic: topic, Partition: int32(n % o.partitions), Key: key, Value: value, Headers: headers}
			client.Produce(ctx, record, func(_ *kgo.Record, err error) {
				if err != nil {
					once.Do(func() { failed = err })
				}
			})
		}
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	return failed
}

func create(ctx context.Context, client *kgo.Client, partitions int, configs map[string]*string, topics ...string) error {
	created, err := kadm.NewClient(client).CreateTopics(ctx, int32(partitions), 1, configs, topics...)
	if err != nil {
		return err
	}
	return created.Error()
}

// read checks every record of each topic, from assigned partitions up to the end offsets at the start.
func read(ctx context.Context, o options) error {
	checks := map[string]*topicCheck{}
	assigned := map[string]map[int32]kgo.Offset{}
	for _, topic := range o.topics {
		checks[topic] = newTopicCheck(o.shape, o.layout, o.partitions, o.records)
		assigned[topic] = map[int32]kgo.Offset{}
		for p := range o.partitions {
			assigned[topic][int32(p)] = kgo.NewOffset().AtStart()
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(o.bootstrap), kgo.ConsumePartitions(assigned))
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, o.topics...)
	if err != nil {
		return err
	}
	left := 0
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err != nil {
			err = end.Err
		}
		left += int(end.Offset)
	})
	for err == nil && left > 0 {
		// Errors that may pass are not seen here: the client asks again. That nothing comes is.
		patience, cancel := context.WithTimeout(ctx, time.Minute)
		fetches := client.PollFetches(patience)
		cancel()
		fetches.EachError(func(topic string, p int32, failure error) {
			if !kerr.IsRetriable(failure) {
				err = fmt.Errorf("%s partition %d: %w", topic, p, failure)
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			if failure := checks[r.Topic].add(r); err == nil {
				err = failure
			}
		})
	}
	for topic, check := range checks {
		if err == nil && check.count != o.records {
			err = fmt.Errorf("%s: %d of %d records were read", topic, check.count, o.records)
		}
	}
	return err
}
