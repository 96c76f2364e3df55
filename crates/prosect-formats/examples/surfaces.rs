//! Turns each label of a NIfTI label map into surface files: `surfaces LABELMAP OUT [SMOOTHING_MM]`.
//! It is what software of others is asked to judge.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use prosect_base::{Cancel, Limits, Silent};
use prosect_formats::nifti::{WriteOptions, read_labelmap, write_labelmap};
use prosect_formats::{SurfacePart, glb, obj, stl};
use prosect_segmentation::{Code, Rgb};
use prosect_surface::{ExtractOptions, Field, Surface, extract};

#[expect(clippy::print_stderr, reason = "an example tells what it did")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, input, out, rest @ ..] = arguments.as_slice() else {
        return Err("usage: surfaces LABELMAP OUT [SMOOTHING_MM]".into());
    };
    let smoothing_mm = rest.first().map(|text| text.parse()).transpose()?;
    let out = Path::new(out);
    std::fs::create_dir_all(out)?;
    let labelmap = read_labelmap(Path::new(input), &Limits::default())?;
    write_labelmap(
        &labelmap,
        &WriteOptions::default(),
        File::create(out.join("segmentation.nii.gz"))?,
    )?;
    let mut found: Vec<u16> = labelmap
        .values()
        .iter()
        .copied()
        .filter(|v| *v > 0)
        .collect();
    found.sort_unstable();
    found.dedup();
    let mut parts: Vec<(SurfacePart, Surface)> = Vec::new();
    for label in found {
        let start = Instant::now();
        let mask = labelmap.map(|v| *v == label);
        let (surface, report) = extract(
            &Field::Mask(&mask),
            &ExtractOptions { smoothing_mm },
            &Silent,
            &Cancel::new(),
        )?;
        eprintln!(
            "label {label} in {:.2} s: {report:?}",
            start.elapsed().as_secs_f64()
        );
        let part = part(label, report.mask_volume_ml);
        stl::write(
            &surface,
            &part,
            File::create(out.join(format!("{}.stl", part.name)))?,
        )?;
        parts.push((part, surface));
    }
    let parts: Vec<(&SurfacePart, &Surface)> = parts
        .iter()
        .map(|(part, surface)| (part, surface))
        .collect();
    obj::write(&parts, "model.mtl", File::create(out.join("model.obj"))?)?;
    obj::write_mtl(&parts, File::create(out.join("model.mtl"))?)?;
    glb::write(&parts, File::create(out.join("model.glb"))?)?;
    Ok(())
}

fn part(label: u16, volume_ml: f64) -> SurfacePart {
    SurfacePart {
        name: format!("label_{label}"),
        code: Code {
            scheme: "SCT".into(),
            value: "85756007".into(),
            meaning: "Tissue".into(),
        },
        modifier: None,
        color: Rgb([221, 130, 101]),
        volume_ml,
        algorithm_type: "MANUAL",
        algorithm: None,
        review: "UNREVIEWED",
        frame_of_reference: None,
    }
}
