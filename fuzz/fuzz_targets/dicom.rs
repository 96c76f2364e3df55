//! Any bytes as a DICOM file: listed, and loaded as far as they go.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use prosect_base::{Cancel, Limits, Silent};
use prosect_dicom::{inspect, load_series};

fuzz_target!(|data: &[u8]| {
    let limits = Limits { voxels: 1 << 22, unpacked_bytes: 1 << 26, file_bytes: 1 << 24, ..Limits::default() };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("0.dcm"), data).unwrap();
    if let Ok(inventory) = inspect(folder.path(), &limits, &Silent, &Cancel::new()) {
        for series in inventory.series() {
            let _ = load_series(series, &limits, &Silent, &Cancel::new());
        }
    }
});
