//! `cargo +nightly fuzz run mqtt_packets`; see `driver/src/` for what it looks at.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_fuzz::mqtt::packets(data));
