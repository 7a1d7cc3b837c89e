//! `cargo +nightly fuzz run cap`; see `driver/src/` for what it looks at.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_fuzz::alerts::cap(data));
