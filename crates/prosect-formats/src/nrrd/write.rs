//! Writing NRRD: gzip, LPS, coefficients with all their digits.

use std::fmt::Write as _;
use std::io::Write;

use flate2::Compression;
use prosect_segmentation::{LabelValue, Labelmap, Segment};
use prosect_volume::{Grid, Volume};
use rayon::prelude::*;

use crate::error::FormatsError;
use crate::gzip::write_gzip;
use crate::nrrd::FORMAT;
use crate::nrrd::segment::pairs_of;
use crate::stored::{StoredType, StoredVolume};

/// Noise compresses little at any level, labels much.
const LEVEL_OF_IMAGES: Compression = Compression::new(2);
const LEVEL_OF_LABELS: Compression = Compression::new(6);

/// Writes an image: 16-bit integers when every value is one, else 32-bit floats. `content` says
/// what it is.
///
/// # Errors
/// [`FormatsError::Io`] when the stream fails.
pub fn write_image(
    image: &Volume<f32>,
    content: &str,
    out: impl Write,
) -> Result<(), FormatsError> {
    let is_integral = image
        .values()
        .par_iter()
        .all(|v| v.fract() == 0.0 && *v >= f32::from(i16::MIN) && *v <= f32::from(i16::MAX));
    let values = image.values();
    if is_integral {
        let head = head_of(image.grid(), (StoredType::I16, 1), content);
        write(
            &head,
            values,
            LEVEL_OF_IMAGES,
            |v| (*v as i16).to_le_bytes(),
            out,
        )
    } else {
        let head = head_of(image.grid(), (StoredType::F32, 1), content);
        write(&head, values, LEVEL_OF_IMAGES, |v| v.to_le_bytes(), out)
    }
}

/// Writes a volume as it is stored. NRRD knows no slope: a volume with one must be
/// [`StoredVolume::unscaled`] first.
///
/// # Errors
/// [`FormatsError::Inconsistent`] for a volume with slope and intercept, [`FormatsError::Io`] when
/// the stream fails.
pub fn write_stored(
    volume: &StoredVolume,
    content: &str,
    out: impl Write,
) -> Result<(), FormatsError> {
    if volume.scaling().is_some() {
        return Err(FormatsError::Inconsistent {
            format: FORMAT,
            what: "its values have a slope, which NRRD cannot say".to_owned(),
        });
    }
    let head = head_of(volume.grid(), (volume.stored(), 1), content);
    write(&head, volume.bytes(), LEVEL_OF_IMAGES, |b| [*b], out)
}

/// Writes label maps, all on one grid, as layers of one file with the fields of 3D Slicer, 8 bits a
/// voxel when all labels fit, else 16. One layer makes a file of three axes, which every reader of
/// NRRD takes; several make one of four, as Slicer writes them.
///
/// # Errors
/// [`FormatsError::Inconsistent`] without a layer or with layers on different grids,
/// [`FormatsError::Io`] when the stream fails.
pub fn write_labelmaps(
    layers: &[Labelmap],
    segments: &[Segment],
    content: &str,
    out: impl Write,
) -> Result<(), FormatsError> {
    let inconsistent = |what: &str| FormatsError::Inconsistent {
        format: FORMAT,
        what: what.to_owned(),
    };
    let first = layers
        .first()
        .ok_or_else(|| inconsistent("it has no layer"))?;
    if layers.iter().any(|layer| layer.grid() != first.grid()) {
        return Err(inconsistent("its layers lie on different grids"));
    }
    let is_small = layers
        .iter()
        .all(|layer| layer.values().par_iter().all(|v| u8::try_from(*v).is_ok()));
    let stored = if is_small {
        StoredType::U8
    } else {
        StoredType::U16
    };
    let mut head = head_of(first.grid(), (stored, layers.len()), content);
    for (number, segment) in segments.iter().enumerate() {
        head += &pairs_of(number, segment, segment.layer, first.grid().shape());
    }
    if !segments.is_empty() {
        head += "Segmentation_ContainedRepresentationNames:=Binary labelmap|\n";
        head += "Segmentation_MasterRepresentation:=Binary labelmap\n";
        head += "Segmentation_ReferenceImageExtentOffset:=0 0 0\n";
    }
    let interleaved: Vec<LabelValue>;
    let values = if let [only] = layers {
        only.values()
    } else {
        interleaved = (0..first.values().len())
            .flat_map(|voxel| layers.iter().map(move |layer| layer.values()[voxel]))
            .collect();
        &interleaved
    };
    if is_small {
        write(&head, values, LEVEL_OF_LABELS, |v| [*v as u8], out)
    } else {
        write(&head, values, LEVEL_OF_LABELS, |v| v.to_le_bytes(), out)
    }
}

/// Everything but the key/value pairs and the empty line.
fn head_of(grid: &Grid, (stored, n_layers): (StoredType, usize), content: &str) -> String {
    let [ni, nj, nk] = grid.shape();
    let affine = grid.lps_from_voxel();
    let vector = |[x, y, z]: [f64; 3]| format!("({x},{y},{z})");
    let directions = [0, 1, 2]
        .map(|axis| vector(affine.column(axis).xyz))
        .join(" ");
    let (list, kind, none, dimension) = if n_layers == 1 {
        (String::new(), "", "", 3)
    } else {
        (format!("{n_layers} "), "list ", "none ", 4)
    };
    let mut head = String::from("NRRD0005\n");
    // Writing to a String cannot fail.
    let _ = write!(
        head,
        "# Complete NRRD file format specification at:\n\
         # http://teem.sourceforge.net/nrrd/format.html\n\
         content: {}\ntype: {}\ndimension: {dimension}\nspace: left-posterior-superior\n\
         sizes: {list}{ni} {nj} {nk}\nspace directions: {none}{directions}\n\
         kinds: {kind}domain domain domain\nendian: little\nencoding: gzip\n\
         space origin: {}\n",
        content.replace(['\n', '\r'], " "),
        stored.name(),
        vector(affine.origin().xyz),
    );
    head
}

fn write<T: Sync, const N: usize>(
    head: &str,
    values: &[T],
    level: Compression,
    encode: impl Fn(&T) -> [u8; N] + Sync,
    mut out: impl Write,
) -> Result<(), FormatsError> {
    let doing = FormatsError::io("writing the NRRD file");
    out.write_all(head.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .map_err(&doing)?;
    write_gzip(&[], values, level, encode, out).map_err(&doing)
}
