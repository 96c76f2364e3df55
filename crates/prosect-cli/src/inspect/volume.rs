//! `prosect inspect` of a NIfTI or an NRRD: what the header says, and what it leaves open.

use std::path::Path;

use prosect::base::Limits;
use prosect::formats::nifti::{self, AffineSource};
use prosect::formats::{FormatsError, StoredVolume, nrrd};
use serde::Serialize;

use crate::Done;
use crate::console::{plain, print, print_json};
use crate::failure::Failure;

/// A volume as JSON.
#[derive(Serialize)]
struct Listing {
    input: String,
    format: &'static str,
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    orientation: String,
    /// Whether the file says which side is left.
    oriented: bool,
    stored: &'static str,
    n_layers: usize,
    segments: Vec<String>,
    notes: Vec<String>,
}

/// Lists the volume, if the name's end says that the file is one.
pub(super) fn run(path: &Path, json: bool) -> Option<Result<Done, Failure>> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let ends = |ends: &[&str]| path.is_file() && ends.iter().any(|end| name.ends_with(end));
    let listing = if ends(&[".nii", ".nii.gz", ".hdr"]) {
        of_nifti(path)
    } else if ends(&[".nrrd", ".nhdr"]) {
        of_nrrd(path)
    } else {
        return None;
    };
    Some(listing.map_err(Failure::from).and_then(|listing| {
        if json {
            print_json(&listing)?;
        } else {
            print(&text(&listing))?;
        }
        Ok(if listing.oriented && listing.notes.is_empty() {
            Done::Clean
        } else {
            Done::WithFindings
        })
    }))
}

fn of_nifti(path: &Path) -> Result<Listing, FormatsError> {
    let (volume, facts) = nifti::read_stored(path, &Limits::default())?;
    let mut listing = listing(path, "NIfTI", &volume);
    listing.oriented = facts.affine_source != AffineSource::Pixdim;
    listing.notes = facts.notes;
    if facts.forms_disagree {
        let note = "sform and qform disagree on where the voxels are; the sform counts";
        listing.notes.push(note.to_owned());
    }
    if !listing.oriented {
        let note = "neither sform nor qform: which side is left is a guess";
        listing.notes.push(note.to_owned());
    }
    Ok(listing)
}

fn of_nrrd(path: &Path) -> Result<Listing, FormatsError> {
    let file = nrrd::read(path, &Limits::default())?;
    // A file without a layer is refused by the reader.
    let Some(first) = file.layers.first() else {
        return Err(FormatsError::Malformed {
            format: "NRRD",
            what: "it holds no volume".to_owned(),
        });
    };
    let mut listing = listing(path, "NRRD", first);
    listing.oriented = file.oriented;
    listing.n_layers = file.layers.len();
    listing.segments = file.segments.into_iter().map(|s| s.name).collect();
    listing.notes = file.notes;
    Ok(listing)
}

fn listing(path: &Path, format: &'static str, volume: &StoredVolume) -> Listing {
    let grid = volume.grid();
    Listing {
        input: path.display().to_string(),
        format,
        shape: grid.shape(),
        spacing_mm: grid.spacing_mm(),
        orientation: grid.orientation(),
        oriented: true,
        stored: volume.stored().name(),
        n_layers: 1,
        segments: Vec::new(),
        notes: Vec::new(),
    }
}

fn text(listing: &Listing) -> String {
    let [x, y, z] = listing.shape;
    let [a, b, c] = listing.spacing_mm;
    let mut lines = vec![format!(
        "{}, {x} x {y} x {z} voxels of {a:.3} x {b:.3} x {c:.3} mm, axes {}, {}",
        listing.format, listing.orientation, listing.stored
    )];
    if listing.n_layers > 1 {
        lines.push(format!("{} layers", listing.n_layers));
    }
    if !listing.segments.is_empty() {
        lines.push(format!("segments: {}", listing.segments.join(", ")));
    }
    lines.extend(listing.notes.iter().map(|note| format!("note: {note}")));
    lines.iter().map(|line| plain(line) + "\n").collect()
}
