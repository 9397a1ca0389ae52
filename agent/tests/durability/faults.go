// Random processes of a cluster die every few seconds, one stands still for a while, PostgreSQL restarts.

package main

import (
	"flag"
	"fmt"
	"sync"
	"time"
)

type faultOptions struct {
	length, every, freeze time.Duration
}

func (o *faultOptions) declare(flags *flag.FlagSet) {
	flags.DurationVar(&o.length, "length", 10*time.Minute, "how long processes are killed")
	flags.DurationVar(&o.every, "every", 10*time.Second, "between two kills")
	flags.DurationVar(&o.freeze, "freeze", 60*time.Second, "how long one process stands still (SIGSTOP), from three tenths on")
}

const (
	// A killed process is away for so long, as one that is started again by a supervisor.
	awayMin, awayMax = 500 * time.Millisecond, 4 * time.Second
	// The goal for the wait of 99 % of all streams at a kill of an agent or of the sequencer.
	gapGoal = 1500 * time.Millisecond
)

// nemesis does things to the cluster.
type nemesis struct {
	*world
	frozen  string
	working sync.WaitGroup // processes that are on their way back
	failed  chan error
	kills   int
}

func faults(w *world) error {
	if err := w.startLoad(); err != nil {
		return err
	}
	n := &nemesis{world: w, failed: make(chan error, 1)}
	if err := n.rage(); err != nil {
		return err
	}
	if err := w.verify(); err != nil {
		return err
	}
	fmt.Printf("%d kills, one process frozen for %v, PostgreSQL restarted twice\n", n.kills, w.faults.freeze)
	w.acked.print("of acks")
	w.read.print("of reads")
	for _, kind := range []string{"kill agent", "kill sequencer"} {
		f := w.acked.figures(kind)
		if f.events > 0 {
			w.goal(fmt.Sprintf("99%% of streams wait for acks at most %v longer at %s", gapGoal, kind),
				unless(f.all[1] <= gapGoal, "%v", f.all[1]))
		}
	}
	return nil
}

// rage follows the plan: a kill at every tick, but for two, at which PostgreSQL restarts.
func (n *nemesis) rage() error {
	o := n.faults
	ticks := max(int(o.length/o.every), 4)
	freezeAt, thawAt := ticks*3/10, ticks*3/10+int((o.freeze+o.every-1)/o.every)
	began := time.Now()
	for tick := range ticks {
		time.Sleep(time.Until(began.Add(o.every * time.Duration(tick))))
		select {
		case err := <-n.failed:
			return err
		default:
		}
		var err error
		switch {
		case tick == freezeAt:
			err = n.freeze()
		case tick == ticks/2+1 || tick == ticks*8/10:
			err = n.restartStore()
		default:
			err = n.kill()
		}
		if err == nil && tick == thawAt {
			err = n.thaw()
		}
		if err != nil {
			return err
		}
	}
	time.Sleep(time.Until(began.Add(o.every * time.Duration(ticks))))
	n.working.Wait()
	return n.thaw()
}

// note tells what is done now, apart from what is done while another process stands still or is on its way.
func (n *nemesis) note(kind, whom string) {
	if n.frozen != "" {
		kind += " while one is frozen"
	}
	fmt.Printf("%6.1f s  %s (%s), load average %s\n", time.Since(n.began).Seconds(), kind, whom, loadAverage())
	n.acked.event(kind, whom)
	n.read.event(kind, whom)
}

// victim picks an agent or a metadata process that runs.
func (n *nemesis) victim() row {
	candidates := append(n.machine.of(roleAgent), n.machine.of(roleMetadata)...)
	for {
		if picked := candidates[n.random.IntN(len(candidates))]; picked.Name != n.frozen {
			return picked
		}
	}
}

func (n *nemesis) what(victim row) string {
	switch {
	case victim.Role == roleAgent:
		return "agent"
	case n.machine.holder() == victim.Name:
		return "sequencer"
	default:
		return "candidate"
	}
}

func (n *nemesis) kill() error {
	// Whoever was killed before is back, or nobody could tell whose gap it is.
	n.working.Wait()
	victim := n.victim()
	n.note("kill "+n.what(victim), victim.Name)
	n.kills++
	if err := n.machine.do("kill", victim.Name); err != nil {
		return fmt.Errorf("it ended by itself: %w", err)
	}
	n.back(victim.Name, awayMin+randomDuration(n.random, awayMax-awayMin))
	return nil
}

// back starts a process again after a while.
func (n *nemesis) back(name string, after time.Duration) {
	n.working.Add(1)
	go func() {
		defer n.working.Done()
		time.Sleep(after)
		if err := n.machine.startUntilUp(name, settleMax); err != nil {
			select {
			case n.failed <- err:
			default:
			}
		}
	}()
}

func (n *nemesis) freeze() error {
	n.working.Wait()
	victim := n.victim()
	n.note("freeze "+n.what(victim), victim.Name)
	n.frozen = victim.Name
	return n.machine.do("freeze", victim.Name)
}

func (n *nemesis) thaw() error {
	if n.frozen == "" {
		return nil
	}
	name := n.frozen
	n.frozen = ""
	n.note("thaw", name)
	return n.machine.do("thaw", name)
}

func (n *nemesis) restartStore() error {
	n.working.Wait()
	n.note("restart PostgreSQL", "postgres")
	if err := n.machine.do("stop", "postgres"); err != nil {
		return err
	}
	return n.machine.do("start", "postgres")
}
