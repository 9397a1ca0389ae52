//! The sequencer over a store with faults.
