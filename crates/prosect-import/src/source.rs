//! What is imported: a folder, a zip or one file, read through one door that obeys the limits.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Limits};
use zip::ZipArchive;

use crate::error::ImportError;

/// Bytes copied between two looks at whether the user wants to stop.
const CHUNK_BYTES: usize = 1 << 20;

/// A place to import from.
pub(crate) struct Source {
    path: PathBuf,
    limits: Limits,
    /// Paths of all files, with `/`, relative to the folder or zip, sorted.
    files: Vec<String>,
    holder: Holder,
}

enum Holder {
    Folder,
    Zip(RefCell<Zip>),
    File,
}

struct Zip {
    archive: ZipArchive<BufReader<File>>,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl Source {
    /// Looks at a path: a folder is listed, a zip's directory read, any other file taken as it is.
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, ImportError> {
        let about = fs::metadata(path).map_err(ImportError::io(path))?;
        let mut source = Self {
            path: path.to_path_buf(),
            limits: *limits,
            files: Vec::new(),
            holder: Holder::Folder,
        };
        if about.is_dir() {
            source.list_folder()?;
        } else if is_zip(path)? {
            source.list_zip()?;
        } else {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            source.files = name.into_iter().collect();
            source.holder = Holder::File;
        }
        source.files.sort();
        Ok(source)
    }

    /// What the user gave.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a folder on disk.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.holder, Holder::Folder)
    }

    /// The limits that apply to everything read from here.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Every file's path, with `/`, sorted; a single file is a list of one.
    pub(crate) fn files(&self) -> &[String] {
        &self.files
    }

    /// Whether there is this file.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.files
            .binary_search_by(|f| f.as_str().cmp(file))
            .is_ok()
    }

    /// The first bytes of a file, at most `n`.
    pub(crate) fn first_bytes(&self, file: &str, n: usize) -> Result<Vec<u8>, ImportError> {
        self.with_reader(file, |reader| {
            let mut bytes = Vec::new();
            reader
                .take(n as u64)
                .read_to_end(&mut bytes)
                .map_err(ImportError::io(self.place(file)))?;
            Ok(bytes)
        })
    }

    /// A whole file, refused when it has more than `limit` bytes; memory grows with what is there.
    pub(crate) fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>, ImportError> {
        let limit = limit.min(self.limits.file_bytes);
        let bytes = self.with_reader(file, |reader| {
            let mut bytes = Vec::new();
            reader
                .take(limit + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| self.unpack_error(file, error))?;
            Ok(bytes)
        })?;
        if bytes.len() as u64 > limit {
            return Err(ImportError::limit(
                file,
                format!("it has more than {limit} bytes"),
            ));
        }
        self.spend(file, bytes.len() as u64)?;
        Ok(bytes)
    }

    /// A real file on disk: the source's own, or unpacked into `folder` when it lies in a zip.
    pub(crate) fn to_file(
        &self,
        file: &str,
        folder: &Path,
        cancel: &Cancel,
    ) -> Result<PathBuf, ImportError> {
        match &self.holder {
            Holder::File => return Ok(self.path.clone()),
            Holder::Folder => return Ok(self.path.join(file)),
            Holder::Zip(_) => {}
        }
        let target = folder.join("unpacked.bin");
        let limit = self.limits.file_bytes;
        let mut out = File::create(&target).map_err(ImportError::io(&target))?;
        let copied = self.with_reader(file, |reader| {
            let mut buffer = vec![0; CHUNK_BYTES];
            let mut copied = 0;
            loop {
                cancel.check()?;
                let n = reader
                    .read(&mut buffer)
                    .map_err(|error| self.unpack_error(file, error))?;
                if n == 0 {
                    return Ok(copied);
                }
                copied += n as u64;
                if copied > limit {
                    let reason = format!("it unpacks to more than {limit} bytes");
                    return Err(ImportError::limit(file, reason));
                }
                out.write_all(&buffer[..n])
                    .map_err(ImportError::io(&target))?;
            }
        })?;
        self.spend(file, copied)?;
        Ok(target)
    }

    /// Takes unpacked bytes off what one archive may yield.
    fn spend(&self, file: &str, bytes: u64) -> Result<(), ImportError> {
        if let Holder::Zip(zip) = &self.holder {
            let mut zip = zip.borrow_mut();
            zip.left = zip.left.checked_sub(bytes).ok_or_else(|| {
                let limit = self.limits.unpacked_bytes;
                ImportError::limit(file, format!("the zip unpacks to more than {limit} bytes"))
            })?;
        }
        Ok(())
    }

    fn place(&self, file: &str) -> PathBuf {
        match self.holder {
            Holder::File => self.path.clone(),
            _ => self.path.join(file),
        }
    }

    /// A zip that ends early is the zip's fault, a disk that fails is the machine's.
    fn unpack_error(&self, file: &str, error: std::io::Error) -> ImportError {
        match self.holder {
            Holder::Zip(_) => ImportError::malformed(file, error.to_string()),
            _ => ImportError::io(self.place(file))(error),
        }
    }

    fn with_reader<T>(
        &self,
        file: &str,
        read: impl FnOnce(&mut dyn Read) -> Result<T, ImportError>,
    ) -> Result<T, ImportError> {
        if let Holder::Zip(zip) = &self.holder {
            let mut zip = zip.borrow_mut();
            let mut entry = zip
                .archive
                .by_name(file)
                .map_err(|error| ImportError::malformed(file, error.to_string()))?;
            return read(&mut entry);
        }
        let path = self.place(file);
        let mut opened = BufReader::new(File::open(&path).map_err(ImportError::io(&path))?);
        read(&mut opened)
    }

    fn list_folder(&mut self) -> Result<(), ImportError> {
        let mut open = vec![(self.path.clone(), String::new(), 0)];
        while let Some((folder, prefix, depth)) = open.pop() {
            if depth > self.limits.depth {
                let reason = format!("folders lie deeper than {}", self.limits.depth);
                return Err(ImportError::limit(prefix, reason));
            }
            for entry in fs::read_dir(&folder).map_err(ImportError::io(&folder))? {
                let entry = entry.map_err(ImportError::io(&folder))?;
                let kind = entry.file_type().map_err(ImportError::io(entry.path()))?;
                // A name that is no text cannot be a file that is looked for.
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let relative = format!("{prefix}{name}");
                if kind.is_dir() {
                    open.push((entry.path(), relative + "/", depth + 1));
                } else if entry.path().is_file() {
                    self.files.push(relative);
                }
                if self.files.len() > self.limits.files {
                    let reason = format!("it holds more than {} files", self.limits.files);
                    return Err(ImportError::limit(folder.display().to_string(), reason));
                }
            }
        }
        Ok(())
    }

    fn list_zip(&mut self) -> Result<(), ImportError> {
        let shown = self.path.display().to_string();
        let file = File::open(&self.path).map_err(ImportError::io(&self.path))?;
        let mut archive = ZipArchive::new(BufReader::new(file))
            .map_err(|error| ImportError::malformed(&shown, error.to_string()))?;
        if archive.len() > self.limits.files {
            let reason = format!("it holds more than {} files", self.limits.files);
            return Err(ImportError::limit(shown, reason));
        }
        for index in 0..archive.len() {
            let entry = archive
                .by_index_raw(index)
                .map_err(|error| ImportError::malformed(&shown, error.to_string()))?;
            // A name that is no text cannot be a file that is looked for.
            if let (true, Ok(name)) = (entry.is_file(), entry.name()) {
                self.files.push(name.into_owned());
            }
        }
        let left = self.limits.unpacked_bytes;
        self.holder = Holder::Zip(RefCell::new(Zip { archive, left }));
        Ok(())
    }
}

/// Whether a file begins as a zip does (APPNOTE 4.3.7, or an empty zip).
fn is_zip(path: &Path) -> Result<bool, ImportError> {
    let mut first = Vec::new();
    let file = File::open(path).map_err(ImportError::io(path))?;
    file.take(4)
        .read_to_end(&mut first)
        .map_err(ImportError::io(path))?;
    Ok(first == b"PK\x03\x04" || first == b"PK\x05\x06")
}
