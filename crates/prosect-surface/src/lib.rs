//! Labelmap or scalar field to triangle surfaces, each proved before anyone gets it.
//!
//! A surface comes from a grid by marching cubes with a table whose faces always agree, so that it
//! is a closed 2-manifold by construction; smoothing slides each vertex along its own grid edge and
//! therefore never takes a voxel's centre to the other side. [`prove`] checks all of it again on the
//! numbers that a file will hold. This crate knows no file format and no network.

mod surface;
mod extract;
mod prove;

pub use extract::{Distances, ExtractOptions, Field, SurfaceError, SurfaceReport, extract};
pub use prove::{Defect, DefectKind, Proof, prove};
pub use surface::Surface;
