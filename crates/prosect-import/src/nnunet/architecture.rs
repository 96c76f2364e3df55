//! The network of a configuration: its class and arguments, in the old and the new form of the
//! plans, made into one closed description.

use serde_json::{Map, Value, json};

use crate::error::ImportError;
use crate::json::Json;

/// Networks of the field have 5 to 8 stages.
const MAX_STAGES: usize = 16;
/// Convolutions or blocks of one stage.
const MAX_CONVS: usize = 64;
/// Features of one stage.
const MAX_FEATURES: usize = 1 << 13;

/// A network of `dynamic_network_architectures` that the engine can run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Architecture {
    pub(crate) kind: Kind,
    /// From the input's resolution to the lowest.
    pub(crate) stages: Vec<Stage>,
    /// Convolutions of each decoder stage, from the lowest resolution up.
    pub(crate) decoder_convs: Vec<usize>,
    pub(crate) conv_bias: bool,
    pub(crate) norm: Option<Norm>,
    pub(crate) activation: Option<Activation>,
    /// Activation before the norm instead of after it.
    pub(crate) activation_first: bool,
}

/// Which class it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    PlainConvUNet,
    /// With the features of the stem, where they differ from the first stage's, and those inside
    /// of each stage's bottleneck blocks, where it has such.
    ResidualEncoderUNet {
        stem_features: Option<usize>,
        bottleneck_features: Option<Vec<usize>>,
    },
}

/// One stage of the encoder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stage {
    pub(crate) features: usize,
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    /// Convolutions, or blocks of a residual encoder.
    pub(crate) n_convs: usize,
}

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Norm {
    Instance { epsilon: f64, affine: bool },
    Batch { epsilon: f64, affine: bool },
}

/// The non-linearity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    LeakyRelu { slope: f64 },
    Relu,
    Gelu,
    Elu { alpha: f64 },
}

impl Architecture {
    /// Reads the architecture of a configuration's entries; `what` says where they stand.
    pub(crate) fn read(what: &str, entries: &Map<String, Value>) -> Result<Self, ImportError> {
        let value = Value::Object(entries.clone());
        let configuration = Json::new(what, &value);
        if let Some(architecture) = configuration.find("architecture") {
            let architecture = configuration.enter_value("architecture", architecture);
            let class = architecture.get("network_class_name")?.text()?;
            return read_arguments(class, &architecture.get("arch_kwargs")?);
        }
        let class = configuration.get("UNet_class_name")?.text()?;
        let arguments = old_arguments(&configuration, class)?;
        read_arguments(class, &Json::new(what, &arguments))
    }

    /// The product of all strides along each axis.
    pub(crate) fn size_multiple(&self) -> [usize; 3] {
        let product = |axis: usize| self.stages.iter().map(|s| s.stride[axis]).product();
        [product(0), product(1), product(2)]
    }
}

/// The old form's entries as the new form's arguments, as nnU-Net itself translates them.
fn old_arguments(configuration: &Json<'_>, class: &str) -> Result<Value, ImportError> {
    let encoder = configuration.get("n_conv_per_stage_encoder")?.sizes()?;
    let base = configuration.get("UNet_base_num_features")?.size()?;
    let most = configuration.get("unet_max_num_features")?.size()?;
    if encoder.len() > MAX_STAGES {
        let reason = format!("it has {} stages", encoder.len());
        return Err(ImportError::unsupported(configuration.what(), reason));
    }
    let features: Vec<usize> = (0..encoder.len())
        .map(|i| base.saturating_mul(1 << i).min(most))
        .collect();
    let convs = if class.ends_with("ResidualEncoderUNet") {
        "n_blocks_per_stage"
    } else {
        "n_conv_per_stage"
    };
    Ok(json!({
        "n_stages": encoder.len(),
        "features_per_stage": features,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": configuration.get("conv_kernel_sizes")?.value(),
        "strides": configuration.get("pool_op_kernel_sizes")?.value(),
        convs: encoder,
        "n_conv_per_stage_decoder": configuration.get("n_conv_per_stage_decoder")?.value(),
        "conv_bias": true,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": true},
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": true},
    }))
}

fn read_arguments(class: &str, arguments: &Json<'_>) -> Result<Architecture, ImportError> {
    let short = last_name(class);
    let (kind, convs) = match short {
        "PlainConvUNet" => (Kind::PlainConvUNet, "n_conv_per_stage"),
        "ResidualEncoderUNet" => (residual_kind(arguments)?, "n_blocks_per_stage"),
        _ => {
            return Err(ImportError::unsupported(
                arguments.what(),
                format!(
                    "the architecture {short} is not known; PlainConvUNet and ResidualEncoderUNet are"
                ),
            ));
        }
    };
    require_known(arguments, short)?;
    let n_stages = arguments.get("n_stages")?.size()?;
    if !(2..=MAX_STAGES).contains(&n_stages) {
        let reason = format!("it has {n_stages} stages; 2 to {MAX_STAGES} are supported");
        return Err(ImportError::unsupported(arguments.what(), reason));
    }
    let features = per_stage(arguments, "features_per_stage", n_stages, 1..=MAX_FEATURES)?;
    let n_convs = per_stage(arguments, convs, n_stages, 1..=MAX_CONVS)?;
    let kernels = extents(arguments, "kernel_sizes", n_stages)?;
    let strides = extents(arguments, "strides", n_stages)?;
    let stages = (0..n_stages)
        .map(|s| Stage {
            features: features[s],
            kernel: kernels[s],
            stride: strides[s],
            n_convs: n_convs[s],
        })
        .collect();
    let decoder_convs = per_stage(
        arguments,
        "n_conv_per_stage_decoder",
        n_stages - 1,
        1..=MAX_CONVS,
    )?;
    let flag = |key: &str| match arguments.find(key) {
        Some(value) => arguments.enter_value(key, value).bool(),
        None => Ok(false),
    };
    Ok(Architecture {
        kind,
        stages,
        decoder_convs,
        conv_bias: flag("conv_bias")?,
        norm: norm(arguments)?,
        activation: activation(arguments)?,
        activation_first: flag("nonlin_first")?,
    })
}

/// An argument that is overlooked would give another network in silence.
fn require_known(arguments: &Json<'_>, class: &str) -> Result<(), ImportError> {
    const KNOWN: [&str; 20] = [
        "n_stages",
        "features_per_stage",
        "conv_op",
        "kernel_sizes",
        "strides",
        "n_conv_per_stage",
        "n_blocks_per_stage",
        "n_conv_per_stage_decoder",
        "conv_bias",
        "norm_op",
        "norm_op_kwargs",
        "dropout_op",
        "dropout_op_kwargs",
        "nonlin",
        "nonlin_kwargs",
        "nonlin_first",
        "deep_supervision",
        "block",
        "bottleneck_channels",
        "stem_channels",
    ];
    for (key, value) in arguments.entries()? {
        // Squeeze-and-excitation and stochastic depth stand here in some forks; off is as absent.
        let is_off = value.is_null() || value == &json!(false) || value == &json!(0.0);
        if !KNOWN.contains(&key.as_str()) && !is_off {
            let reason = format!("the argument {key} of {class} is not supported");
            return Err(ImportError::unsupported(arguments.what(), reason));
        }
    }
    let conv = arguments.get("conv_op")?.text()?;
    if last_name(conv) != "Conv3d" {
        let reason = format!("{} is not supported; Conv3d is", last_name(conv));
        return Err(ImportError::unsupported(arguments.what(), reason));
    }
    Ok(())
}

fn residual_kind(arguments: &Json<'_>) -> Result<Kind, ImportError> {
    let block = match arguments.find("block") {
        Some(value) => last_name(arguments.enter_value("block", value).text()?),
        None => "BasicBlockD",
    };
    let n_stages = arguments.get("n_stages")?.size()?.min(MAX_STAGES);
    let bottleneck_features = match block {
        "BasicBlockD" => None,
        "BottleneckD" => Some(per_stage(
            arguments,
            "bottleneck_channels",
            n_stages,
            1..=MAX_FEATURES,
        )?),
        other => {
            let reason = format!("the block {other} is not known; BasicBlockD and BottleneckD are");
            return Err(ImportError::unsupported(arguments.what(), reason));
        }
    };
    let stem_features = match arguments.find("stem_channels") {
        Some(value) => Some(arguments.enter_value("stem_channels", value).size()?),
        None => None,
    };
    Ok(Kind::ResidualEncoderUNet {
        stem_features: stem_features.filter(|n| (1..=MAX_FEATURES).contains(n)),
        bottleneck_features,
    })
}

/// One number for every stage, or one for all.
fn per_stage(
    arguments: &Json<'_>,
    key: &str,
    n_stages: usize,
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<Vec<usize>, ImportError> {
    let found = arguments.get(key)?;
    let numbers = if found.value().is_array() {
        found.sizes()?
    } else {
        vec![found.size()?; n_stages]
    };
    if numbers.len() != n_stages {
        let reason = format!("it has {} numbers for {n_stages} stages", numbers.len());
        return Err(ImportError::inconsistent(found.what(), reason));
    }
    match numbers.iter().find(|n| !allowed.contains(n)) {
        None => Ok(numbers),
        Some(n) => {
            let (least, most) = (allowed.start(), allowed.end());
            let reason = format!("{n} is not from {least} to {most}");
            Err(ImportError::unsupported(found.what(), reason))
        }
    }
}

/// Three extents for every stage; a single number stands for all three, or for all stages.
fn extents(
    arguments: &Json<'_>,
    key: &str,
    n_stages: usize,
) -> Result<Vec<[usize; 3]>, ImportError> {
    let found = arguments.get(key)?;
    let one = |item: &Json<'_>| {
        if item.value().is_array() {
            if item.items()?.len() == 2 {
                let reason = "2d networks are not supported yet";
                return Err(ImportError::unsupported(item.what(), reason));
            }
            item.three_sizes()
        } else {
            let n = item.size()?;
            Ok([n; 3])
        }
    };
    let all = if found.value().is_array() {
        found.each(one)?
    } else {
        vec![one(&found)?; n_stages]
    };
    if all.len() != n_stages {
        let reason = format!("it has {} entries for {n_stages} stages", all.len());
        return Err(ImportError::inconsistent(found.what(), reason));
    }
    if all.iter().flatten().any(|n| !(1..=16).contains(n)) {
        let reason = "extents must be from 1 to 16";
        return Err(ImportError::unsupported(found.what(), reason));
    }
    Ok(all)
}

fn norm(arguments: &Json<'_>) -> Result<Option<Norm>, ImportError> {
    let Some(class) = arguments.find("norm_op") else {
        return Ok(None);
    };
    let class = last_name(arguments.enter_value("norm_op", class).text()?);
    let options = keywords(
        arguments,
        "norm_op_kwargs",
        &["eps", "affine", "momentum", "track_running_stats"],
    )?;
    // PyTorch's defaults: eps 1e-5; an instance norm has no weights unless asked, a batch norm has.
    let epsilon = options.number("eps", 1e-5)?;
    let tracks = options.bool("track_running_stats", class == "BatchNorm3d")?;
    match class {
        "InstanceNorm3d" if !tracks => Ok(Some(Norm::Instance {
            epsilon,
            affine: options.bool("affine", false)?,
        })),
        "BatchNorm3d" if tracks => Ok(Some(Norm::Batch {
            epsilon,
            affine: options.bool("affine", true)?,
        })),
        "InstanceNorm3d" | "BatchNorm3d" => Err(ImportError::unsupported(
            arguments.what(),
            format!("{class} with track_running_stats {tracks} is not supported"),
        )),
        _ => Err(ImportError::unsupported(
            arguments.what(),
            format!("the norm {class} is not known; InstanceNorm3d and BatchNorm3d are"),
        )),
    }
}

fn activation(arguments: &Json<'_>) -> Result<Option<Activation>, ImportError> {
    let Some(class) = arguments.find("nonlin") else {
        return Ok(None);
    };
    let class = last_name(arguments.enter_value("nonlin", class).text()?);
    let known = ["inplace", "negative_slope", "alpha", "approximate"];
    let options = keywords(arguments, "nonlin_kwargs", &known)?;
    Ok(Some(match class {
        "LeakyReLU" => Activation::LeakyRelu {
            slope: options.number("negative_slope", 0.01)?,
        },
        "ReLU" => Activation::Relu,
        "ELU" => Activation::Elu {
            alpha: options.number("alpha", 1.0)?,
        },
        "GELU" if options.find("approximate").is_none_or(|v| v == "none") => Activation::Gelu,
        _ => {
            let reason = format!(
                "the activation {class} with these options is not known; LeakyReLU, ReLU, ELU and the exact GELU are"
            );
            return Err(ImportError::unsupported(arguments.what(), reason));
        }
    }))
}

/// The arguments of a layer, each of which must be known.
struct Keywords<'a>(Option<Json<'a>>);

fn keywords<'a>(
    arguments: &Json<'a>,
    key: &str,
    known: &[&str],
) -> Result<Keywords<'a>, ImportError> {
    let Some(value) = arguments.find(key) else {
        return Ok(Keywords(None));
    };
    let options = arguments.enter_value(key, value);
    match options
        .entries()?
        .keys()
        .find(|k| !known.contains(&k.as_str()))
    {
        None => Ok(Keywords(Some(options))),
        Some(unknown) => {
            let reason = format!("the argument {unknown} is not supported");
            Err(ImportError::unsupported(options.what(), reason))
        }
    }
}

impl<'a> Keywords<'a> {
    fn find(&self, key: &str) -> Option<&'a Value> {
        self.0.as_ref()?.find(key)
    }

    fn number(&self, key: &str, default: f64) -> Result<f64, ImportError> {
        match (&self.0, self.find(key)) {
            (Some(options), Some(value)) => options.enter_value(key, value).number(),
            _ => Ok(default),
        }
    }

    fn bool(&self, key: &str, default: bool) -> Result<bool, ImportError> {
        match (&self.0, self.find(key)) {
            (Some(options), Some(value)) => options.enter_value(key, value).bool(),
            _ => Ok(default),
        }
    }
}

/// `torch.nn.modules.conv.Conv3d` is `Conv3d`.
fn last_name(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}
