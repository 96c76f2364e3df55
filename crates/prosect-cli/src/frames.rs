//! `prosect frames`: the stored values of one file, for comparison with other software. Hidden, as
//! nobody needs it to segment.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use prosect::base::Limits;
use prosect::dicom::read_stored_frames;
use serde::Serialize;

use crate::Done;
use crate::console::print_json;
use crate::failure::Failure;

/// `prosect frames`
#[derive(Debug, Args)]
pub(crate) struct Frames {
    /// One DICOM file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the values here, frame by frame and row by row, 8 bytes each, least significant first
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Listing<'a> {
    transfer_syntax: &'a str,
    columns: usize,
    rows: usize,
    n_frames: usize,
}

/// Decodes all frames and tells how many there are.
pub(crate) fn run(arguments: &Frames) -> Result<Done, Failure> {
    let read = read_stored_frames(&arguments.file, &Limits::default())?;
    if let Some(output) = &arguments.output {
        let failed = |error: std::io::Error| {
            Failure::machine(format!("cannot write {}: {error}", output.display()))
        };
        let mut file = std::io::BufWriter::new(std::fs::File::create(output).map_err(failed)?);
        for value in read.frames.iter().flatten() {
            file.write_all(&value.to_le_bytes()).map_err(failed)?;
        }
        file.flush().map_err(failed)?;
    }
    print_json(&Listing {
        transfer_syntax: &read.transfer_syntax,
        columns: read.columns,
        rows: read.rows,
        n_frames: read.frames.len(),
    })?;
    Ok(Done::Clean)
}
