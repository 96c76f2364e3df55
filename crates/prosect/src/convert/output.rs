//! The files to write: under names of their own until all of them are whole.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::convert::Request;
use crate::convert::error::ConvertError;
use crate::convert::target::{Target, stem_and_end};

/// Files being written. Dropped before [`Output::commit`], they vanish.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    pub(super) target: Target,
    force: bool,
    /// Under its name meanwhile, and at its place at last.
    files: Vec<(PathBuf, PathBuf)>,
    committed: usize,
}

impl Output {
    /// Checks that the file may be written before any work is done.
    pub(super) fn begin(request: &Request, target: Target) -> Result<Self, ConvertError> {
        let path = request.output.clone();
        let output = Self {
            target,
            force: request.force,
            files: Vec::new(),
            committed: 0,
            path,
        };
        output.require_free(&output.path)?;
        output.require_apart(request)?;
        Ok(output)
    }

    /// Whether the name's end asks for compression, or for the layers of a `.seg.nrrd`.
    pub(super) fn ends_with(&self, end: &str) -> bool {
        let name = self
            .path
            .file_name()
            .map(|n| n.to_string_lossy().to_ascii_lowercase());
        name.is_some_and(|name| name.ends_with(end))
    }

    /// The place of layer `layer`: `x.nii.gz`, `x.2.nii.gz` and so on.
    pub(super) fn of_layer(&self, layer: usize) -> PathBuf {
        if layer == 0 {
            return self.path.clone();
        }
        let (stem, end) = stem_and_end(&self.path);
        self.path
            .with_file_name(format!("{stem}.{}{end}", layer + 1))
    }

    /// The place of the table beside the labels.
    pub(super) fn of_table(&self) -> PathBuf {
        let (stem, _) = stem_and_end(&self.path);
        self.path.with_file_name(format!("{stem}.json"))
    }

    /// Writes one file; it is not yet at its place.
    pub(super) fn write(
        &mut self,
        path: PathBuf,
        write: impl FnOnce(&mut BufWriter<File>) -> Result<(), ConvertError>,
    ) -> Result<(), ConvertError> {
        self.require_free(&path)?;
        let failed = |source| ConvertError::Output {
            path: path.clone(),
            source,
        };
        let parent = parent_of(&path);
        fs::create_dir_all(parent).map_err(failed)?;
        let name = path
            .file_name()
            .ok_or_else(|| failed(io::Error::other("the path ends in no name")))?;
        let meanwhile = path.with_file_name(format!(
            ".{}.partial-{}",
            name.to_string_lossy(),
            std::process::id()
        ));
        let file = File::create_new(&meanwhile).map_err(failed)?;
        self.files.push((meanwhile, path.clone()));
        let mut out = BufWriter::with_capacity(1 << 18, file);
        write(&mut out)?;
        let file = out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)
    }

    /// Puts all files at their places.
    pub(super) fn commit(mut self) -> Result<Vec<PathBuf>, ConvertError> {
        // Somebody may have made one in the meantime.
        for (_, path) in &self.files {
            self.require_free(path)?;
        }
        let files = self.files.clone();
        for (meanwhile, path) in &files {
            fs::rename(meanwhile, path).map_err(|source| ConvertError::Output {
                path: path.clone(),
                source,
            })?;
            self.committed += 1;
        }
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }

    fn require_free(&self, path: &Path) -> Result<(), ConvertError> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(ConvertError::Output {
                path: path.into(),
                source,
            }),
            // A folder is never replaced by a file.
            Ok(found) if self.force && !found.is_dir() => Ok(()),
            Ok(_) => Err(ConvertError::OutputExists { path: path.into() }),
        }
    }

    /// With `--force`, a file of the input could be replaced while it is read.
    fn require_apart(&self, request: &Request) -> Result<(), ConvertError> {
        let Ok(output) = fs::canonicalize(&self.path) else {
            return Ok(());
        };
        let inputs = [
            Some(&request.input),
            request.source.as_ref(),
            request.labels.as_ref(),
        ];
        for input in inputs.into_iter().flatten() {
            if fs::canonicalize(input).is_ok_and(|input| output.starts_with(input)) {
                return Err(ConvertError::OutputIsInput {
                    path: self.path.clone(),
                });
            }
        }
        Ok(())
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        for (meanwhile, _) in &self.files[self.committed..] {
            // Nothing can be told from here; what stays behind carries `.partial` in its name.
            let _ = fs::remove_file(meanwhile);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::Output;
    use crate::convert::{ConvertError, Request, Target};

    fn begin(folder: &std::path::Path, force: bool) -> Result<Output, ConvertError> {
        let request = Request {
            input: folder.join("in.nii"),
            output: folder.join("new/x.nii.gz"),
            force,
            ..Request::default()
        };
        Output::begin(&request, Target::Nifti)
    }

    #[test]
    fn files_appear_whole_or_not_at_all_and_none_is_replaced_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let there = |name: &str| folder.path().join("new").join(name);
        let mut output = begin(folder.path(), false).unwrap();
        let second = output.of_layer(1);
        output
            .write(second, |out| {
                out.write_all(b"2").unwrap();
                Ok(())
            })
            .unwrap();
        assert!(!there("x.2.nii.gz").exists());
        drop(output);
        assert_eq!(fs::read_dir(there("")).unwrap().count(), 0);
        let mut output = begin(folder.path(), false).unwrap();
        let (first, table) = (output.of_layer(0), output.of_table());
        for path in [first, table] {
            output
                .write(path, |out| {
                    out.write_all(b"1").unwrap();
                    Ok(())
                })
                .unwrap();
        }
        output.commit().unwrap();
        assert!(there("x.nii.gz").is_file() && there("x.json").is_file());
        let error = begin(folder.path(), false).unwrap_err();
        assert!(
            matches!(error, ConvertError::OutputExists { .. }),
            "{error}"
        );
        begin(folder.path(), true).unwrap();
        fs::write(folder.path().join("in.nii"), "x").unwrap();
        let same = Request {
            input: folder.path().join("in.nii"),
            output: folder.path().join("in.nii"),
            force: true,
            ..Request::default()
        };
        let error = Output::begin(&same, Target::Nifti).unwrap_err();
        assert!(
            matches!(error, ConvertError::OutputIsInput { .. }),
            "{error}"
        );
    }
}
