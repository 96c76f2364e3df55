//! The manifest as it stands in the file, and the checks that make it a `Manifest`.

use prosect_segmentation::terminology;
use serde::Deserialize;

use crate::manifest::{
    FileRef, GridSpec, Manifest, ManifestStructure, ModalityStatus, ModalitySupport, Normalization,
    Postprocess, RegionFinder, SelfTest,
};

/// The version of the manifest's own format that this code reads.
const FORMAT_VERSION: u32 = 1;
/// Largest edge of a network's input; 1,024 voxels cubed would be 4 GB of input alone.
const MAX_EDGE: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    format_version: u32,
    name: String,
    version: String,
    title: String,
    intended_use: String,
    source: String,
    provenance: String,
    license_code: String,
    license_weights: String,
    region_finder: RegionFinderWord,
    postprocess: PostprocessWord,
    modalities: Vec<ModalityEntry>,
    structures: Vec<StructureEntry>,
    grid: GridEntry,
    network: FileEntry,
    weights: FileEntry,
    self_test: SelfTestEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RegionFinderWord {
    Liver,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PostprocessWord {
    OneOrgan,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModalityEntry {
    modality: ModalityWord,
    status: StatusWord,
    normalization: NormalizationWord,
}

#[derive(Deserialize)]
enum ModalityWord {
    #[serde(rename = "CT")]
    Ct,
    #[serde(rename = "MR")]
    Mr,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusWord {
    Supported,
    Experimental,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum NormalizationWord {
    CtLiverWindow,
    MrRange,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StructureEntry {
    name: String,
    label_value: u16,
    expected_dice: String,
    expected_source: String,
    plausible_volume_ml: [f64; 2],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GridEntry {
    spacing_mm: f64,
    axes: AxesWord,
    input_shape: [usize; 3],
}

#[derive(Deserialize)]
enum AxesWord {
    #[serde(rename = "RAS")]
    Ras,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    file: String,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelfTestEntry {
    input_shape: [usize; 3],
    tolerance: f32,
    probes: Vec<ProbeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeEntry {
    voxel: [usize; 3],
    probability: f32,
}

impl Document {
    /// Checks what the types cannot; the error says what is wrong.
    pub(super) fn into_manifest(self) -> Result<Manifest, String> {
        if self.format_version != FORMAT_VERSION {
            return Err(format!(
                "its format_version is {}, this program reads {FORMAT_VERSION}",
                self.format_version
            ));
        }
        require_plain_name(&self.name)?;
        version_numbers(&self.version).ok_or_else(|| {
            format!(
                "version {:?} is not three numbers such as 1.0.0",
                self.version
            )
        })?;
        require_texts(&self)?;
        let RegionFinderWord::Liver = self.region_finder;
        let PostprocessWord::OneOrgan = self.postprocess;
        if self.structures.len() != 1 {
            return Err(format!(
                "postprocess one_organ needs exactly one structure, there are {}",
                self.structures.len()
            ));
        }
        if self.modalities.is_empty() {
            return Err("it names no modality".into());
        }
        Ok(Manifest {
            modalities: self
                .modalities
                .into_iter()
                .map(ModalityEntry::into_support)
                .collect(),
            structures: self
                .structures
                .into_iter()
                .map(StructureEntry::into_structure)
                .collect::<Result<_, _>>()?,
            grid: self.grid.into_spec()?,
            region_finder: RegionFinder::Liver,
            postprocess: Postprocess::OneOrgan,
            network: self.network.into_ref()?,
            weights: self.weights.into_ref()?,
            self_test: self.self_test.into_test()?,
            name: self.name,
            version: self.version,
            title: self.title,
            intended_use: self.intended_use,
            source: self.source,
            provenance: self.provenance,
            license_code: self.license_code,
            license_weights: self.license_weights,
        })
    }
}

impl ModalityEntry {
    fn into_support(self) -> ModalitySupport {
        ModalitySupport {
            modality: match self.modality {
                ModalityWord::Ct => "CT".into(),
                ModalityWord::Mr => "MR".into(),
            },
            status: match self.status {
                StatusWord::Supported => ModalityStatus::Supported,
                StatusWord::Experimental => ModalityStatus::Experimental,
            },
            normalization: match self.normalization {
                NormalizationWord::CtLiverWindow => Normalization::CtLiverWindow,
                NormalizationWord::MrRange => Normalization::MrRange,
            },
        }
    }
}

impl StructureEntry {
    fn into_structure(self) -> Result<ManifestStructure, String> {
        let structure = terminology::structure(&self.name)
            .ok_or_else(|| format!("the terminology knows no structure {:?}", self.name))?;
        let [low, high] = self.plausible_volume_ml;
        if !(0.0 <= low && low < high && high.is_finite()) {
            return Err(format!("plausible_volume_ml of {} is no range", self.name));
        }
        if self.label_value == 0 {
            return Err(format!(
                "label_value of {} is 0, which is background",
                self.name
            ));
        }
        let known = self
            .expected_dice
            .parse::<f64>()
            .is_ok_and(|dice| (0.0..=1.0).contains(&dice));
        if !known && self.expected_dice != "unknown" {
            return Err(format!(
                "expected_dice of {} is neither a number from 0 to 1 nor \"unknown\"",
                self.name
            ));
        }
        Ok(ManifestStructure {
            structure,
            label_value: self.label_value,
            expected_dice: self.expected_dice,
            expected_source: self.expected_source,
            plausible_volume_ml: self.plausible_volume_ml,
        })
    }
}

impl GridEntry {
    fn into_spec(self) -> Result<GridSpec, String> {
        let AxesWord::Ras = self.axes;
        if !(0.1..=20.0).contains(&self.spacing_mm) {
            return Err(format!(
                "grid spacing_mm is {}, not between 0.1 and 20",
                self.spacing_mm
            ));
        }
        require_shape("grid input_shape", self.input_shape)?;
        Ok(GridSpec {
            spacing_mm: self.spacing_mm,
            input_shape: self.input_shape,
        })
    }
}

impl FileEntry {
    fn into_ref(self) -> Result<FileRef, String> {
        let plain = self
            .file
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            && !self.file.starts_with('.');
        if self.file.is_empty() || !plain {
            return Err(format!("file {:?} is not a plain file name", self.file));
        }
        let hexadecimal = self.sha256.len() == 64
            && self
                .sha256
                .chars()
                .all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        if !hexadecimal {
            return Err(format!(
                "sha256 of {} is not 64 lower-case hexadecimal digits",
                self.file
            ));
        }
        Ok(FileRef {
            name: self.file,
            sha256: self.sha256,
        })
    }
}

impl SelfTestEntry {
    fn into_test(self) -> Result<SelfTest, String> {
        require_shape("self_test input_shape", self.input_shape)?;
        if self.probes.is_empty() || !(0.0..=0.01).contains(&self.tolerance) {
            return Err("self_test needs probes and a tolerance of at most 0.01".into());
        }
        let probes = self
            .probes
            .into_iter()
            .map(|p| (p.voxel, p.probability))
            .collect();
        Ok(SelfTest {
            input_shape: self.input_shape,
            tolerance: self.tolerance,
            probes,
        })
    }
}

fn require_shape(what: &str, shape: [usize; 3]) -> Result<(), String> {
    if shape.iter().all(|n| (1..=MAX_EDGE).contains(n)) {
        Ok(())
    } else {
        Err(format!(
            "{what} {shape:?} is not from 1 to {MAX_EDGE} along each axis"
        ))
    }
}

/// A name that is safe as a folder and in a command line.
fn require_plain_name(name: &str) -> Result<(), String> {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if plain && !name.is_empty() && !name.starts_with('-') {
        Ok(())
    } else {
        Err(format!(
            "name {name:?} is not lower-case letters, digits and hyphens"
        ))
    }
}

fn require_texts(document: &Document) -> Result<(), String> {
    let texts = [
        ("title", &document.title),
        ("intended_use", &document.intended_use),
        ("source", &document.source),
        ("provenance", &document.provenance),
        ("license_code", &document.license_code),
        ("license_weights", &document.license_weights),
    ];
    match texts.iter().find(|(_, text)| text.trim().is_empty()) {
        Some((key, _)) => Err(format!(
            "{key} is empty; write \"unknown\" where nobody knows"
        )),
        None => Ok(()),
    }
}

/// `1.2.3` as numbers.
pub(super) fn version_numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}
