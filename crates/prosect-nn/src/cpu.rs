//! The CPU backend: memory layout, kernels, threads.

pub(crate) mod layout;
pub(crate) mod memory;
pub(crate) mod convolution;
pub(crate) mod direct;
pub(crate) mod winograd;
pub(crate) mod transposed;
pub(crate) mod activation;
pub(crate) mod norm;
pub(crate) mod finish;
pub(crate) mod pool;
pub(crate) mod linear;
pub(crate) mod transfer;
pub(crate) mod team;
pub(crate) mod arch;
