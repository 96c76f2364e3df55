//! A model in memory, ready to run.

use prosect_nn::control::RunControl;
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::plan::Plan;
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;

use crate::error::ModelError;
use crate::manifest::Manifest;

/// A manifest and its network, packed for this processor.
#[derive(Debug)]
pub struct Model {
    manifest: Manifest,
    network: Network,
    plan: Plan,
    margin: [usize; 3],
}

impl Model {
    /// Packs a network whose checksums were verified, and checks that it fits its manifest.
    pub(crate) fn load(
        manifest: Manifest,
        network: &[u8],
        weights: &[u8],
    ) -> Result<Self, ModelError> {
        let refused = |reason: String| ModelError::Manifest {
            model: manifest.name.clone(),
            reason,
        };
        let failed = ModelError::network(&manifest.name);
        let text = std::str::from_utf8(network)
            .map_err(|_| refused(format!("{} is not UTF-8 text", manifest.network.name)))?;
        let graph = Graph::from_json(text).map_err(&failed)?;
        if graph.input_channels() != 1 || graph.output_channels() != manifest.structures.len() {
            let (inputs, outputs) = (graph.input_channels(), graph.output_channels());
            return Err(refused(format!(
                "its network has {inputs} input and {outputs} output channels"
            )));
        }
        let Some(margin) = graph.margin() else {
            return Err(refused("its network does not keep the voxel size".into()));
        };
        let weights = Weights::from_safetensors(weights).map_err(&failed)?;
        let network = Network::load(&graph, &weights, Isa::detect()).map_err(&failed)?;
        let plan = network.plan(manifest.grid.input_shape).map_err(&failed)?;
        Ok(Self {
            manifest,
            network,
            plan,
            margin,
        })
    }

    /// What the model says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the weights, in hexadecimal, as verified.
    pub fn weights_sha256(&self) -> &str {
        &self.manifest.weights.sha256
    }

    /// The instruction set that the kernels use on this machine.
    pub fn isa_name(&self) -> &'static str {
        self.network.isa().name()
    }

    /// Memory of one run of the network, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.plan.peak_bytes()
    }

    /// Voxels lost on each side from input to output.
    pub(crate) fn margin(&self) -> [usize; 3] {
        self.margin
    }

    /// Runs the network on one full input.
    pub(crate) fn run(
        &self,
        input: &Tensor,
        control: &RunControl<'_>,
    ) -> Result<Tensor, ModelError> {
        self.network
            .run(&self.plan, input, control)
            .map_err(ModelError::network(&self.manifest.name))
    }

    /// Runs the manifest's small test input and compares with the recorded answer, so that a
    /// processor or a build that computes wrongly is found out before it draws anything.
    ///
    /// # Errors
    /// [`ModelError::SelfTest`] with the first probe that differs.
    pub fn self_test(&self, threads: usize) -> Result<(), ModelError> {
        let failed = ModelError::network(&self.manifest.name);
        let test = &self.manifest.self_test;
        let plan = self.network.plan(test.input_shape).map_err(&failed)?;
        let input =
            Tensor::new(1, test.input_shape, test_pattern(test.input_shape)).map_err(&failed)?;
        let output = self
            .network
            .run(&plan, &input, &RunControl::with_threads(threads))
            .map_err(&failed)?;
        let [nx, ny, nz] = output.shape();
        for &([x, y, z], expected) in &test.probes {
            let inside = x < nx && y < ny && z < nz;
            let found = if inside {
                output.values()[(x * ny + y) * nz + z]
            } else {
                f32::NAN
            };
            let close = (found - expected).abs() <= test.tolerance;
            if !close {
                return Err(ModelError::SelfTest {
                    model: self.manifest.name.clone(),
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }
}

/// The test input, in tensor order: boxes of 9 x 7 x 5 voxels with values from -0.5 to 0.5, as
/// uneven as anatomy and the same on every machine.
fn test_pattern(shape: [usize; 3]) -> Vec<f32> {
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
