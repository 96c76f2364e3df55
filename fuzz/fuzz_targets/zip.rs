//! Any bytes as a zip of DICOM files, under small limits.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use prosect_base::{Cancel, Limits, Silent};
use prosect_dicom::inspect;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { unpacked_bytes: 1 << 24, file_bytes: 1 << 22, files: 64, ..Limits::default() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input.zip");
    fs::write(&path, data).unwrap();
    let _ = inspect(&path, &limits, &Silent, &Cancel::new());
});
