//! Any bytes as a NIfTI, packed or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prosect_base::Limits;
use prosect_formats::nifti;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { voxels: 1 << 20, unpacked_bytes: 1 << 24, ..Limits::default() };
    let _ = nifti::read_from(data, &limits);
});
