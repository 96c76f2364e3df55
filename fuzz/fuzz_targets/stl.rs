//! Any bytes as a binary STL; what is read is proved or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prosect_base::Limits;
use prosect_formats::stl;

fuzz_target!(|data: &[u8]| {
    if let Ok(surface) = stl::read(data, &Limits::default()) {
        let _ = prosect_surface::prove(&surface);
    }
});
