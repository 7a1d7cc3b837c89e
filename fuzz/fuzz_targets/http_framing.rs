//! `cargo +nightly fuzz run http_framing`; see `driver/src/` for what it looks at.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_fuzz::http::framing(data));
