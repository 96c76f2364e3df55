//! Where an NRRD says its voxels are, brought into LPS.

use prosect_volume::{Affine, Lps, Point, Vector, Voxel};

use crate::error::FormatsError;
use crate::nrrd::header::Header;
use crate::nrrd::{malformed, unsupported};

/// The place of the voxels.
#[derive(Debug)]
pub(super) struct Place {
    /// The three axes that lie in space, as places among all axes.
    pub(super) axes: [usize; 3],
    pub(super) lps_from_voxel: Affine<Lps, Voxel>,
    /// Whether the header names a patient space, so that left and right are known.
    pub(super) oriented: bool,
    pub(super) notes: Vec<String>,
}

/// Reads the space, its axes and its origin.
pub(super) fn read_place(header: &Header, n_axes: usize) -> Result<Place, FormatsError> {
    let mut notes = Vec::new();
    let signs = signs_of(header)?;
    let directions = match header.field("spacedirections") {
        Some(text) => directions_of(text)?,
        None => spacings_of(header, n_axes)?,
    };
    if directions.len() != n_axes {
        return Err(malformed(format!(
            "it names {} directions for {n_axes} axes",
            directions.len()
        )));
    }
    let axes: Vec<usize> = (0..n_axes).filter(|&n| directions[n].is_some()).collect();
    let axes: [usize; 3] = axes
        .try_into()
        .map_err(|_| unsupported("not three of its axes lie in space"))?;
    let oriented = signs.is_some() && header.field("spacedirections").is_some();
    if !oriented {
        notes.push(
            "the header names no patient space: which side is left is a guess (LPS)".to_owned(),
        );
    }
    let signs = signs.unwrap_or([1.0; 3]);
    let units = units_mm(header, &mut notes)?;
    let turned = |v: [f64; 3]| Vector::new([0, 1, 2].map(|n| v[n] * signs[n] * units[n]));
    let origin = if let Some(text) = header.field("spaceorigin") {
        let origin = directions_of(text)?.first().copied().flatten();
        origin.ok_or_else(|| malformed("its space origin is no point"))?
    } else {
        notes.push("the header names no origin; 0, 0, 0 is assumed".to_owned());
        [0.0; 3]
    };
    let columns = axes.map(|axis| turned(directions[axis].unwrap_or([0.0; 3])));
    Ok(Place {
        axes,
        lps_from_voxel: Affine::from_columns(columns, Point::new(turned(origin).xyz)),
        oriented,
        notes,
    })
}

/// What x, y and z of the file must be multiplied with to be LPS; `None` without a patient space.
fn signs_of(header: &Header) -> Result<Option<[f64; 3]>, FormatsError> {
    let Some(space) = header.field("space") else {
        return match header.field("spacedimension") {
            None | Some("3") => Ok(None),
            Some(_) => Err(unsupported("its space does not have three dimensions")),
        };
    };
    match space.to_ascii_lowercase().as_str() {
        "left-posterior-superior" | "lps" => Ok(Some([1.0, 1.0, 1.0])),
        "right-anterior-superior" | "ras" => Ok(Some([-1.0, -1.0, 1.0])),
        "left-anterior-superior" | "las" => Ok(Some([1.0, -1.0, 1.0])),
        "scanner-xyz" | "3d-right-handed" | "3d-left-handed" => Ok(None),
        other => Err(unsupported(format!(
            "its space {other:?} is none of three patient axes"
        ))),
    }
}

/// Vectors in parentheses; `none` and vectors of NaN stand for axes without a direction.
fn directions_of(text: &str) -> Result<Vec<Option<[f64; 3]>>, FormatsError> {
    let broken = || malformed("its directions are not vectors of three finite numbers");
    let mut vectors = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("none") {
            vectors.push(None);
            rest = after.trim_start();
            continue;
        }
        let (inside, after) = rest
            .strip_prefix('(')
            .and_then(|r| r.split_once(')'))
            .ok_or_else(broken)?;
        let numbers: Option<Vec<f64>> = inside.split(',').map(|n| n.trim().parse().ok()).collect();
        let vector: [f64; 3] = numbers.and_then(|n| n.try_into().ok()).ok_or_else(broken)?;
        if vector.iter().all(|c| c.is_nan()) {
            vectors.push(None);
        } else if vector.iter().all(|c| c.is_finite()) {
            vectors.push(Some(vector));
        } else {
            return Err(broken());
        }
        rest = after.trim_start();
        // More axes than this nobody reads; a line of parentheses shall not fill the memory.
        if vectors.len() > 8 {
            return Err(broken());
        }
    }
    Ok(vectors)
}

/// Axes along x, y and z, where the header gives distances only.
fn spacings_of(header: &Header, n_axes: usize) -> Result<Vec<Option<[f64; 3]>>, FormatsError> {
    let spacings: Vec<f64> = match header.field("spacings") {
        Some(text) => text
            .split_whitespace()
            .map(|n| n.parse().unwrap_or(f64::NAN))
            .collect(),
        None => return Err(malformed("it has neither space directions nor spacings")),
    };
    if spacings.len() != n_axes {
        return Err(malformed(format!("its spacings are not {n_axes} numbers")));
    }
    let mut axis = 0;
    let mut directions = Vec::new();
    for spacing in spacings {
        if spacing.is_finite() && spacing != 0.0 && axis < 3 {
            let mut vector = [0.0; 3];
            vector[axis] = spacing;
            directions.push(Some(vector));
            axis += 1;
        } else {
            directions.push(None);
        }
    }
    Ok(directions)
}

/// Millimetres in one unit of each dimension of the space.
fn units_mm(header: &Header, notes: &mut Vec<String>) -> Result<[f64; 3], FormatsError> {
    let Some(text) = header.field("spaceunits") else {
        return Ok([1.0; 3]);
    };
    let units: Result<Vec<f64>, FormatsError> = text
        .split('"')
        .map(str::trim)
        .filter(|unit| !unit.is_empty())
        .map(|unit| match unit {
            "mm" | "millimeter" | "millimeters" => Ok(1.0),
            "cm" => Ok(10.0),
            "m" => Ok(1000.0),
            "um" | "µm" | "micron" | "microns" => Ok(0.001),
            "???" => {
                notes.push("the header names no unit of length; millimetres are assumed".into());
                Ok(1.0)
            }
            other => Err(unsupported(format!("its unit of length is {other:?}"))),
        })
        .collect();
    units?
        .try_into()
        .map_err(|_| malformed("it does not name three units of length"))
}
