// How long clients had to wait: for each stream (one producer or consumer, one partition) the time between two acks, or
// two records received, credited to what was done to the cluster meanwhile.

package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// Records that arrive together are no gap.
	batchMax = 5 * time.Millisecond
	// What is done takes a moment.
	eventSlack = time.Second
	// A gap that begins so long after an event is not its doing.
	eventWindow = 9 * time.Second
	// A stream that waited so much longer than usual was hit by the event.
	hitAfter = 250 * time.Millisecond
	quietMax = 200_000 // samples
)

// gapBook keeps the longest gap of every stream at every event.
type gapBook struct {
	mu     sync.Mutex
	last   []time.Time
	events []gapEvent
	quiet  []time.Duration
}

type gapEvent struct {
	kind  string
	whom  string
	at    time.Time
	worst []time.Duration // by stream
}

func newGapBook(streams int) *gapBook { return &gapBook{last: make([]time.Time, streams)} }

// event is to be noted right before something is done.
func (b *gapBook) event(kind, whom string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, gapEvent{kind, whom, time.Now(), make([]time.Duration, len(b.last))})
}

// note says that something arrived on a stream.
func (b *gapBook) note(stream int, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.last[stream]
	b.last[stream] = now
	if before.IsZero() {
		return
	}
	gap := now.Sub(before)
	if gap < batchMax {
		return
	}
	// The first event inside the gap, or right before it; if there is none, the one that it follows.
	credited := -1
	for i := len(b.events) - 1; i >= 0; i-- {
		since := before.Sub(b.events[i].at)
		if since < eventSlack || (credited < 0 && since < eventWindow) {
			credited = i
			continue
		}
		break
	}
	if credited >= 0 {
		worst := &b.events[credited].worst[stream]
		*worst = max(*worst, gap)
	} else if len(b.quiet) < quietMax {
		b.quiet = append(b.quiet, gap)
	}
}

// gapFigures sums up all events of a kind.
type gapFigures struct {
	events, streams, hit int
	all, late            [3]time.Duration // p50, p99, max beyond the usual interval
}

func (b *gapBook) figures(kind string) gapFigures {
	b.mu.Lock()
	defer b.mu.Unlock()
	usual := percentile(b.quiet, 50)
	var f gapFigures
	var all, late []time.Duration
	for _, event := range b.events {
		if event.kind != kind {
			continue
		}
		f.events++
		for _, worst := range event.worst {
			if worst == 0 {
				continue
			}
			beyond := max(worst-usual, 0)
			all = append(all, beyond)
			if beyond > hitAfter {
				late = append(late, beyond)
			}
		}
	}
	f.streams, f.hit = len(all), len(late)
	for i, p := range []int{50, 99, 100} {
		f.all[i], f.late[i] = percentile(all, p), percentile(late, p)
	}
	return f
}

// kinds lists what happened, in the order of the first of each.
func (b *gapBook) kinds() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var kinds []string
	for _, event := range b.events {
		if !slices.Contains(kinds, event.kind) {
			kinds = append(kinds, event.kind)
		}
	}
	return kinds
}

func (b *gapBook) print(who string) {
	b.mu.Lock()
	p50, p99, most := percentile(b.quiet, 50), percentile(b.quiet, 99), percentile(b.quiet, 100)
	b.mu.Unlock()
	fmt.Printf("gap %s usual: p50 %d ms, p99 %d ms, max %d ms between two of a stream\n",
		who, p50.Milliseconds(), p99.Milliseconds(), most.Milliseconds())
	for i, event := range b.events {
		waits := slices.DeleteFunc(slices.Clone(event.worst), func(wait time.Duration) bool { return wait == 0 })
		fmt.Printf("    %s %d: %s (%s) p50 %d ms, p99 %d ms, max %d ms of %d, the usual included\n", who, i, event.kind, event.whom,
			percentile(waits, 50).Milliseconds(), percentile(waits, 99).Milliseconds(), percentile(waits, 100).Milliseconds(), len(waits))
	}
	for _, kind := range b.kinds() {
		f := b.figures(kind)
		fmt.Printf("gap %s at %d x %s: p50 %d ms, p99 %d ms, max %d ms of %d; the %d that waited: p50 %d ms, p99 %d ms\n",
			who, f.events, kind, f.all[0].Milliseconds(), f.all[1].Milliseconds(), f.all[2].Milliseconds(), f.streams,
			f.hit, f.late[0].Milliseconds(), f.late[1].Milliseconds())
	}
}

func percentile(samples []time.Duration, p int) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Clone(samples)
	slices.Sort(sorted)
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}
