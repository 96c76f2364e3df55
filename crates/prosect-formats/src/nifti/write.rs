//! Writing NIfTI-1: images, label maps and confidence.

use std::io::{self, Write};

use flate2::Compression;
use prosect_segmentation::Labelmap;
use prosect_volume::{Grid, Volume};
use rayon::prelude::*;

use crate::error::FormatsError;
use crate::gzip::write_gzip;
use crate::nifti::FORMAT;
use crate::nifti::header::{Header, INTENT_LABEL, VOXELS_AT};
use crate::nifti::orientation::write_orientation;
use crate::stored::{StoredType, StoredVolume};

/// Whether the file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// `.nii.gz`, without time stamp and name, so that equal volumes give equal bytes.
    #[default]
    Gzip,
    /// `.nii`.
    Plain,
}

/// How a volume is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Goes into `descrip` (79 ASCII characters), for example `prosect 0.1.0 UNREVIEWED`.
    pub description: String,
    /// Whether the file is compressed.
    pub packing: Packing,
}

/// One kind of file: how its voxels are stored and what they mean.
struct Kind {
    stored: StoredType,
    intent_code: i16,
    intent_name: &'static str,
    level: Compression,
}

/// Writes an image: 16-bit integers when every value is one, else 32-bit floats.
///
/// # Errors
/// [`FormatsError`] when the stream fails or an axis is longer than NIfTI-1 can say.
pub fn write_image(
    image: &Volume<f32>,
    options: &WriteOptions,
    out: impl Write,
) -> Result<(), FormatsError> {
    let integral = image
        .values()
        .par_iter()
        .all(|v| v.fract() == 0.0 && *v >= f32::from(i16::MIN) && *v <= f32::from(i16::MAX));
    let stored = if integral {
        StoredType::I16
    } else {
        StoredType::F32
    };
    // Noise compresses little at any level: the fast one.
    let kind = Kind {
        stored,
        intent_code: 0,
        intent_name: "",
        level: Compression::new(2),
    };
    if integral {
        write_volume(image, &kind, options, out, |v| (*v as i16).to_le_bytes())
    } else {
        write_volume(image, &kind, options, out, |v| v.to_le_bytes())
    }
}

/// Writes a label map: 8 bits a voxel when all labels fit, else 16.
///
/// # Errors
/// As [`write_image`].
pub fn write_labelmap(
    labelmap: &Labelmap,
    options: &WriteOptions,
    out: impl Write,
) -> Result<(), FormatsError> {
    let small = labelmap
        .values()
        .par_iter()
        .all(|v| u8::try_from(*v).is_ok());
    let stored = if small {
        StoredType::U8
    } else {
        StoredType::U16
    };
    let kind = Kind {
        stored,
        intent_code: INTENT_LABEL,
        intent_name: "labels",
        level: Compression::new(6),
    };
    if small {
        write_volume(labelmap, &kind, options, out, |v| [*v as u8])
    } else {
        write_volume(labelmap, &kind, options, out, |v| v.to_le_bytes())
    }
}

/// Writes a confidence map, one byte a voxel; slope 1/255 makes readers see 0 to 1.
///
/// # Errors
/// As [`write_image`].
pub fn write_confidence(
    confidence: &Volume<u8>,
    options: &WriteOptions,
    out: impl Write,
) -> Result<(), FormatsError> {
    let kind = Kind {
        stored: StoredType::U8,
        intent_code: 0,
        intent_name: "confidence",
        level: Compression::new(6),
    };
    write_volume(confidence, &kind, options, out, |v| [*v])
}

/// Writes a volume as it is stored: type, bytes, slope and intercept unchanged.
///
/// # Errors
/// As [`write_image`].
pub fn write_stored(
    volume: &StoredVolume,
    options: &WriteOptions,
    mut out: impl Write,
) -> Result<(), FormatsError> {
    let kind = Kind {
        stored: volume.stored(),
        intent_code: 0,
        intent_name: "",
        level: Compression::new(4),
    };
    let mut header = header_of(volume.grid(), &kind, options)?;
    if let Some([slope, intercept]) = volume.scaling() {
        (header.slope, header.intercept) = (slope as f32, intercept as f32);
    }
    let written = write_voxels(
        (&header, &kind),
        volume.bytes(),
        options.packing,
        |b| [*b],
        &mut out,
    );
    written.map_err(FormatsError::io("writing the NIfTI file"))
}

fn write_volume<T: Sync, const N: usize>(
    volume: &Volume<T>,
    kind: &Kind,
    options: &WriteOptions,
    mut out: impl Write,
    encode: impl Fn(&T) -> [u8; N] + Sync,
) -> Result<(), FormatsError> {
    let header = header_of(volume.grid(), kind, options)?;
    let written = write_voxels(
        (&header, kind),
        volume.values(),
        options.packing,
        encode,
        &mut out,
    );
    written.map_err(FormatsError::io("writing the NIfTI file"))
}

/// Writes header and voxels.
fn write_voxels<T: Sync, const N: usize>(
    (header, kind): (&Header, &Kind),
    values: &[T],
    packing: Packing,
    encode: impl Fn(&T) -> [u8; N] + Sync,
    mut out: impl Write,
) -> io::Result<()> {
    let mut head = header.to_bytes(kind.intent_name).to_vec();
    // No extensions.
    head.extend([0; 4]);
    match packing {
        Packing::Plain => write_plain(&head, values, encode, &mut out),
        Packing::Gzip => write_gzip(&head, values, kind.level, encode, &mut out),
    }
}

fn write_plain<T, const N: usize>(
    head: &[u8],
    voxels: &[T],
    encode: impl Fn(&T) -> [u8; N],
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(head)?;
    let mut encoded: Vec<[u8; N]> = Vec::new();
    for voxels in voxels.chunks(1 << 16) {
        encoded.clear();
        encoded.extend(voxels.iter().map(&encode));
        out.write_all(encoded.as_flattened())?;
    }
    out.flush()
}

fn header_of(grid: &Grid, kind: &Kind, options: &WriteOptions) -> Result<Header, FormatsError> {
    let shape = grid.shape();
    if shape.iter().any(|n| *n > i16::MAX as usize) {
        let what = format!(
            "an axis of the shape {shape:?} is longer than 32767 voxels, the most that NIfTI-1 can say"
        );
        return Err(FormatsError::Inconsistent {
            format: FORMAT,
            what,
        });
    }
    let confidence = kind.intent_name == "confidence";
    let mut header = Header {
        shape,
        stored: kind.stored,
        little_endian: true,
        pixdim: [1.0; 4],
        vox_offset: VOXELS_AT as u64,
        slope: if confidence { 1.0 / 255.0 } else { 1.0 },
        intercept: 0.0,
        units: 0,
        description: options.description.clone(),
        qform_code: 0,
        sform_code: 0,
        quaternion: [0.0; 3],
        qoffset: [0.0; 3],
        srow: [[0.0; 4]; 3],
        intent_code: kind.intent_code,
    };
    write_orientation(&mut header, grid.lps_from_voxel());
    Ok(header)
}
