//! Images: a series onto a regular grid, a volume as it is stored.

use prosect_dicom::ImageSeries;
use prosect_formats::nifti::{self, Packing, WriteOptions};
use prosect_formats::{FormatsError, StoredVolume, nrrd};

use crate::convert::error::ConvertError;
use crate::convert::output::Output;
use crate::convert::target::Target;
use crate::convert::{Outcome, Work, label_of};

/// Writes an image series as NIfTI or NRRD.
pub(super) fn write_series(
    series: &ImageSeries,
    output: &mut Output,
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<(), ConvertError> {
    for finding in &series.findings {
        outcome.find(finding.code, series.without_patient(&finding.message));
    }
    let notes = series.notes.iter();
    outcome
        .notes
        .extend(notes.map(|note| series.without_patient(note)));
    if let Some(resampled) = &series.resampled {
        outcome.notes.push(format!(
            "{}: the image was resampled onto a regular grid that covers the frames, linearly",
            resampled.why
        ));
    }
    work.cancel.check()?;
    work.progress.step("writing the image");
    let (target, options) = (output.target, options(output));
    let path = output.of_layer(0);
    let name = label_of(&path);
    output.write(path, |out| {
        let written = if target == Target::Nifti {
            nifti::write_image(&series.image, &options, out)
        } else {
            nrrd::write_image(&series.image, &options.description, out)
        };
        written.map_err(in_file(&name))
    })
}

/// Writes a volume in the type in which it is stored.
pub(super) fn write_stored(
    volume: StoredVolume,
    output: &mut Output,
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<(), ConvertError> {
    let (target, options) = (output.target, options(output));
    let mut volume = volume;
    if target == Target::Nrrd && volume.scaling().is_some() {
        outcome.notes.push(format!(
            "NRRD knows no slope: the values, stored as {}, were rescaled to 32-bit floats",
            volume.stored().name()
        ));
        volume = volume.unscaled();
    }
    work.cancel.check()?;
    work.progress.step("writing the volume");
    let path = output.of_layer(0);
    let name = label_of(&path);
    output.write(path, |out| {
        let written = if target == Target::Nifti {
            nifti::write_stored(&volume, &options, out)
        } else {
            nrrd::write_stored(&volume, &options.description, out)
        };
        written.map_err(in_file(&name))
    })
}

/// How NIfTI is written: compressed or not as the name's end says.
pub(super) fn options(output: &Output) -> WriteOptions {
    WriteOptions {
        description: format!("converted by prosect {}", crate::VERSION),
        packing: if output.ends_with(".nii") {
            Packing::Plain
        } else {
            Packing::Gzip
        },
    }
}

/// Names the file in an error of the formats crate. A full disk keeps its own kind.
pub(super) fn in_file(name: &str) -> impl FnOnce(FormatsError) -> ConvertError + use<'_> {
    move |error| match error {
        FormatsError::Io { source, .. } => ConvertError::Output {
            path: name.into(),
            source,
        },
        source => ConvertError::Format {
            path: name.into(),
            source,
        },
    }
}
