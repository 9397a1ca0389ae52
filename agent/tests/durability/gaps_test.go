package main

import (
	"testing"
	"time"
)

// Streams are judged by the longest gap that an event can have caused, and by no other.
func TestGapsAreCreditedToWhatCausedThem(t *testing.T) {
	start := time.Now()
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	book := newGapBook(2)
	acks := func(stream int, from, to float64) {
		for second := from; second < to; second += 0.1 {
			book.note(stream, at(second))
		}
	}
	acks(0, 0, 5)
	acks(1, 0, 5)
	book.events = append(book.events, gapEvent{"kill", "x", at(5), make([]time.Duration, 2)})
	acks(0, 6, 15) // waited a second
	acks(1, 5, 15) // did not notice
	book.events = append(book.events, gapEvent{"freeze", "y", at(15.1), make([]time.Duration, 2)})
	book.events = append(book.events, gapEvent{"kill", "z", at(25), make([]time.Duration, 2)})
	acks(0, 15, 40)
	// Still served when it was frozen, for a moment: its gap is none of the later kill's.
	acks(1, 15, 15.4)
	acks(1, 35, 40)
	f := book.figures("freeze")
	if f.all[2] < 19*time.Second || f.hit != 1 {
		t.Errorf("the freeze: %+v", f)
	}
	f = book.figures("kill")
	if f.events != 2 || f.all[2] < 700*time.Millisecond || f.all[2] > 1100*time.Millisecond || f.hit != 1 {
		t.Errorf("the kills: %+v", f)
	}
	if usual := percentile(book.quiet, 50); usual < 90*time.Millisecond || usual > 110*time.Millisecond {
		t.Errorf("usual: %v", usual)
	}
}
