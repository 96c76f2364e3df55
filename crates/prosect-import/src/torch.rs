//! Checkpoints of PyTorch: a zip of a pickle and of storages, read without PyTorch and without
//! running anything that the pickle asks for.

pub(crate) mod pickle;
mod globals;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use prosect_base::Limits;
use zip::ZipArchive;

use crate::error::ImportError;
use crate::write::Array;
use pickle::{Element, Object, Pickle, Tensor, Value};

/// The pickle of a real checkpoint is a few MB; the weights lie beside it.
const MAX_PICKLE_BYTES: u64 = 64 << 20;
/// More storages than any network has.
const MAX_ENTRIES: usize = 1 << 17;

/// An opened checkpoint.
pub(crate) struct Checkpoint {
    what: String,
    archive: RefCell<ZipArchive<BufReader<File>>>,
    /// The folder inside the zip in which everything lies, with its `/`.
    prefix: String,
    pickle: Pickle,
    limits: Limits,
}

impl Checkpoint {
    /// Opens the file and reads its pickle; `what` names it in errors. No weight is read yet.
    pub(crate) fn open(what: &str, path: &Path, limits: &Limits) -> Result<Self, ImportError> {
        require_zip(what, path)?;
        let file = File::open(path).map_err(ImportError::io(path))?;
        let mut archive = ZipArchive::new(BufReader::new(file))
            .map_err(|error| ImportError::malformed(what, error.to_string()))?;
        if archive.len() > MAX_ENTRIES {
            let reason = format!("it holds more than {MAX_ENTRIES} entries");
            return Err(ImportError::limit(what, reason));
        }
        let pickle_name = archive
            .file_names()
            .filter_map(Result::ok)
            .find(|name| name.ends_with("/data.pkl"))
            .map(Cow::into_owned);
        let Some(pickle_name) = pickle_name else {
            let reason = "it is a zip without data.pkl; torch.save writes one";
            return Err(ImportError::unsupported(what, reason));
        };
        let prefix = pickle_name.trim_end_matches("data.pkl").to_owned();
        require_little_endian(what, &mut archive, &prefix)?;
        let bytes = read_entry(what, &mut archive, &pickle_name, MAX_PICKLE_BYTES)?;
        let pickle = pickle::read(what, &bytes)?;
        Ok(Self {
            what: what.to_owned(),
            archive: RefCell::new(archive),
            prefix,
            pickle,
            limits: *limits,
        })
    }

    /// The checkpoint's values.
    pub(crate) fn pickle(&self) -> &Pickle {
        &self.pickle
    }

    /// The tensors of a dict, by name; anything else in it is passed over.
    pub(crate) fn tensors(&self, dict: Value) -> Option<Vec<(&str, &Tensor)>> {
        let entries = self.pickle.entries(dict)?;
        let named = |(key, value): &(Value, Value)| {
            let name = self.pickle.text(*key)?;
            match self.pickle.object(*value)? {
                Object::Tensor(tensor) => Some((name, tensor)),
                _ => None,
            }
        };
        Some(entries.iter().filter_map(named).collect())
    }

    /// The values of a tensor as f32, in the order of its axes.
    pub(crate) fn read(&self, name: &str, tensor: &Tensor) -> Result<Array, ImportError> {
        let wide = match tensor.storage.element {
            Element::F64 => 8,
            Element::F32 => 4,
            Element::F16 | Element::BF16 => 2,
            Element::Other(_) => {
                let reason = "its element type is no floating-point number";
                return Err(ImportError::unsupported(format!("tensor {name}"), reason));
            }
        };
        let span = span(tensor).filter(|span| {
            tensor.offset.checked_add(*span).is_some_and(|end| {
                end <= tensor.storage.length && end <= self.limits.file_bytes / wide
            })
        });
        let Some(span) = span else {
            let reason = "it reaches beyond its storage";
            return Err(ImportError::malformed(format!("tensor {name}"), reason));
        };
        let bytes = self.read_storage(name, tensor, wide, span)?;
        let values: Vec<f32> = match tensor.storage.element {
            Element::F64 => chunks(&bytes)
                .map(|b| f64::from_le_bytes(b) as f32)
                .collect(),
            Element::F32 => chunks(&bytes).map(f32::from_le_bytes).collect(),
            Element::F16 => chunks(&bytes).map(half).collect(),
            _ => chunks(&bytes)
                .map(|[a, b]| f32::from_le_bytes([0, 0, a, b]))
                .collect(),
        };
        Ok(Array {
            shape: tensor.shape.iter().map(|n| *n as usize).collect(),
            values: gather(tensor, &values),
        })
    }

    /// The bytes of the storage that the tensor looks at.
    fn read_storage(
        &self,
        name: &str,
        tensor: &Tensor,
        wide: u64,
        span: u64,
    ) -> Result<Vec<u8>, ImportError> {
        let entry_name = format!("{}data/{}", self.prefix, tensor.storage.key);
        let damaged = |reason: String| {
            let what = format!("tensor {name} of {}", self.what);
            ImportError::malformed(what, reason)
        };
        let mut archive = self.archive.borrow_mut();
        let entry = archive
            .by_name(&entry_name)
            .map_err(|error| damaged(format!("{entry_name}: {error}")))?;
        let mut entry = entry;
        let (before, wanted) = (tensor.offset * wide, span * wide);
        let skipped = io::copy(&mut entry.by_ref().take(before), &mut io::sink())
            .map_err(|error| damaged(error.to_string()))?;
        let mut bytes = Vec::new();
        entry
            .take(wanted)
            .read_to_end(&mut bytes)
            .map_err(|error| damaged(error.to_string()))?;
        if skipped != before || bytes.len() as u64 != wanted {
            return Err(damaged(format!("{entry_name} ends too early")));
        }
        Ok(bytes)
    }
}

/// Elements from the first to the last that a tensor looks at; `None` if it overflows.
fn span(tensor: &Tensor) -> Option<u64> {
    if tensor.shape.contains(&0) {
        return Some(0);
    }
    let mut last = 0_u64;
    let mut count = 1_u64;
    for (n, stride) in tensor.shape.iter().zip(&tensor.strides) {
        last = last.checked_add((n - 1).checked_mul(*stride)?)?;
        count = count.checked_mul(*n)?;
    }
    // A stride of 0 repeats one value: no weight is stored so, and a shape could then claim anything.
    (count <= last + 1).then_some(last + 1)
}

/// The values in the order of the tensor's axes, last axis fastest.
fn gather(tensor: &Tensor, values: &[f32]) -> Vec<f32> {
    let n: u64 = tensor.shape.iter().product();
    let mut contiguous = 1;
    let is_contiguous = tensor
        .shape
        .iter()
        .zip(&tensor.strides)
        .rev()
        .all(|(n, stride)| {
            let fits = *n == 1 || *stride == contiguous;
            contiguous *= n;
            fits
        });
    if is_contiguous {
        return values.to_vec();
    }
    let mut gathered = Vec::with_capacity(n as usize);
    let mut index = vec![0_u64; tensor.shape.len()];
    for _ in 0..n {
        let place: u64 = index.iter().zip(&tensor.strides).map(|(i, s)| i * s).sum();
        gathered.push(values[place as usize]);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < tensor.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    gathered
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// IEEE 754 binary16, exactly.
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u16::from_le_bytes(bytes);
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2_f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    }
}

fn require_zip(what: &str, path: &Path) -> Result<(), ImportError> {
    let mut first = Vec::new();
    let file = File::open(path).map_err(ImportError::io(path))?;
    file.take(2)
        .read_to_end(&mut first)
        .map_err(ImportError::io(path))?;
    match first.as_slice() {
        b"PK" => Ok(()),
        [0x80, _] => Err(ImportError::unsupported(
            what,
            "it is in the format of PyTorch before 1.6; load it with torch and save it again with torch.save",
        )),
        _ => Err(ImportError::malformed(
            what,
            "it is no zip, as torch.save writes",
        )),
    }
}

fn require_little_endian(
    what: &str,
    archive: &mut ZipArchive<BufReader<File>>,
    prefix: &str,
) -> Result<(), ImportError> {
    let name = format!("{prefix}byteorder");
    if archive.index_for_name(&name).is_none() {
        return Ok(());
    }
    match read_entry(what, archive, &name, 16)?.as_slice() {
        b"little" => Ok(()),
        _ => Err(ImportError::unsupported(
            what,
            "its numbers are not little-endian",
        )),
    }
}

fn read_entry(
    what: &str,
    archive: &mut ZipArchive<BufReader<File>>,
    name: &str,
    limit: u64,
) -> Result<Vec<u8>, ImportError> {
    let damaged = |reason: String| ImportError::malformed(what, format!("{name}: {reason}"));
    let entry = archive
        .by_name(name)
        .map_err(|error| damaged(error.to_string()))?;
    let mut bytes = Vec::new();
    entry
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(error.to_string()))?;
    if bytes.len() as u64 > limit {
        let reason = format!("{name} has more than {limit} bytes");
        return Err(ImportError::limit(what, reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
