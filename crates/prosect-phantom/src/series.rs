//! Phantoms as DICOM series: one native single-frame instance a slice, and on request the defects that real archives hold.

mod dataset;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Progress};
use prosect_dicom::uid::derive_uid;
use prosect_volume::{FrameOfReference, Grid, Volume};
use rayon::prelude::*;

use crate::error::PhantomError;
use dataset::{Frame, SeriesIdentity, scout_instance, slice_instance};

/// What the series says it was made with. A phantom knows no physics: in MR the signal is HU + 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Modality {
    /// CT Image Storage, in Hounsfield units.
    #[default]
    Ct,
    /// MR Image Storage, without rescale.
    Mr,
}

/// How bytes are written; none of them compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NativeSyntax {
    /// Explicit VR Little Endian.
    #[default]
    ExplicitLittle,
    /// Implicit VR Little Endian.
    ImplicitLittle,
    /// Explicit VR Big Endian, retired but found in archives.
    ExplicitBig,
}

/// A defect that a reader must notice or bear. Slices are counted from 0 in the order of the grid.
#[derive(Clone, Debug, PartialEq)]
pub enum Quirk {
    /// The slice is not written.
    MissingSlice(usize),
    /// The slice is written twice, the second time as another instance.
    DuplicateSlice(usize),
    /// All slices after this one lie further along by so many millimetres.
    Gap {
        /// The last slice in its place.
        after: usize,
        /// What is added to the spacing there.
        extra_mm: f64,
    },
    /// The slice's file ends in the middle of its pixels.
    TruncatedFile(usize),
    /// A localizer stands among the slices, in the same series.
    Scout,
    /// File names and instance numbers do not follow the position.
    Shuffled,
}

/// How a series is written. Start from `SeriesOptions::default()`.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesOptions {
    /// Names the study: series of one name lie in one study and one frame of reference.
    pub study: String,
    /// Series Number; also tells file names of several series apart.
    pub series_number: u32,
    /// Series Description, to which the word PHANTOM is set in front; at most 56 characters.
    pub description: String,
    /// CT or MR.
    pub modality: Modality,
    /// How bytes are written.
    pub syntax: NativeSyntax,
    /// Patient Position (PS3.3 C.7.3.1.1.2), for example `HFS`.
    pub patient_position: &'static str,
    /// Defects; none is the rule.
    pub quirks: Vec<Quirk>,
}

impl Default for SeriesOptions {
    fn default() -> Self {
        Self {
            study: "abdomen".to_owned(),
            series_number: 1,
            description: "abdomen".to_owned(),
            modality: Modality::Ct,
            syntax: NativeSyntax::ExplicitLittle,
            patient_position: "HFS",
            quirks: Vec::new(),
        }
    }
}

/// A series on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenSeries {
    /// Study Instance UID.
    pub study_uid: String,
    /// Series Instance UID.
    pub series_uid: String,
    /// Frame of Reference UID.
    pub frame_of_reference: FrameOfReference,
    /// SOP Instance UIDs, in the order of `files`.
    pub instance_uids: Vec<String>,
    /// The files, by slice; a second copy or a scout comes last.
    pub files: Vec<PathBuf>,
}

/// Writes a volume as a series into `dir`, which is made if need be; existing files are never overwritten.
///
/// UIDs derive from the pixels, the grid and the options: the same phantom is the same series everywhere.
///
/// # Errors
/// [`PhantomError::Options`] when a quirk names a slice that is not there, [`PhantomError::Write`] when the disk refuses, and
/// [`PhantomError::Canceled`], after which files written so far remain: write into a temporary folder.
pub fn write_series(
    dir: &Path,
    volume: &Volume<i16>,
    options: &SeriesOptions,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<WrittenSeries, PhantomError> {
    let grid = volume.grid();
    let plan = plan_frames(grid, options)?;
    fs::create_dir_all(dir).map_err(|source| PhantomError::Write {
        path: dir.to_owned(),
        source,
    })?;
    let n_files = plan.len() + usize::from(options.quirks.contains(&Quirk::Scout));
    progress.step(&format!("writing {n_files} DICOM files"));

    let pixels: Vec<Vec<u16>> = (0..grid.shape()[2])
        .into_par_iter()
        .map(|k| {
            volume
                .slice(k)
                .unwrap_or_default()
                .iter()
                .map(|&hu| stored_value(hu, options.modality))
                .collect()
        })
        .collect();
    let identity = identify(grid, &pixels, options);
    let done = std::sync::atomic::AtomicUsize::new(0);
    let mut written = plan
        .par_iter()
        .map(|frame| {
            cancel.check()?;
            let (object, uid) =
                slice_instance(&identity, options, frame, &pixels[frame.slice_index])?;
            let path = dir.join(file_name(options, frame, &uid));
            write_file(&path, &object, frame.truncated)?;
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            progress.fraction(done as f64 / n_files as f64);
            Ok((path, uid))
        })
        .collect::<Result<Vec<_>, PhantomError>>()?;
    if options.quirks.contains(&Quirk::Scout) {
        let (object, uid) = scout_instance(&identity, options)?;
        let path = dir.join(format!("S{:02}_SCOUT.dcm", options.series_number));
        write_file(&path, &object, false)?;
        written.push((path, uid));
    }
    let (files, instance_uids) = written.into_iter().unzip();
    Ok(WrittenSeries {
        study_uid: identity.study_uid,
        series_uid: identity.series_uid,
        frame_of_reference: FrameOfReference(identity.frame_of_reference_uid),
        instance_uids,
        files,
    })
}

/// Which instances are written, and where each lies.
fn plan_frames(grid: &Grid, options: &SeriesOptions) -> Result<Vec<Frame>, PhantomError> {
    // PS3.5, VR LO: 64 characters.
    if dataset::series_description(options).chars().count() > 64 {
        return Err(PhantomError::Options {
            problem: "the series description is longer than 56 characters".to_owned(),
        });
    }
    let n_slices = grid.shape()[2];
    let mut shift_mm = vec![0.0; n_slices];
    let mut missing = vec![false; n_slices];
    let mut truncated = vec![false; n_slices];
    let mut twice = Vec::new();
    for quirk in &options.quirks {
        let slice_index = match quirk {
            Quirk::MissingSlice(index)
            | Quirk::DuplicateSlice(index)
            | Quirk::TruncatedFile(index)
            | Quirk::Gap { after: index, .. } => *index,
            Quirk::Scout | Quirk::Shuffled => 0,
        };
        if slice_index >= n_slices {
            return Err(PhantomError::Options {
                problem: format!(
                    "slice {slice_index} of {n_slices} (counted from 0) does not exist"
                ),
            });
        }
        match quirk {
            Quirk::MissingSlice(index) => missing[*index] = true,
            Quirk::DuplicateSlice(index) => twice.push(*index),
            Quirk::TruncatedFile(index) => truncated[*index] = true,
            Quirk::Gap { after, extra_mm } => shift_mm[after + 1..]
                .iter_mut()
                .for_each(|shift| *shift += extra_mm),
            Quirk::Scout | Quirk::Shuffled => {}
        }
    }
    let shuffled = options.quirks.contains(&Quirk::Shuffled);
    let frame = |slice_index: usize, copy: u32| {
        let order = if shuffled {
            crate::noise::hash(slice_index as u64) % 100_000
        } else {
            slice_index as u64 + 1
        };
        Frame {
            slice_index,
            copy,
            instance_number: order + u64::from(copy) * n_slices as u64,
            position: position(grid, slice_index, shift_mm[slice_index]),
            truncated: truncated[slice_index],
        }
    };
    let mut frames: Vec<Frame> = (0..n_slices)
        .filter(|&index| !missing[index])
        .map(|index| frame(index, 0))
        .collect();
    frames.extend(twice.into_iter().map(|index| frame(index, 1)));
    Ok(frames)
}

/// The center of a slice's first voxel, moved along the stack.
fn position(grid: &Grid, slice_index: usize, shift_mm: f64) -> [f64; 3] {
    let affine = grid.lps_from_voxel();
    let step = affine.column(2);
    let steps = slice_index as f64 + shift_mm / step.norm();
    std::array::from_fn(|axis| affine.origin().xyz[axis] + step.xyz[axis] * steps)
}

fn stored_value(hu: i16, modality: Modality) -> u16 {
    let offset = match modality {
        Modality::Ct => dataset::RESCALE_INTERCEPT_HU,
        Modality::Mr => -1000,
    };
    (i32::from(hu) - offset).clamp(0, i32::from(u16::MAX)) as u16
}

/// UIDs from everything that makes the series what it is.
fn identify(grid: &Grid, pixels: &[Vec<u16>], options: &SeriesOptions) -> SeriesIdentity {
    let mut parts: Vec<Vec<u8>> = vec![
        b"prosect-phantom series".to_vec(),
        format!("{options:?} {:?} {:?}", grid.shape(), grid.lps_from_voxel()).into_bytes(),
    ];
    parts.extend(
        pixels
            .par_iter()
            .map(|slice| {
                let bytes: Vec<u8> = slice.iter().flat_map(|value| value.to_le_bytes()).collect();
                derive_uid(&[&bytes]).into_bytes()
            })
            .collect::<Vec<_>>(),
    );
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    SeriesIdentity {
        study_uid: derive_uid(&[b"prosect-phantom study", options.study.as_bytes()]),
        series_uid: derive_uid(&parts),
        frame_of_reference_uid: derive_uid(&[
            b"prosect-phantom frame of reference",
            options.study.as_bytes(),
        ]),
        grid: grid.clone(),
    }
}

fn file_name(options: &SeriesOptions, frame: &Frame, uid: &str) -> String {
    if options.quirks.contains(&Quirk::Shuffled) {
        format!(
            "S{:02}_{}.dcm",
            options.series_number,
            uid.get(5..25).unwrap_or(uid)
        )
    } else if frame.copy > 0 {
        format!(
            "S{:02}_{:04}_COPY.dcm",
            options.series_number,
            frame.slice_index + 1
        )
    } else {
        format!(
            "S{:02}_{:04}.dcm",
            options.series_number,
            frame.slice_index + 1
        )
    }
}

/// A truncated file keeps 60 % of its bytes: its header whole, its pixels not.
fn write_file(
    path: &Path,
    object: &dataset::Instance,
    truncated: bool,
) -> Result<(), PhantomError> {
    let mut bytes = Vec::new();
    object
        .write_all(&mut bytes)
        .map_err(|error| PhantomError::Encode {
            problem: error.to_string(),
        })?;
    if truncated {
        bytes.truncate(bytes.len() * 6 / 10);
    }
    let failed = |source| PhantomError::Write {
        path: path.to_owned(),
        source,
    };
    File::create_new(path)
        .map_err(failed)?
        .write_all(&bytes)
        .map_err(failed)
}
