//! Where NIfTI says the voxels are: sform, qform, units; and back.

use prosect_volume::{Affine, Lps, Point, Ras, Vector, Voxel, lps_from_ras, ras_from_lps};

use crate::error::FormatsError;
use crate::nifti::header::{AffineSource, Header};
use crate::nifti::malformed;

/// Millimetres and seconds.
const UNITS_MM_S: u8 = 2 | 8;
/// How far sform and qform may be apart, in voxels, before a person should know.
const FORMS_AGREE_VOXELS: f64 = 0.1;
/// A qform is written where it puts every voxel as near as this to where the sform does.
const QFORM_VOXELS: f64 = 0.05;

/// Where the voxels are, what said so, and what a person should know about it.
pub(super) struct Orientation {
    pub(super) lps_from_voxel: Affine<Lps, Voxel>,
    pub(super) source: AffineSource,
    pub(super) forms_disagree: bool,
    pub(super) notes: Vec<String>,
}

/// Reads the orientation: the sform if it has a code, else the qform, else spacing alone.
pub(super) fn read_orientation(header: &Header) -> Result<Orientation, FormatsError> {
    let mut notes = Vec::new();
    let mut forms_disagree = false;
    let mm_per_unit = match header.units & 7 {
        0 => {
            notes.push("the header names no unit of length; millimetres are assumed".to_owned());
            1.0
        }
        1 => 1000.0,
        2 => 1.0,
        3 => 0.001,
        other => {
            return Err(malformed(format!(
                "the unit of length {other} does not exist"
            )));
        }
    };
    let qform = (header.qform_code > 0)
        .then(|| from_qform(header))
        .transpose()?;
    let (ras_from_voxel, source) = if header.sform_code > 0 {
        let sform = Affine::<Ras, Voxel>::new(header.srow.map(|row| row.map(f64::from)));
        forms_disagree = qform.is_some_and(|qform| {
            farthest_in_voxels(&sform, &qform, header.shape) > FORMS_AGREE_VOXELS
        });
        (sform, AffineSource::Sform(header.sform_code))
    } else if let Some(qform) = qform {
        (qform, AffineSource::Qform(header.qform_code))
    } else {
        (from_pixdim(header)?, AffineSource::Pixdim)
    };
    let scaled = ras_from_voxel.rows.map(|row| row.map(|c| c * mm_per_unit));
    let lps_from_voxel = lps_from_ras() * Affine::<Ras, Voxel>::new(scaled);
    Ok(Orientation {
        lps_from_voxel,
        source,
        forms_disagree,
        notes,
    })
}

fn spacing(header: &Header) -> Result<[f64; 3], FormatsError> {
    let given = [header.pixdim[1], header.pixdim[2], header.pixdim[3]];
    if given.iter().any(|s| !s.is_finite() || *s <= 0.0) {
        return Err(malformed(format!(
            "the voxel spacing {given:?} is not positive"
        )));
    }
    Ok(given.map(f64::from))
}

fn from_pixdim(header: &Header) -> Result<Affine<Ras, Voxel>, FormatsError> {
    let [x, y, z] = spacing(header)?;
    Ok(Affine::new([
        [x, 0.0, 0.0, 0.0],
        [0.0, y, 0.0, 0.0],
        [0.0, 0.0, z, 0.0],
    ]))
}

/// nifti1.h, "METHOD 2": a unit quaternion with a >= 0; `pixdim[0]` < 0 turns the third axis round.
fn from_qform(header: &Header) -> Result<Affine<Ras, Voxel>, FormatsError> {
    let [mut b, mut c, mut d] = header.quaternion.map(f64::from);
    let rest = 1.0 - (b * b + c * c + d * d);
    if !rest.is_finite() || rest < -1e-3 {
        return Err(malformed("the quaternion of its qform is longer than 1"));
    }
    // Rounding to f32 may leave the vector part a little longer than 1: a half turn, as in nifti1_io.
    let a = if rest < 1e-7 {
        let norm = (b * b + c * c + d * d).sqrt();
        (b, c, d) = (b / norm, c / norm, d / norm);
        0.0
    } else {
        rest.sqrt()
    };
    let [x, y, z] = spacing(header)?;
    let z = if header.pixdim[0] < 0.0 { -z } else { z };
    let rotation = rotation_of(a, [b, c, d]);
    let column = |axis: usize, by: f64| {
        Vector::new([
            rotation[0][axis] * by,
            rotation[1][axis] * by,
            rotation[2][axis] * by,
        ])
    };
    let origin = Point::new(header.qoffset.map(f64::from));
    Ok(Affine::from_columns(
        [column(0, x), column(1, y), column(2, z)],
        origin,
    ))
}

fn rotation_of(a: f64, [b, c, d]: [f64; 3]) -> [[f64; 3]; 3] {
    [
        [
            a * a + b * b - c * c - d * d,
            2.0 * (b * c - a * d),
            2.0 * (b * d + a * c),
        ],
        [
            2.0 * (b * c + a * d),
            a * a + c * c - b * b - d * d,
            2.0 * (c * d - a * b),
        ],
        [
            2.0 * (b * d - a * c),
            2.0 * (c * d + a * b),
            a * a + d * d - b * b - c * c,
        ],
    ]
}

/// The largest distance between two maps over the volume's corners, in voxels of the first.
fn farthest_in_voxels(
    first: &Affine<Ras, Voxel>,
    second: &Affine<Ras, Voxel>,
    shape: [usize; 3],
) -> f64 {
    let voxel = (0..3)
        .map(|axis| first.column(axis).norm())
        .fold(f64::INFINITY, f64::min);
    let corners = (0..8).map(|c: usize| {
        Point::new(std::array::from_fn(|axis| {
            if c >> axis & 1 == 1 {
                shape[axis] as f64 - 1.0
            } else {
                0.0
            }
        }))
    });
    corners
        .map(|corner| (*first * corner).distance(*second * corner) / voxel)
        .fold(0.0, f64::max)
}

/// Writes the orientation into a header: sform always, qform where it says the same.
pub(super) fn write_orientation(header: &mut Header, lps_from_voxel: Affine<Lps, Voxel>) {
    let affine = ras_from_lps() * lps_from_voxel;
    header.units = UNITS_MM_S;
    header.sform_code = 1;
    header.srow = affine.rows.map(|row| row.map(|c| c as f32));
    let columns = [0, 1, 2].map(|axis| affine.column(axis));
    let lengths = columns.map(Vector::norm);
    let left_handed = affine.determinant() < 0.0;
    header.pixdim = [
        if left_handed { -1.0 } else { 1.0 },
        lengths[0] as f32,
        lengths[1] as f32,
        lengths[2] as f32,
    ];
    header.qoffset = affine.origin().xyz.map(|c| c as f32);
    header.qform_code = 0;
    let Some(units) = right_angled(columns) else {
        return;
    };
    let third = if left_handed { -units[2] } else { units[2] };
    header.quaternion = quaternion_of([units[0].xyz, units[1].xyz, third.xyz]).map(|c| c as f32);
    // Readers that refuse an sform with axes a hair off the right angle take the qform.
    let is_near = |qform| farthest_in_voxels(&affine, &qform, header.shape) <= QFORM_VOXELS;
    header.qform_code = i16::from(from_qform(header).is_ok_and(is_near));
    if header.qform_code == 0 {
        header.quaternion = [0.0; 3];
    }
}

/// Unit axes at right angles, the third along its own side of the first two.
fn right_angled(columns: [Vector<Ras>; 3]) -> Option<[Vector<Ras>; 3]> {
    let first = columns[0].unit()?;
    let across = first.cross(columns[1]).unit()?;
    let third = if across.dot(columns[2]) < 0.0 {
        -across
    } else {
        across
    };
    Some([first, across.cross(first), third])
}

/// The vector part of the unit quaternion with a >= 0 for the rotation with these columns.
fn quaternion_of(columns: [[f64; 3]; 3]) -> [f64; 3] {
    let r = |row: usize, column: usize| columns[column][row];
    // The four products 4·q·q on the diagonal; the largest is the safe divisor.
    let squares = [
        1.0 + r(0, 0) + r(1, 1) + r(2, 2),
        1.0 + r(0, 0) - r(1, 1) - r(2, 2),
        1.0 - r(0, 0) + r(1, 1) - r(2, 2),
        1.0 - r(0, 0) - r(1, 1) + r(2, 2),
    ];
    let largest = (1..4).fold(
        0,
        |best, n| if squares[n] > squares[best] { n } else { best },
    );
    let (differences, sums) = (
        [r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1)],
        [r(1, 0) + r(0, 1), r(0, 2) + r(2, 0), r(2, 1) + r(1, 2)],
    );
    let q = match largest {
        0 => [squares[0], differences[0], differences[1], differences[2]],
        1 => [differences[0], squares[1], sums[0], sums[1]],
        2 => [differences[1], sums[0], squares[2], sums[2]],
        _ => [differences[2], sums[1], sums[2], squares[3]],
    };
    let norm = q.iter().map(|c| c * c).sum::<f64>().sqrt();
    let sign = if q[0] < 0.0 { -1.0 } else { 1.0 };
    [q[1], q[2], q[3]].map(|c| c * sign / norm)
}
