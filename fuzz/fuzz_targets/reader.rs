#![no_main]

#[path = "../../crates/core/tests/fuzz/plain.rs"]
#[allow(dead_code)] // for one of the targets
mod plain;
#[path = "../../crates/core/tests/fuzz/targets.rs"]
#[allow(dead_code)] // one of several
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::reader(data));
