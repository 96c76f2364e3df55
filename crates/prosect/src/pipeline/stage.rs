//! The output folder: written beside, renamed at the end. It appears whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::pipeline::error::PipelineError;

/// What is on the disk before a stage is committed.
#[derive(Clone, Debug)]
pub struct HalfMade {
    folder: PathBuf,
    /// Folders above it that were not there before, the deepest first.
    new_parents: Vec<PathBuf>,
}

impl HalfMade {
    /// Removes it; after the commit there is nothing to remove.
    pub fn remove(&self) {
        // Another thread may still write: a file that it makes meanwhile needs another round.
        for _ in 0..10 {
            match fs::remove_dir_all(&self.folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                _ => break,
            }
        }
        for parent in &self.new_parents {
            // Only empty ones go.
            let _ = fs::remove_dir(parent);
        }
    }
}

/// A folder that becomes the user's output folder when it is committed, and vanishes when it is
/// dropped before.
#[derive(Debug)]
pub struct Stage {
    half_made: HalfMade,
    out: PathBuf,
    replace: bool,
    committed: bool,
}

impl Stage {
    /// Makes the folder beside `out`, so that a place that cannot be written is found out before
    /// the work, not after it.
    ///
    /// # Errors
    /// [`PipelineError::OutputExists`] without `force`, [`PipelineError::OutputIsNoCase`] when
    /// `force` would remove something that Prosect did not write, and what the disk says.
    pub fn begin(out: &Path, force: bool) -> Result<Self, PipelineError> {
        let replace = match fs::symlink_metadata(out) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => {
                return Err(PipelineError::Output {
                    path: out.into(),
                    source,
                });
            }
            Ok(_) if !force => return Err(PipelineError::OutputExists { path: out.into() }),
            Ok(found) if found.is_dir() && is_case_or_empty(out) => true,
            Ok(_) => return Err(PipelineError::OutputIsNoCase { path: out.into() }),
        };
        let failed = |source| PipelineError::Output {
            path: out.into(),
            source,
        };
        let name = out
            .file_name()
            .ok_or_else(|| failed(io::Error::other("the path ends in no name")))?;
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let new_parents: Vec<PathBuf> = parent
            .ancestors()
            .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
            .map(Path::to_path_buf)
            .collect();
        fs::create_dir_all(&parent).map_err(failed)?;
        let folder = parent.join(format!(
            ".{}.partial-{}",
            name.to_string_lossy(),
            std::process::id()
        ));
        fs::create_dir(&folder).map_err(failed)?;
        Ok(Self {
            half_made: HalfMade {
                folder,
                new_parents,
            },
            out: out.into(),
            replace,
            committed: false,
        })
    }

    /// Refuses an input that would be removed when the old case at the output folder is.
    ///
    /// # Errors
    /// [`PipelineError::OutputHoldsInput`].
    pub fn require_apart(&self, input: &Path) -> Result<(), PipelineError> {
        // What cannot be resolved is not there; reading it will say so.
        let resolved = fs::canonicalize(input).and_then(|i| Ok((i, fs::canonicalize(&self.out)?)));
        match resolved {
            Ok((input, out)) if self.replace && input.starts_with(&out) => {
                Err(PipelineError::OutputHoldsInput {
                    path: self.out.clone(),
                    input,
                })
            }
            _ => Ok(()),
        }
    }

    /// Where to write meanwhile.
    pub fn folder(&self) -> &Path {
        &self.half_made.folder
    }

    /// What would stay behind if the process ended now.
    pub fn half_made(&self) -> HalfMade {
        self.half_made.clone()
    }

    /// Puts the folder at its place. A case that stood there before is removed only after the new
    /// one has its name.
    ///
    /// # Errors
    /// What the disk says; the old case is then back at its place.
    pub fn commit(mut self) -> Result<PathBuf, PipelineError> {
        let failed = |source| PipelineError::Output {
            path: self.out.clone(),
            source,
        };
        if self.replace {
            let old = self.folder().with_extension("old");
            fs::rename(&self.out, &old).map_err(failed)?;
            if let Err(source) = fs::rename(self.folder(), &self.out) {
                fs::rename(&old, &self.out).map_err(failed)?;
                return Err(failed(source));
            }
            self.committed = true;
            fs::remove_dir_all(&old).map_err(failed)?;
        } else if fs::symlink_metadata(&self.out).is_ok() {
            // Somebody made it in the meantime; rename would replace an empty folder in silence.
            return Err(PipelineError::OutputExists {
                path: self.out.clone(),
            });
        } else {
            fs::rename(self.folder(), &self.out).map_err(failed)?;
            self.committed = true;
        }
        Ok(self.out.clone())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be told from here; what stays behind carries `.partial` in its name.
            self.half_made.remove();
        }
    }
}

fn is_case_or_empty(folder: &Path) -> bool {
    folder.join("case.json").is_file()
        || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Stage;

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("new/deep/case");
        let stage = Stage::begin(&out, false).unwrap();
        fs::write(stage.folder().join("case.json"), "{}").unwrap();
        assert!(!out.exists());
        drop(stage);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        let stage = Stage::begin(&out, false).unwrap();
        fs::write(stage.folder().join("case.json"), "{}").unwrap();
        stage.commit().unwrap();
        assert!(out.join("case.json").is_file());
        assert_eq!(
            fs::read_dir(parent.path().join("new/deep"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn what_is_half_made_goes_and_what_is_done_stays() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("new/case");
        let stage = Stage::begin(&out, false).unwrap();
        fs::write(stage.folder().join("case.json"), "{}").unwrap();
        stage.half_made().remove();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        let stage = Stage::begin(&out, false).unwrap();
        fs::write(stage.folder().join("case.json"), "{}").unwrap();
        let half_made = stage.half_made();
        stage.commit().unwrap();
        half_made.remove();
        assert!(out.join("case.json").is_file());
    }

    #[test]
    fn an_input_inside_the_case_to_be_replaced_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("case");
        fs::create_dir_all(out.join("dicom/deep")).unwrap();
        fs::write(out.join("case.json"), "{}").unwrap();
        fs::create_dir(parent.path().join("case-dicom")).unwrap();
        let stage = Stage::begin(&out, true).unwrap();
        for input in [
            out.clone(),
            out.join("dicom"),
            parent.path().join("case-dicom/../case/dicom/deep"),
        ] {
            let error = stage.require_apart(&input).unwrap_err().to_string();
            assert!(error.contains("--force"), "{error}");
        }
        stage
            .require_apart(&parent.path().join("case-dicom"))
            .unwrap();
        stage.require_apart(parent.path()).unwrap();
        // A new case may lie inside its input: nothing is removed for it.
        let inside = Stage::begin(&out.join("dicom/new"), false).unwrap();
        inside.require_apart(&out.join("dicom")).unwrap();
    }

    #[test]
    fn what_is_there_stays_unless_it_is_a_case_and_force_is_given() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("photos");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("wedding.jpg"), "x").unwrap();
        assert!(
            Stage::begin(&out, false)
                .unwrap_err()
                .to_string()
                .contains("exists")
        );
        assert!(
            Stage::begin(&out, true)
                .unwrap_err()
                .to_string()
                .contains("no case")
        );
        fs::write(out.join("case.json"), "{}").unwrap();
        let stage = Stage::begin(&out, true).unwrap();
        fs::write(stage.folder().join("case.json"), "new").unwrap();
        assert_eq!(fs::read_to_string(out.join("case.json")).unwrap(), "{}");
        stage.commit().unwrap();
        assert_eq!(fs::read_to_string(out.join("case.json")).unwrap(), "new");
        assert!(!out.join("wedding.jpg").exists());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
