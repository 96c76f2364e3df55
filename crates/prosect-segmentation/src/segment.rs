//! Segments: one structure in one segmentation.

use prosect_volume::Volume;

use crate::structure::Structure;

/// The integer in a labelmap's voxels; 0 is background.
pub type LabelValue = u16;

/// One layer: labels without overlap.
pub type Labelmap = Volume<LabelValue>;

/// Who drew a segment (PS3.3 C.8.20.2, Segment Algorithm Type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlgorithmType {
    /// Calculated without a person.
    Automatic,
    /// Calculated, then changed by a person.
    SemiAutomatic,
    /// Drawn by a person.
    Manual,
}

impl AlgorithmType {
    /// DICOM's word.
    pub fn dicom_name(self) -> &'static str {
        match self {
            Self::Automatic => "AUTOMATIC",
            Self::SemiAutomatic => "SEMIAUTOMATIC",
            Self::Manual => "MANUAL",
        }
    }
}

/// Which algorithm made a segment: enough to find the very same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithm {
    /// Name of the model, for example `liver-ct`.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// SHA-256 of the weights, in hexadecimal.
    pub weights_sha256: String,
    /// Who published it, with the reference.
    pub source: String,
}

impl Algorithm {
    /// Name, version and the first eight digits of the hash, for where room is short:
    /// `liver-ct 0.3.0 31b49cf7`.
    pub fn short(&self) -> String {
        let hash: String = self.weights_sha256.chars().take(8).collect();
        format!("{} {} {hash}", self.name, self.version)
    }
}

/// One structure in one segmentation. Its DICOM Segment Number is its place in the list, from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The value of its voxels in its layer.
    pub label_value: LabelValue,
    /// The layer in which it lies, from 0.
    pub layer: usize,
    /// What it is.
    pub structure: Structure,
    /// Who drew it.
    pub algorithm_type: AlgorithmType,
    /// Which algorithm, if one took part.
    pub algorithm: Option<Algorithm>,
}
