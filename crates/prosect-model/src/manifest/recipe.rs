//! How a model is driven: one recipe for each kind of model.

use crate::manifest::{FileRef, SelfTest};

/// How a model is driven.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    /// One organ, looked for between lungs and hips.
    Liver(LiverRecipe),
    /// What lies inside an organ that was found before.
    LiverLesion(LesionRecipe),
    /// One or several trained nnU-Nets, with TotalSegmentator's own steps where it made them.
    NnUnet(NnUnetRecipe),
    /// A network that sees the whole head at once.
    MeshNet(MeshNetRecipe),
}

impl Recipe {
    /// The word in the manifest.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Liver(_) => "liver",
            Self::LiverLesion(_) => "liver_lesion",
            Self::NnUnet(_) => "nnunet",
            Self::MeshNet(_) => "meshnet",
        }
    }

    /// Every file beside the manifest, networks first and each part's together.
    pub fn files(&self) -> Vec<&FileRef> {
        match self {
            Self::Liver(r) => vec![&r.network, &r.weights],
            Self::LiverLesion(r) => vec![&r.network, &r.weights],
            Self::MeshNet(r) => vec![&r.network, &r.weights],
            Self::NnUnet(r) => (r.parts.iter())
                .flat_map(|part| std::iter::once(&part.network).chain(&part.folds))
                .collect(),
        }
    }

    /// The files that hold weights.
    pub fn weights(&self) -> Vec<&FileRef> {
        match self {
            Self::Liver(r) => vec![&r.weights],
            Self::LiverLesion(r) => vec![&r.weights],
            Self::MeshNet(r) => vec![&r.weights],
            Self::NnUnet(r) => r.parts.iter().flat_map(|part| &part.folds).collect(),
        }
    }
}

/// The grid on which a network works: RAS axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridSpec {
    /// Distance of its voxels along each axis.
    pub spacing_mm: f64,
    /// Voxels that the network takes at once, x, y, z.
    pub input_shape: [usize; 3],
}

/// How the part of the image is found that the network sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionFinder {
    /// From lungs and pelvis on CT, then again from the liver that was found.
    Liver,
}

/// What is done with the probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Postprocess {
    /// Keep the most plausible component after an erosion; its border stays at probability one half.
    OneOrgan,
}

/// One organ: its region is found first, one network answers, one component is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct LiverRecipe {
    /// The grid on which the network works.
    pub grid: GridSpec,
    /// How the part of the image is found that the network sees.
    pub region_finder: RegionFinder,
    /// What is done with the network's probabilities.
    pub postprocess: Postprocess,
    /// The description of the network.
    pub network: FileRef,
    /// Its weights.
    pub weights: FileRef,
    /// What it must answer on every machine.
    pub self_test: SelfTest,
}

/// A network for what lies inside an organ that another model found in the same run.
#[derive(Clone, Debug, PartialEq)]
pub struct LesionRecipe {
    /// The structure inside which it looks, by its name.
    pub within: String,
    /// Distance of the network's voxels along x, y, z; axes RAS.
    pub spacing_mm: [f64; 3],
    /// Voxels that the network takes at once, x, y, z.
    pub input_shape: [usize; 3],
    /// The description of the network.
    pub network: FileRef,
    /// Its weights.
    pub weights: FileRef,
    /// What it must answer on every machine.
    pub self_test: SelfTest,
}

/// A network that sees the whole head at once, conformed to a cube of voxels of 1 mm.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshNetRecipe {
    /// Voxels along each edge of the cube.
    pub edge: usize,
    /// How the conformed 8-bit values are brought to the network's range.
    pub normalization: MeshNetNormalization,
    /// The part of the cube that `--compat` gives to the network, as brainchop does to save memory;
    /// the default gives the whole cube.
    pub crop: Option<MeshNetCrop>,
    /// Whether only the largest connected part of all that is not background is kept.
    pub keep_largest: bool,
    /// The label value of every output channel; the first is background, 0.
    pub labels: Vec<u16>,
    /// The description of the network.
    pub network: FileRef,
    /// Its weights.
    pub weights: FileRef,
    /// What it must answer on every machine.
    pub self_test: SelfTest,
}

/// How a conformed head is brought to a `MeshNet`'s range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeshNetNormalization {
    /// The darkest voxel becomes 0, the brightest 1.
    MinMax,
    /// The 5 % quantile becomes 0, the 95 % quantile 1; voxels beyond them go beyond.
    Quantiles,
}

/// The box of a head that brainchop gives to a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeshNetCrop {
    /// Voxels above this share of the largest normalized value lie in the box.
    pub threshold: f32,
    /// Voxels added on every side.
    pub padding: usize,
}

/// One or several trained nnU-Nets.
#[derive(Clone, Debug, PartialEq)]
pub struct NnUnetRecipe {
    /// The trained networks, in the order in which their labels are merged: later ones overwrite.
    pub parts: Vec<Part>,
    /// TotalSegmentator's steps around them, where it made the model.
    pub totalsegmentator: Option<TotalSegmentatorRecipe>,
}

/// One trained nnU-Net. Axes 0, 1, 2 are those of its tensors, after `transpose_forward`.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its name, and the folder of its files within the model's: `main`, `291`.
    pub id: String,
    /// The description of the network.
    pub network: FileRef,
    /// One file of weights for each fold; their logits are averaged.
    pub folds: Vec<FileRef>,
    /// What the network sees, one for each input channel.
    pub channels: Vec<InputChannel>,
    /// In which orientation the image is given to it.
    pub axes: StoredAxes,
    /// The axis of the image array (z, y, x) that becomes each axis of the tensor.
    pub transpose_forward: [usize; 3],
    /// Distance of the network's voxels.
    pub spacing_mm: [f64; 3],
    /// Voxels that the network takes at once.
    pub patch_size: [usize; 3],
    /// How the image is brought to the network's voxels.
    pub data_resampling: Resampling,
    /// How the logits are brought back.
    pub logits_resampling: Resampling,
    /// Distance of neighboring patches at most, as a share of the patch.
    pub step: f64,
    /// The axes along which mirrored passes may be averaged; empty for none.
    pub mirror_axes: Vec<usize>,
    /// What the output channels mean.
    pub heads: Heads,
    /// What the network of the first fold must answer on every machine.
    pub self_test: SelfTest,
}

/// One input channel of an nnU-Net.
#[derive(Clone, Debug, PartialEq)]
pub struct InputChannel {
    /// Its name in the training data: `CT`, `T2`.
    pub name: String,
    /// How intensities are normalized.
    pub normalization: ChannelNormalization,
    /// Whether only voxels other than zero count and are changed.
    pub use_mask: bool,
}

/// nnU-Net's ways to normalize a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChannelNormalization {
    /// Clipped to `low..high`, less `mean`, divided by `std`: constants of the training data.
    Ct {
        /// Mean of the foreground.
        mean: f64,
        /// Standard deviation of the foreground.
        std: f64,
        /// The 0.5th percentile.
        low: f64,
        /// The 99.5th percentile.
        high: f64,
    },
    /// Less the image's own mean, divided by its own standard deviation.
    ZScore,
    /// Left as it is.
    None,
    /// The image's own range becomes 0 to 1.
    Rescale01,
    /// 0 to 255 becomes 0 to 1.
    Rgb01,
}

/// In which orientation an image is given to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredAxes {
    /// As it is stored: z, y, x are k, j, i of the file.
    Stored,
    /// Turned so that i, j, k grow to the right, to the front and upwards; then z, y, x are k, j, i.
    Ras,
}

/// How a grid is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resampling {
    /// Spline order within a slice, or in all directions: 0, 1 or 3.
    pub order: u8,
    /// Spline order across slices, where slices are treated apart: 0 or 1.
    pub order_z: u8,
    /// Whether slices are treated apart; `None` decides by the spacing (more than threefold).
    pub separate_z: Option<bool>,
}

/// What the output channels of a network mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heads {
    /// The label value of every channel, the first being background, 0; the highest logit wins.
    Labels(Vec<u16>),
    /// The value that each channel paints where its sigmoid exceeds one half; later ones overwrite.
    Regions(Vec<u16>),
}

impl Heads {
    /// The value that belongs to each output channel.
    pub fn values(&self) -> &[u16] {
        match self {
            Self::Labels(values) | Self::Regions(values) => values,
        }
    }
}

/// TotalSegmentator's own steps.
#[derive(Clone, Debug, PartialEq)]
pub struct TotalSegmentatorRecipe {
    /// The task's name there: `total`, `lung_vessels`.
    pub task: String,
    /// `default`, `fast` or `fastest`.
    pub mode: String,
    /// The voxels to which the image is brought before nnU-Net sees it, x, y, z.
    pub resample_mm: Option<[f64; 3]>,
    /// Whether the image is first cropped to what a coarse model finds.
    pub crop: Option<CropRecipe>,
    /// Labels further than this from `crop`'s structures are removed.
    pub remove_outside_mm: Option<f64>,
}

/// A crop by another model's structures.
#[derive(Clone, Debug, PartialEq)]
pub struct CropRecipe {
    /// The model that finds them, by name.
    pub model: String,
    /// Its structures, whose common box is taken.
    pub structures: Vec<String>,
    /// How much is added on each side, x, y, z.
    pub addon_mm: [f64; 3],
}
