//! What files of surfaces say about a structure besides its triangles.

use prosect_segmentation::{Algorithm, Code, Rgb, Segment, Segmentation};

/// One structure in a file of surfaces.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfacePart {
    /// The structure's name, for example `kidney_left`.
    pub name: String,
    /// What it is.
    pub code: Code,
    /// Its side or another modifier.
    pub modifier: Option<Code>,
    /// How it is shown, in sRGB.
    pub color: Rgb,
    /// Volume of its voxels, in millilitres.
    pub volume_ml: f64,
    /// `AUTOMATIC`, `SEMIAUTOMATIC` or `MANUAL`.
    pub algorithm_type: &'static str,
    /// Which algorithm made it, if one did.
    pub algorithm: Option<Algorithm>,
    /// Whether a person has looked: `UNREVIEWED`.
    pub review: &'static str,
    /// The DICOM UID that says which LPS is meant.
    pub frame_of_reference: Option<String>,
}

impl SurfacePart {
    /// What is known of one segment of a segmentation.
    pub fn of(segment: &Segment, segmentation: &Segmentation, volume_ml: f64) -> Self {
        Self {
            name: segment.structure.name.clone(),
            code: segment.structure.property_type.clone(),
            modifier: segment.structure.type_modifier.clone(),
            color: segment.structure.color,
            volume_ml,
            algorithm_type: segment.algorithm_type.dicom_name(),
            algorithm: segment.algorithm.clone(),
            review: segmentation.review().label(),
            frame_of_reference: segmentation
                .grid()
                .frame_of_reference
                .as_ref()
                .map(ToString::to_string),
        }
    }

    /// The name as one plain word, for formats that end a name at a blank.
    pub(crate) fn word(&self) -> String {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "_-.".contains(c) {
                c
            } else {
                '_'
            }
        };
        self.name.chars().map(plain).collect()
    }

    /// The algorithm in one line of plain ASCII.
    pub(crate) fn algorithm_line(&self) -> String {
        let text = match &self.algorithm {
            Some(a) => format!(
                "{} {} (weights SHA-256 {}), {}",
                a.name, a.version, a.weights_sha256, self.algorithm_type
            ),
            None => self.algorithm_type.to_owned(),
        };
        text.chars()
            .map(|c| {
                if c.is_ascii() && !c.is_ascii_control() {
                    c
                } else {
                    '?'
                }
            })
            .collect()
    }
}
