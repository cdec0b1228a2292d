//! `log_search` under libFuzzer.
#![no_main]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "libFuzzer's macro opens a file of its own"
)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::log_search::run(data));
