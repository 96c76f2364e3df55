//! A small input made by a rule, and what a network answers to it: so that a processor or a build
//! that computes wrongly is found out before it draws anything.

use prosect_nn::control::RunControl;
use prosect_nn::error::NetworkError;
use prosect_nn::network::Network;
use prosect_nn::tensor::Tensor;

/// Voxels of each channel that are recorded when a model is imported.
const PROBES_OF_CHANNEL: usize = 4;
/// How far other instruction sets may be, as a share of the largest recorded value and at least this.
const TOLERANCE: f32 = 1e-4;

/// A small input made by a rule, and what the network must answer.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfTest {
    /// The rule: with a seed, noise from -1 to 1; without, boxes of 9 x 7 x 5 voxels.
    pub seed: Option<u64>,
    /// Voxels of the input along each axis.
    pub input_shape: [usize; 3],
    /// How far an answer may be from the recorded one.
    pub tolerance: f32,
    /// The recorded answers.
    pub probes: Vec<Probe>,
}

/// One recorded value of a network's output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// The output channel.
    pub channel: usize,
    /// The place in the output, in tensor order.
    pub voxel: [usize; 3],
    /// What the network answered.
    pub value: f32,
}

impl SelfTest {
    /// Runs `network` on the input that `seed` makes and records values spread over its output.
    ///
    /// # Errors
    /// What the engine says.
    pub fn record(
        network: &Network,
        seed: u64,
        input_shape: [usize; 3],
    ) -> Result<Self, NetworkError> {
        let mut test = Self {
            seed: Some(seed),
            input_shape,
            tolerance: TOLERANCE,
            probes: Vec::new(),
        };
        let output = test.run(network, 0)?;
        let shape = output.shape();
        let n_voxels: usize = shape.iter().product();
        let mut state = seed;
        for channel in 0..output.channels() {
            for _ in 0..PROBES_OF_CHANNEL {
                let at = (next(&mut state) % n_voxels.max(1) as u64) as usize;
                test.probes.push(Probe {
                    channel,
                    voxel: [
                        at / (shape[1] * shape[2]),
                        at / shape[2] % shape[1],
                        at % shape[2],
                    ],
                    value: output.values()[channel * n_voxels + at],
                });
            }
        }
        let largest = (test.probes.iter()).fold(1.0_f32, |m, probe| m.max(probe.value.abs()));
        test.tolerance *= largest;
        Ok(test)
    }

    /// The first probe that differs and what was found there, or `None` when all agree.
    pub(crate) fn first_difference(
        &self,
        network: &Network,
        threads: usize,
    ) -> Result<Option<(Probe, f32)>, NetworkError> {
        let output = self.run(network, threads)?;
        let shape = output.shape();
        let n_voxels: usize = shape.iter().product();
        for &probe in &self.probes {
            let inside =
                probe.channel < output.channels() && (0..3).all(|a| probe.voxel[a] < shape[a]);
            let [x, y, z] = probe.voxel;
            let found = if inside {
                output.values()[probe.channel * n_voxels + (x * shape[1] + y) * shape[2] + z]
            } else {
                f32::NAN
            };
            let close = (found - probe.value).abs() <= self.tolerance;
            if !close {
                return Ok(Some((probe, found)));
            }
        }
        Ok(None)
    }

    fn run(&self, network: &Network, threads: usize) -> Result<Tensor, NetworkError> {
        let channels = network.graph().input_channels();
        let plan = network.plan(self.input_shape)?;
        let input = Tensor::new(channels, self.input_shape, self.input(channels))?;
        network.run(&plan, &input, &RunControl::with_threads(threads))
    }

    /// The input, in tensor order, channel after channel; the same on every machine.
    fn input(&self, channels: usize) -> Vec<f32> {
        match self.seed {
            Some(seed) => {
                let mut state = seed;
                let n_values = channels * self.input_shape.iter().product::<usize>();
                (0..n_values)
                    .map(|_| ((next(&mut state) >> 40) as f32) / (1 << 23) as f32 - 1.0)
                    .collect()
            }
            None => (0..channels)
                .flat_map(|_| boxes(self.input_shape))
                .collect(),
        }
    }
}

/// Boxes of 9 x 7 x 5 voxels with values from -0.5 to 0.5, as uneven as anatomy.
fn boxes(shape: [usize; 3]) -> Vec<f32> {
    let mut values = Vec::with_capacity(shape.iter().product());
    for x in 0..shape[0] {
        for y in 0..shape[1] {
            for z in 0..shape[2] {
                let step = (x / 9) * 7 + (y / 7) * 13 + (z / 5) * 29;
                values.push((step % 11) as f32 / 10.0 - 0.5);
            }
        }
    }
    values
}

/// `SplitMix64` (Steele, Lea and Flood 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
