//! The records of nnU-Nets, and what is checked of them.

use serde::{Deserialize, Serialize};

use crate::manifest::document::record::FileEntry;
use crate::manifest::document::require_shape;
use crate::manifest::document::second::{SelfTestEntry, require_self_test};
use crate::manifest::{
    ChannelNormalization, CropRecipe, Heads, InputChannel, Manifest, NnUnetRecipe, Part,
    Resampling, StoredAxes, TotalSegmentatorRecipe,
};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NnUnetEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    totalsegmentator: Option<TotalSegmentatorEntry>,
    parts: Vec<PartEntry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TotalSegmentatorEntry {
    task: String,
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resample_mm: Option<[f64; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remove_outside_mm: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crop: Option<CropEntry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct CropEntry {
    model: String,
    structures: Vec<String>,
    addon_mm: [f64; 3],
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PartEntry {
    id: String,
    axes: AxesWord,
    transpose_forward: [usize; 3],
    spacing_mm: [f64; 3],
    patch_size: [usize; 3],
    step: f64,
    mirror_axes: Vec<usize>,
    heads: HeadsEntry,
    data_resampling: ResamplingEntry,
    logits_resampling: ResamplingEntry,
    channels: Vec<ChannelEntry>,
    network: FileEntry,
    folds: Vec<FileEntry>,
    self_test: SelfTestEntry,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum AxesWord {
    Stored,
    #[serde(rename = "RAS")]
    Ras,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum HeadsEntry {
    Labels(Vec<u16>),
    Regions(Vec<u16>),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ResamplingEntry {
    order: u8,
    order_z: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    separate_z: Option<bool>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ChannelEntry {
    name: String,
    use_mask: bool,
    normalization: NormalizationEntry,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum NormalizationEntry {
    Ct {
        mean: f64,
        std: f64,
        low: f64,
        high: f64,
    },
    ZScore,
    None,
    #[serde(rename = "rescale_0_1")]
    Rescale01,
    #[serde(rename = "rgb_0_1")]
    Rgb01,
}

impl NnUnetEntry {
    pub(super) fn into_recipe(self) -> NnUnetRecipe {
        NnUnetRecipe {
            parts: self.parts.into_iter().map(PartEntry::into_part).collect(),
            totalsegmentator: self.totalsegmentator.map(|entry| TotalSegmentatorRecipe {
                task: entry.task,
                mode: entry.mode,
                resample_mm: entry.resample_mm,
                remove_outside_mm: entry.remove_outside_mm,
                crop: entry.crop.map(|crop| CropRecipe {
                    model: crop.model,
                    structures: crop.structures,
                    addon_mm: crop.addon_mm,
                }),
            }),
        }
    }

    pub(super) fn of(recipe: &NnUnetRecipe) -> Self {
        Self {
            parts: recipe.parts.iter().map(PartEntry::of).collect(),
            totalsegmentator: recipe
                .totalsegmentator
                .as_ref()
                .map(|steps| TotalSegmentatorEntry {
                    task: steps.task.clone(),
                    mode: steps.mode.clone(),
                    resample_mm: steps.resample_mm,
                    remove_outside_mm: steps.remove_outside_mm,
                    crop: steps.crop.as_ref().map(|crop| CropEntry {
                        model: crop.model.clone(),
                        structures: crop.structures.clone(),
                        addon_mm: crop.addon_mm,
                    }),
                }),
        }
    }
}

impl PartEntry {
    fn into_part(self) -> Part {
        Part {
            id: self.id,
            network: self.network.into_ref(),
            folds: self.folds.into_iter().map(FileEntry::into_ref).collect(),
            channels: (self.channels.into_iter())
                .map(ChannelEntry::into_channel)
                .collect(),
            axes: match self.axes {
                AxesWord::Stored => StoredAxes::Stored,
                AxesWord::Ras => StoredAxes::Ras,
            },
            transpose_forward: self.transpose_forward,
            spacing_mm: self.spacing_mm,
            patch_size: self.patch_size,
            data_resampling: self.data_resampling.into_resampling(),
            logits_resampling: self.logits_resampling.into_resampling(),
            step: self.step,
            mirror_axes: self.mirror_axes,
            heads: match self.heads {
                HeadsEntry::Labels(values) => Heads::Labels(values),
                HeadsEntry::Regions(values) => Heads::Regions(values),
            },
            self_test: self.self_test.into_test(),
        }
    }

    fn of(part: &Part) -> Self {
        Self {
            id: part.id.clone(),
            network: FileEntry::of(&part.network),
            folds: part.folds.iter().map(FileEntry::of).collect(),
            channels: part.channels.iter().map(ChannelEntry::of).collect(),
            axes: match part.axes {
                StoredAxes::Stored => AxesWord::Stored,
                StoredAxes::Ras => AxesWord::Ras,
            },
            transpose_forward: part.transpose_forward,
            spacing_mm: part.spacing_mm,
            patch_size: part.patch_size,
            data_resampling: ResamplingEntry::of(part.data_resampling),
            logits_resampling: ResamplingEntry::of(part.logits_resampling),
            step: part.step,
            mirror_axes: part.mirror_axes.clone(),
            heads: match &part.heads {
                Heads::Labels(values) => HeadsEntry::Labels(values.clone()),
                Heads::Regions(values) => HeadsEntry::Regions(values.clone()),
            },
            self_test: SelfTestEntry::of(&part.self_test),
        }
    }
}

impl ResamplingEntry {
    fn into_resampling(self) -> Resampling {
        Resampling {
            order: self.order,
            order_z: self.order_z,
            separate_z: self.separate_z,
        }
    }

    fn of(resampling: Resampling) -> Self {
        Self {
            order: resampling.order,
            order_z: resampling.order_z,
            separate_z: resampling.separate_z,
        }
    }
}

impl ChannelEntry {
    fn into_channel(self) -> InputChannel {
        InputChannel {
            name: self.name,
            use_mask: self.use_mask,
            normalization: match self.normalization {
                NormalizationEntry::Ct {
                    mean,
                    std,
                    low,
                    high,
                } => ChannelNormalization::Ct {
                    mean,
                    std,
                    low,
                    high,
                },
                NormalizationEntry::ZScore => ChannelNormalization::ZScore,
                NormalizationEntry::None => ChannelNormalization::None,
                NormalizationEntry::Rescale01 => ChannelNormalization::Rescale01,
                NormalizationEntry::Rgb01 => ChannelNormalization::Rgb01,
            },
        }
    }

    fn of(channel: &InputChannel) -> Self {
        Self {
            name: channel.name.clone(),
            use_mask: channel.use_mask,
            normalization: match channel.normalization {
                ChannelNormalization::Ct {
                    mean,
                    std,
                    low,
                    high,
                } => NormalizationEntry::Ct {
                    mean,
                    std,
                    low,
                    high,
                },
                ChannelNormalization::ZScore => NormalizationEntry::ZScore,
                ChannelNormalization::None => NormalizationEntry::None,
                ChannelNormalization::Rescale01 => NormalizationEntry::Rescale01,
                ChannelNormalization::Rgb01 => NormalizationEntry::Rgb01,
            },
        }
    }
}

pub(super) fn require_parts(manifest: &Manifest, recipe: &NnUnetRecipe) -> Result<(), String> {
    if recipe.parts.is_empty() {
        return Err("it has no parts".into());
    }
    for part in &recipe.parts {
        require_part(part).map_err(|reason| format!("part {}: {reason}", part.id))?;
        let of_labels = matches!(part.heads, Heads::Labels(_));
        require_values(manifest, part.heads.values(), of_labels)
            .map_err(|reason| format!("part {}: {reason}", part.id))?;
    }
    let Some(steps) = &recipe.totalsegmentator else {
        return Ok(());
    };
    let positive = |mm: &f64| mm.is_finite() && *mm > 0.0;
    if !matches!(steps.mode.as_str(), "default" | "fast" | "fastest") {
        let mode = &steps.mode;
        return Err(format!("mode {mode:?} is not default, fast or fastest"));
    }
    if !steps.resample_mm.iter().flatten().all(positive)
        || !steps.remove_outside_mm.iter().all(positive)
    {
        return Err("resample_mm and remove_outside_mm must be above 0".into());
    }
    if let Some(crop) = &steps.crop {
        let finite = crop.addon_mm.iter().all(|mm| mm.is_finite() && *mm >= 0.0);
        if crop.structures.is_empty() || !finite {
            return Err("crop needs structures and an addon_mm of at least 0".into());
        }
    }
    Ok(())
}

fn require_part(part: &Part) -> Result<(), String> {
    require_shape("patch_size", part.patch_size)?;
    require_self_test(&part.self_test)?;
    if part.folds.is_empty() || part.channels.is_empty() {
        return Err("it needs at least one fold and one channel".into());
    }
    let mut axes = part.transpose_forward;
    axes.sort_unstable();
    if axes != [0, 1, 2] {
        return Err(format!(
            "transpose_forward {:?} is no order of the axes 0, 1, 2",
            part.transpose_forward
        ));
    }
    if !part.spacing_mm.iter().all(|mm| (0.01..=100.0).contains(mm)) {
        let spacing = part.spacing_mm;
        return Err(format!("spacing_mm {spacing:?} is not from 0.01 to 100"));
    }
    if !(part.step > 0.0 && part.step <= 1.0) {
        return Err(format!("step {} is not above 0 and at most 1", part.step));
    }
    let mirrors = &part.mirror_axes;
    if mirrors.iter().any(|a| *a > 2) || mirrors.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(format!(
            "mirror_axes {mirrors:?} are not rising axes 0 to 2"
        ));
    }
    require_resampling("data_resampling", part.data_resampling, &[0, 1, 3])?;
    require_resampling("logits_resampling", part.logits_resampling, &[0, 1])?;
    for channel in &part.channels {
        if let ChannelNormalization::Ct {
            mean,
            std,
            low,
            high,
        } = channel.normalization
        {
            let finite = [mean, std, low, high].iter().all(|v| v.is_finite());
            if !finite || std < 0.0 || low > high {
                return Err(format!("normalization of {} is impossible", channel.name));
            }
        }
    }
    Ok(())
}

fn require_resampling(what: &str, resampling: Resampling, orders: &[u8]) -> Result<(), String> {
    if !orders.contains(&resampling.order) || resampling.order_z > 1 {
        return Err(format!(
            "{what} has order {} and order_z {}; known are order {orders:?} and order_z 0 and 1",
            resampling.order, resampling.order_z
        ));
    }
    Ok(())
}

/// Every value of a head must have its structure, so that no voxel is without a name.
pub(super) fn require_values(
    manifest: &Manifest,
    values: &[u16],
    with_background: bool,
) -> Result<(), String> {
    if values.is_empty() || (with_background && values[0] != 0) {
        return Err("its heads do not begin with background, 0".into());
    }
    for value in &values[usize::from(with_background)..] {
        if *value != 0 && !manifest.structures.iter().any(|s| s.label_value == *value) {
            return Err(format!(
                "no structure has the label_value {value} of its heads"
            ));
        }
    }
    Ok(())
}
