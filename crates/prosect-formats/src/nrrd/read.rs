//! Reading an NRRD, attached or with its data in one further file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use prosect_base::Limits;
use prosect_volume::{Grid, Volume};

use crate::error::FormatsError;
use crate::nrrd::header::{Encoding, Header, Layout};
use crate::nrrd::segment::{NrrdSegment, read_segments};
use crate::nrrd::space::read_place;
use crate::nrrd::{FORMAT, malformed, unsupported};
use crate::stored::{StoredType, StoredVolume};

/// Samples are read in pieces of this size; nothing is allocated by a declared length.
const CHUNK_BYTES: usize = 1 << 20;

/// What an NRRD holds.
#[derive(Clone, Debug, PartialEq)]
pub struct NrrdFile {
    /// One volume, or the layers of a segmentation: all on one grid.
    pub layers: Vec<StoredVolume>,
    /// The segments, where 3D Slicer's fields describe them.
    pub segments: Vec<NrrdSegment>,
    /// Whether the header names a patient space, so that left and right are known.
    pub oriented: bool,
    /// What a person should know before trusting the volume; no patient data.
    pub notes: Vec<String>,
}

impl NrrdFile {
    /// The values of the one volume.
    ///
    /// # Errors
    /// [`FormatsError::Unsupported`] for a segmentation with several layers.
    pub fn image(self) -> Result<Volume<f32>, FormatsError> {
        let [volume] = self.layers.as_slice() else {
            return Err(unsupported(
                "it holds several layers of a segmentation, not one image",
            ));
        };
        Volume::new(volume.grid().clone(), volume.values())
            .map_err(|error| malformed(error.to_string()))
    }
}

/// Reads a `.nrrd` or `.seg.nrrd`, or a `.nhdr` with the file that it names beside it.
///
/// # Errors
/// [`FormatsError`] for anything but one complete volume, or one segmentation, within the limits.
pub fn read(path: &Path, limits: &Limits) -> Result<NrrdFile, FormatsError> {
    let mut reader = open(path, limits)?;
    let header = Header::read(&mut reader)?;
    let layout = header.layout(limits)?;
    match &layout.data_file {
        None => of_parts(&header, &layout, &mut reader, limits),
        Some(name) => {
            let beside = beside(path, name)?;
            of_parts(&header, &layout, &mut open(&beside, limits)?, limits)
        }
    }
}

/// Reads an NRRD whose data follow its header.
///
/// # Errors
/// As [`read`], and when the data lie in another file.
pub fn read_from(reader: impl Read, limits: &Limits) -> Result<NrrdFile, FormatsError> {
    let mut reader = BufReader::new(reader);
    let header = Header::read(&mut reader)?;
    let layout = header.layout(limits)?;
    if layout.data_file.is_some() {
        return Err(unsupported("its data lie in another file"));
    }
    of_parts(&header, &layout, &mut reader, limits)
}

fn open(path: &Path, limits: &Limits) -> Result<BufReader<File>, FormatsError> {
    let doing = "opening the NRRD file";
    let file = File::open(path).map_err(FormatsError::io(doing))?;
    let bytes = file.metadata().map_err(FormatsError::io(doing))?.len();
    if bytes > limits.file_bytes {
        return Err(FormatsError::Limit {
            format: FORMAT,
            what: format!("{bytes} bytes, the limit is {}", limits.file_bytes),
        });
    }
    Ok(BufReader::new(file))
}

/// The data file that a header names: beside it or below, and nowhere else.
fn beside(header: &Path, name: &str) -> Result<std::path::PathBuf, FormatsError> {
    if name.starts_with("LIST") || name.contains('%') {
        return Err(unsupported(
            "its data lie in several files; save them as one .nrrd",
        ));
    }
    let inside = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(unsupported(
            "it names a data file outside of its own folder, which is not opened",
        ));
    }
    Ok(header.with_file_name("").join(name))
}

fn of_parts(
    header: &Header,
    layout: &Layout,
    reader: &mut dyn BufRead,
    limits: &Limits,
) -> Result<NrrdFile, FormatsError> {
    let place = read_place(header, layout.sizes.len())?;
    let shape = place.axes.map(|axis| layout.sizes[axis]);
    let grid = Grid::new(shape, place.lps_from_voxel, None)
        .map_err(|error| malformed(error.to_string()))?;
    let list = (0..layout.sizes.len()).find(|axis| !place.axes.contains(axis));
    let n_layers = list.map_or(1, |axis| layout.sizes[axis]);
    let segments = read_segments(&header.pairs, n_layers > 1);
    if n_layers > 1 && segments.is_empty() {
        return Err(unsupported(format!(
            "it holds {n_layers} values a voxel; give one volume"
        )));
    }
    if let Some(lost) = segments.iter().find(|s| s.layer >= n_layers) {
        return Err(malformed(format!(
            "a segment lies in layer {}, but there are {n_layers}",
            lost.layer
        )));
    }
    let samples = read_samples(layout, reader, limits)?;
    let layers = split(samples, (n_layers, list == Some(0)), layout.stored, list)?;
    let layers: Result<Vec<StoredVolume>, FormatsError> = layers
        .into_iter()
        .map(|bytes| StoredVolume::new(grid.clone(), (layout.stored, bytes), None))
        .collect();
    Ok(NrrdFile {
        layers: layers?,
        segments,
        oriented: place.oriented,
        notes: place.notes,
    })
}

/// The samples of each layer, apart.
fn split(
    samples: Vec<u8>,
    (n_layers, interleaved): (usize, bool),
    stored: StoredType,
    list: Option<usize>,
) -> Result<Vec<Vec<u8>>, FormatsError> {
    if n_layers == 1 {
        return Ok(vec![samples]);
    }
    let size = stored.bytes();
    if interleaved {
        let of_layer = |layer: usize| {
            samples
                .chunks_exact(size * n_layers)
                .flat_map(|voxel| voxel[layer * size..(layer + 1) * size].iter().copied())
                .collect()
        };
        return Ok((0..n_layers).map(of_layer).collect());
    }
    if list != Some(3) {
        return Err(unsupported(
            "its layers are neither the fastest nor the slowest axis",
        ));
    }
    let chunks = samples.chunks_exact(samples.len() / n_layers);
    Ok(chunks.map(<[u8]>::to_vec).collect())
}

/// All samples, little endian.
fn read_samples(
    layout: &Layout,
    reader: &mut dyn BufRead,
    limits: &Limits,
) -> Result<Vec<u8>, FormatsError> {
    for _ in 0..layout.line_skip {
        skip_line(reader)?;
    }
    // The product was checked against the limits.
    let n_samples: usize = layout.sizes.iter().product();
    let mut bytes = match layout.encoding {
        Encoding::Ascii => return read_text(reader, layout.stored, n_samples),
        Encoding::Raw if layout.byte_skip == -1 => {
            return Ok(ordered(
                read_last(reader, n_samples * layout.stored.bytes(), limits)?,
                layout,
            ));
        }
        Encoding::Raw => read_bytes(reader, layout, n_samples)?,
        Encoding::Gzip => {
            let mut unpacked = MultiGzDecoder::new(reader);
            let bytes = read_bytes(&mut unpacked, layout, n_samples)?;
            drain(&mut unpacked, limits)?;
            bytes
        }
    };
    bytes = ordered(bytes, layout);
    Ok(bytes)
}

fn ordered(mut bytes: Vec<u8>, layout: &Layout) -> Vec<u8> {
    if layout.big_endian {
        bytes
            .chunks_exact_mut(layout.stored.bytes())
            .for_each(<[u8]>::reverse);
    }
    bytes
}

fn skip_line(reader: &mut dyn BufRead) -> Result<(), FormatsError> {
    loop {
        let there = reader
            .fill_buf()
            .map_err(FormatsError::io("reading the NRRD file"))?;
        if there.is_empty() {
            return Err(malformed("it ends within the lines to be skipped"));
        }
        let end = there.iter().position(|b| *b == b'\n');
        let n = end.map_or(there.len(), |at| at + 1);
        reader.consume(n);
        if end.is_some() {
            return Ok(());
        }
    }
}

fn read_bytes(
    reader: &mut dyn Read,
    layout: &Layout,
    n_samples: usize,
) -> Result<Vec<u8>, FormatsError> {
    let skip = u64::try_from(layout.byte_skip)
        .map_err(|_| malformed("its byte skip is negative, but its data are not raw"))?;
    let skipped = io::copy(&mut reader.take(skip), &mut io::sink()).map_err(broken)?;
    if skipped < skip {
        return Err(cut_off());
    }
    let n_bytes = n_samples * layout.stored.bytes();
    let mut bytes = Vec::new();
    while bytes.len() < n_bytes {
        let n = CHUNK_BYTES.min(n_bytes - bytes.len()) as u64;
        let read = reader.take(n).read_to_end(&mut bytes).map_err(broken)?;
        if read == 0 {
            return Err(cut_off());
        }
    }
    Ok(bytes)
}

/// Data at the end of the file, whatever stands before them.
fn read_last(
    reader: &mut dyn Read,
    n_bytes: usize,
    limits: &Limits,
) -> Result<Vec<u8>, FormatsError> {
    let mut bytes = Vec::new();
    reader
        .take(limits.file_bytes)
        .read_to_end(&mut bytes)
        .map_err(broken)?;
    let start = bytes.len().checked_sub(n_bytes).ok_or_else(cut_off)?;
    Ok(bytes.split_off(start))
}

/// Reads on to the end, so that the checksum of the compression is checked.
fn drain(reader: &mut dyn Read, limits: &Limits) -> Result<(), FormatsError> {
    let n = io::copy(&mut reader.take(limits.unpacked_bytes), &mut io::sink()).map_err(broken)?;
    if n == limits.unpacked_bytes {
        return Err(FormatsError::Limit {
            format: FORMAT,
            what: format!("more than {n} bytes follow the last voxel"),
        });
    }
    Ok(())
}

fn cut_off() -> FormatsError {
    malformed("it ends before its last voxel; it was cut off")
}

fn broken(source: io::Error) -> FormatsError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => cut_off(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            malformed(format!("its compression is broken ({source})"))
        }
        _ => FormatsError::Io {
            doing: "reading the NRRD file",
            source,
        },
    }
}

/// Numbers in text, separated by blanks.
fn read_text(
    reader: &mut dyn BufRead,
    stored: StoredType,
    n_samples: usize,
) -> Result<Vec<u8>, FormatsError> {
    // Longer than any number of 64 bits; a word without end shall not fill the memory.
    const LONGEST_WORD: usize = 64;
    let mut bytes = Vec::new();
    let mut word = Vec::new();
    let mut n_read = 0;
    while n_read < n_samples {
        let there = reader.fill_buf().map_err(broken)?;
        let ends = there.is_empty();
        let n = there.len();
        for &byte in if ends { &b" "[..] } else { there } {
            if !byte.is_ascii_whitespace() {
                word.push(byte);
            } else if !word.is_empty() && n_read < n_samples {
                push_number(&word, stored, &mut bytes)?;
                word.clear();
                n_read += 1;
            }
            if word.len() > LONGEST_WORD {
                return Err(malformed("its data hold a word that is no number"));
            }
        }
        reader.consume(n);
        if ends && n_read < n_samples {
            return Err(cut_off());
        }
    }
    Ok(bytes)
}

fn push_number(word: &[u8], stored: StoredType, bytes: &mut Vec<u8>) -> Result<(), FormatsError> {
    let text = std::str::from_utf8(word).unwrap_or_default();
    let number = match stored {
        StoredType::U8 => le(text, u8::to_le_bytes),
        StoredType::I8 => le(text, i8::to_le_bytes),
        StoredType::U16 => le(text, u16::to_le_bytes),
        StoredType::I16 => le(text, i16::to_le_bytes),
        StoredType::U32 => le(text, u32::to_le_bytes),
        StoredType::I32 => le(text, i32::to_le_bytes),
        StoredType::U64 => le(text, u64::to_le_bytes),
        StoredType::I64 => le(text, i64::to_le_bytes),
        StoredType::F32 => le(text, f32::to_le_bytes),
        StoredType::F64 => le(text, f64::to_le_bytes),
    };
    let number = number
        .ok_or_else(|| malformed(format!("its data hold a word that is no {}", stored.name())))?;
    bytes.extend(number);
    Ok(())
}

fn le<T: std::str::FromStr, const N: usize>(
    text: &str,
    to_le: impl Fn(T) -> [u8; N],
) -> Option<Vec<u8>> {
    text.parse().ok().map(|number| to_le(number).to_vec())
}
