//! From the places of a SEG's frames to a stack of slices, whatever order the frames come in.

use dicom_dictionary_std::tags;
use prosect_volume::{FrameOfReference, Lps, Point, SliceStack, Vector};

use super::Refusal;
use super::item::Groups;
use crate::attribute::{count, exactly, number, text};
use crate::reader::DataSet;

/// Frames that lie on the same slice, and the slices.
#[derive(Debug)]
pub(super) struct Geometry {
    pub(super) stack: SliceStack,
    /// For each frame of the object, the slice on which it lies.
    pub(super) slice_of: Vec<usize>,
    pub(super) spacing_mm: Option<f64>,
}

/// How one frame lies.
#[derive(Clone, Copy, Debug)]
struct FramePlace {
    origin: Point<Lps>,
    axes: [Vector<Lps>; 2],
    spacing_mm: [f64; 2],
}

/// Directions are written with six digits and more.
const DIRECTION_TOLERANCE: f64 = 1e-4;
/// Frames nearer than this share of the distance of slices lie on one slice.
const SAME_SLICE: f64 = 0.05;
/// Frames of one slice may differ in their plane by rounding only, in pixels.
const SAME_ORIGIN_PIXELS: f64 = 0.05;

/// Reads where all frames are.
pub(super) fn read(data: &DataSet, n_frames: usize) -> Result<Geometry, Refusal> {
    let groups = Groups::of(data);
    let places: Result<Vec<FramePlace>, Refusal> =
        (0..n_frames).map(|frame| place(groups, frame)).collect();
    let places = places?;
    let first = *places
        .first()
        .ok_or_else(|| Refusal::malformed("it has no frames"))?;
    if let Some(frame) = places.iter().position(|place| !place.has_axes_of(&first)) {
        return Err(Refusal::unsupported(format!(
            "frames 1 and {} lie in different planes or have different pixel spacing",
            frame + 1
        )));
    }
    let measures = groups.get(0, tags::PIXEL_MEASURES_SEQUENCE);
    let positive = |tag| {
        measures
            .and_then(|item| number(item, tag))
            .filter(|mm| *mm > 0.0 && mm.is_finite())
    };
    let thickness_mm = positive(tags::SLICE_THICKNESS);
    let stated_mm = positive(tags::SPACING_BETWEEN_SLICES);
    let normal = first.axes[0]
        .cross(first.axes[1])
        .unit()
        .ok_or_else(|| Refusal::malformed("its Image Orientation is no plane"))?;
    let tolerance_mm = SAME_SLICE * stated_mm.or(thickness_mm).unwrap_or(1.0).min(1.0);
    let (origins, slice_of) = sort(&places, normal, tolerance_mm)?;
    let [along_i, along_j] = first.spacing_mm;
    let shape = [tags::COLUMNS, tags::ROWS].map(|tag| count(data, tag).unwrap_or(0));
    let stack = SliceStack {
        shape,
        step_i: first.axes[0] * along_i,
        step_j: first.axes[1] * along_j,
        origins,
        frame_of_reference: text(data, tags::FRAME_OF_REFERENCE_UID).map(FrameOfReference),
        thickness_mm,
    };
    let spacing_mm = spacing(&stack, normal, stated_mm);
    Ok(Geometry {
        stack,
        slice_of,
        spacing_mm,
    })
}

fn place(groups: Groups<'_>, frame: usize) -> Result<FramePlace, Refusal> {
    let missing = |what: &str| {
        Refusal::unsupported(format!(
            "frame {} has no {what}, so nobody knows where it lies in the patient",
            frame + 1
        ))
    };
    let get = |group, tag, what| {
        groups
            .get(frame, group)
            .filter(|item| item.get(tag).is_some())
            .ok_or_else(|| missing(what))
    };
    let position = get(
        tags::PLANE_POSITION_SEQUENCE,
        tags::IMAGE_POSITION_PATIENT,
        "Image Position",
    )?;
    let orientation = get(
        tags::PLANE_ORIENTATION_SEQUENCE,
        tags::IMAGE_ORIENTATION_PATIENT,
        "Image Orientation",
    )?;
    let measures = get(
        tags::PIXEL_MEASURES_SEQUENCE,
        tags::PIXEL_SPACING,
        "Pixel Spacing",
    )?;
    let broken = |what: &str| {
        Refusal::malformed(format!(
            "the {what} of frame {} is not as it must be",
            frame + 1
        ))
    };
    let origin = exactly::<3>(position, tags::IMAGE_POSITION_PATIENT)
        .ok_or_else(|| broken("Image Position"))?;
    let [xi, yi, zi, xj, yj, zj] = exactly::<6>(orientation, tags::IMAGE_ORIENTATION_PATIENT)
        .ok_or_else(|| broken("Image Orientation"))?;
    let axes = [Vector::new([xi, yi, zi]), Vector::new([xj, yj, zj])].map(Vector::unit);
    let [Some(i), Some(j)] = axes else {
        return Err(broken("Image Orientation"));
    };
    // PS3.3 10.7.1.3: the distance of rows, which is along j, comes first.
    let [along_j, along_i] = exactly::<2>(measures, tags::PIXEL_SPACING)
        .filter(|spacing| spacing.iter().all(|mm| *mm > 0.0))
        .ok_or_else(|| broken("Pixel Spacing"))?;
    if i.dot(j).abs() > 0.01 {
        return Err(broken("Image Orientation"));
    }
    Ok(FramePlace {
        origin: Point::new(origin),
        axes: [i, j],
        spacing_mm: [along_i, along_j],
    })
}

impl FramePlace {
    fn has_axes_of(&self, other: &Self) -> bool {
        let same = |n: usize| {
            (self.axes[n] - other.axes[n]).norm() < DIRECTION_TOLERANCE
                && (self.spacing_mm[n] - other.spacing_mm[n]).abs() < 1e-4 * other.spacing_mm[n]
        };
        same(0) && same(1)
    }
}

/// The slices in order along the normal, and for each frame its slice.
fn sort(
    places: &[FramePlace],
    normal: Vector<Lps>,
    tolerance_mm: f64,
) -> Result<(Vec<Point<Lps>>, Vec<usize>), Refusal> {
    let heights: Vec<f64> = places
        .iter()
        .map(|place| (place.origin - places[0].origin).dot(normal))
        .collect();
    if !heights.iter().all(|h| h.is_finite()) {
        return Err(Refusal::malformed("its frames lie at impossible places"));
    }
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| heights[a].total_cmp(&heights[b]));
    let mut slice_of = vec![0; places.len()];
    let mut firsts: Vec<usize> = Vec::new();
    for frame in order {
        let begins = firsts
            .last()
            .is_none_or(|&first| heights[frame] - heights[first] > tolerance_mm);
        if begins {
            firsts.push(frame);
        } else if let Some(&first) = firsts.last() {
            let way = places[frame].origin - places[first].origin;
            let off = [0, 1].map(|n| way.dot(places[first].axes[n]) / places[first].spacing_mm[n]);
            if off.iter().any(|pixels| pixels.abs() > SAME_ORIGIN_PIXELS) {
                return Err(Refusal::unsupported(format!(
                    "frames {} and {} lie side by side in one plane, as tiles do",
                    first + 1,
                    frame + 1
                )));
            }
        }
        slice_of[frame] = firsts.len() - 1;
    }
    let origins = firsts.iter().map(|&frame| places[frame].origin).collect();
    Ok((origins, slice_of))
}

/// The distance of neighbouring slices: what the object states, where the slices that it has fit to
/// it; else the smallest distance that occurs, where all others are multiples of it.
fn spacing(stack: &SliceStack, normal: Vector<Lps>, stated_mm: Option<f64>) -> Option<f64> {
    let gaps: Vec<f64> = stack
        .origins
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).dot(normal))
        .collect();
    let fits = |mm: &f64| gaps.iter().all(|gap| multiple_of(*gap, *mm).is_some());
    let smallest = gaps.iter().copied().min_by(f64::total_cmp);
    stated_mm
        .filter(fits)
        .or(smallest.filter(fits))
        .or(if gaps.is_empty() {
            stack.thickness_mm
        } else {
            None
        })
}

/// How many steps a gap has, if it has a whole number of them within rounding of positions.
pub(super) fn multiple_of(gap_mm: f64, step_mm: f64) -> Option<usize> {
    let steps = (gap_mm / step_mm).round();
    let off = (gap_mm - steps * step_mm).abs();
    // Positions with two decimals are off by up to 0.01 mm; what is stated rounds at each step.
    let tolerance = (0.02 * step_mm).max(0.012) + 2e-3 * step_mm * steps;
    ((1.0..1e6).contains(&steps) && off <= tolerance.min(0.3 * step_mm)).then_some(steps as usize)
}

#[cfg(test)]
mod tests {
    use super::multiple_of;

    #[test]
    fn gaps_of_left_out_frames_are_whole_steps() {
        assert_eq!(multiple_of(3.27, 3.27), Some(1));
        assert_eq!(multiple_of(9.81, 3.27), Some(3));
        assert_eq!(multiple_of(9.80, 3.27), Some(3));
        assert_eq!(multiple_of(4.5, 3.0), None);
        assert_eq!(multiple_of(7.0, 4.0), None);
        assert_eq!(multiple_of(0.1, 3.0), None);
    }
}
