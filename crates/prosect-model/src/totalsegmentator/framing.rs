//! Which part of a source the program looks at, and along which axes: a box of voxels, turned to
//! the patient's right, front and head as nibabel's `as_closest_canonical` turns it.
//!
//! Nothing is copied: a [`Framing`] is index arithmetic on the source's own values.

use prosect_volume::{Affine, Grid, GridError, IndexBox, Lps, Point, Vector, Voxel};

/// A canonical axis: which axis of the source it is, and whether it runs backwards there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourceAxis {
    /// 0, 1, 2 = i, j, k of the source.
    pub axis: usize,
    /// Whether the source's axis runs the other way.
    pub backwards: bool,
}

/// A box of a source's voxels, seen along canonical axes: R, A, S.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Framing {
    source: Grid,
    region: IndexBox,
    axes: [SourceAxis; 3],
}

impl Framing {
    /// Frames `region` of a grid; `None` when the box is empty or reaches out of the grid.
    pub(super) fn new(source: &Grid, region: IndexBox) -> Option<Self> {
        let shape = source.shape();
        let inside = (0..3).all(|a| region.start[a] < region.end[a] && region.end[a] <= shape[a]);
        inside.then(|| Self {
            source: source.clone(),
            region,
            axes: canonical_axes(source.lps_from_voxel()),
        })
    }

    /// The grid that is looked at.
    pub(super) fn source(&self) -> &Grid {
        &self.source
    }

    /// The box of it that is looked at.
    pub(super) fn region(&self) -> IndexBox {
        self.region
    }

    /// For each of R, A, S the axis of the source.
    pub(super) fn axes(&self) -> [SourceAxis; 3] {
        self.axes
    }

    /// Voxels along the canonical axes.
    pub(super) fn shape(&self) -> [usize; 3] {
        self.axes.map(|a| self.region.shape()[a.axis])
    }

    /// Millimetres between voxel centres along the canonical axes, rounded to f32 as a NIfTI
    /// header keeps them and TotalSegmentator reads them back.
    pub(super) fn zooms_mm(&self) -> [f32; 3] {
        let spacing_mm = self.source.spacing_mm();
        self.axes.map(|a| spacing_mm[a.axis] as f32)
    }

    /// The offset of the first canonical voxel in the source's values, and the offset between
    /// neighbours along each canonical axis.
    pub(super) fn strides(&self) -> (usize, [isize; 3]) {
        let shape = self.source.shape();
        let stride = [1, shape[0], shape[0] * shape[1]];
        let mut first = 0;
        let steps = self.axes.map(|SourceAxis { axis, backwards }| {
            let edge = if backwards {
                self.region.end[axis] - 1
            } else {
                self.region.start[axis]
            };
            first += edge * stride[axis];
            let step = stride[axis] as isize;
            if backwards { -step } else { step }
        });
        (first, steps)
    }

    /// The patient from the canonical voxel coordinates of the box.
    pub(super) fn lps_from_voxel(&self) -> Affine<Lps, Voxel> {
        let affine = self.source.lps_from_voxel();
        let mut first = [0.0; 3];
        let columns = self.axes.map(|SourceAxis { axis, backwards }| {
            let column = affine.column(axis);
            if backwards {
                first[axis] = (self.region.end[axis] - 1) as f64;
                -column
            } else {
                first[axis] = self.region.start[axis] as f64;
                column
            }
        });
        Affine::from_columns(columns, affine * Point::new(first))
    }

    /// The grid that TotalSegmentator claims for `shape` samples of spacing `target_mm`: the first
    /// voxel's place and columns divided by the zoom. Its samples really end on the last voxel, so
    /// this grid names the network's spacing; the way back goes by position, not by it.
    ///
    /// # Errors
    /// [`GridError`] when `shape` has an empty axis.
    pub(super) fn claimed_grid(
        &self,
        shape: [usize; 3],
        target_mm: Option<[f64; 3]>,
    ) -> Result<Grid, GridError> {
        let affine = self.lps_from_voxel();
        let columns: [Vector<Lps>; 3] = std::array::from_fn(|a| {
            let zoom = target_mm.map_or(1.0, |target| f64::from(self.zooms_mm()[a]) / target[a]);
            affine.column(a) * (1.0 / zoom)
        });
        Grid::new(
            shape,
            Affine::from_columns(columns, affine.origin()),
            self.source.frame_of_reference.clone(),
        )
    }
}

/// For each canonical axis R, A, S the source's axis that follows it, as nibabel's
/// `io_orientation` finds it: the nearest rotation to the affine, then the axes in the order of
/// how clearly they point, each taking the direction that is still free.
fn canonical_axes(lps_from_voxel: Affine<Lps, Voxel>) -> [SourceAxis; 3] {
    let columns = [0, 1, 2].map(|axis| lps_from_voxel.column(axis));
    // Rows are R, A, S; LPS points the other way along the first two.
    let scaled = std::array::from_fn(|row| {
        let sign = if row < 2 { -1.0 } else { 1.0 };
        columns.map(|c| sign * c.xyz[row] / c.norm())
    });
    let mut rotation = nearest_rotation(scaled);
    let clearness = |axis: usize, r: &[[f64; 3]; 3]| {
        r.iter()
            .map(|row| row[axis] * row[axis])
            .fold(0.0_f64, f64::max)
    };
    let mut order = [0, 1, 2];
    let initial = rotation;
    order.sort_by(|&a, &b| clearness(b, &initial).total_cmp(&clearness(a, &initial)));
    let mut axes = [SourceAxis {
        axis: 0,
        backwards: false,
    }; 3];
    let mut free = [true; 3];
    for axis in order {
        let mut main = None;
        for (row, values) in rotation.iter().enumerate() {
            let larger = main.is_none_or(|m: usize| values[axis].abs() > rotation[m][axis].abs());
            if free[row] && larger {
                main = Some(row);
            }
        }
        if let Some(main) = main {
            axes[main] = SourceAxis {
                axis,
                backwards: rotation[main][axis] < 0.0,
            };
            free[main] = false;
            rotation[main] = [0.0; 3];
        }
    }
    axes
}

/// The orthonormal matrix of the polar decomposition (a reflection stays one), by Newton's
/// iteration `X <- (X + X^-T) / 2`, which SVD gives as `U V^T`.
fn nearest_rotation(matrix: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let mut x = matrix;
    // Quadratic convergence; a grid's columns are unit vectors that do not lie in a plane.
    for _ in 0..60 {
        let Some(turned) = inverse_transposed(x) else {
            return x;
        };
        let next: [[f64; 3]; 3] =
            std::array::from_fn(|r| std::array::from_fn(|c| f64::midpoint(x[r][c], turned[r][c])));
        let change = (0..9).map(|n| (next[n / 3][n % 3] - x[n / 3][n % 3]).abs());
        let largest = change.fold(0.0_f64, f64::max);
        x = next;
        if largest < 1e-15 {
            break;
        }
    }
    x
}

fn inverse_transposed(m: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    let cofactor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant: f64 = (0..3).map(|c| m[0][c] * cofactor(0, c)).sum();
    let usable = determinant.is_finite() && determinant != 0.0;
    usable.then(|| std::array::from_fn(|r| std::array::from_fn(|c| cofactor(r, c) / determinant)))
}
