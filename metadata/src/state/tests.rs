//! Random lawful histories.
