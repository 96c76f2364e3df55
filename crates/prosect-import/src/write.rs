//! A model folder in the making: written beside its final place, renamed when it is whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use prosect_base::Cancel;
use prosect_model::{FileRef, Manifest, SelfTest};
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::weights::Weights;
use safetensors::{Dtype, View};
use sha2::{Digest, Sha256};

use crate::error::ImportError;
use crate::source::Source;

/// A stage's folder: this and the number of the process.
const STAGE_PREFIX: &str = ".import.partial-";
/// Any number; the same for every model, so that an import gives the same files every time.
const SELF_TEST_SEED: u64 = 20_261_123;
/// The self-test's input is at least this along each axis, in steps of the network's own, so that
/// the coarsest level still has several voxels to take a mean of.
const SELF_TEST_EDGE: usize = 32;

/// A tensor in memory: `shape`, last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl View for &Array {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

/// A hidden folder beside the final one. Dropped before [`Stage::commit`], it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Stage {
    models: PathBuf,
    folder: PathBuf,
    committed: bool,
}

impl Stage {
    /// Makes the folder for a model within `models`.
    pub(crate) fn begin(models: &Path) -> Result<Self, ImportError> {
        fs::create_dir_all(models).map_err(ImportError::io(models))?;
        remove_abandoned(models);
        let folder = models.join(format!("{STAGE_PREFIX}{}", std::process::id()));
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(ImportError::io(&folder))?;
        }
        fs::create_dir(&folder).map_err(ImportError::io(&folder))?;
        Ok(Self {
            models: models.to_path_buf(),
            folder,
            committed: false,
        })
    }

    /// A folder for files that are not part of the model; it goes with the stage.
    pub(crate) fn scratch(&self) -> Result<PathBuf, ImportError> {
        let folder = self.folder.join(".scratch");
        fs::create_dir_all(&folder).map_err(ImportError::io(&folder))?;
        Ok(folder)
    }

    /// Writes a file; `name` is relative to the model's folder.
    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<FileRef, ImportError> {
        let path = self.place(name)?;
        fs::write(&path, bytes).map_err(ImportError::io(&path))?;
        Ok(FileRef {
            name: name.to_owned(),
            sha256: hexadecimal(&Sha256::digest(bytes)),
        })
    }

    /// Writes weights as safetensors; refuses a value that is not finite, by the tensor's name.
    pub(crate) fn write_weights(
        &self,
        name: &str,
        arrays: &BTreeMap<String, Array>,
    ) -> Result<FileRef, ImportError> {
        let broken = arrays
            .iter()
            .find(|(_, array)| array.values.iter().any(|v| !v.is_finite()));
        if let Some((tensor, _)) = broken {
            return Err(ImportError::malformed(
                format!("tensor {tensor}"),
                "it holds values that are not finite; the training has failed or the file is damaged",
            ));
        }
        let path = self.place(name)?;
        safetensors::serialize_to_file(arrays, None, &path).map_err(|error| ImportError::Io {
            path: path.clone(),
            source: std::io::Error::other(error),
        })?;
        Ok(FileRef {
            name: name.to_owned(),
            sha256: hash_file(&path)?,
        })
    }

    /// Copies a file of the source into the model; gives what it is now.
    pub(crate) fn take(
        &self,
        source: &Source,
        file: &str,
        name: &str,
        cancel: &Cancel,
    ) -> Result<FileRef, ImportError> {
        let found = source.to_file(file, &self.scratch()?, cancel)?;
        let path = self.place(name)?;
        if found.starts_with(&self.folder) {
            fs::rename(&found, &path).map_err(ImportError::io(&path))?;
        } else {
            fs::copy(&found, &path).map_err(ImportError::io(&found))?;
        }
        Ok(FileRef {
            name: name.to_owned(),
            sha256: hash_file(&path)?,
        })
    }

    /// Runs the network of `network` and `weights`, both written before, on a small input: by the
    /// portable kernels and by this machine's. They must agree; the portable answer is recorded.
    pub(crate) fn record_self_test(
        &self,
        network: &FileRef,
        weights: &FileRef,
        cancel: &Cancel,
    ) -> Result<SelfTest, ImportError> {
        let path = self.folder.join(&network.name);
        let text = fs::read_to_string(&path).map_err(ImportError::io(&path))?;
        let graph = Graph::from_json(&text)?;
        let path = self.folder.join(&weights.name);
        let bytes = fs::read(&path).map_err(ImportError::io(&path))?;
        let weights = Weights::from_safetensors(&bytes)?;
        drop(bytes);
        record_self_test(&graph, &weights, cancel)
    }

    /// Writes the manifest, reads it back as every later run will, and puts the folder in place.
    /// What was there under the same name goes only when the new folder stands.
    pub(crate) fn commit(
        mut self,
        manifest: &Manifest,
        force: bool,
    ) -> Result<PathBuf, ImportError> {
        let text = manifest.to_toml()?;
        Manifest::parse(&manifest.name, &text)?;
        self.write_bytes("model.toml", text.as_bytes())?;
        let scratch = self.folder.join(".scratch");
        if scratch.exists() {
            fs::remove_dir_all(&scratch).map_err(ImportError::io(&scratch))?;
        }
        let target = self.models.join(&manifest.name);
        let replaced = self.models.join(format!(
            ".{}.replaced-{}",
            manifest.name,
            std::process::id()
        ));
        let exists = fs::symlink_metadata(&target).is_ok();
        if exists {
            if !force {
                return Err(ImportError::Exists {
                    name: manifest.name.clone(),
                });
            }
            fs::rename(&target, &replaced).map_err(ImportError::io(&target))?;
        }
        if let Err(source) = fs::rename(&self.folder, &target) {
            if exists {
                // The old model goes back to its place; the first error is the one to tell.
                let _ = fs::rename(&replaced, &target);
            }
            return Err(ImportError::Io {
                path: target,
                source,
            });
        }
        self.committed = true;
        if exists {
            fs::remove_dir_all(&replaced).map_err(ImportError::io(&replaced))?;
        }
        Ok(target)
    }

    fn place(&self, name: &str) -> Result<PathBuf, ImportError> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ImportError::io(parent))?;
        }
        Ok(path)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be told from here; what stays behind carries `.partial` in its name.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Removes stages of programs that were ended by force, where the system tells which ones run.
fn remove_abandoned(models: &Path) {
    let Ok(entries) = fs::read_dir(models) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|n| n.strip_prefix(STAGE_PREFIX));
        let Some(process) = process.filter(|p| p.parse::<u32>().is_ok()) else {
            continue;
        };
        let is_told = Path::new("/proc/self").exists();
        if is_told && !Path::new("/proc").join(process).exists() {
            // What cannot be removed lies in a hidden folder and harms nobody.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Runs a network on a small input, by the portable kernels and by this machine's. They must
/// agree; the portable answer is recorded.
pub(crate) fn record_self_test(
    graph: &Graph,
    weights: &Weights,
    cancel: &Cancel,
) -> Result<SelfTest, ImportError> {
    let shape = graph
        .size_multiple()
        .map(|n| n * SELF_TEST_EDGE.div_ceil(n).max(2));
    record_self_test_of(graph, weights, shape, cancel)
}

/// As [`record_self_test`], with an input of `shape`.
pub(crate) fn record_self_test_of(
    graph: &Graph,
    weights: &Weights,
    shape: [usize; 3],
    cancel: &Cancel,
) -> Result<SelfTest, ImportError> {
    let record = |isa| {
        cancel.check()?;
        let network = Network::load(graph, weights, isa)?;
        Ok::<_, ImportError>(SelfTest::record(&network, SELF_TEST_SEED, shape)?)
    };
    let recorded = record(Isa::Portable)?;
    if Isa::detect() == Isa::Portable {
        return Ok(recorded);
    }
    let found = record(Isa::detect())?;
    for (a, b) in recorded.probes.iter().zip(&found.probes) {
        let close = (a.value - b.value).abs() <= recorded.tolerance;
        if !close {
            return Err(ImportError::inconsistent(
                "the network",
                format!(
                    "the kernels of this processor ({}) give {} where the portable ones give {}",
                    Isa::detect().name(),
                    b.value,
                    a.value
                ),
            ));
        }
    }
    Ok(recorded)
}

/// SHA-256 of a file, read in pieces.
pub(crate) fn hash_file(path: &Path) -> Result<String, ImportError> {
    let mut file = File::open(path).map_err(ImportError::io(path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(ImportError::io(path))?;
        if n == 0 {
            return Ok(hexadecimal(&digest.finalize()));
        }
        digest.update(&buffer[..n]);
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('?');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
