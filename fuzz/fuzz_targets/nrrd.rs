//! Any bytes as an NRRD whose data follow its header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prosect_base::Limits;
use prosect_formats::nrrd;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { voxels: 1 << 20, unpacked_bytes: 1 << 24, ..Limits::default() };
    if let Ok(file) = nrrd::read_from(data, &limits) {
        for layer in &file.layers {
            let _ = layer.labels();
            let _ = layer.values();
        }
    }
});
