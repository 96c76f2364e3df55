//! What may go wrong with DICOM data. No message holds patient data; files are named as the user gave them.

use prosect_base::{Canceled, Fault, Faulty};

/// Why DICOM data cannot be read, chosen or written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DicomError {
    /// The machine failed to read or write.
    #[error("{label}: {reason}")]
    Io {
        /// The file or folder.
        label: String,
        /// What the operating system said.
        reason: String,
    },
    /// A folder or archive without a single file.
    #[error("{label} is empty; give a folder, a zip or a file with DICOM images")]
    Empty {
        /// The folder or archive.
        label: String,
    },
    /// The input as a whole is damaged or no DICOM.
    #[error("{label} cannot be used: {reason}")]
    Broken {
        /// The file or archive.
        label: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No image series at all.
    #[error("no image series in {label}: {found}")]
    NoImageSeries {
        /// The input.
        label: String,
        /// What was there instead.
        found: String,
    },
    /// Image series, but none that fits the model.
    #[error("no series fits {wanted}: {found}")]
    NoFittingSeries {
        /// The modalities that were asked for.
        wanted: String,
        /// Each series and why it was left aside.
        found: String,
    },
    /// The series asked for has another modality.
    #[error("series {series_uid} is {modality}; the model was made for {wanted}")]
    WrongModality {
        /// The series.
        series_uid: String,
        /// Its modality.
        modality: String,
        /// The modalities of the model.
        wanted: String,
    },
    /// The series asked for is not there.
    #[error("no series {series_uid} in {label}; there are: {known}")]
    NoSuchSeries {
        /// The UID asked for.
        series_uid: String,
        /// The input.
        label: String,
        /// The series there are.
        known: String,
    },
    /// Several series fit equally well.
    #[error("{n_series} series fit equally well: {candidates}")]
    Ambiguous {
        /// How many.
        n_series: usize,
        /// Each of them with its UID.
        candidates: String,
    },
    /// The series is known and right, but cannot become a volume.
    #[error("series {series_uid} cannot be used: {reason}")]
    Unusable {
        /// The series.
        series_uid: String,
        /// Why, with the slices concerned.
        reason: String,
        /// Whose fault it is.
        fault: Fault,
    },
    /// A segmentation or structure set cannot be read.
    #[error("{label} cannot be read as labels: {reason}")]
    Labels {
        /// The file.
        label: String,
        /// Why.
        reason: String,
        /// Whose fault it is.
        fault: Fault,
    },
    /// More than the limits allow.
    #[error("{what}; the limits of this installation do not allow it")]
    Limit {
        /// What is too large.
        what: String,
    },
    /// Segmentation and source images do not belong together.
    #[error("the segmentation cannot be written on the source images: {reason}")]
    Mismatch {
        /// What does not fit.
        reason: String,
    },
    /// A value given for writing is not legal DICOM.
    #[error("{what} cannot be written into a DICOM object: {reason}")]
    Value {
        /// Which value.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Canceled(#[from] Canceled),
}

impl Faulty for DicomError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } => Fault::Io,
            Self::Empty { .. }
            | Self::NoImageSeries { .. }
            | Self::NoFittingSeries { .. }
            | Self::WrongModality { .. }
            | Self::NoSuchSeries { .. }
            | Self::Ambiguous { .. }
            | Self::Mismatch { .. }
            | Self::Value { .. } => Fault::Inconsistent,
            Self::Broken { .. } => Fault::Malformed,
            Self::Unusable { fault, .. } | Self::Labels { fault, .. } => *fault,
            Self::Limit { .. } => Fault::Limit,
            Self::Canceled(_) => Fault::Canceled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Ambiguous { .. } => Some("name one of them with --series UID".to_owned()),
            Self::NoSuchSeries { .. }
            | Self::NoFittingSeries { .. }
            | Self::NoImageSeries { .. } => Some(
                "`prosect inspect INPUT` lists what is there and why it was left aside".to_owned(),
            ),
            Self::WrongModality { .. } => {
                Some("`prosect models list` shows which model is for which modality".to_owned())
            }
            _ => None,
        }
    }
}
