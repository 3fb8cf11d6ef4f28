//! libFuzzer entry for the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (fuzz::find("auth").unwrap().check)(input));
