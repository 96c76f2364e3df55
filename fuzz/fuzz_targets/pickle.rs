//! Any bytes as the pickle of a checkpoint, in a trained model that is otherwise right.
#![no_main]

use std::fs;
use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use prosect_base::{Cancel, Silent};
use prosect_import::{ImportOptions, import};

fuzz_target!(|data: &[u8]| {
    let work = tempfile::tempdir().unwrap();
    let trained = work.path().join("T__P__3d_fullres");
    fs::create_dir_all(trained.join("fold_0")).unwrap();
    fs::write(trained.join("plans.json"), "{}").unwrap();
    fs::write(trained.join("dataset.json"), r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}}"#).unwrap();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("a/data.pkl", options).unwrap();
    zip.write_all(data).unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    fs::write(trained.join("fold_0/checkpoint_final.pth"), bytes).unwrap();
    let options = ImportOptions::into_models(work.path().join("models"));
    let _ = import(&trained, &options, &Silent, &Cancel::new());
});
