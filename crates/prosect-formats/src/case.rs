//! The case bundle's own records: `case.json` (what the case is) and `run.json` (when, where and
//! how long). They are the stored form; the domain's types never serialize themselves.
//!
//! `docs/case.schema.json` is the schema; a golden file of every past version stands in `tests/`.

mod record;
mod write;

pub use record::{
    Anatomy, Boundary, CaseRecord, CodeRecord, Expected, FileRecord, Finding, GridRecord,
    InputRecord, LeftOut, ModelRecord, RunRecord, Severity, StepRecord, SurfaceRecord,
};
pub use write::{HashedFile, hex, sha256_hex, write_json};

/// The version of `case.json` that this program writes.
pub const FORMAT_VERSION: u32 = 3;
