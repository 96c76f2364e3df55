//! Checksums of the archives that models were installed from: recorded at the first install,
//! because the publisher gives none, and compared ever after.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// In the folder of models, as `sha256sum` writes it.
const FILE: &str = "installed.sha256";

/// The recorded checksums, by `release/file`.
pub(super) struct Sums {
    path: PathBuf,
    by_name: BTreeMap<String, String>,
}

impl Sums {
    /// Reads what is recorded in a folder of models; nothing is nothing.
    pub(super) fn open(models: &Path) -> Result<Self, Failure> {
        let path = models.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        let mut by_name = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let Some((sum, name)) = line.split_once("  ") else {
                // A record that cannot be read must not count as no record.
                return Err(Failure::malformed(
                    format!("{} has a line that is no checksum: {line}", path.display()),
                    "mend the line or remove the file; the next install records anew",
                ));
            };
            by_name.insert(name.to_owned(), sum.to_owned());
        }
        Ok(Self { path, by_name })
    }

    /// Where they are recorded.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The recorded checksum.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str)
    }

    /// Records one; it counts when it is saved.
    pub(super) fn set(&mut self, name: &str, sha256: &str) {
        self.by_name.insert(name.to_owned(), sha256.to_owned());
    }

    /// Writes the file, whole or not at all.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let lines = self
            .by_name
            .iter()
            .map(|(name, sum)| format!("{sum}  {name}\n"));
        let partial = self.path.with_extension("sha256.partial");
        fs::write(&partial, lines.collect::<String>())
            .and_then(|()| fs::rename(&partial, &self.path))
            .map_err(|error| cannot("write", &self.path, &error))
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::machine(format!("cannot {what} {}: {error}", path.display()))
}
