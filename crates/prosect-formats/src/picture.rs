//! Pictures of a case: slices with outlines and shaded surfaces, as RGB rasters and PNG.
//!
//! Every picture carries the letters of its sides, cut from the affine, never from axis order.

mod raster;
mod slice;
mod render;

pub use raster::{Raster, encode_png};
pub use render::{Shaded, ViewFrom, render};
pub use slice::{Overlay, Plane, Window, draw_slice};
