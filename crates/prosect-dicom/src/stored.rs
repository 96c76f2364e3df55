//! The stored values of one file, as they were before any rescaling: what other software can be
//! compared with, pixel for pixel.

use std::io::Read as _;
use std::path::Path;

use prosect_base::{Cancel, Canceled, Fault, Limits, Progress, Silent};

use crate::error::DicomError;
use crate::file::{FileHeader, HeaderFailure};
use crate::pixel::{Frames, PixelFailure, PixelForm};
use crate::source::{find_sources, label_of, visit_sources};

/// The frames of one image file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFrames {
    /// UID of the transfer syntax.
    pub transfer_syntax: String,
    /// Pixels along a row.
    pub columns: usize,
    /// Pixels along a column.
    pub rows: usize,
    /// Stored values of each frame, row by row: unused bits away, signs extended, not rescaled.
    pub frames: Vec<Vec<i64>>,
}

/// Decodes every frame of one DICOM file.
///
/// # Errors
/// [`DicomError`] when the file cannot be read, is damaged, has no gray pixels, or goes over a limit.
pub fn read_stored_frames(file: &Path, limits: &Limits) -> Result<StoredFrames, DicomError> {
    let label = label_of(file);
    let found = find_sources(file, limits, &Cancel::new())?;
    let [source] = found.sources.as_slice() else {
        return Err(DicomError::Broken {
            label,
            reason: "it is no single file".to_owned(),
        });
    };
    let work: (&dyn Progress, &Cancel) = (&Silent, &Cancel::new());
    let mut read = visit_sources(&[source], limits, work, |_, reader, length| {
        let mut bytes = Vec::new();
        let mut reader = reader.take(length.min(limits.file_bytes));
        reader.read_to_end(&mut bytes).map(|_| bytes)
    })?;
    let bytes = match read.pop() {
        Some(Ok(Ok(bytes))) => bytes,
        Some(Ok(Err(error))) => return Err(io_error(label, error.to_string())),
        Some(Err(reason)) => return Err(io_error(label, reason)),
        None => return Err(io_error(label, "it cannot be read".to_owned())),
    };
    decode(&bytes, limits).map_err(|failure| match failure.fault {
        Fault::Io => io_error(label, failure.reason),
        Fault::Canceled => DicomError::Canceled(Canceled),
        Fault::Limit => DicomError::Limit {
            what: format!("{label}: {}", failure.reason),
        },
        _ => DicomError::Broken {
            label,
            reason: failure.reason,
        },
    })
}

fn io_error(label: String, reason: String) -> DicomError {
    DicomError::Io { label, reason }
}

fn decode(bytes: &[u8], limits: &Limits) -> Result<StoredFrames, PixelFailure> {
    let header = FileHeader::read(&mut &*bytes, bytes.len() as u64, limits)?;
    let form = PixelForm::of(&header)?;
    let n_voxels = (form.n_pixels() as u64).saturating_mul(header.n_frames() as u64);
    if form.columns.max(form.rows) > limits.edge || n_voxels > limits.voxels {
        return Err(PixelFailure {
            fault: Fault::Limit,
            reason: format!(
                "it has {} frames of {} x {} pixels",
                header.n_frames(),
                form.columns,
                form.rows
            ),
        });
    }
    let frames = Frames::of(&header, bytes, form)?;
    let frames = (0..frames.len())
        .map(|index| frames.stored(index))
        .collect::<Result<_, _>>()?;
    Ok(StoredFrames {
        transfer_syntax: header.transfer_syntax.clone(),
        columns: form.columns,
        rows: form.rows,
        frames,
    })
}

impl From<HeaderFailure> for PixelFailure {
    fn from(failure: HeaderFailure) -> Self {
        let (fault, reason) = match failure {
            HeaderFailure::NotDicom => (Fault::Malformed, "it is no DICOM file".to_owned()),
            HeaderFailure::Broken { reason, .. } => (Fault::Malformed, reason),
            HeaderFailure::Limit(reason) => (Fault::Limit, reason),
            HeaderFailure::Io(reason) => (Fault::Io, reason),
        };
        Self { fault, reason }
    }
}
