//! A model: its manifest and its files. Networks are packed when they are needed.

use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::plan::Plan;
use prosect_nn::weights::Weights;
use prosect_volume::Grid;
use sha2::{Digest, Sha256};

use crate::error::ModelError;
use crate::files::{ModelFiles, hexadecimal};
use crate::manifest::{FileRef, LiverRecipe, Manifest, Recipe, SelfTest};
use crate::nnunet;
use crate::segment::SegmentOptions;
use crate::totalsegmentator;

/// A manifest with its files, all checksums verified once.
#[derive(Debug)]
pub struct Model {
    manifest: Manifest,
    files: ModelFiles,
    weights_sha256: String,
}

/// The one network of the liver's recipe, planned for its one input size.
#[derive(Debug)]
pub(crate) struct LiverNetwork {
    pub(crate) network: Network,
    pub(crate) plan: Plan,
    /// Voxels lost on each side from input to output.
    pub(crate) margin: [usize; 3],
}

impl Model {
    /// Verifies every file that the manifest names.
    pub(crate) fn open(manifest: Manifest, files: ModelFiles) -> Result<Self, ModelError> {
        for file in manifest.recipe.files() {
            files.read(&manifest.name, file)?;
        }
        let weights = manifest.recipe.weights();
        let weights_sha256 = if let [only] = weights[..] {
            only.sha256.clone()
        } else {
            let mut digest = Sha256::new();
            for file in weights {
                digest.update(&file.sha256);
            }
            hexadecimal(&digest.finalize())
        };
        let model = Self {
            manifest,
            files,
            weights_sha256,
        };
        if let Recipe::Liver(recipe) = &model.manifest.recipe {
            // The shipped kind is loaded here once, so that what cannot run is refused at once.
            model.liver(recipe, None)?;
        }
        Ok(model)
    }

    /// What the model says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the weights, in hexadecimal, as verified. Of several files it is the SHA-256 of
    /// their digests' text, in the manifest's order.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// The best instruction set of this machine, which the kernels use unless the options say otherwise.
    pub fn isa_name(&self) -> &'static str {
        Isa::detect().name()
    }

    /// Runs the manifest's small test inputs and compares with the recorded answers.
    ///
    /// # Errors
    /// [`ModelError::SelfTest`] with the first value that differs.
    pub fn self_test(&self, threads: usize) -> Result<(), ModelError> {
        match &self.manifest.recipe {
            Recipe::Liver(r) => self.test_network(&r.network, &r.weights, &r.self_test, threads),
            Recipe::LiverLesion(r) => {
                self.test_network(&r.network, &r.weights, &r.self_test, threads)
            }
            Recipe::MeshNet(r) => self.test_network(&r.network, &r.weights, &r.self_test, threads),
            Recipe::NnUnet(r) => {
                for part in &r.parts {
                    let Some(fold) = part.folds.first() else {
                        continue;
                    };
                    self.test_network(&part.network, fold, &part.self_test, threads)?;
                }
                Ok(())
            }
        }
    }

    /// Loads a network of this model, its files verified again.
    pub fn load_network(
        &self,
        network: &FileRef,
        weights: &FileRef,
        isa: Option<Isa>,
    ) -> Result<Network, ModelError> {
        let name = &self.manifest.name;
        let failed = ModelError::network(name);
        let description = self.files.read(name, network)?;
        let text = std::str::from_utf8(&description)
            .map_err(|_| self.refused(format!("{} is not UTF-8 text", network.name)))?;
        let graph = Graph::from_json(text).map_err(&failed)?;
        let bytes = self.files.read(name, weights)?.into_owned();
        let weights = Weights::from_vec(bytes).map_err(&failed)?;
        Network::load(&graph, &weights, isa.unwrap_or_else(Isa::detect)).map_err(&failed)
    }

    /// The liver's network, checked against its manifest.
    pub(crate) fn liver(
        &self,
        recipe: &LiverRecipe,
        isa: Option<Isa>,
    ) -> Result<LiverNetwork, ModelError> {
        let network = self.load_network(&recipe.network, &recipe.weights, isa)?;
        let graph = network.graph();
        if graph.input_channels() != 1 || graph.output_channels() != self.manifest.structures.len()
        {
            let (inputs, outputs) = (graph.input_channels(), graph.output_channels());
            return Err(self.refused(format!(
                "its network has {inputs} input and {outputs} output channels"
            )));
        }
        let Some(margin) = graph.margin() else {
            return Err(self.refused("its network does not keep the voxel size".into()));
        };
        let plan = network
            .plan(recipe.grid.input_shape)
            .map_err(ModelError::network(&self.manifest.name))?;
        Ok(LiverNetwork {
            network,
            plan,
            margin,
        })
    }

    /// Runs a recorded test on a network that is loaded.
    pub(crate) fn require_self_test(
        &self,
        test: &SelfTest,
        network: &Network,
        threads: usize,
    ) -> Result<(), ModelError> {
        let difference = test
            .first_difference(network, threads)
            .map_err(ModelError::network(&self.manifest.name))?;
        match difference {
            None => Ok(()),
            Some((probe, found)) => Err(ModelError::SelfTest {
                model: self.manifest.name.clone(),
                expected: probe.value,
                found,
            }),
        }
    }

    fn test_network(
        &self,
        network: &FileRef,
        weights: &FileRef,
        test: &SelfTest,
        threads: usize,
    ) -> Result<(), ModelError> {
        let network = self.load_network(network, weights, None)?;
        self.require_self_test(test, &network, threads)
    }

    /// Most memory that a run on an image of this grid takes, the image and the answer included: the
    /// largest of its parts, if nothing of the image is cropped. `None` for recipes that do not tell.
    ///
    /// # Errors
    /// What keeps the network from being loaded or planned.
    pub fn predict_bytes(
        &self,
        grid: &Grid,
        options: &SegmentOptions<'_>,
    ) -> Result<Option<u64>, ModelError> {
        match &self.manifest.recipe {
            Recipe::NnUnet(recipe) => {
                if let Some(steps) = &recipe.totalsegmentator {
                    return totalsegmentator::predict_bytes(self, recipe, steps, grid, options)
                        .map(Some);
                }
                nnunet::predict_all_bytes(self, recipe, grid, options).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A manifest that its own files contradict.
    pub(crate) fn refused(&self, reason: String) -> ModelError {
        ModelError::Manifest {
            model: self.manifest.name.clone(),
            reason,
        }
    }
}

impl LiverNetwork {
    /// Compares with the recorded answer before anything is drawn.
    pub(crate) fn self_test(
        &self,
        model: &Model,
        recipe: &LiverRecipe,
        threads: usize,
    ) -> Result<(), ModelError> {
        model.require_self_test(&recipe.self_test, &self.network, threads)
    }
}
