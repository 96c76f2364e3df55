//! Any text as a model's manifest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prosect_model::Manifest;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Manifest::parse("fuzz", text);
    }
});
