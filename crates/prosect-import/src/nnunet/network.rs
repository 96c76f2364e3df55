//! The description of a network for the engine, and the tensors that it needs, from the
//! architecture of its plans.

use prosect_nn::graph::{
    ConvLayer, ConvTransposeLayer, EpsilonPlace, GraphBuilder, Layer, Padding,
};

use crate::error::ImportError;
use crate::nnunet::architecture::{Activation, Architecture, Kind, Norm, Stage};

/// A network's description and the parameters it names.
#[derive(Debug)]
pub(crate) struct Described {
    /// The graph as JSON.
    pub(crate) json: String,
    /// Names and shapes of the tensors, in order of use.
    pub(crate) tensors: Vec<(String, Vec<usize>)>,
}

/// Describes `architecture` with these numbers of input and output channels.
pub(crate) fn describe(
    architecture: &Architecture,
    input_channels: usize,
    output_channels: usize,
) -> Result<Described, ImportError> {
    let axes = "spatial axes 0, 1, 2 are those of nnU-Net's tensors: z, y, x of the image array, in the order of transpose_forward; weights are [out, in, k0, k1, k2] in the same axis order";
    let mut writer = Writer {
        builder: GraphBuilder::new(axes, "image", input_channels),
        tensors: Vec::new(),
        architecture,
    };
    let skips = writer.encoder(input_channels)?;
    let top = writer.decoder(&skips)?;
    let head = format!("decoder.seg_layers.{}", architecture.stages.len() - 2);
    let conv = Conv {
        name: &head,
        channels: [architecture.stages[0].features, output_channels],
        kernel: [1; 3],
        stride: [1; 3],
        bias: true,
    };
    writer.conv("logits", &top, &conv)?;
    Ok(Described {
        json: writer.builder.to_json("logits"),
        tensors: writer.tensors,
    })
}

struct Writer<'a> {
    builder: GraphBuilder,
    tensors: Vec<(String, Vec<usize>)>,
    architecture: &'a Architecture,
}

/// A convolution by the name of its parameters.
struct Conv<'a> {
    name: &'a str,
    /// In, out.
    channels: [usize; 2],
    kernel: [usize; 3],
    stride: [usize; 3],
    bias: bool,
}

impl Writer<'_> {
    /// Gives the node of each stage's result.
    fn encoder(&mut self, input_channels: usize) -> Result<Vec<String>, ImportError> {
        let stages = self.architecture.stages.clone();
        let mut skips = Vec::new();
        let (mut x, mut channels) = ("image".to_owned(), input_channels);
        let kind = self.architecture.kind.clone();
        if let Kind::ResidualEncoderUNet { stem_features, .. } = &kind {
            let features = stem_features.unwrap_or(stages[0].features);
            let stem = Stage {
                features,
                stride: [1; 3],
                n_convs: 1,
                ..stages[0].clone()
            };
            x = self.stacked("encoder.stem", &x, channels, &stem)?;
            channels = features;
        }
        for (s, stage) in stages.iter().enumerate() {
            x = match &kind {
                Kind::PlainConvUNet => {
                    self.stacked(&format!("encoder.stages.{s}.0"), &x, channels, stage)?
                }
                Kind::ResidualEncoderUNet {
                    bottleneck_features,
                    ..
                } => {
                    let narrow = bottleneck_features.as_ref().map(|all| all[s]);
                    self.residual(s, &x, channels, narrow)?
                }
            };
            channels = stage.features;
            skips.push(x.clone());
        }
        Ok(skips)
    }

    /// From the lowest resolution up: transposed convolution, concatenation (the upsampled first),
    /// convolutions.
    fn decoder(&mut self, skips: &[String]) -> Result<String, ImportError> {
        let architecture = self.architecture;
        let n_stages = architecture.stages.len();
        let mut x = skips[n_stages - 1].clone();
        for (i, n_convs) in architecture.decoder_convs.iter().enumerate() {
            let below = &architecture.stages[n_stages - 1 - i];
            let beside = &architecture.stages[n_stages - 2 - i];
            let name = format!("decoder.transpconvs.{i}");
            let [a, b, c] = below.stride;
            let weight = self.tensor(
                format!("{name}.weight"),
                vec![below.features, beside.features, a, b, c],
            );
            let bias = architecture
                .conv_bias
                .then(|| self.tensor(format!("{name}.bias"), vec![beside.features]));
            let up = Layer::ConvTranspose(ConvTransposeLayer {
                channels: [below.features, beside.features],
                kernel: below.stride,
                stride: below.stride,
                weight,
                bias,
            });
            let (node, joined) = (format!("decoder.{i}.up"), format!("decoder.{i}.concat"));
            self.builder.add(&node, &[&x], &up)?;
            self.builder.add(
                &joined,
                &[&node, &skips[n_stages - 2 - i]],
                &Layer::Concat {},
            )?;
            let stage = Stage {
                stride: [1; 3],
                n_convs: *n_convs,
                ..beside.clone()
            };
            x = self.stacked(
                &format!("decoder.stages.{i}"),
                &joined,
                2 * beside.features,
                &stage,
            )?;
        }
        Ok(x)
    }

    /// `StackedConvBlocks`: convolutions, each with norm and activation; the first has the stride.
    fn stacked(
        &mut self,
        name: &str,
        input: &str,
        input_channels: usize,
        stage: &Stage,
    ) -> Result<String, ImportError> {
        let (mut x, mut channels) = (input.to_owned(), input_channels);
        for c in 0..stage.n_convs {
            let block = format!("{name}.convs.{c}");
            let conv = Conv {
                name: &block,
                channels: [channels, stage.features],
                kernel: stage.kernel,
                stride: if c == 0 { stage.stride } else { [1; 3] },
                bias: self.architecture.conv_bias,
            };
            x = self.block(&x, &conv, true)?;
            channels = stage.features;
        }
        Ok(x)
    }

    /// `StackedResidualBlocks` of stage `s`.
    fn residual(
        &mut self,
        s: usize,
        input: &str,
        input_channels: usize,
        narrow: Option<usize>,
    ) -> Result<String, ImportError> {
        let stage = self.architecture.stages[s].clone();
        let (mut x, mut channels) = (input.to_owned(), input_channels);
        for b in 0..stage.n_convs {
            let name = format!("encoder.stages.{s}.blocks.{b}");
            let stride = if b == 0 { stage.stride } else { [1; 3] };
            let skip = self.skip(&name, &x, [channels, stage.features], stride)?;
            let trunk = self.trunk(
                &name,
                &x,
                [channels, stage.features],
                (stride, narrow, stage.kernel),
            )?;
            let sum = format!("{name}.add");
            self.builder.add(&sum, &[&trunk, &skip], &Layer::Add {})?;
            x = self.activation(&name, &sum)?;
            channels = stage.features;
        }
        Ok(x)
    }

    /// The convolutions of a residual block: two (`BasicBlockD`), or three around a bottleneck
    /// (`BottleneckD`); the last has no activation.
    fn trunk(
        &mut self,
        name: &str,
        input: &str,
        [from, to]: [usize; 2],
        (stride, narrow, kernel): ([usize; 3], Option<usize>, [usize; 3]),
    ) -> Result<String, ImportError> {
        let ones = [1; 3];
        let convs = match narrow {
            None => vec![([from, to], kernel, stride), ([to, to], kernel, ones)],
            Some(n) => vec![
                ([from, n], ones, ones),
                ([n, n], kernel, stride),
                ([n, to], ones, ones),
            ],
        };
        let n_convs = convs.len();
        let mut x = input.to_owned();
        for (i, (channels, kernel, stride)) in convs.into_iter().enumerate() {
            let block = format!("{name}.conv{}", i + 1);
            let conv = Conv {
                name: &block,
                channels,
                kernel,
                stride,
                bias: self.architecture.conv_bias,
            };
            x = self.block(&x, &conv, i + 1 < n_convs)?;
        }
        Ok(x)
    }

    /// The way around a residual block: mean over the stride, then a convolution of one voxel with
    /// a norm where the features change.
    fn skip(
        &mut self,
        name: &str,
        input: &str,
        channels: [usize; 2],
        stride: [usize; 3],
    ) -> Result<String, ImportError> {
        let mut x = input.to_owned();
        let has_stride = stride != [1; 3];
        if has_stride {
            let pool = format!("{name}.skip.pool");
            let (window, stride) = (stride, stride);
            self.builder
                .add(&pool, &[&x], &Layer::AveragePool { window, stride })?;
            x = pool;
        }
        if channels[0] != channels[1] {
            let block = format!("{name}.skip.{}", usize::from(has_stride));
            let conv = Conv {
                name: &block,
                channels,
                kernel: [1; 3],
                stride: [1; 3],
                bias: false,
            };
            x = self.block(&x, &conv, false)?;
        }
        Ok(x)
    }

    /// `ConvDropoutNormReLU`: convolution, norm, activation; or the last two the other way round.
    fn block(&mut self, input: &str, conv: &Conv<'_>, active: bool) -> Result<String, ImportError> {
        let block = conv.name;
        let parameters = format!("{block}.conv");
        let inner = Conv {
            name: &parameters,
            ..*conv
        };
        let mut x = parameters.clone();
        self.conv(&x, input, &inner)?;
        let activation_first =
            self.architecture.activation_first && self.architecture.norm.is_some();
        if active && activation_first {
            x = self.activation(block, &x)?;
        }
        x = self.norm(block, &x, conv.channels[1])?;
        if active && !activation_first {
            x = self.activation(block, &x)?;
        }
        Ok(x)
    }

    fn conv(&mut self, node: &str, input: &str, conv: &Conv<'_>) -> Result<(), ImportError> {
        let ([i, o], [a, b, c]) = (conv.channels, conv.kernel);
        let weight = self.tensor(format!("{}.weight", conv.name), vec![o, i, a, b, c]);
        let bias = conv
            .bias
            .then(|| self.tensor(format!("{}.bias", conv.name), vec![o]));
        let is_odd = conv.kernel.iter().all(|n| n % 2 == 1);
        let layer = Layer::Conv(ConvLayer {
            channels: conv.channels,
            kernel: conv.kernel,
            stride: conv.stride,
            dilation: [1; 3],
            groups: 1,
            padding: if is_odd {
                Padding::Same
            } else {
                Padding::Voxels(conv.kernel.map(|n| (n - 1) / 2))
            },
            weight,
            bias,
        });
        Ok(self.builder.add(node, &[input], &layer)?)
    }

    fn norm(&mut self, block: &str, input: &str, channels: usize) -> Result<String, ImportError> {
        let Some(norm) = self.architecture.norm else {
            return Ok(input.to_owned());
        };
        let node = format!("{block}.norm");
        let (Norm::Instance { affine, .. } | Norm::Batch { affine, .. }) = norm;
        let mut affine_part =
            |which: &str| affine.then(|| self.tensor(format!("{node}.{which}"), vec![channels]));
        let (weight, bias) = (affine_part("weight"), affine_part("bias"));
        let layer = match norm {
            Norm::Instance { epsilon, .. } => Layer::InstanceNorm {
                epsilon,
                epsilon_added_to: EpsilonPlace::Variance,
                weight,
                bias,
            },
            Norm::Batch { epsilon, .. } => Layer::BatchNorm {
                epsilon,
                mean: self.tensor(format!("{node}.running_mean"), vec![channels]),
                variance: self.tensor(format!("{node}.running_var"), vec![channels]),
                weight,
                bias,
            },
        };
        self.builder.add(&node, &[input], &layer)?;
        Ok(node)
    }

    fn activation(&mut self, block: &str, input: &str) -> Result<String, ImportError> {
        let layer = match self.architecture.activation {
            None => return Ok(input.to_owned()),
            Some(Activation::LeakyRelu { slope }) => Layer::LeakyRelu {
                slope: slope as f32,
            },
            Some(Activation::Relu) => Layer::Relu {},
            Some(Activation::Gelu) => Layer::Gelu {},
            Some(Activation::Elu { alpha }) => Layer::Elu {
                alpha: alpha as f32,
            },
        };
        let node = format!("{block}.active");
        self.builder.add(&node, &[input], &layer)?;
        Ok(node)
    }

    fn tensor(&mut self, name: String, shape: Vec<usize>) -> String {
        self.tensors.push((name.clone(), shape));
        name
    }
}
