//! What a model answers.

use prosect_volume::{IndexBox, Volume};

/// Everything that one run of a model gives.
#[derive(Clone, Debug)]
pub struct ModelOutput {
    /// What was found, in the form in which this kind of model gives it.
    pub answer: Answer,
    /// For each voxel of the source grid the probability of its label less that of the runner-up,
    /// 0 to 255. It is 0 where the network was not asked, and where a part that the network took
    /// for the structure was left out.
    pub confidence: Volume<u8>,
    /// What a person should know.
    pub findings: Vec<ModelFinding>,
    /// How the result was made: the same for the same image and model.
    pub parameters: Vec<(String, String)>,
    /// Seconds of each step, in order.
    pub times: Vec<(String, f64)>,
}

/// What was found.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each run of a model, and a box would only be in the way"
)]
pub enum Answer {
    /// Probabilities of single structures; what was not found has a finding instead.
    Structures(Vec<StructureOutput>),
    /// The label value of every voxel of the source grid, 0 for background.
    Labels(Volume<u16>),
}

impl ModelOutput {
    /// The structures that come with probabilities; none where the answer is a labelmap.
    pub fn structures(&self) -> &[StructureOutput] {
        match &self.answer {
            Answer::Structures(structures) => structures,
            Answer::Labels(_) => &[],
        }
    }
}

/// A structure that was found.
#[derive(Clone, Debug)]
pub struct StructureOutput {
    /// Its name in the terminology.
    pub name: String,
    /// The voxels of the source grid outside which its probability is zero.
    pub region: IndexBox,
    /// Its probability on the source grid's voxels in `region`. A voxel belongs to the structure
    /// from one half on; zero away from the part that was kept.
    pub probability: Volume<f32>,
}

/// Something that a person should know about a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFinding {
    /// Whether a person must look before the result is used.
    pub check: bool,
    /// A short name that stays the same between versions.
    pub code: &'static str,
    /// What was found, and what follows from it.
    pub message: String,
    /// The structure concerned.
    pub structure: Option<String>,
}
