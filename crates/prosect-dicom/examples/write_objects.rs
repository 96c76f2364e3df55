//! Writes labels as DICOM objects and tells how long each took:
//! `write_objects SERIES LABELS OUT [--signed]`. SERIES is a folder or file with one series, LABELS
//! one unsigned 16-bit number for each pixel, frame by frame along the normal. Segment n has the value
//! n and the n-th structure of the table. One line of JSON for each object.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for measuring and for tests, not part of the product"
)]

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use prosect_base::{Cancel, Limits, Phi, Silent};
use prosect_dicom::{
    Choice, DicomError, FrameLabels, Holes, Measured, Measurements, Moment, ObjectOptions,
    ObjectReport, SignOff, choose_series, inspect, load_series, write_labelmap, write_report,
    write_rtstruct, write_seg,
};
use prosect_segmentation::{Algorithm, AlgorithmType, Segment, terminology};

/// The structures of the table; beyond its end it begins again.
fn segments(n_segments: u16) -> Vec<Segment> {
    let names: Vec<&str> = terminology::names().collect();
    let algorithm = Algorithm {
        name: "write_objects".into(),
        version: "1".into(),
        weights_sha256: "0".repeat(64),
        source: "an example of prosect-dicom".into(),
    };
    let segment = |value: u16| Segment {
        label_value: value,
        layer: 0,
        structure: terminology::structure(names[(usize::from(value) - 1) % names.len()]).unwrap(),
        algorithm_type: AlgorithmType::Automatic,
        algorithm: Some(algorithm.clone()),
    };
    (1..=n_segments).map(segment).collect()
}

/// Seconds of processor time that all threads of this process have taken; 0 where Linux's files
/// of processes are absent. Their unit is a hundredth of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn timed(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<ObjectReport, DicomError>,
) -> ObjectReport {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let mut out = BufWriter::with_capacity(1 << 18, File::create(path).unwrap());
    let report = write(&mut out).unwrap();
    out.flush().unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    let bytes = std::fs::metadata(path).unwrap().len();
    let name = path.file_name().unwrap().to_string_lossy();
    let parts = report.n_parts;
    println!(
        "{{\"file\": \"{name}\", \"seconds\": {seconds:.4}, \"cpu\": {cpu:.2}, \"bytes\": {bytes}, \"parts\": {parts}}}"
    );
    report
}

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let [series, labels, out] = [(); 3].map(|()| arguments.next().unwrap());
    let signed = arguments
        .next()
        .is_some_and(|word| word.as_os_str() == "--signed");
    let (limits, cancel) = (Limits::default(), Cancel::new());
    let inventory = inspect(&series, &limits, &Silent, &cancel).unwrap();
    let choice = Choice {
        series_uid: None,
        modalities: &[],
    };
    let source = choose_series(&inventory, &choice).unwrap();
    let source = load_series(source, &limits, &Silent, &cancel).unwrap();
    let bytes = std::fs::read(labels).unwrap();
    let values: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]))
        .collect();
    let segments = segments(values.iter().copied().max().unwrap());
    let layers = vec![Cow::Borrowed(&values[..])];
    let labels = FrameLabels::on_frames(layers, &segments, &source).unwrap();
    let sign_off = signed.then(|| {
        let moment = Moment::new("20260103", "101500").unwrap();
        SignOff::new(Phi::new("Reviewer^Rita".into()), "A hospital", moment).unwrap()
    });
    let options = |series_number| ObjectOptions {
        software_version: "example".into(),
        series_number,
        content: None,
        sign_off: sign_off.clone(),
    };
    std::fs::create_dir_all(&out).unwrap();
    let seg = timed(&out.join("seg.dcm"), |out| {
        write_seg(&labels, &source, &options(1), out)
    });
    timed(&out.join("labelmap.dcm"), |out| {
        write_labelmap(&labels, 0, &source, &options(2), out)
    });
    for (holes, name) in [(Holes::Xor, "xor.dcm"), (Holes::Keyhole, "keyhole.dcm")] {
        timed(&out.join(name), |out| {
            write_rtstruct(&labels, &source, holes, &options(3), out)
        });
    }
    let mut n_voxels = vec![0_u32; segments.len() + 1];
    for value in &values {
        n_voxels[usize::from(*value)] += 1;
    }
    let measured: Vec<Option<Measured>> = n_voxels[1..]
        .iter()
        .map(|n| {
            (*n > 0).then(|| Measured {
                volume_mm3: f64::from(*n),
                mean_hu: Some(40.0),
            })
        })
        .collect();
    let measurements = Measurements {
        segments: &measured,
        segmentations: &[seg],
    };
    timed(&out.join("report.dcm"), |out| {
        write_report(&labels, measurements, &source, &options(4), out)
    });
}
