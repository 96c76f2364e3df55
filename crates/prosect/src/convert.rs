//! From one format to another: an image series to NIfTI or NRRD; labels, from whatever file, to
//! DICOM SEG, label map or structure set on the frames of a series, to NIfTI or to NRRD.
//!
//! What the other format cannot hold is told, never dropped in silence; nothing is written over.

mod error;
mod target;
mod table;
mod labels;
mod input;
mod place;
mod output;
mod image;
mod write;

use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Limits, Progress};

use crate::convert::input::Input;
use crate::convert::output::Output;

pub use error::ConvertError;
pub use target::Target;

/// What to convert, and into what.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// DICOM file, folder or zip; NIfTI, NRRD, or the folder of a case.
    pub input: PathBuf,
    /// The DICOM series on whose frames labels are to lie.
    pub source: Option<PathBuf>,
    /// The file to write.
    pub output: PathBuf,
    /// What the label values mean.
    pub labels: Option<PathBuf>,
    /// The format; `None` for what the name's end says.
    pub target: Option<Target>,
    /// The series to take, of the input or of the source.
    pub series_uid: Option<String>,
    /// Whether existing files may be replaced.
    pub force: bool,
    /// Whether labels may lie in another frame of reference than the source.
    pub any_frame_of_reference: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What the input was, in words: `CT series`, `DICOM SEG (BINARY)`, `NIfTI`.
    pub input: String,
    /// The files written, the one asked for first.
    pub files: Vec<PathBuf>,
    /// The labels, where labels were converted.
    pub labels: Vec<LabelOutcome>,
    /// What a person must look at, such as what was lost.
    pub findings: Vec<Told>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// One label, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelOutcome {
    /// Its value in the output: the Segment or ROI Number in DICOM.
    pub value: u16,
    /// The layer in which it lies, from 0.
    pub layer: usize,
    /// Its name.
    pub name: String,
    /// Coding scheme, code value and code meaning of what it is.
    pub code: [String; 3],
    /// Voxels in the input.
    pub n_voxels_before: u64,
    /// Voxels in the output.
    pub n_voxels_after: u64,
}

/// Something that a person must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// A word for machines.
    pub code: String,
    /// One sentence.
    pub message: String,
}

impl Outcome {
    fn find(&mut self, code: &str, message: impl Into<String>) {
        self.findings.push(Told {
            code: code.to_owned(),
            message: message.into(),
        });
    }
}

/// What every step needs.
#[derive(Clone, Copy)]
struct Work<'a> {
    limits: &'a Limits,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
}

/// Converts.
///
/// # Errors
/// [`ConvertError`]; nothing is then left at the output.
pub fn convert(
    request: &Request,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Outcome, ConvertError> {
    let limits = Limits::default();
    let work = Work {
        limits: &limits,
        progress,
        cancel,
    };
    let target = Target::of(request.target, &request.output)?;
    let mut output = Output::begin(request, target)?;
    let mut outcome = Outcome::default();
    match input::read(request, target, (work, &mut outcome))? {
        Input::Series(series) => image::write_series(&series, &mut output, (work, &mut outcome))?,
        Input::Stored(volume) => image::write_stored(*volume, &mut output, (work, &mut outcome))?,
        Input::Labels(labels) => {
            write::write_labels(*labels, request, &mut output, (work, &mut outcome))?;
        }
    }
    cancel.check()?;
    outcome.files = output.commit()?;
    Ok(outcome)
}

/// How a path is called in messages: by its name alone, as folders are often called after patients.
fn label_of(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests;
