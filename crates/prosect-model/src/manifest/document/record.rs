//! The records that both versions share, and the checks on what they become.

use prosect_segmentation::{Code, Rgb, Structure, terminology};
use serde::{Deserialize, Serialize};

use crate::manifest::document::require_shape;
use crate::manifest::{
    FileRef, GridSpec, ManifestStructure, ModalityStatus, ModalitySupport, Normalization,
};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModalityEntry {
    modality: ModalityWord,
    status: StatusWord,
    #[serde(skip_serializing_if = "Option::is_none")]
    normalization: Option<NormalizationWord>,
}

#[derive(Deserialize, Serialize, Clone, Copy)]
enum ModalityWord {
    #[serde(rename = "CT")]
    Ct,
    #[serde(rename = "MR")]
    Mr,
}

#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum StatusWord {
    Supported,
    Experimental,
}

#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum NormalizationWord {
    CtLiverWindow,
    MrRange,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StructureEntry {
    name: String,
    label_value: u16,
    expected_dice: String,
    expected_source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    plausible_volume_ml: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<[u8; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<CodeEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<CodeEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    type_modifier: Option<CodeEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<CodeEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region_modifier: Option<CodeEntry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct CodeEntry {
    scheme: String,
    value: String,
    meaning: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GridEntry {
    spacing_mm: f64,
    axes: AxesWord,
    input_shape: [usize; 3],
}

#[derive(Deserialize, Serialize)]
pub(super) enum AxesWord {
    #[serde(rename = "RAS")]
    Ras,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEntry {
    file: String,
    sha256: String,
}

impl ModalityEntry {
    pub(super) fn into_support(self) -> ModalitySupport {
        ModalitySupport {
            modality: match self.modality {
                ModalityWord::Ct => "CT".into(),
                ModalityWord::Mr => "MR".into(),
            },
            status: match self.status {
                StatusWord::Supported => ModalityStatus::Supported,
                StatusWord::Experimental => ModalityStatus::Experimental,
            },
            normalization: self
                .normalization
                .map(NormalizationWord::into_normalization),
        }
    }

    pub(super) fn of(support: &ModalitySupport) -> Self {
        Self {
            modality: match support.modality.as_str() {
                "MR" => ModalityWord::Mr,
                _ => ModalityWord::Ct,
            },
            status: match support.status {
                ModalityStatus::Supported => StatusWord::Supported,
                ModalityStatus::Experimental => StatusWord::Experimental,
            },
            normalization: support.normalization.map(NormalizationWord::of),
        }
    }
}

impl NormalizationWord {
    pub(super) fn into_normalization(self) -> Normalization {
        match self {
            Self::CtLiverWindow => Normalization::CtLiverWindow,
            Self::MrRange => Normalization::MrRange,
        }
    }

    pub(super) fn of(normalization: Normalization) -> Self {
        match normalization {
            Normalization::CtLiverWindow => Self::CtLiverWindow,
            Normalization::MrRange => Self::MrRange,
        }
    }
}

impl StructureEntry {
    /// The terminology fills what the manifest leaves out.
    pub(super) fn into_structure(self) -> Result<ManifestStructure, String> {
        let known = terminology::structure(&self.name);
        let structure = match (self.code, self.category, self.color, known) {
            (Some(code), Some(category), Some(color), _) => Structure {
                name: self.name,
                category: category.into_code(),
                property_type: code.into_code(),
                type_modifier: self.type_modifier.map(CodeEntry::into_code),
                region: self.region.map(CodeEntry::into_code),
                region_modifier: self.region_modifier.map(CodeEntry::into_code),
                color: Rgb(color),
            },
            (None, None, color, Some(known)) => Structure {
                color: color.map_or(known.color, Rgb),
                ..known
            },
            (None, None, None, None) => {
                return Err(format!(
                    "the terminology knows no structure {:?}; give it code, category and color",
                    self.name
                ));
            }
            _ => {
                return Err(format!(
                    "structure {:?} needs code, category and color together",
                    self.name
                ));
            }
        };
        Ok(ManifestStructure {
            structure,
            label_value: self.label_value,
            expected_dice: self.expected_dice,
            expected_source: self.expected_source,
            plausible_volume_ml: self.plausible_volume_ml,
        })
    }

    pub(super) fn of(entry: &ManifestStructure) -> Self {
        let structure = &entry.structure;
        let known = terminology::structure(&structure.name).as_ref() == Some(structure);
        let unless_known = |code: &Code| (!known).then(|| CodeEntry::of(code));
        Self {
            name: structure.name.clone(),
            label_value: entry.label_value,
            expected_dice: entry.expected_dice.clone(),
            expected_source: entry.expected_source.clone(),
            plausible_volume_ml: entry.plausible_volume_ml,
            color: (!known).then_some(structure.color.0),
            code: unless_known(&structure.property_type),
            category: unless_known(&structure.category),
            type_modifier: structure.type_modifier.as_ref().and_then(unless_known),
            region: structure.region.as_ref().and_then(unless_known),
            region_modifier: structure.region_modifier.as_ref().and_then(unless_known),
        }
    }
}

impl CodeEntry {
    fn into_code(self) -> Code {
        Code {
            scheme: self.scheme,
            value: self.value,
            meaning: self.meaning,
        }
    }

    fn of(code: &Code) -> Self {
        Self {
            scheme: code.scheme.clone(),
            value: code.value.clone(),
            meaning: code.meaning.clone(),
        }
    }
}

impl GridEntry {
    pub(super) fn into_spec(self) -> Result<GridSpec, String> {
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

    pub(super) fn of(spec: GridSpec) -> Self {
        Self {
            spacing_mm: spec.spacing_mm,
            axes: AxesWord::Ras,
            input_shape: spec.input_shape,
        }
    }
}

impl FileEntry {
    pub(super) fn into_ref(self) -> FileRef {
        FileRef {
            name: self.file,
            sha256: self.sha256,
        }
    }

    pub(super) fn of(file: &FileRef) -> Self {
        Self {
            file: file.name.clone(),
            sha256: file.sha256.clone(),
        }
    }
}

pub(super) fn require_structure(entry: &ManifestStructure) -> Result<(), String> {
    let structure = &entry.structure;
    let name = &structure.name;
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(format!("structure {name:?} has no name that can be shown"));
    }
    if let Some([low, high]) = entry.plausible_volume_ml
        && !(0.0 <= low && low < high && high.is_finite())
    {
        return Err(format!("plausible_volume_ml of {name} is no range"));
    }
    if entry.label_value == 0 {
        return Err(format!("label_value of {name} is 0, which is background"));
    }
    let known = (entry.expected_dice.parse::<f64>()).is_ok_and(|dice| (0.0..=1.0).contains(&dice));
    if !known && entry.expected_dice != "unknown" {
        return Err(format!(
            "expected_dice of {name} is neither a number from 0 to 1 nor \"unknown\""
        ));
    }
    let modifiers = [
        &structure.type_modifier,
        &structure.region,
        &structure.region_modifier,
    ];
    let codes = [&structure.category, &structure.property_type];
    for code in codes.into_iter().chain(modifiers.into_iter().flatten()) {
        // PS3.5 6.2: SH holds 16 characters, LO 64.
        let fits = |text: &str, most: usize| {
            (1..=most).contains(&text.chars().count()) && !text.contains(['\\', '\n', '\r'])
        };
        if !(fits(&code.scheme, 16) && fits(&code.value, 16) && fits(&code.meaning, 64)) {
            return Err(format!(
                "a code of {name} is empty or too long for DICOM (16 characters for scheme and value, 64 for the meaning)"
            ));
        }
    }
    Ok(())
}

/// A file of the model's folder, or of one folder in it.
pub(super) fn require_file(file: &FileRef) -> Result<(), String> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && (part.chars()).all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    if !file.name.split('/').all(plain) || file.name.split('/').count() > 2 {
        return Err(format!("file {:?} is not a plain file name", file.name));
    }
    let hexadecimal = file.sha256.len() == 64
        && (file.sha256.chars()).all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if !hexadecimal {
        return Err(format!(
            "sha256 of {} is not 64 lower-case hexadecimal digits",
            file.name
        ));
    }
    Ok(())
}
