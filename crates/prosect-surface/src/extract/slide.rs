//! Smoothing that cannot break a surface: each corner slides along its own grid edge only.
//!
//! Bumps are evened out by Taubin's two steps (one that shrinks, one that grows back), taken along
//! the surface's normal; then all corners of a shell are moved by one distance, so that the shell
//! encloses the volume that it should.

use prosect_base::{Cancel, Canceled};
use prosect_volume::{Affine, Lps, Point, Vector, Voxel};
use rayon::prelude::*;

use crate::extract::contour::{Contour, Crossing, MARGIN};
use crate::prove::{Fans, number_shells};

/// Step of Taubin's first pass, and pass-band frequency (G. Taubin, 1995: 0.5 and 0.1).
const SHRINK: f64 = 0.5;
const PASS_BAND: f64 = 0.1;
/// Most passes of smoothing; beyond, corners have reached the ends of their edges.
const MOST_ROUNDS: usize = 200;
/// Rounds of moving shells to their volume.
const VOLUME_ROUNDS: usize = 12;
/// Corners worked on by one thread at a time.
const CHUNK: usize = 1 << 12;

/// Everything that stays the same while corners slide.
pub(super) struct Slider<'a> {
    contour: &'a Contour,
    lps_from_voxel: Affine<Lps, Voxel>,
    fans: Fans,
    /// Shell of each corner.
    shell: Vec<u32>,
    /// Volume that each shell should enclose, in mm³, negative for cavities.
    target_mm3: Vec<f64>,
    /// -1 where the grid is mirrored, so that normals point outward.
    outward: f64,
}

impl<'a> Slider<'a> {
    /// With `keep_voxels` each shell is given the volume of the voxels that it encloses, otherwise
    /// it keeps the volume that it has before smoothing.
    pub(super) fn new(
        contour: &'a Contour,
        lps_from_voxel: Affine<Lps, Voxel>,
        keep_voxels: bool,
    ) -> Self {
        let n = contour.crossings.len();
        let shell = number_shells(n, &contour.triangles);
        let n_shells = shell.iter().max().map_or(0, |n| *n as usize + 1);
        let outward = lps_from_voxel.determinant().signum();
        let mut slider = Self {
            contour,
            lps_from_voxel,
            fans: Fans::new(n, &contour.triangles),
            shell,
            target_mm3: Vec::new(),
            outward,
        };
        slider.target_mm3 = if keep_voxels {
            slider.voxel_volumes_mm3(n_shells)
        } else {
            let start: Vec<f64> = contour.crossings.iter().map(|c| c.along).collect();
            slider
                .volumes_and_areas(&slider.points(&start), n_shells)
                .into_iter()
                .map(|(volume, _)| volume)
                .collect()
        };
        slider
    }

    /// Volume of the voxels that each shell encloses: along each row, the distance from where the
    /// shell is entered to where it is left is the number of voxels between.
    fn voxel_volumes_mm3(&self, n_shells: usize) -> Vec<f64> {
        let mut n_voxels = vec![0_i64; n_shells];
        for (crossing, shell) in self.contour.crossings.iter().zip(&self.shell) {
            if crossing.axis == 0 {
                let last = i64::from(crossing.lower[0]);
                n_voxels[*shell as usize] += if crossing.inside_is_lower {
                    last
                } else {
                    -last
                };
            }
        }
        let voxel_mm3 = self.lps_from_voxel.determinant().abs();
        n_voxels.into_iter().map(|n| n as f64 * voxel_mm3).collect()
    }

    /// Where each corner lies along its edge after smoothing by `smoothing_mm`.
    pub(super) fn slide(&self, smoothing_mm: f64, cancel: &Cancel) -> Result<Vec<f64>, Canceled> {
        let mut along: Vec<f64> = self.contour.crossings.iter().map(|c| c.along).collect();
        let grow = 1.0 / (PASS_BAND - 1.0 / SHRINK);
        for _ in 0..self.rounds(smoothing_mm) {
            for step in [SHRINK, grow] {
                cancel.check()?;
                let points = self.points(&along);
                along = self.each(|v| self.smoothed(v, along[v], step, &points));
            }
        }
        self.keep_volumes(&mut along, cancel)?;
        Ok(along)
    }

    /// Passes that even out over `smoothing_mm`. A pass of step s spreads a bump over the surface
    /// like diffusion, its variance growing by s/2 mean squared edge lengths.
    fn rounds(&self, smoothing_mm: f64) -> usize {
        let columns = [0, 1, 2].map(|axis| self.lps_from_voxel.column(axis).norm());
        let edge = columns.iter().product::<f64>().cbrt();
        ((smoothing_mm / edge).powi(2) * 2.0 / SHRINK)
            .ceil()
            .min(MOST_ROUNDS as f64) as usize
    }

    fn each(&self, value: impl Fn(usize) -> f64 + Send + Sync) -> Vec<f64> {
        (0..self.contour.crossings.len())
            .into_par_iter()
            .with_min_len(CHUNK)
            .map(value)
            .collect()
    }

    fn points(&self, along: &[f64]) -> Vec<Point<Lps>> {
        let crossings = &self.contour.crossings;
        crossings
            .par_iter()
            .with_min_len(CHUNK)
            .zip(along)
            .map(|(c, s)| self.lps_from_voxel * c.voxel(*s))
            .collect()
    }

    /// The outward normal at a corner, as long as twice the area around it.
    fn normal(&self, v: usize, points: &[Point<Lps>]) -> Vector<Lps> {
        let here = points[v];
        let fan = self
            .fans
            .around(v)
            .iter()
            .map(|&[a, b]| (points[a as usize] - here).cross(points[b as usize] - here));
        fan.fold(Vector::new([0.0; 3]), |sum, n| sum + n) * self.outward
    }

    /// How much `along` changes when a corner moves by 1 mm along its normal; edges that run almost
    /// in the surface move little instead of far.
    fn along_per_mm(&self, crossing: &Crossing, unit: Vector<Lps>) -> f64 {
        let edge = self.lps_from_voxel.column(usize::from(crossing.axis));
        let rise = edge.dot(unit);
        rise / (rise * rise + 0.04 * edge.dot(edge))
    }

    fn smoothed(&self, v: usize, along: f64, step: f64, points: &[Point<Lps>]) -> f64 {
        let crossing = &self.contour.crossings[v];
        let (fan, here) = (self.fans.around(v), points[v]);
        let Some(unit) = self.normal(v, points).unit().filter(|_| !crossing.capped) else {
            return along;
        };
        let height: f64 = fan
            .iter()
            .map(|[w, _]| (points[*w as usize] - here).dot(unit))
            .sum::<f64>()
            / fan.len() as f64;
        (along + step * height * self.along_per_mm(crossing, unit)).clamp(MARGIN, 1.0 - MARGIN)
    }

    /// Signed volume (mm³) and area (mm²) of each shell. Summed in one fixed order.
    fn volumes_and_areas(&self, points: &[Point<Lps>], n_shells: usize) -> Vec<(f64, f64)> {
        let mut sums = vec![(0.0, 0.0); n_shells];
        let mut origin: Vec<Option<Point<Lps>>> = vec![None; n_shells];
        for &[a, b, c] in &self.contour.triangles {
            let shell = self.shell[a as usize] as usize;
            let [a, b, c] = [a, b, c].map(|v| points[v as usize]);
            let origin = *origin[shell].get_or_insert(a);
            let area = (b - a).cross(c - a);
            sums[shell].0 += self.outward * (a - origin).dot(area) / 6.0;
            sums[shell].1 += area.norm() / 2.0;
        }
        sums
    }

    /// Moves all corners of each shell along their normals until it encloses its volume, or until
    /// they have come to the ends of their edges.
    fn keep_volumes(&self, along: &mut Vec<f64>, cancel: &Cancel) -> Result<(), Canceled> {
        let n_shells = self.target_mm3.len();
        for _ in 0..VOLUME_ROUNDS {
            cancel.check()?;
            let points = self.points(along);
            let sums = self.volumes_and_areas(&points, n_shells);
            let shift: Vec<f64> = sums
                .iter()
                .zip(&self.target_mm3)
                .map(|((volume, area), target)| (target - volume) / area)
                .collect();
            let done =
                |(sum, target): (&(f64, f64), &f64)| (sum.0 - target).abs() <= 1e-5 * target.abs();
            if sums.iter().zip(&self.target_mm3).all(done) {
                break;
            }
            *along = self.each(|v| {
                let crossing = &self.contour.crossings[v];
                let Some(unit) = self.normal(v, &points).unit().filter(|_| !crossing.capped) else {
                    return along[v];
                };
                let change = shift[self.shell[v] as usize] * self.along_per_mm(crossing, unit);
                (along[v] + change).clamp(MARGIN, 1.0 - MARGIN)
            });
        }
        Ok(())
    }
}
