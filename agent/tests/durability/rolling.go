// Every process of a cluster is stopped in order (SIGTERM) and started again, one after the other, beside clients that try
// nothing twice. Those that are connected to other agents must not notice.

package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// franz-go fails records with the last error of a request for metadata when that is not tried again either, which is
	// none of the records' doing; librdkafka and Java always ask somebody else for metadata.
	strictSettings = "franz-go, acks=all, not idempotent, records are sent once (retries=0), metadata every 100 ms to 2 s"
	// A client that had to leave its agent is back there soon after it hears of it again.
	homeMax = 30 * time.Second
)

// strict is a producer without retries, and where its requests go.
type strict struct {
	pacer
	at     atomic.Int32 // node id, 0 before the first request
	mu     sync.Mutex
	failed []string
}

// OnBrokerWrite is franz-go's hook.
func (s *strict) OnBrokerWrite(broker kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == 0 {
		s.at.Store(broker.NodeID)
	}
}

func (s *strict) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = append(s.failed, err.Error())
}

// takeErrors takes what went wrong since the last time.
func (s *strict) takeErrors() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := s.failed
	s.failed = nil
	return failed
}

func rolling(w *world) error {
	fmt.Println("clients without retries:", strictSettings)
	if err := w.startLoad(); err != nil {
		return err
	}
	stricts, err := w.startStrict()
	if err != nil {
		return err
	}
	var connections []*drained
	for _, each := range append(w.machine.of(roleAgent), w.machine.of(roleMetadata)...) {
		if err := w.allAtHome(stricts); err != nil {
			return err
		}
		var connected *drained
		if each.Role == roleAgent {
			if connected, err = w.startDrained(each); err != nil {
				return err
			}
			connections = append(connections, connected)
		}
		if err := w.restart(each, stricts); err != nil {
			return err
		}
		if connected != nil {
			connected.end()
		}
	}
	for _, s := range stricts {
		w.producers = append(w.producers, &s.pacer)
	}
	if err := w.verify(); err != nil {
		return err
	}
	for _, d := range connections {
		w.check(fmt.Sprintf("%s answers what it took: %d answers, then %d requests that it did not take", d.agent, d.answered.Load(),
			d.unanswered.Load()), d.judge(w.all))
	}
	w.acked.print("of acks, clients with retries,")
	return nil
}

func (w *world) startStrict() ([]*strict, error) {
	var stricts []*strict
	for _, zone := range zones {
		s := &strict{pacer: pacer{zone: zone, ledger: &w.ledger, interval: w.interval, bytes: w.bytes}}
		s.errors = s.fail
		options := append(clientOptions(w.seeds(), "strict", zone), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0),
			kgo.MetadataMaxAge(2*time.Second), kgo.WithHooks(s))
		if err := s.start(w.partitions, options); err != nil {
			return nil, err
		}
		w.ledger.allowGaps(s.instance)
		stricts = append(stricts, s)
	}
	return stricts, nil
}

// restart stops a process, starts it again, and looks at those who were not connected to it.
func (w *world) restart(which row, stricts []*strict) error {
	var there, elsewhere []*strict
	acks := make([]int64, len(stricts))
	for i, s := range stricts {
		acks[i] = s.acks.Load()
		if failed := s.takeErrors(); len(failed) > 0 {
			return fmt.Errorf("while nothing is done: %s", failed[0])
		}
		if which.Role == roleAgent && zones[i] == w.zoneOf(which) {
			there = append(there, s)
		} else {
			elsewhere = append(elsewhere, s)
		}
	}
	w.acked.event("restart "+which.Role, which.Name)
	began := time.Now()
	if err := w.machine.do("stop", which.Name); err != nil {
		return err
	}
	stopped := time.Since(began)
	if err := w.machine.startUntilUp(which.Name, settleMax); err != nil {
		return err
	}
	ready := time.Since(began)
	time.Sleep(w.pause)
	var wrong, hurt []string
	for _, s := range elsewhere {
		wrong = append(wrong, s.takeErrors()...)
	}
	for _, s := range there {
		hurt = append(hurt, s.takeErrors()...)
	}
	var more int64
	for i, s := range stricts {
		if slices.Contains(elsewhere, s) {
			more += s.acks.Load() - acks[i]
		}
	}
	fmt.Printf("%s: stopped after %.1f s, ready again after %.1f s; %d acks elsewhere; %d records of its own clients not acknowledged\n",
		which.Name, stopped.Seconds(), ready.Seconds(), more, len(hurt))
	for _, each := range hurt[:min(len(hurt), 1)] {
		fmt.Println("    such as:", each)
	}
	w.check("restart of "+which.Name+": clients elsewhere without retries see no error",
		unless(len(wrong) == 0 && more > 0, "%d errors, %d acks\n%s", len(wrong), more, lines(wrong[:min(len(wrong), 10)])))
	return nil
}

// zoneOf an agent: they are in turn in zones a, b and c, and numbered in that order.
func (w *world) zoneOf(agent row) string {
	i := slices.IndexFunc(w.machine.of(roleAgent), func(each row) bool { return each.Name == agent.Name })
	return zones[i%len(zones)]
}

// allAtHome waits until every client without retries sends to the agent of its zone.
func (w *world) allAtHome(stricts []*strict) error {
	deadline := time.Now().Add(homeMax)
	for {
		var away []string
		for i, s := range stricts {
			if s.at.Load() != int32(i+1) {
				away = append(away, s.zone)
			}
		}
		if len(away) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("clients of zones %v do not go to their agents", away)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, s := range stricts {
		s.takeErrors() // what happened to it on its way home is not the next one's doing
	}
	time.Sleep(time.Second)
	return nil
}

var _ kgo.HookBrokerWrite = (*strict)(nil)
