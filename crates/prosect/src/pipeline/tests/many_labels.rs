//! 117 structures in a label map, from a DICOM series to the files of a case.
//!
//! The body's size comes from `PROSECT_BODY_SHAPE` (`512,512,824`), so that memory and time of a
//! whole body can be watched from outside; without it the body is small.

use std::collections::BTreeMap;

use prosect_base::{Cancel, Silent};
use prosect_formats::case::Severity;
use prosect_formats::nifti;
use prosect_phantom::{SeriesOptions, write_series};
use prosect_segmentation::terminology;
use prosect_volume::{Grid, IndexBox, Point, Volume};

use super::manifest;
use crate::pipeline::clock::Clock;
use crate::pipeline::drawing::{Border, Drawing};
use crate::pipeline::{
    EngineOptions, Formats, InputChoice, ModelChoice, Outcome, Request, Stage, assemble, input,
};

fn shape() -> [usize; 3] {
    let text = std::env::var("PROSECT_BODY_SHAPE").unwrap_or("96,88,80".into());
    let numbers: Vec<usize> = text.split(',').map(|n| n.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// A grid of 400 x 400 x 600 mm.
fn grid() -> Grid {
    let shape = shape();
    let extent_mm = [400.0, 400.0, 600.0];
    let spacing = std::array::from_fn(|a| extent_mm[a] / shape[a] as f64);
    Grid::axis_aligned(shape, spacing, Point::new([-200.0, -180.0, -900.0])).unwrap()
}

/// Balls with bumps, one for each label, later ones over earlier ones; the lead falls to zero at
/// their surfaces. Every ninth is missing.
fn balls(grid: &Grid, values: &[u16]) -> (Volume<u16>, Volume<u8>) {
    let (shape, spacing) = (grid.shape(), grid.spacing_mm());
    let mut labels = Volume::filled(grid.clone(), 0_u16);
    let mut confidence = Volume::filled(grid.clone(), 255_u8);
    let mut seed = 7_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 40) as f64 / f64::from(1 << 24)
    };
    for (n, value) in values.iter().enumerate() {
        let radius = 14.0 + 34.0 * random() * random();
        let center: [f64; 3] =
            std::array::from_fn(|a| (0.15 + 0.7 * random()) * shape[a] as f64 * spacing[a]);
        if n % 9 == 8 {
            continue;
        }
        let reach = |a: usize, sign: f64| (center[a] + sign * radius * 1.3) / spacing[a];
        let around = IndexBox {
            start: std::array::from_fn(|a| reach(a, -1.0).max(0.0) as usize),
            end: std::array::from_fn(|a| (reach(a, 1.0) as usize + 1).min(shape[a])),
        };
        for k in around.start[2]..around.end[2] {
            for j in around.start[1]..around.end[1] {
                for i in around.start[0]..around.end[0] {
                    let d: [f64; 3] =
                        std::array::from_fn(|a| [i, j, k][a] as f64 * spacing[a] - center[a]);
                    let bumps = 1.0 + 0.1 * (d[0] / 8.0).sin() * (d[1] / 9.0).cos();
                    let distance = d.iter().map(|x| x * x).sum::<f64>().sqrt();
                    let depth = radius * bumps - distance;
                    let lead = (depth.abs() * 40.0).min(255.0) as u8;
                    let at = i + shape[0] * (j + shape[1] * k);
                    let here = &mut confidence.values_mut()[at];
                    if depth > 0.0 {
                        labels.values_mut()[at] = *value;
                        *here = lead;
                    } else {
                        *here = lead.min(*here);
                    }
                }
            }
        }
    }
    (labels, confidence)
}

/// Runs everything behind the network; gives the folder, which vanishes with it, and the outcome.
fn case_of_balls() -> (tempfile::TempDir, Outcome, BTreeMap<u16, usize>) {
    let folder = tempfile::tempdir().unwrap();
    let series = folder.path().join("series");
    let grid = grid();
    let names: Vec<&str> = terminology::names().take(117).collect();
    let manifest = manifest("total", &names);
    let values: Vec<u16> = manifest.structures.iter().map(|s| s.label_value).collect();
    {
        let image = Volume::from_fn(grid.clone(), |v| {
            ((v.i * v.j + 31 * v.k) % 300) as i16 - 100
        });
        let options = SeriesOptions::default();
        write_series(&series, &image, &options, &Silent, &Cancel::new()).unwrap();
    }
    let request = Request {
        input: InputChoice {
            path: series,
            ..InputChoice::default()
        },
        models: ModelChoice::Best,
        structures: None,
        models_folder: None,
        formats: Formats::All,
        with_image: true,
        engine: EngineOptions::default(),
    };
    let cancel = Cancel::new();
    let input = input::read(&request.input, &[vec!["CT".into()]], &Silent, &cancel).unwrap();
    let (labels, confidence) = balls(input.image().grid(), &values);
    let mut counts = BTreeMap::new();
    for run in labels.values().chunk_by(|a, b| a == b) {
        *counts.entry(run[0]).or_insert(0) += run.len();
    }
    let drawing = Drawing {
        structures: manifest.structures.clone(),
        manifest,
        weights_sha256: "ab".repeat(32),
        border: Border::Confidence,
        confidence,
        findings: Vec::new(),
        parameters: Vec::new(),
    };
    let stage = Stage::begin(&folder.path().join("case"), false).unwrap();
    let clock = Clock::start(&Silent);
    let drawn = (vec![drawing], vec![labels]);
    let outcome = assemble(&request, &input, drawn, &stage, &clock, &cancel).unwrap();
    stage.commit().unwrap();
    (folder, outcome, counts)
}

#[test]
fn a_body_of_117_structures_becomes_a_case() {
    let (folder, outcome, counts) = case_of_balls();
    let case = &outcome.case;
    assert_eq!(case.structures.len(), 117);
    let voxel_ml = outcome.segmentation.grid().voxel_volume_mm3() / 1000.0;
    for (n, structure) in case.structures.iter().enumerate() {
        assert_eq!(structure.segment_number, n + 1);
        assert_eq!(usize::from(structure.label_value), 2 * n + 1);
        let n_voxels = counts.get(&structure.label_value).copied().unwrap_or(0);
        assert_eq!(structure.found, n_voxels > 0, "{}", structure.name);
        assert!((structure.volume_ml - n_voxels as f64 * voxel_ml).abs() < 1e-3);
        assert_eq!(structure.mean_intensity.is_some(), structure.found);
        // A few voxels that are left of a ball may have no surface that can be proved.
        if n_voxels > 200 {
            let surface = structure.surface.as_ref().unwrap();
            assert!(
                surface.volume_error_percent.abs() < 1.0,
                "{}: {surface:?}",
                structure.name
            );
        }
    }
    let n_found = case.structures.iter().filter(|s| s.found).count();
    assert!((100..117).contains(&n_found), "{n_found} found");
    assert!(case.findings.iter().any(|f| f.code == "not_found"));
    let checks = case
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Check);
    let codes: Vec<&str> = checks.map(|f| f.code.as_str()).collect();
    assert!(
        codes.iter().all(|code| *code == "surface_refused"),
        "{codes:?}"
    );

    // The files, read back.
    let case_folder = folder.path().join("case");
    let labels = nifti::read_labelmap(
        &case_folder.join("segmentation.nii.gz"),
        &prosect_base::Limits::default(),
    )
    .unwrap();
    assert_eq!(labels.values(), outcome.segmentation.layers()[0].values());
    for file in &case.files {
        let bytes = std::fs::metadata(case_folder.join(&file.path))
            .unwrap()
            .len();
        assert_eq!(bytes, file.bytes, "{}", file.path);
    }
    let n_stl = case.files.iter().filter(|f| f.what.contains("STL")).count();
    assert!(n_stl >= 100, "{n_stl} STL files");
    assert!(case.files.iter().any(|f| f.path == "segmentation.seg.dcm"));
    println!(
        "{}",
        std::fs::read_to_string(case_folder.join("run.json")).unwrap()
    );
}
