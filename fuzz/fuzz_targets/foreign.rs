//! Any bytes as the weights of another framework: Keras HDF5, ONNX with a manifest, TensorFlow.js. The first byte chooses.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use prosect_base::{Cancel, Silent};
use prosect_import::{ImportOptions, import};

const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join("source").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut options = ImportOptions::into_models(folder.path().join("models"));
    let source = match kind % 3 {
        0 => file("a.hdf5", &[HDF5, data].concat()),
        1 => {
            let text = include_bytes!("../../crates/prosect-import/src/onnx/manifest.toml");
            options.manifest = Some(file("a.toml", text));
            file("a.onnx", &[&[8, 8], data].concat())
        }
        _ => {
            // The description first, then the weights after a zero.
            let cut = data.iter().position(|b| *b == 0).unwrap_or(data.len());
            file("w.bin", data.get(cut + 1..).unwrap_or(&[]));
            file("model.json", &data[..cut])
        }
    };
    let _ = import(&source, &options, &Silent, &Cancel::new());
});
