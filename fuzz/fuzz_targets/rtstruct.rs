//! Any bytes as an RT structure set, filled on ten small frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prosect_base::Limits;
use prosect_dicom::read_rtstruct_bytes;
use prosect_volume::{Point, SliceStack, Vector};

fuzz_target!(|data: &[u8]| {
    let limits = Limits { voxels: 1 << 20, ..Limits::default() };
    let stack = SliceStack {
        shape: [32, 24],
        step_i: Vector::new([2.0, 0.0, 0.0]),
        step_j: Vector::new([0.0, 2.0, 0.0]),
        origins: (0..10).map(|k| Point::new([-30.0, -20.0, 3.0 * f64::from(k)])).collect(),
        frame_of_reference: None,
        thickness_mm: None,
    };
    let _ = read_rtstruct_bytes(data, "fuzz", &stack, &limits);
});
