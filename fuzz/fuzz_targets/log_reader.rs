//! `cargo +nightly fuzz run log_reader`; see `driver/src/` for what it looks at.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_fuzz::log::reader(data));
