//! `prosect deidentify`.

mod report;
mod secret;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use prosect::base::{Limits, Phi};
use prosect::dicom::{DeidentifyOptions, DeidentifyReport, ProfileOption, deidentify};
use prosect::pipeline::Stage;

use crate::Done;
use crate::console::{Session, print, print_json};
use crate::failure::Failure;

/// `prosect deidentify`
#[derive(Debug, Args)]
#[command(
    after_help = "By PS3.15 annex E, Basic Application Level Confidentiality Profile. Clean Pixel Data and Clean\nRecognizable Visual Features are not offered: pixels are copied as they are, and what may be burned\ninto them, or shows a face, is named. Look at the report, and at the images, before you give them away."
)]
pub(crate) struct Deidentify {
    /// DICOM file, folder of any depth, or zip; it is only read
    #[arg(value_name = "INPUT", help_heading = "Input")]
    input: PathBuf,
    /// Write the de-identified files into this new folder
    #[arg(short, long, value_name = "OUT", help_heading = "Output")]
    output: PathBuf,
    /// Keep what the profile would remove, separated by commas
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Profile"
    )]
    retain: Vec<Retain>,
    /// Keep these without what is known to identify, separated by commas
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Profile"
    )]
    clean: Vec<Clean>,
    /// Copy images, too, that say that their pixels show who the patient is
    #[arg(long, help_heading = "Profile")]
    keep_burned_in: bool,
    /// Give the patient this ID [default: a code that derives from the secret]
    #[arg(long, value_name = "ID", help_heading = "Identity")]
    patient_id: Option<String>,
    /// Give the patient this name [default: the new ID]
    #[arg(long, value_name = "NAME", help_heading = "Identity")]
    patient_name: Option<String>,
    /// Derive new UIDs, IDs and dates from the secret in this file, so that a later run gives the same
    /// [default: the variable `PROSECT_DEIDENTIFY_SECRET`, else a random one that is told nobody]
    #[arg(long, value_name = "FILE", help_heading = "Identity")]
    secret: Option<PathBuf>,
    /// Write the report here, and as text beside it [default: deidentification.json in OUT]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report: Option<PathBuf>,
    /// Print the report as JSON on stdout
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// Use this many threads [default: as many as the machine has]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024), help_heading = "Performance")]
    pub(crate) threads: Option<usize>,
}

/// The options of PS3.15 E.3 that retain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Retain {
    /// Dates and times as they are
    Dates,
    /// Dates moved by the same number of days for all of a patient's data
    ModifiedDates,
    /// Sex, age, size, weight and their like
    Patient,
    /// What tells the scanner
    Device,
    /// What tells the hospital
    Institution,
    /// UIDs as they are
    Uids,
    /// Private attributes that PS3.15 table E.3.10-1 or the file itself calls safe
    SafePrivate,
}

/// The options of PS3.15 E.3 that clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Clean {
    /// Descriptions, comments and labels
    Descriptors,
    /// Graphics of presentation states; overlays are always removed
    Graphics,
    /// Structured reports
    StructuredContent,
    /// Not offered: pixels are copied as they are
    PixelData,
}

/// De-identifies a folder into another one and says what was done.
pub(crate) fn run(arguments: &Deidentify, session: &Session) -> Result<Done, Failure> {
    if arguments.clean.contains(&Clean::PixelData) {
        return Err(Failure::request(
            "cleaning of pixel data is not offered: pixels are copied as they are".to_owned(),
            "leave pixel-data out, look at the images that the report names, and blank them with another tool",
        ));
    }
    let input = &arguments.input;
    if let Err(error) = std::fs::metadata(input) {
        let path = input.display();
        return Err(Failure::machine(format!("cannot read {path}: {error}")));
    }
    let (secret, origin) = secret::find(arguments.secret.as_deref())?;
    let options = DeidentifyOptions {
        options: options(arguments),
        secret: Phi::new(secret),
        patient_id: arguments.patient_id.clone(),
        patient_name: arguments.patient_name.clone(),
        keep_burned_in: arguments.keep_burned_in,
    };
    let stage = Stage::begin(&arguments.output, false)?;
    session.guard(&stage);
    let work = (session as _, &session.cancel);
    let done = deidentify(input, stage.folder(), &options, &Limits::default(), work)?;
    session.end_line();
    let record = report::record(&done, &options, origin);
    let text = report::text(&record);
    let (json_path, text_path) = paths(arguments, stage.folder());
    let json = serde_json::to_string_pretty(&record);
    let json = json.map_err(|error| Failure::machine(error.to_string()))? + "\n";
    write(&json_path, &json)?;
    write(&text_path, &text)?;
    let out = stage.commit()?;
    if arguments.json {
        print_json(&record)?;
    } else {
        print(&text)?;
        print(&format!("written to {}\n", out.display()))?;
    }
    Ok(if findings(&done) {
        Done::WithFindings
    } else {
        Done::Clean
    })
}

fn findings(done: &DeidentifyReport) -> bool {
    done.has_findings()
}

/// The profile's options, each once, in the order of the standard's table.
fn options(arguments: &Deidentify) -> Vec<ProfileOption> {
    let retained = arguments.retain.iter().map(|retain| match retain {
        Retain::Dates => ProfileOption::RetainFullDates,
        Retain::ModifiedDates => ProfileOption::RetainModifiedDates,
        Retain::Patient => ProfileOption::RetainPatientCharacteristics,
        Retain::Device => ProfileOption::RetainDeviceIdentity,
        Retain::Institution => ProfileOption::RetainInstitutionIdentity,
        Retain::Uids => ProfileOption::RetainUids,
        Retain::SafePrivate => ProfileOption::RetainSafePrivate,
    });
    let cleaned = arguments.clean.iter().filter_map(|clean| match clean {
        Clean::Descriptors => Some(ProfileOption::CleanDescriptors),
        Clean::Graphics => Some(ProfileOption::CleanGraphics),
        Clean::StructuredContent => Some(ProfileOption::CleanStructuredContent),
        Clean::PixelData => None,
    });
    let asked: Vec<ProfileOption> = retained.chain(cleaned).collect();
    let each_once = ProfileOption::ALL.into_iter();
    each_once.filter(|option| asked.contains(option)).collect()
}

/// Where the report goes: in the output folder, or where it was asked for.
fn paths(arguments: &Deidentify, folder: &Path) -> (PathBuf, PathBuf) {
    let json = match &arguments.report {
        Some(path) => path.clone(),
        None => folder.join("deidentification.json"),
    };
    let text = json.with_extension("txt");
    (json, text)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))
}
