//! DICOM data sets: series to volume, segmentation to SEG. No sockets, no processes.
//!
//! The way in: [`inspect`] lists what an input holds, [`choose_series`] takes one series,
//! [`load_series`] makes a volume of it. The way out: [`FrameLabels`], written by [`write_seg`] and its neighbors.

mod error;
pub mod uid;
mod name;
mod charset;
mod reader;
mod attribute;
mod worker;
mod sniff;
mod file;
mod source;
mod mark;
mod layer;
mod frame;
mod instance;
mod split;
mod arrange;
mod inventory;
mod inspect;
mod score;
mod choose;
mod pixel;
mod stored;
mod load;
mod frame_labels;
mod object;
mod likeness;
mod seg;
mod foreign;
mod rtstruct;
mod report;
mod encapsulated;
mod capture;
mod deidentify;
#[cfg(test)]
#[path = "../tests/dicom/shared_data.rs"]
mod shared_data;

pub use capture::{CapturedPicture, write_capture};
pub use choose::{Choice, Verdict, choose_series, judge_series};
pub use deidentify::{
    AttributeAction, Concern, DeidentifyOptions, DeidentifyReport, Done, ProfileOption, Refusal,
    deidentify, deidentify_bytes,
};
pub use encapsulated::{SurfaceDocument, SurfaceKind, model_group_uid, write_surface};
pub use error::DicomError;
pub use foreign::{ForeignKind, ForeignLabels, LabelObject, read_rtstruct_bytes, read_seg_bytes};
pub use frame_labels::FrameLabels;
pub use inspect::inspect;
pub use inventory::{Inventory, LeftOut, LeftOutKind, Series, Study};
pub use load::{Finding, ImageSeries, Resampled, SourceFrame, SourceHeader, load_series};
pub use object::{Moment, ObjectOptions, ObjectReport, SignOff};
pub use report::{Measured, Measurements, write_report};
pub use rtstruct::{Holes, write_rtstruct};
pub use score::Reason;
pub use seg::{write_labelmap, write_seg};
pub use stored::{StoredFrames, read_stored_frames};
pub use worker::{Casualty, Workers, answer, employ};
