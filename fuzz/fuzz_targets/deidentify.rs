//! De-identification of any bytes: refused, or a file that can be de-identified again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prosect_base::{Limits, Phi};
use prosect_dicom::{DeidentifyOptions, ProfileOption, deidentify_bytes};

fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        file_bytes: 1 << 20,
        depth: 16,
        ..Limits::default()
    };
    for options in [
        vec![],
        vec![
            ProfileOption::RetainSafePrivate,
            ProfileOption::RetainModifiedDates,
            ProfileOption::CleanDescriptors,
            ProfileOption::CleanStructuredContent,
            ProfileOption::CleanGraphics,
        ],
    ] {
        let options = DeidentifyOptions {
            options,
            secret: Phi::new(b"secret of the fuzzer".to_vec()),
            keep_burned_in: true,
            ..DeidentifyOptions::default()
        };
        if let Ok(bytes) = deidentify_bytes(data, &options, &limits) {
            assert!(deidentify_bytes(&bytes, &options, &Limits::default()).is_ok());
        }
    }
});
