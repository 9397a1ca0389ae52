// Durability driver: two idempotent producers at full speed, the broker is killed with SIGKILL again and again, and at
// the end nothing that was acknowledged may be lost, doubled, moved or out of order. Started by `run` beside this file.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	topic = "durability"
	// Longest waits before a round counts as stuck: generous, because they only bound a failure.
	readyMax    = 60 * time.Second
	progressMax = 60 * time.Second
	readMax     = 10 * time.Minute
	freezeFor   = 5 * time.Second
	// Answers are swallowed for up to so long before a kill that clients live through.
	swallowMax = 60 * time.Millisecond
)

type options struct {
	rounds     int
	bucket     string
	freeze     bool
	partitions int
	penstock   string
	minio      string
	folder     string
	roundMin   time.Duration
	roundMax   time.Duration
	seed       uint64
}

func main() {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(clusterMain(os.Args[1], os.Args[2:]))
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 100, "crashes of the broker")
	flag.StringVar(&o.bucket, "bucket", "folder", "folder or minio")
	flag.BoolVar(&o.freeze, "freeze", false, "each crash happens while MinIO is stopped (SIGSTOP) for 5 s")
	flag.IntVar(&o.partitions, "partitions", 5, "partitions of the topic")
	flag.StringVar(&o.penstock, "penstock", "", "the broker's binary")
	flag.StringVar(&o.minio, "minio", "", "MinIO's binary")
	flag.StringVar(&o.folder, "folder", "", "an empty or absent folder for data and logs; kept when something is wrong")
	flag.DurationVar(&o.roundMin, "round-min", 100*time.Millisecond, "shortest life of the broker")
	flag.DurationVar(&o.roundMax, "round-max", 900*time.Millisecond, "longest life of the broker")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "decides moments and sizes")
	flag.Parse()
	if o.penstock == "" || o.folder == "" || (o.bucket != "folder" && o.bucket != "minio") || (o.freeze && o.bucket != "minio") {
		fmt.Fprintln(os.Stderr, "wanted: --penstock FILE --folder DIR, --bucket folder or minio, --freeze only with minio")
		os.Exit(2)
	}
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "durability: FAILED:", err)
		fmt.Fprintln(os.Stderr, "logs and data:", o.folder)
		os.Exit(1)
	}
	os.RemoveAll(o.folder)
}

// driver is one run.
type driver struct {
	*options
	random    *rand.Rand
	ledger    ledger
	follower  *reader // reads on after every restart; the final verdict is another reader's, from offset 0
	listen    string
	http      string
	server    *process
	arguments []string
	variables []string
	broker    *process
	proxy     *proxy
	producers []*producer
	restarts  []time.Duration
	keptOver  int
	freshOver int
}

func run(o *options) error {
	if err := os.MkdirAll(o.folder, 0o755); err != nil {
		return err
	}
	began := time.Now()
	d := &driver{options: o, random: rand.New(rand.NewPCG(o.seed, 0))}
	d.follower = newReader(o.partitions, &d.ledger)
	fmt.Printf("durability: seed %d, %d rounds, bucket %s, freeze %v\n", o.seed, o.rounds, o.bucket, o.freeze)
	if err := d.prepare(); err != nil {
		return err
	}
	for round := range o.rounds {
		if err := d.round(round); err != nil {
			return fmt.Errorf("round %d: %w\n%s", round, err, lines(d.ledger.errors))
		}
		if round%10 == 9 {
			fmt.Printf("durability: %d kills, %d records read back\n", round+1, d.follower.verdict.read)
		}
	}
	for _, p := range d.producers {
		if err := p.finish(progressMax); err != nil {
			return fmt.Errorf("the last records were not acknowledged: %w", err)
		}
	}
	all := newReader(o.partitions, &d.ledger)
	if err := readOn(d.listen, all, readMax); err != nil {
		return fmt.Errorf("reading back: %w", err)
	}
	v := all.finish()
	slices.Sort(d.restarts)
	fmt.Printf("durability: bucket=%s freeze=%v kills=%d kept_clients=%d fresh_clients=%d acked=%d read=%d "+
		"lost=%d duplicated=%d reordered=%d gaps=%d misplaced=%d foreign=%d holes=%d refused=%d "+
		"restart_p50_ms=%d restart_max_ms=%d seconds=%d\n",
		o.bucket, o.freeze, o.rounds, d.keptOver, d.freshOver, d.ledger.acked, v.read,
		v.lost, v.duplicated, v.reordered, v.gaps, v.misplaced, v.foreign, v.holes, len(d.ledger.errors),
		d.restarts[len(d.restarts)/2].Milliseconds(), d.restarts[len(d.restarts)-1].Milliseconds(), int(time.Since(began).Seconds()))
	if d.follower.verdict.wrong() > 0 {
		return errors.New("while it ran\n" + lines(d.follower.verdict.errors))
	}
	if v.wrong() > 0 || len(d.ledger.errors) > 0 {
		return errors.New("see the totals\n" + lines(v.errors) + lines(d.ledger.errors))
	}
	if d.ledger.acked < int64(o.rounds) || v.read < d.ledger.acked {
		return errors.New("too little was acknowledged to show anything")
	}
	return d.broker.kill()
}

func lines(said []string) string {
	var text string
	for _, line := range said {
		text += "  " + line + "\n"
	}
	return text
}

// prepare starts bucket and broker, makes the topic, and starts the first producers.
func (d *driver) prepare() error {
	var err error
	if d.listen, err = freeAddress(); err != nil {
		return err
	}
	if d.http, err = freeAddress(); err != nil {
		return err
	}
	data := filepath.Join(d.folder, "data")
	if d.proxy, err = startProxy(d.listen); err != nil {
		return err
	}
	d.arguments = []string{"dev", "--listen", d.listen, "--advertise", d.proxy.address(), "--http", d.http, "--data", data}
	if d.bucket == "minio" {
		if err := d.startMinio(); err != nil {
			return err
		}
	}
	if err := d.startBroker(); err != nil {
		return err
	}
	if err := d.makeTopic(); err != nil {
		return err
	}
	return d.startProducers()
}

func (d *driver) startMinio() error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	// A folder in MinIO's root is a bucket.
	root := filepath.Join(d.folder, "minio")
	if err := os.MkdirAll(filepath.Join(root, "durability"), 0o755); err != nil {
		return err
	}
	credentials := []string{"MINIO_ROOT_USER=durability", "MINIO_ROOT_PASSWORD=durability"}
	d.server, err = start("minio", d.folder, credentials, d.minio, "server", root, "--address", address, "--quiet")
	if err != nil {
		return err
	}
	d.arguments = append(d.arguments, "--bucket", "s3://durability/run", "--s3-endpoint", "http://"+address)
	d.variables = []string{"AWS_ACCESS_KEY_ID=durability", "AWS_SECRET_ACCESS_KEY=durability", "AWS_REGION=us-east-1"}
	ctx, cancel := context.WithTimeout(context.Background(), readyMax)
	defer cancel()
	_, err = d.server.ready(ctx, "http://"+address+"/minio/health/ready")
	return err
}

func (d *driver) startBroker() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyMax)
	defer cancel()
	var err error
	if d.broker, err = start("penstock", d.folder, d.variables, d.penstock, d.arguments...); err != nil {
		return err
	}
	took, err := d.broker.ready(ctx, "http://"+d.http+"/health/ready")
	d.restarts = append(d.restarts, took)
	return err
}

func (d *driver) makeTopic() error {
	return createTopic([]string{d.listen}, topic, d.partitions, progressMax)
}

func createTopic(seeds []string, name string, partitions int, timeMax time.Duration) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		return err
	}
	defer client.Close()
	request := kmsg.NewPtrCreateTopicsRequest()
	wanted := kmsg.NewCreateTopicsRequestTopic()
	wanted.Topic, wanted.NumPartitions, wanted.ReplicationFactor = name, int32(partitions), 1
	request.Topics = append(request.Topics, wanted)
	ctx, cancel := context.WithTimeout(context.Background(), timeMax)
	defer cancel()
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if len(response.Topics) != 1 || response.Topics[0].ErrorCode != 0 {
		return fmt.Errorf("the topic could not be made: %+v", response.Topics)
	}
	return nil
}

func (d *driver) startProducers() error {
	for range 2 {
		p, err := startProducer(d.proxy.address(), d.partitions, &d.ledger, d.seed)
		if err != nil {
			return err
		}
		d.producers = append(d.producers, p)
	}
	return nil
}

// round: everybody makes progress, the broker dies at a random moment, and comes back with all that it had said.
func (d *driver) round(round int) error {
	if err := d.awaitProgress(); err != nil {
		return err
	}
	time.Sleep(d.roundMin + randomDuration(d.random, d.roundMax-d.roundMin))
	// Every other round the clients go down with the broker and leave requests of unknown fate behind. In the others
	// they try again what the broker committed without their hearing of it.
	fresh := round%2 == 1
	if !fresh {
		d.proxy.swallow()
		time.Sleep(randomDuration(d.random, swallowMax))
	}
	if err := d.crash(); err != nil {
		return err
	}
	d.proxy.resume()
	if fresh {
		d.freshOver++
		for _, p := range d.producers {
			p.abandon()
		}
		d.producers = nil
	} else {
		d.keptOver++
	}
	if err := d.startBroker(); err != nil {
		return err
	}
	if err := d.readBack(); err != nil {
		return err
	}
	if fresh {
		return d.startProducers()
	}
	return nil
}

func (d *driver) crash() error {
	if !d.freeze {
		return d.broker.kill()
	}
	if err := d.server.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	before := randomDuration(d.random, freezeFor)
	time.Sleep(before)
	err := d.broker.kill()
	time.Sleep(freezeFor - before)
	return errors.Join(err, d.server.signal(syscall.SIGCONT))
}

// awaitProgress waits until every producer got another record acknowledged.
func (d *driver) awaitProgress() error {
	deadline := time.Now().Add(progressMax)
	for _, p := range d.producers {
		before := d.ledger.ackedOf(p.instance)
		for d.ledger.ackedOf(p.instance) == before {
			if time.Now().After(deadline) {
				return fmt.Errorf("instance %d: nothing was acknowledged for %v", p.instance, progressMax)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	return nil
}

// readBack reads everything that is new since the last restart, beside producers that go on: what was acknowledged is
// below the end of its partition from the first answer on, and is there.
func (d *driver) readBack() error {
	acked := d.ledger.ends(d.partitions)
	if err := readOn(d.listen, d.follower, progressMax); err != nil {
		return fmt.Errorf("reading on: %w", err)
	}
	for p, next := range d.follower.next {
		if next < acked[p] {
			return fmt.Errorf("partition %d ends at %d after the restart, but %d was acknowledged", p, next, acked[p]-1)
		}
	}
	if wrong := d.follower.verdict.wrong(); wrong > 0 {
		return fmt.Errorf("%d records are wrong\n%s", wrong, lines(d.follower.verdict.errors))
	}
	return d.follower.missing(acked)
}

func randomDuration(random *rand.Rand, below time.Duration) time.Duration {
	if below <= 0 {
		return 0
	}
	return time.Duration(random.Int64N(int64(below)))
}
