//! The contours of one region, as an RT structure set lists them, on the frames of a series.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use prosect_volume::{Lps, Point, SliceStack, Vector};

use super::Refusal;
use super::item::items;
use super::pixel::Runs;
use super::raster::fill;
use crate::attribute::{count, numbers, text};
use crate::reader::DataSet;

/// Retired; old structure sets may have it (PS3.3-2004 C.8.8.6).
const CONTOUR_OFFSET_VECTOR: Tag = Tag(0x3006, 0x0045);

/// A closed contour.
#[derive(Clone, Debug)]
pub(super) struct Contour {
    points: Vec<Point<Lps>>,
    /// Several on one plane are joined by exclusive or because the object says so
    /// (`CLOSEDPLANAR_XOR`), not only because holes are drawn that way.
    is_xor: bool,
}

/// The closed contours of a region, and how many of other kinds were passed over.
#[derive(Clone, Debug, Default)]
pub(super) struct Region {
    pub(super) contours: Vec<Contour>,
    /// Points, open curves and contours of fewer than three points.
    pub(super) n_open: usize,
}

impl Region {
    /// Reads an item of the ROI Contour Sequence (PS3.3 C.8.8.6).
    pub(super) fn read(item: &DataSet) -> Result<Self, Refusal> {
        let mut region = Self::default();
        for item in items(item, tags::CONTOUR_SEQUENCE) {
            let kind = text(item, tags::CONTOUR_GEOMETRIC_TYPE);
            let is_xor = match kind.as_deref() {
                Some("CLOSEDPLANAR_XOR") => true,
                Some("CLOSED_PLANAR") | None => false,
                Some(_) => {
                    region.n_open += 1;
                    continue;
                }
            };
            let numbers = numbers(item, tags::CONTOUR_DATA);
            let stated = count(item, tags::NUMBER_OF_CONTOUR_POINTS);
            let (points, rest) = numbers.as_chunks::<3>();
            if !rest.is_empty() || stated.is_some_and(|n| n != points.len()) {
                return Err(Refusal::malformed(format!(
                    "a contour has {} numbers, but says that it has {} points",
                    numbers.len(),
                    stated.unwrap_or(0)
                )));
            }
            if item.get(CONTOUR_OFFSET_VECTOR).is_some() {
                return Err(Refusal::unsupported(
                    "a contour is shifted by a Contour Offset Vector, which the standard has retired",
                ));
            }
            if points.len() < 3 {
                region.n_open += 1;
                continue;
            }
            region.contours.push(Contour {
                points: points.iter().map(|xyz| Point::new(*xyz)).collect(),
                is_xor,
            });
        }
        Ok(region)
    }
}

/// The frames on which contours are filled.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    stack: &'a SliceStack,
    normal: Vector<Lps>,
    duals: [Vector<Lps>; 2],
    /// Ascending.
    heights_mm: Vec<f64>,
    smallest_gap_mm: f64,
}

/// A contour may be this much off its plane, and off its frame, in shares of the distance of frames.
const FLAT: f64 = 0.25;
const ON_FRAME: f64 = 0.05;

impl<'a> Frames<'a> {
    pub(super) fn of(stack: &'a SliceStack) -> Result<Self, Refusal> {
        let flat = || Refusal::unsupported("the frames to draw on have no plane");
        let normal = stack.normal().ok_or_else(flat)?;
        let first = *stack.origins.first().ok_or_else(flat)?;
        let (i, j) = (stack.step_i, stack.step_j);
        let (ii, jj, ij) = (i.dot(i), j.dot(j), i.dot(j));
        let by = 1.0 / (ii * jj - ij * ij);
        let heights_mm: Vec<f64> = stack
            .origins
            .iter()
            .map(|origin| (*origin - first).dot(normal))
            .collect();
        let gaps = heights_mm.windows(2).map(|pair| pair[1] - pair[0]);
        let smallest = gaps.min_by(f64::total_cmp).or(stack.thickness_mm);
        Ok(Self {
            stack,
            normal,
            duals: [(i * jj - j * ij) * by, (j * ii - i * ij) * by],
            heights_mm,
            smallest_gap_mm: smallest.filter(|mm| *mm > 0.0).unwrap_or(1.0),
        })
    }

    /// The height of a contour, if it lies in a plane parallel to the frames.
    pub(super) fn height(&self, contour: &Contour) -> Option<f64> {
        let heights = contour
            .points
            .iter()
            .map(|point| (*point - self.stack.origins[0]).dot(self.normal));
        let (mut low, mut high, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
        for height in heights {
            low = low.min(height);
            high = high.max(height);
            sum += height;
        }
        let mean = sum / contour.points.len() as f64;
        (high - low <= FLAT * self.smallest_gap_mm && mean.is_finite()).then_some(mean)
    }

    /// Which planes of contours each frame takes: the nearest one, where it is near enough.
    /// `heights_mm` are those of all planes, ascending.
    pub(super) fn assign(&self, heights_mm: &[f64]) -> Assignment {
        let tolerance = (ON_FRAME * self.smallest_gap_mm).max(0.02);
        let on_frames = heights_mm
            .iter()
            .all(|height| self.distance_to_frame(*height) <= tolerance);
        let gaps = heights_mm.windows(2).map(|pair| pair[1] - pair[0]);
        let gap = gaps.min_by(f64::total_cmp).unwrap_or(self.smallest_gap_mm);
        // Planes between the frames reach half way to the next one, as slices do.
        let reach = if on_frames {
            tolerance
        } else {
            gap / 2.0 + 1e-3
        };
        let plane_of = self
            .heights_mm
            .iter()
            .map(|&height| {
                nearest(heights_mm, height).filter(|&n| (heights_mm[n] - height).abs() <= reach)
            })
            .collect();
        Assignment {
            plane_of,
            on_frames,
        }
    }

    fn distance_to_frame(&self, height: f64) -> f64 {
        nearest(&self.heights_mm, height)
            .map_or(f64::INFINITY, |n| (self.heights_mm[n] - height).abs())
    }

    /// How many frames there are.
    pub(super) fn len(&self) -> usize {
        self.heights_mm.len()
    }

    /// Pixels of a frame.
    pub(super) fn n_pixels(&self) -> usize {
        self.stack.shape[0] * self.stack.shape[1]
    }

    /// Fills contours of one plane on a frame.
    pub(super) fn fill(&self, contours: &[&Contour], frame: usize) -> Result<Filled, Refusal> {
        let mut polygons: Vec<Vec<[f64; 2]>> = contours
            .iter()
            .map(|contour| self.in_pixels(contour, frame))
            .collect();
        let mut filled = Filled::default();
        if contours.len() > 1 && !contours.iter().any(|contour| contour.is_xor) {
            let n = polygons.len();
            drop_copies(&mut polygons);
            filled.n_copies = n - polygons.len();
            filled.crosses = self.any_cross(&polygons)?;
        }
        let polygons: Vec<&[[f64; 2]]> = polygons.iter().map(Vec::as_slice).collect();
        filled.runs = fill(&polygons, self.stack.shape)?;
        Ok(filled)
    }

    fn in_pixels(&self, contour: &Contour, frame: usize) -> Vec<[f64; 2]> {
        let origin = self.stack.origins[frame];
        contour
            .points
            .iter()
            .map(|point| self.duals.map(|dual| (*point - origin).dot(dual)))
            .collect()
    }

    /// Whether two polygons share pixels without one holding the other: then nobody can say whether
    /// what they share is inside.
    fn any_cross(&self, polygons: &[Vec<[f64; 2]>]) -> Result<bool, Refusal> {
        // Bones may have dozens of contours in a slice; more than this is not looked at in pairs.
        const MOST: usize = 100;
        if polygons.len() > MOST {
            return Ok(false);
        }
        let filled: Result<Vec<Runs>, Refusal> = polygons
            .iter()
            .map(|polygon| fill(&[polygon], self.stack.shape))
            .collect();
        let filled = filled?;
        let sizes: Vec<usize> = filled.iter().map(Runs::len).collect();
        for b in 1..filled.len() {
            for a in 0..b {
                let shared = filled[a].shared_with(&filled[b]);
                if shared > 0 && shared < sizes[a].min(sizes[b]) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Which plane of contours each frame takes.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) plane_of: Vec<Option<usize>>,
    /// All planes are those of frames.
    pub(super) on_frames: bool,
}

/// The pixels of the contours of one plane.
#[derive(Debug, Default)]
pub(super) struct Filled {
    pub(super) runs: Runs,
    /// Contours that repeat another one.
    pub(super) n_copies: usize,
    /// Contours cross each other.
    pub(super) crosses: bool,
}

/// A contour written twice is one contour, not a hole.
fn drop_copies(polygons: &mut Vec<Vec<[f64; 2]>>) {
    let mut n = 0;
    while n < polygons.len() {
        let repeats = polygons[..n]
            .iter()
            .any(|earlier| is_copy(earlier, &polygons[n]));
        if repeats {
            polygons.remove(n);
        } else {
            n += 1;
        }
    }
}

fn is_copy(a: &[[f64; 2]], b: &[[f64; 2]]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(p, q)| (p[0] - q[0]).abs() < 1e-6 && (p[1] - q[1]).abs() < 1e-6)
}

/// The place of the nearest of ascending numbers.
fn nearest(ascending: &[f64], at: f64) -> Option<usize> {
    let above = ascending.partition_point(|h| *h <= at);
    match (above.checked_sub(1), ascending.get(above)) {
        (Some(below), Some(high)) if high - at < at - ascending[below] => Some(above),
        (Some(below), _) => Some(below),
        (None, Some(_)) => Some(above),
        (None, None) => None,
    }
}
