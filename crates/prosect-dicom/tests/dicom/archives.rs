//! A zip gives what its folder gives, and no archive takes more memory than the limits allow.

use std::io::Write;
use std::path::Path;

use prosect_base::{Cancel, Limits, Silent};
use prosect_dicom::{inspect, load_series};
use zip::write::SimpleFileOptions;

use crate::reading::{load, look};
use crate::scan::{Scan, file, write};

fn zip(path: &Path, entries: &[(String, Vec<u8>)]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in entries {
        zip.start_file(name.as_str(), SimpleFileOptions::default())
            .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn entries() -> Vec<(String, Vec<u8>)> {
    let slices = Scan::default().slices();
    slices
        .iter()
        .enumerate()
        .map(|(k, slice)| (format!("study/a\u{e4}/{}", (k * 3) % 10), file(slice)))
        .collect()
}

#[test]
fn a_zip_gives_what_its_folder_gives() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plain")).unwrap();
    write(&folder.path().join("plain"), &Scan::default().slices());
    let archive = folder.path().join("series.zip");
    let mut all = entries();
    all.push((
        "__MACOSX/study/._0.dcm".to_owned(),
        b"junk of a file system".to_vec(),
    ));
    zip(&archive, &all);
    let (zipped, plain) = (
        load(&archive).unwrap(),
        load(&folder.path().join("plain")).unwrap(),
    );
    assert_eq!(zipped.image, plain.image);
    assert!(zipped.findings.is_empty(), "{:?}", zipped.findings);
    // A zip within a folder is told, not opened.
    assert!(
        look(folder.path())
            .unwrap()
            .left_out
            .iter()
            .any(|file| file.label == "series.zip")
    );
}

#[test]
fn archives_over_the_limits_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("bomb.zip");
    let mut all = entries();
    all.push(("zeros.dcm".to_owned(), vec![0; 1 << 20]));
    zip(&archive, &all);
    let limits = Limits {
        unpacked_bytes: 4000,
        ..Limits::default()
    };
    let error = inspect(&archive, &limits, &Silent, &Cancel::new()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unpacks to more than 4000 bytes"),
        "{error}"
    );
    let few = Limits {
        files: 5,
        ..Limits::default()
    };
    assert!(
        inspect(&archive, &few, &Silent, &Cancel::new())
            .unwrap_err()
            .to_string()
            .contains("more than 5 files")
    );
    let small = Limits {
        voxels: 100,
        ..Limits::default()
    };
    let inventory = look(&archive).unwrap();
    let error = load_series(
        inventory.series().next().unwrap(),
        &small,
        &Silent,
        &Cancel::new(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("6 x 5 x 10 voxels"), "{error}");
}

#[test]
fn broken_archives_and_stops_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("cut.zip");
    zip(&archive, &entries());
    let whole = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    assert!(
        look(&archive)
            .unwrap_err()
            .to_string()
            .contains("cut.zip cannot be used: the zip cannot be read")
    );
    std::fs::write(&archive, &whole).unwrap();
    let cancel = Cancel::new();
    cancel.request();
    assert_eq!(
        inspect(&archive, &Limits::default(), &Silent, &cancel)
            .unwrap_err()
            .to_string(),
        "canceled; nothing was written"
    );
    assert!(
        look(&folder.path().join("absent"))
            .unwrap_err()
            .to_string()
            .contains("absent")
    );
}
