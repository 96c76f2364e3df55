//! What was drawn on one stack of slices, seen at the pixels of another: each takes the value of
//! the nearest pixel of the nearest slice. Nothing is invented between slices.

use rayon::prelude::*;

use crate::grid::Grid;
use crate::space::{Lps, Point, Vector};
use crate::stack::SliceStack;

/// Slices with values, in order along their normal, and how far each reaches.
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    shape: [usize; 2],
    normal: Vector<Lps>,
    /// The products of a way with these two are its coordinates along i and j, in pixels.
    duals: [Vector<Lps>; 2],
    /// Ascending along the normal.
    sorted: Vec<Plane>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Plane {
    height_mm: f64,
    origin: Point<Lps>,
    /// Which slice of the values this is.
    slot: usize,
    /// How far it reaches down and up, in mm.
    reach_mm: [f64; 2],
}

/// How the pixels of one frame lie on the planes.
struct FrameMap {
    /// The plane on which all of the frame lies; `None` where each pixel has its own.
    plane: Option<usize>,
    /// The frame's first pixel, and its steps along i and j.
    first: Point<Lps>,
    steps: [Vector<Lps>; 2],
}

/// Frames whose normals differ by less than this lie parallel: on 1000 mm a thousandth of a millimeter.
const PARALLEL: f64 = 1e-6;
/// Grids agree when pixel centers are nearer than this to each other, in pixels: the affine of a
/// NIfTI has 24 bits, positions in DICOM 10 digits and more.
const AGREE_PIXELS: f64 = 0.02;
/// Rounding on the border of an image, in pixels.
const BORDER_PIXELS: f64 = 1e-3;

impl Planes {
    /// The slices of a stack, from the values' first slice on. Each reaches half of `spacing_mm`
    /// up and down; without that, half the way to its neighbours. `None` for a stack that is empty
    /// or flat.
    pub fn of_stack(stack: &SliceStack, spacing_mm: Option<f64>) -> Option<Self> {
        let thickness = stack.thickness_mm;
        Self::new(
            [stack.step_i, stack.step_j],
            stack.shape,
            &stack.origins,
            (spacing_mm, thickness),
        )
    }

    /// The slices of a grid, whichever way it is handed. `None` for one whose axes i and j are one.
    pub fn of_grid(grid: &Grid) -> Option<Self> {
        let [ni, nj, nk] = grid.shape();
        let affine = grid.lps_from_voxel();
        let step_k = affine.column(2);
        let origins: Vec<Point<Lps>> = (0..nk)
            .map(|k| affine.origin() + step_k * k as f64)
            .collect();
        let steps = [affine.column(0), affine.column(1)];
        let normal = steps[0].cross(steps[1]).unit()?;
        let spacing = step_k.dot(normal).abs();
        Self::new(steps, [ni, nj], &origins, (Some(spacing), None))
    }

    fn new(
        [i, j]: [Vector<Lps>; 2],
        shape: [usize; 2],
        origins: &[Point<Lps>],
        (spacing_mm, thickness_mm): (Option<f64>, Option<f64>),
    ) -> Option<Self> {
        let normal = i.cross(j).unit()?;
        let first = *origins.first()?;
        // The axes may be a hair off the right angle: both coordinates are solved for together.
        let (ii, jj, ij) = (i.dot(i), j.dot(j), i.dot(j));
        let by = 1.0 / (ii * jj - ij * ij);
        let duals = [(i * jj - j * ij) * by, (j * ii - i * ij) * by];
        let mut planes: Vec<Plane> = origins
            .iter()
            .enumerate()
            .map(|(slot, &origin)| Plane {
                height_mm: (origin - first).dot(normal),
                origin,
                slot,
                reach_mm: [0.0; 2],
            })
            .collect();
        planes.sort_by(|a, b| a.height_mm.total_cmp(&b.height_mm));
        let heights: Vec<f64> = planes.iter().map(|plane| plane.height_mm).collect();
        let gaps: Vec<f64> = heights.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let at_end = |gap: Option<&f64>| spacing_mm.or(gap.copied()).or(thickness_mm);
        for (n, plane) in planes.iter_mut().enumerate() {
            let below = if n == 0 {
                gaps.first()
            } else {
                gaps.get(n - 1)
            };
            let above = gaps.get(n).or(gaps.last());
            // 1e-3 mm: a point in the very middle belongs to one of the two.
            plane.reach_mm = [below, above].map(|gap| at_end(gap).unwrap_or(1.0) / 2.0 + 1e-3);
        }
        let finite = heights.iter().all(|h| h.is_finite()) && by.is_finite() && !shape.contains(&0);
        finite.then_some(Self {
            shape,
            normal,
            duals,
            sorted: planes,
        })
    }

    /// The place of the nearest pixel among the values, or `None` for a point beyond the planes.
    pub fn nearest(&self, point: Point<Lps>) -> Option<usize> {
        let plane = self.plane_at(point)?;
        let [i, j] = self.in_plane(point, plane);
        let [ni, nj] = self.shape;
        let place = |c: f64, n: usize| {
            // A point on the outermost pixel's border is inside, whatever rounding did to it.
            let inside = (-0.5 - BORDER_PIXELS..=n as f64 - 0.5 + BORDER_PIXELS).contains(&c);
            inside.then(|| ((c + 0.5).floor().max(0.0) as usize).min(n - 1))
        };
        let (i, j) = (place(i, ni)?, place(j, nj)?);
        Some((self.sorted[plane].slot * nj + j) * ni + i)
    }

    /// The plane that reaches to a point.
    fn plane_at(&self, point: Point<Lps>) -> Option<usize> {
        let height = (point - self.sorted[0].origin).dot(self.normal) + self.sorted[0].height_mm;
        let above = self
            .sorted
            .partition_point(|plane| plane.height_mm <= height);
        let away = |n: usize| (self.sorted[n].height_mm - height).abs();
        let nearest = match (above.checked_sub(1), self.sorted.get(above)) {
            (Some(below), Some(_)) if away(above) < away(below) => above,
            (Some(below), _) => below,
            (None, _) => above,
        };
        let side = usize::from(height > self.sorted[nearest].height_mm);
        (away(nearest) <= self.sorted[nearest].reach_mm[side]).then_some(nearest)
    }

    /// Coordinates along i and j on a plane, in pixels.
    fn in_plane(&self, point: Point<Lps>, plane: usize) -> [f64; 2] {
        let way = point - self.sorted[plane].origin;
        self.duals.map(|dual| way.dot(dual))
    }

    /// The values at the pixels of `to`, i fastest, then j, then frame; `outside` where no plane
    /// reaches. The result does not depend on the number of threads.
    pub fn sample<T: Copy + Send + Sync>(
        &self,
        values: &[T],
        to: &SliceStack,
        outside: T,
    ) -> Vec<T> {
        let [columns, rows] = to.shape;
        let mut sampled = vec![outside; columns * rows * to.origins.len()];
        if columns * rows == 0 {
            return sampled;
        }
        sampled
            .par_chunks_mut(columns * rows)
            .zip(&to.origins)
            .for_each(|(frame, &origin)| self.sample_frame(values, (to, origin), frame));
        sampled
    }

    fn sample_frame<T: Copy>(
        &self,
        values: &[T],
        (to, origin): (&SliceStack, Point<Lps>),
        frame: &mut [T],
    ) {
        let map = self.map_of(to, origin);
        let [columns, _] = to.shape;
        let [ni, nj] = self.shape;
        let Some(plane) = map.plane else {
            if self.is_parallel(to) {
                return;
            }
            for (j, row) in frame.chunks_exact_mut(columns).enumerate() {
                for (i, out) in row.iter_mut().enumerate() {
                    let point = map.first + map.steps[0] * i as f64 + map.steps[1] * j as f64;
                    if let Some(&value) = self.nearest(point).and_then(|at| values.get(at)) {
                        *out = value;
                    }
                }
            }
            return;
        };
        let slot = self.sorted[plane].slot;
        let Some(slice) = values.get(slot * ni * nj..(slot + 1) * ni * nj) else {
            return;
        };
        let first = self.in_plane(map.first, plane);
        let [along_i, along_j] = map.steps.map(|step| self.duals.map(|dual| step.dot(dual)));
        for (j, row) in frame.chunks_exact_mut(columns).enumerate() {
            let start = [0, 1].map(|axis| first[axis] + along_j[axis] * j as f64 + 0.5);
            for (i, out) in row.iter_mut().enumerate() {
                let x = (start[0] + along_i[0] * i as f64).floor();
                let y = (start[1] + along_i[1] * i as f64).floor();
                if x >= 0.0 && y >= 0.0 && x < ni as f64 && y < nj as f64 {
                    *out = slice[y as usize * ni + x as usize];
                }
            }
        }
    }

    fn map_of(&self, to: &SliceStack, origin: Point<Lps>) -> FrameMap {
        let plane = self
            .is_parallel(to)
            .then(|| self.plane_at(origin))
            .flatten();
        FrameMap {
            plane,
            first: origin,
            steps: [to.step_i, to.step_j],
        }
    }

    fn is_parallel(&self, to: &SliceStack) -> bool {
        to.normal().is_some_and(|normal| {
            (normal - self.normal).norm() < PARALLEL || (normal + self.normal).norm() < PARALLEL
        })
    }

    /// Whether the pixel centers of `to` are those of these planes, wherever both are: sampling
    /// then only moves values, it does not choose between them.
    pub fn agrees_with(&self, to: &SliceStack) -> bool {
        let [columns, rows] = to.shape;
        let corners = [[0, 0], [1, 0], [0, 1], [1, 1]]
            .map(|[a, b]| [a * columns.saturating_sub(1), b * rows.saturating_sub(1)]);
        let steps = [to.step_i, to.step_j];
        to.origins.iter().all(|&origin| {
            corners.iter().all(|&[i, j]| {
                let point = origin + steps[0] * i as f64 + steps[1] * j as f64;
                self.is_on_a_pixel(point)
            })
        }) && self.steps_agree(&steps)
    }

    /// Whether steps of pixels are steps of pixels here, along whichever axis.
    fn steps_agree(&self, steps: &[Vector<Lps>; 2]) -> bool {
        steps.iter().all(|&step| {
            let mut in_plane = self.duals.map(|dual| step.dot(dual).abs());
            in_plane.sort_by(f64::total_cmp);
            let along = step.dot(self.normal).abs();
            let whole = |c: f64| (c - 1.0).abs() < 1e-4;
            let none = |c: f64| c < 1e-4;
            let stays = none(along / step.norm());
            (stays && none(in_plane[0]) && whole(in_plane[1]))
                || (none(in_plane[1]) && self.is_gap(along))
        })
    }

    fn is_gap(&self, along_mm: f64) -> bool {
        let pairs = self.sorted.windows(2);
        let close = |gap: f64| (gap - along_mm).abs() < 1e-4 * gap;
        pairs
            .map(|pair| pair[1].height_mm - pair[0].height_mm)
            .all(close)
    }

    /// Whether a point lies on a pixel's center, or beyond all planes.
    fn is_on_a_pixel(&self, point: Point<Lps>) -> bool {
        let Some(plane) = self.plane_at(point) else {
            return true;
        };
        let Plane {
            height_mm,
            reach_mm,
            ..
        } = self.sorted[plane];
        let height = (point - self.sorted[0].origin).dot(self.normal) + self.sorted[0].height_mm;
        let gap = reach_mm[0].min(reach_mm[1]) * 2.0;
        (height - height_mm).abs() <= AGREE_PIXELS * gap
            && self
                .in_plane(point, plane)
                .iter()
                .all(|c| (c - c.round()).abs() <= AGREE_PIXELS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Planes;
    use crate::affine::Affine;
    use crate::grid::Grid;
    use crate::space::{Lps, Point, Vector, Voxel};
    use crate::stack::SliceStack;
    use crate::volume::VoxelIndex;

    fn stack(z: &[f64], shift_per_mm: f64) -> SliceStack {
        SliceStack {
            shape: [3, 2],
            step_i: Vector::new([0.8, 0.0, 0.0]),
            step_j: Vector::new([0.0, 1.1, 0.0]),
            origins: z
                .iter()
                .map(|&z| Point::new([0.0, z * shift_per_mm, z]))
                .collect(),
            frame_of_reference: None,
            thickness_mm: None,
        }
    }

    /// Values 1, 2, 3 ... on `from`, sampled at one pixel of a frame at `z`.
    #[track_caller]
    fn check(from: &[f64], spacing: Option<f64>, z: f64, expected: u16) {
        let planes = Planes::of_stack(&stack(from, 0.0), spacing).unwrap();
        let values: Vec<u16> = (0..from.len()).flat_map(|k| [k as u16 + 1; 6]).collect();
        let sampled = planes.sample(&values, &stack(&[z], 0.0), 0);
        assert_eq!(sampled, [expected; 6], "{z}");
    }

    #[test]
    fn each_plane_reaches_half_way_and_no_farther() {
        check(&[0.0, 2.0, 4.0], Some(2.0), 0.9, 1);
        check(&[0.0, 2.0, 4.0], Some(2.0), 1.1, 2);
        check(&[0.0, 2.0, 4.0], Some(2.0), 4.9, 3);
        check(&[0.0, 2.0, 4.0], Some(2.0), 5.1, 0);
        check(&[0.0, 2.0, 4.0], Some(2.0), -1.1, 0);
        // A frame that was left out is no gap to be filled ...
        check(&[0.0, 6.0], Some(2.0), 2.0, 0);
        // ... but the slices of an uneven stack touch.
        check(&[0.0, 6.0], None, 2.0, 1);
        check(&[6.0, 0.0], None, 2.0, 2);
    }

    #[test]
    fn a_tilted_stack_lies_on_itself() {
        let tilted = stack(&[0.0, 2.0, 5.0], 0.3);
        let planes = Planes::of_stack(&tilted, None).unwrap();
        let values: Vec<u16> = (0..18).collect();
        assert_eq!(planes.sample(&values, &tilted, 99), values);
        assert!(planes.agrees_with(&tilted));
        let mut moved = tilted.clone();
        moved.origins[1] = moved.origins[1] + Vector::new([0.1, 0.0, 0.0]);
        assert!(!planes.agrees_with(&moved));
        moved.step_i = Vector::new([0.9, 0.0, 0.0]);
        assert!(!planes.agrees_with(&moved));
    }

    proptest! {
        /// Any grid, seen from frames along any two of its axes, in either direction, gives its own values back.
        #[test]
        fn a_grid_is_found_again_from_every_side(
            angles in prop::array::uniform3(-3.0..3.0_f64),
            spacing in prop::array::uniform3(0.4..4.0_f64),
            axes in prop::sample::select(vec![[0_usize, 1, 2], [0, 2, 1], [2, 1, 0], [1, 0, 2], [2, 0, 1], [1, 2, 0]]),
            back in prop::array::uniform3(any::<bool>()),
        ) {
            let shape = [3, 4, 2];
            let (sx, cx) = angles[0].sin_cos();
            let (sy, cy) = angles[1].sin_cos();
            let (sz, cz) = angles[2].sin_cos();
            let columns = [
                Vector::<Lps>::new([cz * cy, sz * cy, -sy]) * spacing[0],
                Vector::new([cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx]) * spacing[1],
                Vector::new([cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx]) * spacing[2],
            ];
            let affine = Affine::<Lps, Voxel>::from_columns(columns, Point::new([5.0, -7.0, 9.0]));
            let grid = Grid::new(shape, affine, None).unwrap();
            let values: Vec<u16> = (0..24).collect();
            let step = |n: usize| columns[axes[n]] * if back[n] { -1.0 } else { 1.0 };
            let first = (0..3).fold(affine.origin(), |at, n| {
                if back[n] { at + columns[axes[n]] * (shape[axes[n]] - 1) as f64 } else { at }
            });
            let frames = SliceStack {
                shape: [shape[axes[0]], shape[axes[1]]],
                step_i: step(0),
                step_j: step(1),
                origins: (0..shape[axes[2]]).map(|k| first + step(2) * k as f64).collect(),
                frame_of_reference: None,
                thickness_mm: None,
            };
            let planes = Planes::of_grid(&grid).unwrap();
            prop_assert!(planes.agrees_with(&frames));
            let sampled = planes.sample(&values, &frames, 99);
            let mut n = 0;
            for k in 0..frames.origins.len() {
                for j in 0..frames.shape[1] {
                    for i in 0..frames.shape[0] {
                        let at = [i, j, k];
                        let mut index = [0; 3];
                        for axis in 0..3 {
                            let size = shape[axes[axis]];
                            index[axes[axis]] = if back[axis] { size - 1 - at[axis] } else { at[axis] };
                        }
                        let expected = grid.offset(VoxelIndex { i: index[0], j: index[1], k: index[2] });
                        prop_assert_eq!(sampled[n], expected as u16);
                        n += 1;
                    }
                }
            }
        }
    }
}
