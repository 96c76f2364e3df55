//! Any bytes as a DICOM SEG, seen from frames that lie elsewhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prosect_base::Limits;
use prosect_dicom::read_seg_bytes;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { voxels: 1 << 20, edge: 1 << 11, unpacked_bytes: 1 << 24, ..Limits::default() };
    if let Ok(labels) = read_seg_bytes(data, "fuzz", &limits) {
        let _ = labels.completed();
        if let Some(planes) = labels.planes_for(&labels.stack) {
            for layer in &labels.layers {
                let _ = planes.sample(layer, &labels.stack, 0);
            }
        }
    }
});
