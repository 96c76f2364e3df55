//! Reading NIfTI-1 from a stream, compressed or not.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use prosect_base::Limits;
use prosect_segmentation::Labelmap;
use prosect_volume::{Grid, Volume};

use crate::error::FormatsError;
use crate::nifti::header::{AffineSource, HEADER_BYTES, Header};
use crate::nifti::orientation::{Orientation, read_orientation};
use crate::nifti::{FORMAT, malformed, unsupported};
use crate::stored::{StoredType, StoredVolume, decode, scale};

/// Voxels are decoded in pieces of this size; nothing is allocated by a declared length.
const CHUNK_BYTES: usize = 1 << 20;

/// A volume from a NIfTI file.
#[derive(Clone, Debug)]
pub struct NiftiImage {
    /// The voxels after slope and intercept, on a grid in LPS.
    pub volume: Volume<f32>,
    /// What the header said.
    pub facts: NiftiFacts,
}

/// What a header said about its volume.
#[derive(Clone, Debug, PartialEq)]
pub struct NiftiFacts {
    /// How the voxels were stored.
    pub stored: StoredType,
    /// Which part of the header gave the orientation.
    pub affine_source: AffineSource,
    /// Whether sform and qform put the voxels at different places; the sform was used.
    pub forms_disagree: bool,
    /// Voxels that are NaN or infinite.
    pub n_not_finite: usize,
    /// `intent_code`; 1002 means labels.
    pub intent_code: i16,
    /// `descrip`, free text of whoever wrote the file; it may hold patient data.
    pub description: prosect_base::Phi<String>,
    /// What a person should know before trusting the volume; no patient data.
    pub notes: Vec<String>,
}

/// Reads the one 3-D volume of a `.nii` or `.nii.gz` file (told apart by their first bytes).
///
/// # Errors
/// [`FormatsError`] for anything but one complete, real-valued NIfTI-1 volume within the limits.
pub fn read(path: &Path, limits: &Limits) -> Result<NiftiImage, FormatsError> {
    read_from(open(path, limits)?, limits)
}

/// Reads a label map: every voxel must be an integer from 0 to 65535.
///
/// # Errors
/// As [`read`], and when a value is no label.
pub fn read_labelmap(path: &Path, limits: &Limits) -> Result<Labelmap, FormatsError> {
    read_stored(path, limits)?.0.labels().map_err(|value| {
        unsupported(format!(
            "the voxel value {value} is no label (an integer from 0 to 65535)"
        ))
    })
}

/// Reads the one 3-D volume of a file as it is stored, without slope and intercept applied.
/// [`NiftiFacts::n_not_finite`] is then not counted.
///
/// # Errors
/// As [`read`].
pub fn read_stored(
    path: &Path,
    limits: &Limits,
) -> Result<(StoredVolume, NiftiFacts), FormatsError> {
    with_plain(open(path, limits)?, |reader| {
        let Start {
            header,
            n_voxels,
            orientation,
            grid,
        } = Start::read(reader, limits)?;
        let mut bytes = Vec::new();
        read_voxels(reader, &header, n_voxels, |raw| {
            bytes.extend_from_slice(raw);
        })?;
        drain(reader, limits)?;
        let volume = StoredVolume::new(grid, (header.stored, bytes), scaling(&header))?;
        Ok((volume, facts(header, orientation, 0)))
    })
}

/// Reads the one 3-D volume of a stream of NIfTI-1 bytes, gzip-compressed or not.
///
/// # Errors
/// As [`read`].
pub fn read_from(reader: impl Read, limits: &Limits) -> Result<NiftiImage, FormatsError> {
    with_plain(reader, |reader| {
        let Start {
            header,
            n_voxels,
            orientation,
            grid,
        } = Start::read(reader, limits)?;
        let mut values = Vec::new();
        read_voxels(reader, &header, n_voxels, |raw| {
            decode(raw, header.stored, &mut values);
        })?;
        scale(&mut values, scaling(&header));
        drain(reader, limits)?;
        let n_not_finite = values.iter().filter(|v| !v.is_finite()).count();
        let facts = facts(header, orientation, n_not_finite);
        let volume = Volume::new(grid, values).map_err(|error| malformed(error.to_string()))?;
        Ok(NiftiImage { volume, facts })
    })
}

/// Opens a file that the limits allow.
fn open(path: &Path, limits: &Limits) -> Result<BufReader<File>, FormatsError> {
    let file = File::open(path).map_err(FormatsError::io("opening the NIfTI file"))?;
    let bytes = file
        .metadata()
        .map_err(FormatsError::io("opening the NIfTI file"))?
        .len();
    if bytes > limits.file_bytes {
        let what = format!("{bytes} bytes, the limit is {}", limits.file_bytes);
        return Err(FormatsError::Limit {
            format: FORMAT,
            what,
        });
    }
    Ok(BufReader::new(file))
}

/// Calls `read` with the bytes of the stream, decompressed if they are compressed.
fn with_plain<T>(
    mut reader: impl Read,
    read: impl FnOnce(&mut dyn Read) -> Result<T, FormatsError>,
) -> Result<T, FormatsError> {
    let mut start = [0_u8; 2];
    fill(&mut reader, &mut start)?;
    let whole = io::Cursor::new(start).chain(reader);
    if start == [0x1f, 0x8b] {
        read(&mut MultiGzDecoder::new(whole))
    } else {
        read(&mut { whole })
    }
}

/// What comes before the voxels; the reader then stands at the first of them.
struct Start {
    header: Header,
    n_voxels: usize,
    orientation: Orientation,
    grid: Grid,
}

impl Start {
    fn read(reader: &mut dyn Read, limits: &Limits) -> Result<Self, FormatsError> {
        let mut bytes = [0_u8; HEADER_BYTES];
        fill(reader, &mut bytes)?;
        let header = Header::parse(&bytes)?;
        let n_voxels = require_within(&header, limits)?;
        let orientation = read_orientation(&header)?;
        let grid = Grid::new(header.shape, orientation.lps_from_voxel, None)
            .map_err(|error| malformed(error.to_string()))?;
        skip(reader, header.vox_offset - HEADER_BYTES as u64)?;
        Ok(Self {
            header,
            n_voxels,
            orientation,
            grid,
        })
    }
}

fn facts(header: Header, orientation: Orientation, n_not_finite: usize) -> NiftiFacts {
    NiftiFacts {
        stored: header.stored,
        affine_source: orientation.source,
        forms_disagree: orientation.forms_disagree,
        n_not_finite,
        intent_code: header.intent_code,
        description: prosect_base::Phi::new(header.description),
        notes: orientation.notes,
    }
}

/// Slope and intercept, if they change anything.
fn scaling(header: &Header) -> Option<[f64; 2]> {
    // nifti1.h: a slope of 0 means no scaling; other software writes NaN for the same.
    let (slope, intercept) = (f64::from(header.slope), f64::from(header.intercept));
    let scales = slope != 0.0
        && slope.is_finite()
        && intercept.is_finite()
        && (slope, intercept) != (1.0, 0.0);
    scales.then_some([slope, intercept])
}

/// The number of voxels, if the limits allow them.
fn require_within(header: &Header, limits: &Limits) -> Result<usize, FormatsError> {
    let [ni, nj, nk] = header.shape.map(|n| n as u64);
    // Each axis is an i16, so that the product fits.
    let n_voxels = ni * nj * nk;
    let unpacked = n_voxels * header.stored.bytes() as u64 + header.vox_offset;
    let edge = header.shape.iter().copied().max().unwrap_or(0);
    if n_voxels > limits.voxels || edge > limits.edge || unpacked > limits.unpacked_bytes {
        let what = format!(
            "{ni} x {nj} x {nk} voxels ({unpacked} bytes); the limits are {} voxels and {} bytes",
            limits.voxels, limits.unpacked_bytes
        );
        return Err(FormatsError::Limit {
            format: FORMAT,
            what,
        });
    }
    Ok(n_voxels as usize)
}

/// Gives the voxels to `take` in pieces, little endian.
fn read_voxels(
    reader: &mut dyn Read,
    header: &Header,
    n_voxels: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<(), FormatsError> {
    let size = header.stored.bytes();
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    let mut n_read = 0;
    while n_read < n_voxels {
        let n = (CHUNK_BYTES / size).min(n_voxels - n_read);
        let raw = &mut chunk[..n * size];
        fill(reader, raw)?;
        if !header.little_endian {
            raw.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        take(raw);
        n_read += n;
    }
    Ok(())
}

/// Fills a buffer; an early end is the file's fault, not the disk's.
fn fill(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> Result<(), FormatsError> {
    reader
        .read_exact(buffer)
        .map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                malformed("it ends before its last voxel; it was cut off")
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                malformed(format!("its compression is broken ({source})"))
            }
            _ => FormatsError::Io {
                doing: "reading the NIfTI file",
                source,
            },
        })
}

/// Passes over extensions between header and voxels.
fn skip(reader: &mut dyn Read, mut n_bytes: u64) -> Result<(), FormatsError> {
    let mut buffer = [0_u8; 4096];
    while n_bytes > 0 {
        let n = n_bytes.min(buffer.len() as u64) as usize;
        fill(reader, &mut buffer[..n])?;
        n_bytes -= n as u64;
    }
    Ok(())
}

/// Reads on to the end, so that the checksum of the compression is checked.
fn drain(reader: &mut dyn Read, limits: &Limits) -> Result<(), FormatsError> {
    let mut buffer = [0_u8; 4096];
    let mut n_bytes = 0_u64;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n_bytes += n as u64,
            Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(malformed(format!(
                    "its compression is broken after the last voxel ({source})"
                )));
            }
        }
        if n_bytes > limits.unpacked_bytes {
            let what = format!(
                "more than {} bytes follow the last voxel",
                limits.unpacked_bytes
            );
            return Err(FormatsError::Limit {
                format: FORMAT,
                what,
            });
        }
    }
}
