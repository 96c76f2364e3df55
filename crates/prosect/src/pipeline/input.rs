//! What is to be segmented: a DICOM series, a NIfTI or an NRRD, read and ready.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prosect_base::{Cancel, Limits, Progress};
use prosect_dicom::{ImageSeries, Inventory, load_series};
use prosect_formats::case::{Finding, InputRecord, Severity, hex};
use prosect_formats::nifti::{self, AffineSource};
use prosect_formats::nrrd;
use prosect_volume::{Cover, Grid, Volume};
use sha2::{Digest, Sha256};

use crate::pipeline::error::PipelineError;
use crate::pipeline::series;

/// The input, read.
pub(crate) enum Loaded {
    /// A DICOM series with its frames.
    Dicom(Box<ImageSeries>),
    /// A NIfTI or an NRRD.
    Volume(Box<VolumeFile>),
}

/// A NIfTI or an NRRD, read.
pub(crate) struct VolumeFile {
    /// `NIfTI` or `NRRD`.
    pub(crate) format: &'static str,
    /// Its voxels, on a straight grid.
    volume: Volume<f32>,
    /// How a slanted grid was made straight.
    straightened: Option<Cover>,
}

/// The input, and what is to be told of it.
pub(crate) struct Input {
    /// Voxels and their source.
    pub(crate) loaded: Loaded,
    /// Its entry in `case.json`.
    pub(crate) record: InputRecord,
    /// What a person should know of it.
    pub(crate) findings: Vec<Finding>,
}

impl Input {
    /// The image; HU for CT.
    pub(crate) fn image(&self) -> &Volume<f32> {
        match &self.loaded {
            Loaded::Dicom(series) => &series.image,
            Loaded::Volume(file) => &file.volume,
        }
    }

    /// How the image was made where the source lies on no regular, straight grid.
    pub(crate) fn cover(&self) -> Option<&Cover> {
        match &self.loaded {
            Loaded::Dicom(series) => series.resampled.as_ref().map(|r| &r.cover),
            Loaded::Volume(file) => file.straightened.as_ref(),
        }
    }

    /// Why the image lies on another grid than its source.
    pub(crate) fn resampled_because(&self) -> Option<&str> {
        match &self.loaded {
            Loaded::Dicom(series) => series.resampled.as_ref().map(|r| r.why.as_str()),
            Loaded::Volume(file) => file.straightened.as_ref().map(|_| SLANTED),
        }
    }

    /// Body Part Examined, where the source says it.
    pub(crate) fn body_part(&self) -> Option<String> {
        match &self.loaded {
            Loaded::Dicom(series) => series.body_part(),
            Loaded::Volume(_) => None,
        }
    }
}

/// What the user said of the input.
#[derive(Clone, Debug, Default)]
pub struct InputChoice {
    /// Path of a DICOM file, folder or zip, or of a NIfTI or an NRRD.
    pub path: PathBuf,
    /// Take this series: its UID, or one of its stacks as `UID/2`.
    pub series_uid: Option<String>,
    /// What is in the input, where that is known already.
    pub inventory: Option<Arc<Inventory>>,
    /// Modality of a NIfTI or an NRRD.
    pub modality: Option<String>,
}

/// Reads the input; `modalities` are those that the models take, and where a series can be chosen
/// among them, those of an earlier list come before those of a later one.
pub(crate) fn read(
    choice: &InputChoice,
    modalities: &[Vec<String>],
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Input, PipelineError> {
    let path = &choice.path;
    if let Err(source) = std::fs::metadata(path) {
        return Err(PipelineError::Input {
            path: path.clone(),
            source,
        });
    }
    if has_end(path, &NIFTI_ENDS) {
        read_nifti(choice, progress)
    } else if has_end(path, &NRRD_ENDS) {
        read_nrrd(choice, progress)
    } else {
        read_dicom(choice, modalities, progress, cancel)
    }
}

/// Whether the name's end says that this is one volume, and no DICOM.
pub(crate) fn is_volume_name(path: &Path) -> bool {
    has_end(path, &NIFTI_ENDS) || has_end(path, &NRRD_ENDS)
}

const NIFTI_ENDS: [&str; 3] = [".nii", ".nii.gz", ".hdr"];
const NRRD_ENDS: [&str; 2] = [".nrrd", ".nhdr"];

fn has_end(path: &Path, ends: &[&str]) -> bool {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    path.is_file() && ends.iter().any(|end| name.ends_with(end))
}

fn read_nifti(choice: &InputChoice, progress: &dyn Progress) -> Result<Input, PipelineError> {
    if choice.series_uid.is_some() {
        return Err(PipelineError::SeriesOfNifti);
    }
    progress.step("reading the NIfTI");
    let image =
        nifti::read(&choice.path, &Limits::default()).map_err(|source| PipelineError::Format {
            path: choice.path.clone(),
            source,
        })?;
    let mut findings: Vec<Finding> = image
        .facts
        .notes
        .iter()
        .map(|note| finding(Severity::Note, "nifti", note))
        .collect();
    if image.facts.forms_disagree {
        let message = "sform and qform of the NIfTI disagree on where the voxels are, and so perhaps on which side is left; the sform was used";
        findings.push(finding(Severity::Check, "forms_disagree", message));
    }
    if image.facts.affine_source == AffineSource::Pixdim {
        let message = "the NIfTI has neither sform nor qform: which side is left is a guess";
        findings.push(finding(Severity::Check, "orientation_unknown", message));
    }
    volume_input(choice, ("NIfTI", image.volume), findings)
}

fn read_nrrd(choice: &InputChoice, progress: &dyn Progress) -> Result<Input, PipelineError> {
    if choice.series_uid.is_some() {
        return Err(PipelineError::SeriesOfNifti);
    }
    progress.step("reading the NRRD");
    let refused = |source| PipelineError::Format {
        path: choice.path.clone(),
        source,
    };
    let file = nrrd::read(&choice.path, &Limits::default()).map_err(refused)?;
    let mut findings: Vec<Finding> = file
        .notes
        .iter()
        .map(|note| finding(Severity::Note, "nrrd", note))
        .collect();
    if !file.oriented {
        let message = "the NRRD names no patient space: which side is left is a guess";
        findings.push(finding(Severity::Check, "orientation_unknown", message));
    }
    let volume = file.image().map_err(refused)?;
    volume_input(choice, ("NRRD", volume), findings)
}

/// A volume that no DICOM header describes.
fn volume_input(
    choice: &InputChoice,
    (format, volume): (&'static str, Volume<f32>),
    mut findings: Vec<Finding>,
) -> Result<Input, PipelineError> {
    let n_not_finite = volume.values().iter().filter(|v| !v.is_finite()).count();
    if n_not_finite == volume.values().len() {
        let path = choice.path.clone();
        return Err(PipelineError::NoFiniteVoxel { path });
    }
    if n_not_finite > 0 {
        let message = format!(
            "{n_not_finite} voxels of the {format} are NaN or infinite; the network took them for no image"
        );
        findings.push(finding(Severity::Check, "not_finite", &message));
    }
    let modality = volume_modality(choice, &volume)?;
    let n_slices = volume.grid().shape()[2];
    let image_sha256 = image_sha256(&volume);
    let (volume, straightened) = if is_sheared(volume.grid()) {
        let (volume, cover, found) = straighten(volume, &modality);
        findings.push(found);
        (volume, cover)
    } else {
        (volume, None)
    };
    if choice.modality.is_none() {
        let message = format!(
            "the {format} does not say its modality; its values look like HU, so it was taken as CT"
        );
        findings.push(finding(Severity::Note, "modality_assumed", &message));
    }
    let no_frames = format!("no DICOM SEG can be made: a {format} has no source frames");
    findings.push(finding(Severity::Note, "no_source_frames", &no_frames));
    let record = InputRecord {
        kind: format.to_ascii_lowercase(),
        modality,
        study_uid: None,
        series_uid: None,
        stack_number: None,
        n_slices,
        chosen_because: Vec::new(),
        left_out: Vec::new(),
        image_sha256,
    };
    Ok(Input {
        loaded: Loaded::Volume(Box::new(VolumeFile {
            format,
            volume,
            straightened,
        })),
        record,
        findings,
    })
}

/// Cosine between two axes above which a grid counts as sheared: the tilt that a DICOM stack is
/// refused for.
const SHEAR_COSINE: f64 = 0.005;

/// What is irregular in a sheared volume.
const SLANTED: &str = "the axes of the volume are not at right angles, as after a tilted gantry";
/// What stands where a slanted grid has no image: air in HU.
const AIR_HU: f32 = -1024.0;

/// A slanted image on a straight grid, as of a tilted stack; where that cannot be done, as it is.
fn straighten(image: Volume<f32>, modality: &str) -> (Volume<f32>, Option<Cover>, Finding) {
    let outside = if modality == "CT" { AIR_HU } else { 0.0 };
    match prosect_volume::straighten(&image, outside, &Limits::default()) {
        Ok((volume, cover)) => {
            let [ni, nj, nk] = volume.grid().shape();
            let message = format!(
                "{SLANTED}: it was put on a straight grid of {ni} x {nj} x {nk} voxels, on which all files of the case lie"
            );
            let found = finding(Severity::Check, "sheared", &message);
            (volume, Some(cover), found)
        }
        Err(error) => {
            let message = format!(
                "{SLANTED}, and it cannot be made straight ({error}): it was taken as it says, which nobody has tested"
            );
            (image, None, finding(Severity::Check, "sheared", &message))
        }
    }
}

fn is_sheared(grid: &Grid) -> bool {
    let axes = [0, 1, 2].map(|axis| grid.lps_from_voxel().column(axis));
    let cosine = |a: usize, b: usize| axes[a].dot(axes[b]) / (axes[a].norm() * axes[b].norm());
    [(0, 1), (0, 2), (1, 2)]
        .iter()
        .any(|&(a, b)| cosine(a, b).abs() > SHEAR_COSINE)
}

/// Air below this many HU must be there for values to look like a CT's: nothing else in the body
/// or around it is so far below water.
const AIR_BELOW_HU: f32 = -300.0;
/// Above this no CT goes, even with metal on an extended scale.
const HU_AT_MOST: f32 = 32_768.0;

fn volume_modality(choice: &InputChoice, image: &Volume<f32>) -> Result<String, PipelineError> {
    if let Some(modality) = &choice.modality {
        return Ok(modality.to_ascii_uppercase());
    }
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for &value in image.values().iter().filter(|value| value.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    if low < AIR_BELOW_HU && high <= HU_AT_MOST {
        Ok("CT".into())
    } else {
        Err(PipelineError::ModalityUnknown { low, high })
    }
}

fn read_dicom(
    choice: &InputChoice,
    modalities: &[Vec<String>],
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Input, PipelineError> {
    if choice.modality.is_some() {
        return Err(PipelineError::ModalityOfDicom);
    }
    let limits = Limits::default();
    let inventory = series::inventory_of(choice, &limits, (progress, cancel))?;
    let named = choice.series_uid.as_deref();
    let (chosen, verdicts) = series::choose(&inventory, named, modalities)?;
    let chosen_because = series::because(&verdicts, chosen, named.is_some());
    let series = load_series(chosen, &limits, progress, cancel)?;
    let left_out = series::left_out_beside(&inventory, &verdicts, (chosen, &series));
    let mut findings = findings_of(&inventory, &series);
    findings.extend(resampled_finding(&series));
    let record = InputRecord {
        kind: "dicom".into(),
        modality: series.modality.clone(),
        study_uid: Some(series.study_uid.clone()),
        series_uid: Some(series.series_uid.clone()),
        stack_number: chosen.stack_number,
        n_slices: series.frames.len(),
        chosen_because,
        left_out,
        image_sha256: image_sha256(&series.image),
    };
    Ok(Input {
        loaded: Loaded::Dicom(Box::new(series)),
        record,
        findings,
    })
}

/// What a person should know of the files and of the series, without the patient's name.
fn findings_of(inventory: &Inventory, series: &ImageSeries) -> Vec<Finding> {
    let nameless = inventory.findings();
    let checks = nameless.iter().chain(&series.findings);
    let checks = checks.map(|f| (Severity::Check, f.code, &f.message));
    let notes = series
        .notes
        .iter()
        .map(|note| (Severity::Note, "series", note));
    checks
        .chain(notes)
        .map(|(severity, code, message)| finding(severity, code, &series.without_patient(message)))
        .collect()
}

/// On which grid the network worked, where it was not the frames'.
fn resampled_finding(series: &ImageSeries) -> Option<Finding> {
    let resampled = series.resampled.as_ref()?;
    let [ni, nj, nk] = series.image.grid().shape();
    let message = format!(
        "{}: the network saw a regular grid of {ni} x {nj} x {nk} voxels that covers the slices, on which the NIfTI files and the surfaces lie; DICOM objects lie on the scanner's own slices",
        resampled.why
    );
    Some(finding(Severity::Note, "resampled", &message))
}

/// A finding about the whole case.
pub(crate) fn finding(severity: Severity, code: &str, message: &str) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        message: message.to_owned(),
        structure: None,
    }
}

/// The hash over shape, affine and values, all little-endian.
fn image_sha256(image: &Volume<f32>) -> String {
    let mut hasher = Sha256::new();
    for n in image.grid().shape() {
        hasher.update((n as u64).to_le_bytes());
    }
    for coefficient in image.grid().lps_from_voxel().rows.iter().flatten() {
        hasher.update(coefficient.to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(4 * image.slice_len());
    for slice in image.values().chunks(image.slice_len()) {
        bytes.clear();
        bytes.extend(slice.iter().flat_map(|value| value.to_le_bytes()));
        hasher.update(&bytes);
    }
    hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prosect_base::{Cancel, Silent};
    use prosect_formats::case::Severity;
    use prosect_phantom::{SeriesOptions, write_series};
    use prosect_volume::{Affine, Grid, Point, Vector, Volume};

    use super::{Input, InputChoice, is_sheared, read};
    use crate::pipeline::PipelineError;

    /// A NIfTI of 2 x 2 x 2 floats at 3 mm, its qform at `x_of_qform` and its sform at 0.
    fn write_nifti(path: &Path, values: [f32; 8], x_of_qform: f32) {
        let mut bytes = vec![0_u8; 352];
        let mut put = |at: usize, raw: &[u8]| bytes[at..at + raw.len()].copy_from_slice(raw);
        put(0, &348_i32.to_le_bytes());
        for (n, size) in [3_i16, 2, 2, 2, 1, 1, 1, 1].iter().enumerate() {
            put(40 + 2 * n, &size.to_le_bytes());
        }
        put(70, &16_i16.to_le_bytes());
        put(72, &32_i16.to_le_bytes());
        for at in [76, 268] {
            put(
                at,
                &[1.0_f32, x_of_qform][usize::from(at == 268)].to_le_bytes(),
            );
        }
        for at in [80, 84, 88, 280, 300, 320] {
            put(at, &3.0_f32.to_le_bytes());
        }
        put(108, &352.0_f32.to_le_bytes());
        put(123, &[2]);
        put(252, &1_i16.to_le_bytes());
        put(254, &1_i16.to_le_bytes());
        put(344, b"n+1\0");
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        std::fs::write(path, bytes).unwrap();
    }

    fn read_values(values: [f32; 8], x_of_qform: f32) -> Result<Input, PipelineError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.nii");
        write_nifti(&path, values, x_of_qform);
        let choice = InputChoice {
            path,
            ..InputChoice::default()
        };
        read(&choice, &ct(), &Silent, &Cancel::new())
    }

    fn ct() -> [Vec<String>; 1] {
        [vec!["CT".into()]]
    }

    const PLAIN: [f32; 8] = [-1000.0, 0.0, 40.0, 60.0, 80.0, 90.0, 100.0, 300.0];

    fn checks(input: &Input) -> Vec<&str> {
        let checks = input
            .findings
            .iter()
            .filter(|f| f.severity == Severity::Check);
        checks.map(|f| f.code.as_str()).collect()
    }

    #[test]
    fn a_nifti_whose_forms_disagree_needs_a_person() {
        assert!(checks(&read_values(PLAIN, 0.0).unwrap()).is_empty());
        let moved = read_values(PLAIN, 30.0).unwrap();
        assert_eq!(checks(&moved), ["forms_disagree"]);
    }

    #[test]
    fn an_infinite_voxel_is_told_and_does_not_hide_the_hu() {
        let mut values = PLAIN;
        values[7] = f32::INFINITY;
        assert_eq!(checks(&read_values(values, 0.0).unwrap()), ["not_finite"]);
    }

    #[test]
    fn a_nifti_without_any_number_is_refused() {
        let error = read_values([f32::NAN; 8], 0.0).err().unwrap();
        assert!(
            matches!(error, PipelineError::NoFiniteVoxel { .. }),
            "{error}"
        );
    }

    #[test]
    fn the_modality_of_dicom_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let choice = InputChoice {
            path: folder.path().into(),
            modality: Some("MR".into()),
            ..InputChoice::default()
        };
        let error = read(&choice, &ct(), &Silent, &Cancel::new()).err().unwrap();
        assert!(matches!(error, PipelineError::ModalityOfDicom), "{error}");
    }

    #[test]
    fn the_case_does_not_repeat_a_name_from_the_names_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let grid = Grid::axis_aligned([8, 8, 10], [2.0; 3], Point::new([0.0; 3])).unwrap();
        let volume = Volume::filled(grid, 40_i16);
        let options = SeriesOptions::default();
        write_series(folder.path(), &volume, &options, &Silent, &Cancel::new()).unwrap();
        // The phantom's patient is called so.
        std::fs::write(folder.path().join("PHANTOM_PROSECT.1.dcm"), "no image").unwrap();
        let choice = InputChoice {
            path: folder.path().to_owned(),
            ..InputChoice::default()
        };
        let input = read(&choice, &ct(), &Silent, &Cancel::new()).unwrap();
        assert_eq!(checks(&input), ["file_left_out"]);
        let told = format!("{:?} {:?}", input.findings, input.record.left_out);
        assert!(
            told.contains("[redacted]_[redacted].1.dcm") && !told.contains("PHANTOM"),
            "{told}"
        );
    }

    #[test]
    fn a_slanted_nifti_is_put_on_a_straight_grid_and_told() {
        let v = Vector::new;
        let columns = [v([0.7, 0.0, 0.0]), v([0.0, 0.7, 0.0]), v([0.0, 0.6, 2.0])];
        let affine = Affine::from_columns(columns, Point::new([1.0, 2.0, 3.0]));
        let grid = Grid::new([9, 8, 7], affine, None).unwrap();
        let image = Volume::from_fn(grid.clone(), |at| {
            (20.0 * grid.position(at).xyz[2]) as f32 - 1000.0
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slanted.nii.gz");
        let mut out = std::fs::File::create(&path).unwrap();
        let options = prosect_formats::nifti::WriteOptions::default();
        prosect_formats::nifti::write_image(&image, &options, &mut out).unwrap();
        drop(out);
        let choice = InputChoice {
            path,
            ..InputChoice::default()
        };
        let input = read(&choice, &ct(), &Silent, &Cancel::new()).unwrap();
        assert!(checks(&input).contains(&"sheared"), "{:?}", input.findings);
        assert!(input.resampled_because().unwrap().contains("right angles"));
        let straight = input.image();
        assert!(!is_sheared(straight.grid()));
        let cover = input.cover().unwrap();
        for k in 0..straight.grid().shape()[2] {
            let [in_i, in_j] = cover.image_range(k);
            let at = prosect_volume::VoxelIndex {
                i: in_i.start + 4,
                j: in_j.start + 4,
                k,
            };
            let want = 20.0 * straight.grid().position(at).xyz[2] - 1000.0;
            // 1e-2: positions are f32 in a NIfTI.
            assert!((f64::from(straight.get(at).unwrap()) - want).abs() < 1e-2);
        }
    }

    #[test]
    fn a_series_with_a_missing_slice_is_covered_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let grid = Grid::axis_aligned([8, 8, 10], [2.0; 3], Point::new([0.0; 3])).unwrap();
        let volume = Volume::filled(grid, 40_i16);
        let options = SeriesOptions::default();
        write_series(folder.path(), &volume, &options, &Silent, &Cancel::new()).unwrap();
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        std::fs::remove_file(&files[4]).unwrap();
        let choice = InputChoice {
            path: folder.path().to_owned(),
            ..InputChoice::default()
        };
        let input = read(&choice, &ct(), &Silent, &Cancel::new()).unwrap();
        assert_eq!(checks(&input), ["slices_missing"]);
        let codes: Vec<&str> = input.findings.iter().map(|f| f.code.as_str()).collect();
        assert!(codes.contains(&"resampled"), "{codes:?}");
        assert_eq!(
            (input.record.n_slices, input.image().grid().shape()[2]),
            (9, 10)
        );
        assert_eq!(
            input.resampled_because(),
            Some("1 of 8 gaps between slices differ from the usual 2.00 mm")
        );
    }

    #[test]
    fn a_tilted_grid_is_told_from_a_straight_one() {
        let columns = |shift: f64| {
            let v = Vector::new;
            [v([0.7, 0.0, 0.0]), v([0.0, 0.7, 0.0]), v([0.0, shift, 2.0])]
        };
        let grid = |shift| {
            Grid::new(
                [4, 4, 4],
                Affine::from_columns(columns(shift), Point::new([0.0; 3])),
                None,
            )
            .unwrap()
        };
        assert!(!is_sheared(&grid(0.001)));
        assert!(is_sheared(&grid(0.1)));
    }
}
