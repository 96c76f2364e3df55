//! What was received so far: the bytes, and which version of the remote file they belong to.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::error::DownloadError;

/// A file on its way: `NAME.part`, and `NAME.part.from` with the URL and the version of the remote
/// file, by which a later run knows what it may continue.
#[derive(Debug)]
pub(crate) struct Partial {
    bytes: PathBuf,
    origin: PathBuf,
}

/// Which version of a remote file bytes belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) url: String,
    /// A strong `ETag` or a `Last-Modified`, as `If-Range` takes it (RFC 9110 13.1.5).
    pub(crate) validator: String,
}

impl Partial {
    /// The partial file of `target`; nothing is made yet.
    pub(crate) fn of(target: &Path) -> Self {
        let named = |end: &str| {
            let mut name = target.file_name().unwrap_or_default().to_os_string();
            name.push(end);
            target.with_file_name(name)
        };
        Self {
            bytes: named(".part"),
            origin: named(".part.from"),
        }
    }

    /// Where the bytes lie.
    pub(crate) fn path(&self) -> &Path {
        &self.bytes
    }

    /// How many bytes of which version are there; `None` when nothing can be continued.
    pub(crate) fn received(&self, url: &str) -> Option<(u64, Version)> {
        let text = fs::read_to_string(&self.origin).ok()?;
        let (of, validator) = text.trim_end().split_once('\n')?;
        let n = fs::metadata(&self.bytes).ok()?.len();
        let version = Version {
            url: of.to_owned(),
            validator: validator.to_owned(),
        };
        (of == url && n > 0).then_some((n, version))
    }

    /// Begins anew; without a version the bytes cannot be continued by a later run.
    pub(crate) fn restart(&self, version: Option<&Version>) -> Result<File, DownloadError> {
        match version {
            Some(Version { url, validator }) => {
                fs::write(&self.origin, format!("{url}\n{validator}\n"))
                    .map_err(DownloadError::io(&self.origin))?;
            }
            None => remove(&self.origin)?,
        }
        File::create(&self.bytes).map_err(DownloadError::io(&self.bytes))
    }

    /// Goes on after what is there.
    pub(crate) fn append(&self) -> Result<File, DownloadError> {
        OpenOptions::new()
            .append(true)
            .open(&self.bytes)
            .map_err(DownloadError::io(&self.bytes))
    }

    /// Puts the whole file in place.
    pub(crate) fn finish(&self, target: &Path) -> Result<(), DownloadError> {
        fs::rename(&self.bytes, target).map_err(DownloadError::io(target))?;
        remove(&self.origin)
    }

    /// Removes what was received.
    pub(crate) fn discard(&self) -> Result<(), DownloadError> {
        remove(&self.bytes)?;
        remove(&self.origin)
    }
}

fn remove(path: &Path) -> Result<(), DownloadError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DownloadError::io(path)(error))
        }
        _ => Ok(()),
    }
}
