//! Bodies with known truth as DICOM series: for the demo and for tests. They never pretend to be a patient.

mod solid;
mod noise;
mod paint;
mod trunk;
mod anatomy;
mod sampler;
mod phantom;
mod marker;
mod series;
mod error;

pub use error::PhantomError;
pub use marker::{MARKERS, Marker, View, marker_grid, marker_hu, sample_markers};
pub use phantom::{Phantom, PhantomSeriesOptions, WrittenPhantom};
pub use series::{Modality, NativeSyntax, Quirk, SeriesOptions, WrittenSeries, write_series};
