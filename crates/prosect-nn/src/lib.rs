//! Runs a network on f32 tensors on the CPU.
//!
//! A network is data: a [`graph::Graph`] (a small JSON description) and [`weights::Weights`] (safetensors).
//! [`network::Network::load`] checks and packs them for an instruction set, [`network::Network::plan`] decides every buffer
//! before the run, [`network::Network::run`] runs. Results are the same bit for bit for any number of threads on one
//! instruction set.
//!
//! **Architecture invariant:** this crate knows no medicine, no volume, no file system, and no other crate of the product.
//! `unsafe` stands in `cpu/arch` alone.

pub mod error;
pub mod tensor;
pub mod graph;
pub mod weights;
pub mod isa;
pub mod network;
pub mod plan;
pub mod control;
mod program;
mod execute;
mod cpu;
