// PostgreSQL, MinIO or both are away for a while, under load that would fill any memory that is not bounded.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type outageOptions struct {
	of      string
	seconds int
	hang    bool
}

func (o *outageOptions) declare(flags *flag.FlagSet) {
	flags.StringVar(&o.of, "of", "both", "store, bucket or both")
	flags.IntVar(&o.seconds, "seconds", 60, "how long")
	flags.BoolVar(&o.hang, "hang", false, "they stand still (SIGSTOP) instead of being gone")
}

const (
	floodTopic      = "flood"
	floodPartitions = 8
	// What was on its way when it happened may still be acknowledged.
	ackSlack = 500 * time.Millisecond
	// What every agent is asked for until it has it.
	atHandMax = 30 * time.Second
	// Readiness must tell within this time, on any machine; when one does nothing else, clients are served again in 2 s.
	redMax, resumeMax = 20 * time.Second, 30 * time.Second
	resumeGoal        = 2 * time.Second
	// What an agent takes beside its buffer, cache and replies in flight, for allocators and all that hangs.
	memorySlack = 256 << 20
	// The flags with which that is compared: less than what is sent meanwhile.
	outageFlags               = "--buffer-memory 32MiB --cache-memory 64MiB"
	bufferMemory, cacheMemory = 32 << 20, 64 << 20
)

// outageRun is one outage.
type outageRun struct {
	*world
	parts []string // processes of local-cluster
	flood atomic.Bool
	// Largest resident memory seen, by process.
	before, most map[string]int64
	reads        struct{ right, wrong int }
	wrongRead    string
}

func outage(w *world) error {
	parts := map[string][]string{"store": {"postgres"}, "bucket": {"minio"}, "both": {"postgres", "minio"}}[w.outage.of]
	if parts == nil {
		return errors.New("--outage wants store, bucket or both")
	}
	o := &outageRun{world: w, parts: parts, before: map[string]int64{}, most: map[string]int64{}}
	if err := w.startLoad(); err != nil {
		return err
	}
	if err := w.makeTopic(floodTopic, floodPartitions); err != nil {
		return err
	}
	ends := w.ledger.ends(w.partitions)
	stopFlood, err := o.startFlood()
	if err != nil {
		return err
	}
	if err := o.happen(ends, stopFlood); err != nil {
		return err
	}
	return w.verify()
}

// happen takes the parts away, watches, brings them back, and watches again.
func (o *outageRun) happen(ends []int64, stopFlood func()) error {
	for _, each := range o.penstocks() {
		o.before[each.Name] = memory(each.Pid)
	}
	if err := o.haveAtHand(ends); err != nil {
		return fmt.Errorf("not even before the outage can be read what is known: %w", err)
	}
	for _, part := range o.parts {
		if err := o.machine.do(o.verb("kill", "freeze"), part); err != nil {
			return err
		}
	}
	gone := time.Now()
	o.flood.Store(true)
	time.Sleep(ackSlack)
	acked := o.acks()
	red := map[string]time.Duration{}
	for end := gone.Add(time.Duration(o.outage.seconds) * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		o.measure()
		o.watchReadiness(red, time.Since(gone), http.StatusServiceUnavailable)
		o.readKnown(ends)
	}
	during := o.acks() - acked
	stopFlood()
	for _, part := range o.parts {
		if err := o.machine.do(o.verb("start", "thaw"), part); err != nil {
			return err
		}
	}
	back := time.Now()
	o.judgeOutage(during, red)
	o.judgeReturn(back)
	return nil
}

func (o *outageRun) verb(gone, hung string) string {
	if o.outage.hang {
		return hung
	}
	return gone
}

func (o *outageRun) penstocks() []row {
	return append(o.machine.of(roleMetadata), o.machine.of(roleAgent)...)
}

func (o *outageRun) acks() int64 {
	var acks int64
	for _, p := range o.producers {
		acks += p.acks.Load()
	}
	return acks
}

func (o *outageRun) measure() {
	for _, each := range o.penstocks() {
		o.most[each.Name] = max(o.most[each.Name], memory(each.Pid))
	}
}

// watchReadiness notes when the agents' pages say so for the first time.
func (o *outageRun) watchReadiness(seen map[string]time.Duration, after time.Duration, wanted int) {
	for _, agent := range o.machine.of(roleAgent) {
		if status, _ := page(agent.HTTP, "/health/ready"); status == wanted {
			if _, known := seen[agent.Name]; !known {
				seen[agent.Name] = after
			}
		}
	}
}

func (o *outageRun) judgeOutage(acks int64, red map[string]time.Duration) {
	fmt.Printf("%s away for %d s; load average %s\n", o.outage.of, o.outage.seconds, loadAverage())
	o.check("nothing is acknowledged meanwhile", unless(acks == 0, "%d acks", acks))
	for _, agent := range o.machine.of(roleAgent) {
		after, known := red[agent.Name]
		o.check(fmt.Sprintf("%s is not ready, after %.1f s", agent.Name, after.Seconds()),
			unless(known && after <= redMax, "it says that it is ready"))
	}
	for _, each := range o.penstocks() {
		before, most := o.before[each.Name]>>20, o.most[each.Name]>>20
		limit := before + (bufferMemory+cacheMemory+memorySlack)>>20
		o.check(fmt.Sprintf("%s keeps its memory bounded: %d MiB before, %d MiB at most", each.Name, before, most),
			unless(most > 0 && most <= limit, "more than %d MiB", limit))
	}
	o.check(fmt.Sprintf("what is known can be read meanwhile, %d times through every agent", o.reads.right/3),
		unless(o.reads.wrong == 0 && o.reads.right > 3, "%d reads failed: %s", o.reads.wrong, o.wrongRead))
}

// judgeReturn waits until everybody is served again.
func (o *outageRun) judgeReturn(back time.Time) {
	green := map[string]time.Duration{}
	first := map[uint32]time.Duration{}
	for time.Since(back) < resumeMax && (len(green) < len(o.machine.of(roleAgent)) || len(first) < len(o.producers)) {
		o.watchReadiness(green, time.Since(back), http.StatusOK)
		for _, p := range o.producers {
			if ack := time.Unix(0, p.lastAck.Load()); ack.After(back) {
				if _, known := first[p.instance]; !known {
					first[p.instance] = ack.Sub(back)
				}
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, p := range o.producers {
		after, known := first[p.instance]
		who := fmt.Sprintf("the producer of zone %q is served again, %.2f s after the return", p.zone, after.Seconds())
		o.check(who, unless(known, "no ack in %v", resumeMax))
		if known {
			o.goal(fmt.Sprintf("  within %v", resumeGoal), unless(after <= resumeGoal, "%v", after))
		}
	}
	for _, agent := range o.machine.of(roleAgent) {
		after, known := green[agent.Name]
		o.check(fmt.Sprintf("%s is ready again, after %.2f s", agent.Name, after.Seconds()), unless(known, "not in %v", resumeMax))
	}
}

// haveAtHand reads through every agent what is read during the outage: it may have come through another one. A fetch gives
// what it has half a second after it has something, which a slow machine may need several times.
func (o *outageRun) haveAtHand(ends []int64) error {
	for _, agent := range o.machine.of(roleAgent) {
		var err error
		for end := time.Now().Add(atHandMax); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if err = fetchLast(agent.Address, ends); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", agent.Name, err)
		}
	}
	return nil
}

// readKnown fetches through every agent the last record of some partitions that had been acknowledged before.
func (o *outageRun) readKnown(ends []int64) {
	for _, agent := range o.machine.of(roleAgent) {
		if err := fetchLast(agent.Address, ends); err != nil {
			o.reads.wrong++
			o.wrongRead = agent.Name + ": " + err.Error()
		} else {
			o.reads.right++
		}
	}
}

func fetchLast(address string, ends []int64) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	id, err := topicID(ctx, client)
	if err != nil {
		return err
	}
	request := kmsg.NewPtrFetchRequest()
	request.ReplicaID, request.MaxWaitMillis, request.MinBytes, request.MaxBytes = -1, 100, 1, 1<<20
	wanted := kmsg.NewFetchRequestTopic()
	wanted.Topic, wanted.TopicID = topic, id
	for p := 0; p < len(ends); p += 16 {
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = int32(p), ends[p]-1, 1<<16
		wanted.Partitions = append(wanted.Partitions, partition)
	}
	request.Topics = append(request.Topics, wanted)
	// To that agent and no other, whoever is told to be the leader.
	for _, broker := range client.SeedBrokers() {
		response, err := broker.Request(ctx, request)
		if err != nil {
			return err
		}
		for _, t := range response.(*kmsg.FetchResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
					return fmt.Errorf("partition %d at offset %d: error %d, %d bytes",
						p.Partition, ends[p.Partition]-1, p.ErrorCode, len(p.RecordBatches))
				}
			}
		}
	}
	return nil
}

func topicID(ctx context.Context, client *kgo.Client) (id [16]byte, err error) {
	request := kmsg.NewPtrMetadataRequest()
	named := kmsg.NewMetadataRequestTopic()
	named.Topic = kmsg.StringPtr(topic)
	request.Topics = append(request.Topics, named)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return id, err
	}
	if len(response.Topics) != 1 || response.Topics[0].ErrorCode != 0 {
		return id, fmt.Errorf("no metadata of the topic: %+v", response.Topics)
	}
	return response.Topics[0].TopicID, nil
}
