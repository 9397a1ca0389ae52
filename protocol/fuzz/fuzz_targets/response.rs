//! Fuzzes the decoding of a response's frame; see ../README.md.
#![no_main]
#![allow(dead_code, reason = "every target uses its own body")]

#[path = "../src/bodies.rs"]
mod bodies;
#[path = "../src/counting.rs"]
mod counting;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = bodies::response(data);
});
