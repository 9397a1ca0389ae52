// The same questions asked of a whole cluster: many agents, candidates for the order, PostgreSQL and MinIO, which
// deploy/local-cluster starts. `faults.go`, `rolling.go` and `outage.go` do things to it; here are the load and the verdict.

package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// Longest waits before a run counts as stuck: generous, because they only bound a failure.
	settleMax = 90 * time.Second
	flushMax  = 150 * time.Second
	quietTime = 5 * time.Second
)

// Where the agents of deploy/local-cluster are; clients name a zone to meet one agent, or none to use all.
var zones = []string{"a", "b", "c"}

type clusterOptions struct {
	script, penstock, folder string
	partitions               int
	interval                 time.Duration
	bytes                    int
	seed                     uint64
	goals                    bool
	agentFlags               string
	faults                   faultOptions
	outage                   outageOptions
	pause                    time.Duration
}

func clusterMain(mode string, arguments []string) int {
	var o clusterOptions
	flags := flag.NewFlagSet("durability "+mode, flag.ExitOnError)
	flags.StringVar(&o.script, "local-cluster", "", "deploy/local-cluster")
	flags.StringVar(&o.penstock, "penstock", "", "the broker's binary")
	flags.StringVar(&o.folder, "folder", "", "an empty or absent folder for data and logs; kept when something is wrong")
	flags.IntVar(&o.partitions, "partitions", 64, "partitions of the topic")
	flags.DurationVar(&o.interval, "interval", 100*time.Millisecond, "between two records of a producer for a partition")
	flags.IntVar(&o.bytes, "bytes", 200, "bytes of a value")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "decides who is killed when")
	flags.BoolVar(&o.goals, "goals", false, "figures above their goals are failures; for a machine that does nothing else")
	run := map[string]func(*world) error{"faults": faults, "rolling": rolling, "outage": outage}[mode]
	switch mode {
	case "faults":
		o.faults.declare(flags)
	case "outage":
		o.outage.declare(flags)
		o.agentFlags = outageFlags
	case "rolling":
		flags.DurationVar(&o.pause, "pause", 3*time.Second, "between two restarts")
	}
	flags.StringVar(&o.agentFlags, "agent-flags", o.agentFlags, "more flags for every agent")
	flags.Parse(arguments)
	w := &world{clusterOptions: &o, machine: machine{script: o.script, folder: filepath.Join(o.folder, "cluster")}}
	err := w.run(mode, run)
	if err != nil {
		w.check("the run", err)
	}
	fmt.Printf("%d passed, %d failed, 0 skipped\n", w.passed, w.failed)
	if w.failed > 0 {
		fmt.Fprintln(os.Stderr, "durability: FAILED; logs and data:", o.folder)
		return 1
	}
	return 0
}

// world is one run.
type world struct {
	*clusterOptions
	machine        machine
	ledger         ledger
	random         *rand.Rand
	producers      []*pacer
	consumers      []*tailer
	acked, read    *gapBook
	all            *reader // everything, once it was verified
	mu             sync.Mutex
	heard          []string // errors that clients must not hear
	passed, failed int
	began          time.Time
}

func (w *world) run(mode string, body func(*world) error) error {
	w.random = rand.New(rand.NewPCG(w.seed, 0))
	w.began = time.Now()
	if err := os.MkdirAll(w.folder, 0o755); err != nil {
		return err
	}
	fmt.Printf("%s: seed %d, %d partitions, load average %s\nclients: %s\n", mode, w.seed, w.partitions, loadAverage(), clientSettings)
	if _, err := w.machine.command("up", "--bin", w.penstock, "--agent-flags", w.agentFlags); err != nil {
		return err
	}
	if err := w.machine.look(); err != nil {
		return err
	}
	if err := w.makeTopic(topic, w.partitions); err != nil {
		return err
	}
	if err := w.awaitBrokers(); err != nil {
		return err
	}
	if err := body(w); err != nil {
		return err
	}
	fmt.Printf("load average at the end %s, %d s\n", loadAverage(), int(time.Since(w.began).Seconds()))
	return nil
}

func (w *world) seeds() []string {
	var seeds []string
	for _, agent := range w.machine.of(roleAgent) {
		seeds = append(seeds, agent.Address)
	}
	return seeds
}

func (w *world) makeTopic(name string, partitions int) error {
	return createTopic(w.seeds(), name, partitions, settleMax)
}

// awaitBrokers waits until every agent tells of all: an agent that has just come may not be known to the others yet.
func (w *world) awaitBrokers() error {
	deadline := time.Now().Add(settleMax)
	for _, seed := range w.seeds() {
		for told := -1; told != len(w.seeds()); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("%s tells of %d agents", seed, told)
			}
			client, err := kgo.NewClient(kgo.SeedBrokers(seed))
			if err != nil {
				return err
			}
			if response, err := kmsg.NewPtrMetadataRequest().RequestWith(context.Background(), client); err == nil {
				told = len(response.Brokers)
			}
			client.Close()
		}
	}
	return nil
}

// mustNot notes what an idempotent producer that tries again, or a consumer, must never hear.
func (w *world) mustNot(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.heard) < 50 {
		w.heard = append(w.heard, err.Error())
	}
}

// startLoad begins with idempotent producers and consumers, one of each for every zone and a producer of none, and lets
// them run for a while, so that what is usual is known.
func (w *world) startLoad() error {
	w.acked = newGapBook((len(zones) + 1) * w.partitions)
	w.read = newGapBook(len(zones) * w.partitions)
	for i, zone := range append([]string{""}, zones...) {
		p := &pacer{zone: zone, ledger: &w.ledger, gaps: w.acked, base: i * w.partitions, errors: w.mustNot, interval: w.interval, bytes: w.bytes}
		if err := p.start(w.partitions, clientOptions(w.seeds(), "producer", zone)); err != nil {
			return err
		}
		w.producers = append(w.producers, p)
	}
	for i, zone := range zones {
		t := &tailer{zone: zone, reader: newReader(w.partitions, &w.ledger), gaps: w.read, base: i * w.partitions, errors: w.mustNot}
		if err := t.start(w.partitions, clientOptions(w.seeds(), "consumer", zone)); err != nil {
			return err
		}
		w.consumers = append(w.consumers, t)
	}
	for _, p := range w.producers {
		if err := awaitAcks(p, p.acks.Load(), settleMax); err != nil {
			return err
		}
	}
	time.Sleep(quietTime)
	for _, agent := range w.machine.of(roleAgent) {
		produced := metric(agent.HTTP, "penstock_requests_total", `api="Produce"`)
		fetched := metric(agent.HTTP, "penstock_requests_total", `api="Fetch"`)
		w.check(agent.Name+" serves producers and consumers", unless(produced > 0 && fetched > 0, "%v and %v requests", produced, fetched))
	}
	return nil
}

// awaitAcks waits until a producer has heard more than `before` acks.
func awaitAcks(p *pacer, before int64, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for p.acks.Load() <= before {
		if time.Now().After(deadline) {
			return fmt.Errorf("producer %d of zone %q: nothing was acknowledged for %v", p.instance, p.zone, limit)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

// verify stops the load, reads everything, and judges.
func (w *world) verify() error {
	w.check("all processes are ready in the end", w.machine.ready(settleMax))
	var late []string
	for _, p := range w.producers {
		if err := p.finish(flushMax); err != nil {
			late = append(late, err.Error())
		}
	}
	w.check("everything sent is acknowledged in the end", unless(len(late) == 0, "%s", strings.Join(late, "; ")))
	late = nil
	for _, t := range w.consumers {
		if err := t.finish(w.ledger.ends(w.partitions), settleMax); err != nil {
			late = append(late, err.Error())
		}
	}
	w.check("every consumer has read everything", unless(len(late) == 0, "%s", strings.Join(late, "; ")))
	for _, t := range w.consumers {
		w.judge("the consumer of zone "+t.zone, t.reader)
	}
	// Once more from the beginning, out of the bucket; after a long run that takes a while.
	w.all = newReader(w.partitions, &w.ledger)
	if err := readOn(w.seeds()[0], w.all, readMax); err != nil {
		return fmt.Errorf("reading back: %w", err)
	}
	w.judge("the topic", w.all)
	w.check("no ack is given twice or without an offset", unless(len(w.ledger.errors) == 0, "\n%s", lines(w.ledger.errors)))
	w.check("no client hears an error that it cannot get over", unless(len(w.heard) == 0, "\n%s", lines(w.heard)))
	fmt.Printf("acked %d, read %d, by each consumer %d\n", w.ledger.acked, w.all.verdict.read, w.consumers[0].reader.verdict.read)
	return unless(w.ledger.acked > int64(w.partitions), "too little was acknowledged to show anything")
}

func (w *world) judge(whose string, r *reader) {
	v := r.finish()
	fmt.Printf("%s: lost=%d duplicated=%d reordered=%d gaps=%d misplaced=%d foreign=%d holes=%d\n",
		whose, v.lost, v.duplicated, v.reordered, v.gaps, v.misplaced, v.foreign, v.holes)
	w.check(whose+": nothing is lost, there twice or out of order", unless(v.wrong() == 0, "\n%s", lines(v.errors)))
}

// check counts and says what was found.
func (w *world) check(what string, wrong error) {
	if wrong == nil {
		w.passed++
		fmt.Println("ok      ", what)
	} else {
		w.failed++
		fmt.Println("FAILED  ", what+":", wrong)
	}
}

// goal is a check on a machine that does nothing else, and a remark on any other.
func (w *world) goal(what string, wrong error) {
	if wrong != nil && !w.goals {
		fmt.Println("above   ", what+":", wrong, "(a failure only with --goals)")
		return
	}
	w.check(what, wrong)
}

func unless(right bool, format string, arguments ...any) error {
	if right {
		return nil
	}
	return fmt.Errorf(format, arguments...)
}
