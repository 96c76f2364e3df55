//! What can go wrong, and whose fault it is. No message holds a voxel value or anything about a patient.

use thiserror::Error;

/// Whose fault an error is. The caller maps it to its own fault classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// The bytes are not what they claim to be.
    Malformed,
    /// The bytes are fine, this engine cannot do it.
    Unsupported,
    /// Two things that belong together do not fit.
    Inconsistent,
    /// Too large for this machine or for the engine's bounds.
    Limit,
    /// The caller asked to stop.
    Canceled,
}

/// Everything that loading, planning or running a network can refuse.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The graph description is not valid JSON of the known form.
    #[error("graph description: {reason}")]
    MalformedGraph {
        /// What and where.
        reason: String,
    },
    /// The weights file is not valid safetensors.
    #[error("weights file is not valid safetensors: {reason}; fetch the model again")]
    MalformedWeights {
        /// What the reader said.
        reason: String,
    },
    /// A node names an operation that this engine does not know.
    #[error("node {node}: unknown operation {op:?}; known are {known}")]
    UnknownOperation {
        /// The node's name.
        node: String,
        /// The operation asked for.
        op: String,
        /// The list of what is known.
        known: String,
    },
    /// A parameter of a known operation has a value that this engine cannot do.
    #[error("node {node}: {what} is not supported")]
    UnsupportedParameter {
        /// The node's name.
        node: String,
        /// Which parameter with which value.
        what: String,
    },
    /// A tensor of the weights file has an element type other than f32.
    #[error("tensor {tensor} has element type {found}; only f32 is supported")]
    UnsupportedElement {
        /// The tensor's name.
        tensor: String,
        /// The type found.
        found: String,
    },
    /// The graph contradicts itself.
    #[error("node {node}: {reason}")]
    InconsistentGraph {
        /// The node's name.
        node: String,
        /// What does not fit.
        reason: String,
    },
    /// Weights and graph do not belong together.
    #[error("tensor {tensor}: {reason}")]
    InconsistentWeights {
        /// The tensor's name.
        tensor: String,
        /// What does not fit.
        reason: String,
    },
    /// A weight is NaN or infinite.
    #[error("tensor {tensor} holds a value that is not finite; fetch the model again")]
    NonFiniteWeight {
        /// The tensor's name.
        tensor: String,
    },
    /// The network cannot take an input of this size.
    #[error("input of {shape:?} voxels does not fit: {reason}")]
    InputShape {
        /// The spatial extents given.
        shape: [usize; 3],
        /// What is needed.
        reason: String,
    },
    /// The input tensor does not agree with its own shape, the plan or the network.
    #[error("input tensor: {reason}")]
    InputTensor {
        /// What does not fit.
        reason: String,
    },
    /// A value became NaN or infinite while the network ran.
    #[error(
        "the network's output holds a value that is not finite: input and model do not fit together"
    )]
    NonFiniteOutput,
    /// The plan was made by another network.
    #[error("the plan was made by another network; make a new one")]
    ForeignPlan,
    /// The workspace was made for a smaller plan.
    #[error("the workspace is too small for the plan; make a new one")]
    ForeignWorkspace,
    /// The instruction set asked for does not exist on this machine.
    #[error("this processor has no {isa}; available are {available}")]
    MissingIsa {
        /// Asked for.
        isa: &'static str,
        /// What there is.
        available: String,
    },
    /// A bound of the engine is exceeded.
    #[error("{what} is {found}, more than the limit of {limit}")]
    Limit {
        /// What is too large.
        what: String,
        /// How large it is.
        found: String,
        /// What is allowed.
        limit: String,
    },
    /// The memory for the run cannot be had.
    #[error(
        "{bytes} bytes of memory for the network cannot be had; close other programs or use a smaller input"
    )]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// The caller's cancel function returned true.
    #[error("canceled")]
    Canceled,
}

impl NetworkError {
    /// Whose fault it is.
    pub fn class(&self) -> FaultClass {
        match self {
            Self::MalformedGraph { .. }
            | Self::MalformedWeights { .. }
            | Self::NonFiniteWeight { .. } => FaultClass::Malformed,
            Self::UnknownOperation { .. }
            | Self::UnsupportedParameter { .. }
            | Self::UnsupportedElement { .. }
            | Self::MissingIsa { .. } => FaultClass::Unsupported,
            Self::InconsistentGraph { .. }
            | Self::InconsistentWeights { .. }
            | Self::InputShape { .. }
            | Self::InputTensor { .. }
            | Self::NonFiniteOutput
            | Self::ForeignPlan
            | Self::ForeignWorkspace => FaultClass::Inconsistent,
            Self::Limit { .. } | Self::OutOfMemory { .. } => FaultClass::Limit,
            Self::Canceled => FaultClass::Canceled,
        }
    }
}
