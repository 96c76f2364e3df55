//! The text before the voxels: fields, key/value pairs, and what they say of the data.

use std::collections::BTreeMap;
use std::io::BufRead;

use prosect_base::Limits;

use crate::error::FormatsError;
use crate::nrrd::{FORMAT, malformed, unsupported};
use crate::stored::StoredType;

/// No header is longer: one of Slicer with 300 segments has 200 KiB.
const MOST_HEADER_BYTES: u64 = 16 << 20;

/// Fields by their names in lower case without blanks, and key/value pairs as they are.
#[derive(Debug, Default)]
pub(super) struct Header {
    fields: BTreeMap<String, String>,
    pub(super) pairs: BTreeMap<String, String>,
}

/// How the voxels are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Raw,
    Gzip,
    Ascii,
}

/// What the header says of the data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) stored: StoredType,
    pub(super) big_endian: bool,
    pub(super) encoding: Encoding,
    /// Samples along every axis, fastest first.
    pub(super) sizes: Vec<usize>,
    pub(super) line_skip: usize,
    /// -1: the data are the last bytes of the file.
    pub(super) byte_skip: i64,
    /// The file with the data, if it is another one.
    pub(super) data_file: Option<String>,
}

impl Header {
    /// Reads up to the empty line that ends the header, or to the end of a detached one.
    pub(super) fn read(reader: &mut dyn BufRead) -> Result<Self, FormatsError> {
        let mut left = MOST_HEADER_BYTES;
        let magic = line(reader, &mut left)?.unwrap_or_default();
        if !(magic.starts_with("NRRD000") && magic.len() == 8) {
            return Err(malformed("it does not begin with NRRD000 and a digit"));
        }
        let mut header = Self::default();
        while let Some(line) = line(reader, &mut left)?.filter(|line| !line.is_empty()) {
            header.take(&line)?;
        }
        Ok(header)
    }

    /// One line: a comment, a key/value pair or a field.
    fn take(&mut self, line: &str) -> Result<(), FormatsError> {
        if line.starts_with('#') {
            return Ok(());
        }
        let field = line.split_once(": ");
        let pair = line.split_once(":=");
        match (field, pair) {
            // The sign that comes first decides: a value may hold the other one.
            (_, Some((key, value))) if field.is_none_or(|(name, _)| name.len() > key.len()) => {
                self.pairs.insert(key.to_owned(), unescaped(value));
                Ok(())
            }
            (Some((name, value)), _) => {
                let name = squeezed(name);
                let old = self.fields.insert(name.clone(), value.trim().to_owned());
                if old.is_some() {
                    return Err(malformed(format!("the field {name} stands twice")));
                }
                Ok(())
            }
            // Some writers leave the blank away where the value is empty.
            (None, None) if line.ends_with(':') => Ok(()),
            _ => Err(malformed(
                "a line of its header is neither a field nor a key",
            )),
        }
    }

    /// A field's value under any of its names.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn required(&self, name: &str) -> Result<&str, FormatsError> {
        self.field(name)
            .ok_or_else(|| malformed(format!("it has no field {name}")))
    }

    fn number(&self, names: [&str; 2]) -> Result<i64, FormatsError> {
        let Some(text) = names.iter().find_map(|name| self.field(name)) else {
            return Ok(0);
        };
        text.parse()
            .map_err(|_| malformed(format!("{} is no whole number", names[0])))
    }

    /// What the fields say of the data, within the limits.
    pub(super) fn layout(&self, limits: &Limits) -> Result<Layout, FormatsError> {
        let stored = stored_of(self.required("type")?)?;
        let encoding = encoding_of(self.required("encoding")?)?;
        let sizes = self.sizes(stored, limits)?;
        let big_endian = match self.field("endian").map(str::to_ascii_lowercase).as_deref() {
            Some("little") => false,
            Some("big") => true,
            None if stored.bytes() == 1 || encoding == Encoding::Ascii => false,
            None => return Err(malformed("it does not say its byte order (endian)")),
            Some(_) => return Err(malformed("its byte order is neither little nor big")),
        };
        let line_skip = self.number(["lineskip", "lineskips"])?;
        Ok(Layout {
            stored,
            big_endian,
            encoding,
            sizes,
            line_skip: usize::try_from(line_skip)
                .map_err(|_| malformed("its line skip is negative"))?,
            byte_skip: self.number(["byteskip", "byteskips"])?,
            data_file: self.field("datafile").map(str::to_owned),
        })
    }

    fn sizes(&self, stored: StoredType, limits: &Limits) -> Result<Vec<usize>, FormatsError> {
        let dimension: usize = self
            .required("dimension")?
            .parse()
            .map_err(|_| malformed("its dimension is no number"))?;
        if !matches!(dimension, 3 | 4) {
            return Err(unsupported(format!(
                "it has {dimension} axes; a volume has three, a segmentation with layers four"
            )));
        }
        let sizes: Option<Vec<usize>> = self
            .required("sizes")?
            .split_whitespace()
            .map(|text| text.parse().ok().filter(|size| *size > 0))
            .collect();
        let sizes = sizes
            .filter(|sizes| sizes.len() == dimension)
            .ok_or_else(|| malformed(format!("its sizes are not {dimension} positive numbers")))?;
        let n_samples = sizes
            .iter()
            .try_fold(1_u64, |n, size| n.checked_mul(*size as u64));
        let n_bytes = n_samples.and_then(|n| n.checked_mul(stored.bytes() as u64));
        let fits = n_samples.is_some_and(|n| n <= limits.voxels)
            && n_bytes.is_some_and(|n| n <= limits.unpacked_bytes)
            && sizes.iter().all(|size| *size <= limits.edge);
        if !fits {
            return Err(FormatsError::Limit {
                format: FORMAT,
                what: format!(
                    "{sizes:?} samples; the limits are {} voxels, {} along an axis and {} bytes",
                    limits.voxels, limits.edge, limits.unpacked_bytes
                ),
            });
        }
        Ok(sizes)
    }
}

/// One line without its end, or `None` at the end of the file.
fn line(reader: &mut dyn BufRead, left: &mut u64) -> Result<Option<String>, FormatsError> {
    let mut bytes = Vec::new();
    let mut limited = std::io::Read::take(&mut *reader, *left);
    let n = limited
        .read_until(b'\n', &mut bytes)
        .map_err(FormatsError::io("reading the NRRD file"))?;
    *left -= n as u64;
    if *left == 0 {
        return Err(FormatsError::Limit {
            format: FORMAT,
            what: format!("its header is longer than {MOST_HEADER_BYTES} bytes"),
        });
    }
    if n == 0 {
        return Ok(None);
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Lower case, without blanks: `Space Directions` and `space directions` are one field.
fn squeezed(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Key/value pairs write a line's end as `\n` and a backslash as `\\`.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some('n')) => {
                text.push('\n');
                chars.next();
            }
            ('\\', Some('\\')) => {
                text.push('\\');
                chars.next();
            }
            _ => text.push(c),
        }
    }
    text
}

fn encoding_of(text: &str) -> Result<Encoding, FormatsError> {
    match text.to_ascii_lowercase().as_str() {
        "raw" => Ok(Encoding::Raw),
        "gz" | "gzip" => Ok(Encoding::Gzip),
        "txt" | "text" | "ascii" => Ok(Encoding::Ascii),
        other => Err(unsupported(format!(
            "its encoding {other:?} is not read here; save it with gzip or raw"
        ))),
    }
}

fn stored_of(text: &str) -> Result<StoredType, FormatsError> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "signed char" | "int8" | "int8_t" => StoredType::I8,
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => StoredType::U8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => {
            StoredType::I16
        }
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => {
            StoredType::U16
        }
        "int" | "signed int" | "int32" | "int32_t" => StoredType::I32,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => StoredType::U32,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => StoredType::I64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => {
            StoredType::U64
        }
        "float" => StoredType::F32,
        "double" => StoredType::F64,
        other => {
            return Err(unsupported(format!(
                "its type {other:?} is neither an integer nor a real number"
            )));
        }
    })
}
