//! Any bytes as the plans, then as the data-set file, of a trained model whose checkpoint is right.
#![no_main]

use std::fs;
use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use prosect_base::{Cancel, Silent};
use prosect_import::{ImportOptions, import};

const MODEL: &[u8] = include_bytes!("../../crates/prosect-import/tests/data/Dataset904_Batch.zip");

fuzz_target!(|data: &[u8]| {
    for file in ["plans.json", "dataset.json"] {
        let work = tempfile::tempdir().unwrap();
        zip::ZipArchive::new(Cursor::new(MODEL)).unwrap().extract(work.path()).unwrap();
        let trained = work.path().join("Dataset904_Batch/nnUNetTrainer__nnUNetPlans__3d_fullres");
        fs::write(trained.join(file), data).unwrap();
        let options = ImportOptions::into_models(work.path().join("models"));
        let _ = import(&trained, &options, &Silent, &Cancel::new());
    }
});
