//! Labels on their way: where they lie, what they mean, how many voxels they have.

use prosect_dicom::ForeignLabels;
use prosect_segmentation::{Algorithm, AlgorithmType, LabelValue, Labelmap, Segment};
use prosect_volume::{FrameOfReference, Grid, Lps, Planes, Point, SliceStack};
use rayon::prelude::*;

use crate::convert::Outcome;
use crate::convert::table::{Table, known, plain};

/// Labels as they were read.
pub(super) struct LabelSet {
    /// The file's name, for messages.
    pub(super) name: String,
    pub(super) space: Space,
    /// One label for each voxel, i fastest; layers may overlap.
    pub(super) layers: Vec<Vec<LabelValue>>,
    pub(super) segments: Vec<Segment>,
    pub(super) frame_of_reference: Option<FrameOfReference>,
    /// Whether left and right are known.
    pub(super) oriented: bool,
    /// The series from which they were made, as far as they say it.
    pub(super) source_series: Vec<String>,
}

/// Where labels lie.
pub(super) enum Space {
    /// On a regular grid.
    Grid(Box<Grid>),
    /// On the frames of an object; its layers are empty.
    Object(Box<ForeignLabels>),
}

impl Space {
    /// The slices, as they are to be seen from the frames of `to`.
    pub(super) fn planes_for(&self, to: &SliceStack) -> Option<Planes> {
        match self {
            Self::Grid(grid) => Planes::of_grid(grid),
            Self::Object(object) => object.planes_for(to),
        }
    }

    /// Voxels of a slice along i and j.
    pub(super) fn slice_shape(&self) -> [usize; 2] {
        match self {
            Self::Grid(grid) => [grid.shape()[0], grid.shape()[1]],
            Self::Object(object) => object.stack.shape,
        }
    }

    /// The center of a voxel.
    pub(super) fn position(&self, [i, j, k]: [usize; 3]) -> Point<Lps> {
        let [i, j, height] = [i, j, k].map(|n| n as f64);
        match self {
            Self::Grid(grid) => grid.lps_from_voxel() * Point::new([i, j, height]),
            Self::Object(object) => {
                let stack = &object.stack;
                stack.origins[k] + stack.step_i * i + stack.step_j * j
            }
        }
    }
}

impl LabelSet {
    /// Labels of a DICOM object.
    pub(super) fn of_object(mut object: ForeignLabels, name: String) -> Self {
        Self {
            name,
            layers: std::mem::take(&mut object.layers),
            segments: std::mem::take(&mut object.segments),
            frame_of_reference: object.stack.frame_of_reference.clone(),
            oriented: true,
            source_series: object.source_series.clone(),
            space: Space::Object(Box::new(object)),
        }
    }

    /// Label maps on one grid.
    pub(super) fn of_grid(layers: Vec<Labelmap>, name: String) -> Option<Self> {
        let grid = layers.first()?.grid().clone();
        Some(Self {
            name,
            frame_of_reference: grid.frame_of_reference.clone(),
            space: Space::Grid(Box::new(grid)),
            layers: layers
                .into_iter()
                .map(|layer| layer.into_parts().1)
                .collect(),
            segments: Vec::new(),
            oriented: true,
            source_series: Vec::new(),
        })
    }

    /// Gives every value that occurs a meaning: by the user's table, else by the object itself, else
    /// a name that says that nobody knows.
    pub(super) fn name_values(&mut self, table: Option<&Table>, outcome: &mut Outcome) {
        let mut named = Vec::new();
        let mut unknown = Vec::new();
        for (layer, labels) in self.layers.iter().enumerate() {
            let counts = count(labels);
            let own = |value: LabelValue| {
                let is_own = |s: &&Segment| s.layer == layer && s.label_value == value;
                self.segments.iter().find(is_own)
            };
            for value in 1..=LabelValue::MAX {
                let occurs = counts[usize::from(value)] > 0;
                let row = table.and_then(|table| table.row(layer, value));
                match (row.filter(|_| occurs || own(value).is_some()), own(value)) {
                    (Some(row), old) => {
                        let (algorithm_type, algorithm) = row
                            .drawn_by
                            .clone()
                            .or_else(|| old.map(|s| (s.algorithm_type, s.algorithm.clone())))
                            .unwrap_or_else(drawn_by_somebody);
                        named.push(Segment {
                            label_value: value,
                            layer,
                            structure: row.structure.clone(),
                            algorithm_type,
                            algorithm,
                        });
                    }
                    (None, Some(own)) => named.push(own.clone()),
                    (None, None) if occurs => {
                        unknown.push(value);
                        named.push(nameless(layer, value));
                    }
                    (None, None) => {}
                }
            }
        }
        self.segments = self.in_old_order(named);
        if !unknown.is_empty() {
            let message = format!(
                "nobody says what the values {} mean; they are called label_N, with a private code: name them with --labels",
                list(&unknown)
            );
            outcome.find("label_without_name", message);
        }
    }

    /// Segments in the order that the object had; those that it did not have come last.
    fn in_old_order(&self, named: Vec<Segment>) -> Vec<Segment> {
        let place = |segment: &Segment| {
            let same =
                |s: &Segment| (s.layer, s.label_value) == (segment.layer, segment.label_value);
            self.segments.iter().position(same).unwrap_or(usize::MAX)
        };
        let mut placed: Vec<(usize, Segment)> = named.into_iter().map(|s| (place(&s), s)).collect();
        placed.sort_by_key(|(place, _)| *place);
        placed
            .into_iter()
            .map(|(_, segment)| writable(segment))
            .collect()
    }
}

/// Texts as every format holds them, whatever a foreign object put there.
fn writable(mut segment: Segment) -> Segment {
    segment.structure.name = plain(&segment.structure.name);
    if let Some(algorithm) = &mut segment.algorithm {
        algorithm.name = plain(&algorithm.name);
        algorithm.version = plain(&algorithm.version);
    }
    segment
}

/// A label map does not say who drew it. DICOM must; this claims the least: that an algorithm took
/// part, and that nobody knows which.
pub(super) fn drawn_by_somebody() -> (AlgorithmType, Option<Algorithm>) {
    let algorithm = Algorithm {
        name: "unknown".to_owned(),
        version: "unknown".to_owned(),
        weights_sha256: String::new(),
        source: String::new(),
    };
    (AlgorithmType::SemiAutomatic, Some(algorithm))
}

fn nameless(layer: usize, value: LabelValue) -> Segment {
    let (algorithm_type, algorithm) = drawn_by_somebody();
    Segment {
        label_value: value,
        layer,
        structure: known(&format!("label_{value}")),
        algorithm_type,
        algorithm,
    }
}

/// How many voxels each value has.
pub(super) fn count(labels: &[LabelValue]) -> Vec<u64> {
    let empty = || vec![0_u64; usize::from(LabelValue::MAX) + 1];
    // Large pieces: each has a table of its own.
    labels
        .par_chunks(1 << 22)
        .map(|labels| {
            let mut counts = empty();
            for run in labels.chunk_by(|a, b| a == b) {
                counts[usize::from(run[0])] += run.len() as u64;
            }
            counts
        })
        .reduce(empty, |mut sums, counts| {
            sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
            sums
        })
}

/// Numbers in words, the first ones where there are many.
pub(super) fn list(values: &[LabelValue]) -> String {
    const MOST: usize = 12;
    let words: Vec<String> = values.iter().take(MOST).map(ToString::to_string).collect();
    let more = values.len().saturating_sub(MOST);
    if more > 0 {
        format!("{} and {more} more", words.join(", "))
    } else {
        words.join(", ")
    }
}
