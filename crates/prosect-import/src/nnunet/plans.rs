//! `plans.json`: how a trained nnU-Net was made, in its old and its new form.

use serde_json::{Map, Value};

use crate::error::ImportError;
use crate::json::{self, Json};

/// Configurations may inherit; a chain longer than this is a mistake.
const MAX_INHERITANCE: usize = 16;

/// One configuration of a `plans.json`, everything it inherits merged in.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) name: String,
    pub(crate) spacing_mm: [f64; 3],
    pub(crate) patch_size: [usize; 3],
    pub(crate) normalization_schemes: Vec<String>,
    pub(crate) use_mask_for_norm: Vec<bool>,
    pub(crate) data_resampling: ResamplingPlan,
    pub(crate) logits_resampling: ResamplingPlan,
    pub(crate) transpose_forward: [usize; 3],
    pub(crate) image_reader_writer: String,
    /// For each channel, by its number as text.
    intensities: Map<String, Value>,
    /// The configuration as it stands in the file, for the architecture.
    pub(crate) entries: Map<String, Value>,
}

/// How a grid is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResamplingPlan {
    pub(crate) order: u8,
    pub(crate) order_z: u8,
    pub(crate) separate_z: Option<bool>,
}

/// Constants of the training data's foreground.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Intensities {
    pub(crate) mean: f64,
    pub(crate) std: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Configuration {
    /// Reads the configuration `name` of a `plans.json`.
    pub(crate) fn read(what: &str, plans: &Value, name: &str) -> Result<Self, ImportError> {
        let plans = Json::new(what, plans);
        require_3d_network(what, name)?;
        let entries = resolve(&plans.get("configurations")?, name)?;
        let merged = Value::Object(entries.clone());
        let at = format!("{what}: configuration {name}");
        let configuration = Json::new(&at, &merged);
        if let Some(previous) = configuration.find("previous_stage") {
            return Err(ImportError::unsupported(
                at.clone(),
                format!(
                    "it is the second stage of a cascade after {previous}; import the 3d_fullres or 3d_lowres configuration"
                ),
            ));
        }
        let patch = configuration.get("patch_size")?;
        if patch.items()?.len() == 2 {
            return Err(refuse_2d(&at));
        }
        Ok(Self {
            name: name.to_owned(),
            spacing_mm: configuration.get("spacing")?.three_numbers()?,
            patch_size: patch.three_sizes()?,
            normalization_schemes: configuration.get("normalization_schemes")?.texts()?,
            use_mask_for_norm: configuration.get("use_mask_for_norm")?.bools()?,
            data_resampling: resampling(&configuration, "resampling_fn_data", &[0, 1, 3])?,
            logits_resampling: resampling(&configuration, "resampling_fn_probabilities", &[0, 1])?,
            transpose_forward: permutation(&plans.get("transpose_forward")?)?,
            image_reader_writer: plans.get("image_reader_writer")?.text()?.to_owned(),
            intensities: intensities(&plans)?,
            entries,
        })
    }

    /// The constants of a channel.
    pub(crate) fn intensities(
        &self,
        what: &str,
        channel: usize,
    ) -> Result<Intensities, ImportError> {
        let all = Value::Object(self.intensities.clone());
        let of_channel = Json::new(what, &all)
            .enter("foreground_intensity_properties_per_channel")
            .get(&channel.to_string())?;
        let found = Intensities {
            mean: of_channel.get("mean")?.number()?,
            std: of_channel.get("std")?.number()?,
            low: of_channel.get("percentile_00_5")?.number()?,
            high: of_channel.get("percentile_99_5")?.number()?,
        };
        if found.low > found.high || found.std < 0.0 {
            let reason = "percentiles and deviation of a channel contradict each other";
            return Err(ImportError::malformed(what, reason));
        }
        Ok(found)
    }
}

/// 2d and cascades are refused by name, as they are called in every nnU-Net.
pub(crate) fn require_3d_network(what: &str, configuration: &str) -> Result<(), ImportError> {
    if configuration == "2d" || configuration.starts_with("2d_") {
        return Err(refuse_2d(&format!("{what}: configuration {configuration}")));
    }
    if configuration.contains("cascade") {
        return Err(ImportError::unsupported(
            format!("{what}: configuration {configuration}"),
            "cascades are not supported yet; import the 3d_fullres or 3d_lowres configuration",
        ));
    }
    Ok(())
}

fn refuse_2d(what: &str) -> ImportError {
    ImportError::unsupported(
        what,
        "2d networks are not supported yet; import the 3d_fullres or 3d_lowres configuration",
    )
}

/// The parent's entries first, then the child's over them.
fn resolve(configurations: &Json<'_>, name: &str) -> Result<Map<String, Value>, ImportError> {
    let mut chain = Vec::new();
    let mut next = name.to_owned();
    loop {
        if chain.len() >= MAX_INHERITANCE {
            let reason = format!("configuration {name} inherits in a circle");
            return Err(ImportError::malformed(configurations.what(), reason));
        }
        let configuration = configurations.get(&next)?;
        let entries = configuration.entries()?;
        chain.push(entries);
        match configuration.find("inherits_from") {
            Some(parent) => {
                next = configuration
                    .enter_value("inherits_from", parent)
                    .text()?
                    .to_owned();
            }
            None => break,
        }
    }
    let mut merged = Map::new();
    for entries in chain.into_iter().rev() {
        for (key, value) in entries {
            merged.insert(key.clone(), value.clone());
        }
    }
    Ok(merged)
}

fn resampling(
    configuration: &Json<'_>,
    key: &str,
    orders: &[u64],
) -> Result<ResamplingPlan, ImportError> {
    let function = configuration.get(key)?.text()?.to_owned();
    let at = format!("{}: {key}", configuration.what());
    if function != "resample_data_or_seg_to_shape" {
        return Err(ImportError::unsupported(
            at,
            format!("its resampling {function} is not known; resample_data_or_seg_to_shape is"),
        ));
    }
    let arguments = configuration.get(&format!("{key}_kwargs"))?;
    let order = |name: &str, default: u64, allowed: &[u64]| {
        let order = match arguments.find(name) {
            Some(value) => arguments.enter_value(name, value).size()? as u64,
            None => default,
        };
        if allowed.contains(&order) {
            Ok(order as u8)
        } else {
            let reason = format!("{name} is {order}; {allowed:?} are supported");
            Err(ImportError::unsupported(at.clone(), reason))
        }
    };
    let separate_z =
        match arguments.find("force_separate_z") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_bool().ok_or_else(|| {
                ImportError::malformed(&at, "force_separate_z is no true or false")
            })?),
        };
    Ok(ResamplingPlan {
        order: order("order", 3, orders)?,
        order_z: order("order_z", 0, &[0, 1])?,
        separate_z,
    })
}

fn permutation(axes: &Json<'_>) -> Result<[usize; 3], ImportError> {
    let found = axes.three_sizes_from(0)?;
    let mut sorted = found;
    sorted.sort_unstable();
    if sorted == [0, 1, 2] {
        Ok(found)
    } else {
        let reason = format!("{found:?} is no order of three axes");
        Err(ImportError::malformed(axes.what(), reason))
    }
}

fn intensities(plans: &Json<'_>) -> Result<Map<String, Value>, ImportError> {
    // The second name is that of the first months of nnU-Net v2.
    let names = [
        "foreground_intensity_properties_per_channel",
        "foreground_intensity_properties_by_modality",
    ];
    let found = names.iter().find_map(|name| plans.find(name));
    Ok(match found {
        Some(value) => json::Json::new(plans.what(), value).entries()?.clone(),
        None => Map::new(),
    })
}
