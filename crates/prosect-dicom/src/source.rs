//! Where the bytes of instances are: files in folders, or entries of a zip that are unpacked in memory.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prosect_base::{Cancel, Limits, Progress};
use rayon::prelude::*;
use zip::ZipArchive;

use crate::error::DicomError;

/// One file of the input, in a folder or in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The path below the input, with `/`.
    pub(crate) label: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Entry { archive: Arc<PathBuf>, index: usize },
}

/// The files of an input, in the order of their labels, and what could not be looked into.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) sources: Vec<Source>,
    /// Label and reason.
    pub(crate) unreadable: Vec<(String, String)>,
    /// The input is one file.
    pub(crate) single: bool,
}

/// How a file of an input is called in messages.
pub(crate) fn label_of(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn io_error(path: &Path, error: &io::Error) -> DicomError {
    DicomError::Io {
        label: path.display().to_string(),
        reason: error.to_string(),
    }
}

/// Lists the files of an input without reading them.
pub(crate) fn find_sources(
    input: &Path,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Found, DicomError> {
    let kind = fs::metadata(input).map_err(|error| io_error(input, &error))?;
    let mut found = Found::default();
    if kind.is_dir() {
        walk(input, "", limits.depth, &mut found, &mut |n| {
            require_count(n, limits).and_then(|()| Ok(cancel.check()?))
        })?;
    } else if !kind.is_file() {
        return Err(DicomError::Broken {
            label: label_of(input),
            reason: "it is neither a file nor a folder".to_owned(),
        });
    } else if is_zip(input).map_err(|error| io_error(input, &error))? {
        found.sources = entries(input, limits)?;
    } else {
        found.single = true;
        found.sources.push(Source {
            label: label_of(input),
            place: Place::File(input.to_owned()),
        });
    }
    found.sources.sort_by(|a, b| a.label.cmp(&b.label));
    Ok(found)
}

fn require_count(n: usize, limits: &Limits) -> Result<(), DicomError> {
    if n <= limits.files {
        Ok(())
    } else {
        Err(DicomError::Limit {
            what: format!("the input has more than {} files", limits.files),
        })
    }
}

fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    found: &mut Found,
    check: &mut dyn FnMut(usize) -> Result<(), DicomError>,
) -> Result<(), DicomError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if prefix.is_empty() => return Err(io_error(folder, &error)),
        Err(error) => {
            found
                .unreadable
                .push((prefix.to_owned(), error.to_string()));
            return Ok(());
        }
    };
    for entry in listing {
        check(found.sources.len() + found.unreadable.len())?;
        let entry = entry.map_err(|error| io_error(folder, &error))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let label = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        let linked = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() && linked => found
                .unreadable
                .push((label, "a link to a folder is not followed".to_owned())),
            Ok(kind) if kind.is_dir() && depth == 0 => found
                .unreadable
                .push((label, "folders are nested too deep".to_owned())),
            Ok(kind) if kind.is_dir() => walk(&path, &label, depth - 1, found, check)?,
            Ok(kind) if kind.is_file() => found.sources.push(Source {
                label,
                place: Place::File(path),
            }),
            // Pipes, sockets and devices are no images, and reading them may never end.
            Ok(_) => {}
            Err(error) => found.unreadable.push((label, error.to_string())),
        }
    }
    Ok(())
}

fn is_zip(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut start)?;
    // A local file, or the end record of an empty archive (APPNOTE 4.3.7, 4.3.16).
    Ok(start == b"PK\x03\x04" || start == b"PK\x05\x06")
}

fn zip_error(path: &Path, error: &zip::result::ZipError) -> DicomError {
    DicomError::Broken {
        label: label_of(path),
        reason: format!("the zip cannot be read: {error}; send it again or unpack it first"),
    }
}

fn open_zip(path: &Path) -> Result<ZipArchive<BufReader<File>>, DicomError> {
    let file = File::open(path).map_err(|error| io_error(path, &error))?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| zip_error(path, &error))
}

fn entries(path: &Path, limits: &Limits) -> Result<Vec<Source>, DicomError> {
    let mut zip = open_zip(path)?;
    require_count(zip.len(), limits)?;
    let archive = Arc::new(path.to_owned());
    let mut sources = Vec::new();
    for index in 0..zip.len() {
        let entry = zip
            .by_index_raw(index)
            .map_err(|error| zip_error(path, &error))?;
        if entry.is_file() {
            let label = entry
                .name()
                .map_or_else(|_| format!("entry {index}"), |name| name.replace('\\', "/"));
            sources.push(Source {
                label,
                place: Place::Entry {
                    archive: Arc::clone(&archive),
                    index,
                },
            });
        }
    }
    Ok(sources)
}

/// Calls `visit` for every source with a reader and the length that the file claims; results come
/// in the order of the sources. What could not be opened gives its reason instead.
pub(crate) fn visit_sources<T: Send>(
    sources: &[&Source],
    limits: &Limits,
    work: (&dyn Progress, &Cancel),
    visit: impl Fn(usize, &mut dyn Read, u64) -> T + Sync,
) -> Result<Vec<Result<T, String>>, DicomError> {
    let (progress, cancel) = work;
    let unpacked = AtomicU64::new(0);
    let done = AtomicUsize::new(0);
    // An archive is opened once per chunk; a chunk is small enough to share the work evenly.
    let chunk = 32;
    let visited: Result<Vec<Vec<_>>, DicomError> = sources
        .par_chunks(chunk)
        .enumerate()
        .map(|(c, part)| {
            let mut zip = None;
            let mut results = Vec::with_capacity(part.len());
            for (offset, source) in part.iter().enumerate() {
                cancel.check()?;
                let call = &mut |reader: &mut dyn Read, length: u64| {
                    visit(c * chunk + offset, reader, length)
                };
                results.push(match &source.place {
                    Place::File(path) => visit_file(path, call),
                    Place::Entry { archive, index } => {
                        if zip.is_none() {
                            zip = Some(open_zip(archive)?);
                        }
                        match &mut zip {
                            Some(zip) => {
                                visit_entry(zip, *index, (&unpacked, limits.unpacked_bytes), call)
                            }
                            None => Err("the zip cannot be opened".to_owned()),
                        }
                    }
                });
                progress.fraction(
                    (done.fetch_add(1, Ordering::Relaxed) + 1) as f64 / sources.len() as f64,
                );
            }
            Ok(results)
        })
        .collect();
    let visited = visited?;
    // What was stopped half-way must not be taken for damaged.
    cancel.check()?;
    if unpacked.load(Ordering::Relaxed) > limits.unpacked_bytes {
        return Err(DicomError::Limit {
            what: format!(
                "the zip unpacks to more than {} bytes",
                limits.unpacked_bytes
            ),
        });
    }
    Ok(visited.into_iter().flatten().collect())
}

fn visit_file<T>(path: &Path, call: &mut dyn FnMut(&mut dyn Read, u64) -> T) -> Result<T, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    Ok(call(&mut file, length))
}

fn visit_entry<T>(
    zip: &mut ZipArchive<BufReader<File>>,
    index: usize,
    unpacked: (&AtomicU64, u64),
    call: &mut dyn FnMut(&mut dyn Read, u64) -> T,
) -> Result<T, String> {
    let mut entry = zip.by_index(index).map_err(|error| error.to_string())?;
    let length = entry.size();
    let mut metered = Metered {
        inner: &mut entry,
        unpacked: unpacked.0,
        limit: unpacked.1,
    };
    Ok(call(&mut metered, length))
}

/// Counts what is unpacked and stops at the limit, whatever the archive claims.
struct Metered<'a> {
    inner: &'a mut dyn Read,
    unpacked: &'a AtomicU64,
    limit: u64,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let sum = self.unpacked.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
        if sum > self.limit {
            Err(io::Error::other("the zip unpacks to more than the limit"))
        } else {
            Ok(n)
        }
    }
}
