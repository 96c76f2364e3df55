//! Writing the case: every format into the stage, then the records that describe it.

use std::collections::HashSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use prosect_base::{Cancel, Progress};
use prosect_dicom::{FrameLabels, ImageSeries, ObjectOptions, write_seg};
use prosect_formats::case::{CaseRecord, FileRecord, HashedFile, write_json};
use prosect_formats::nifti::{self, WriteOptions};
use prosect_formats::report::write_report;
use prosect_formats::{FormatsError, SurfacePart, glb, obj, stl};
use prosect_segmentation::measure::Survey;
use prosect_segmentation::{Algorithm, Segmentation};
use prosect_surface::Surface;
use prosect_volume::Volume;
use rayon::prelude::*;

use crate::pipeline::drawing::Drawing;
use crate::pipeline::error::PipelineError;
use crate::pipeline::format::{Format, Formats};
use crate::pipeline::pictures::Pictures;

/// Series Number of the segmentation: out of the way of what scanners use.
const SEG_SERIES_NUMBER: u32 = 8100;

/// A case folder being filled.
#[derive(Clone, Copy)]
pub(crate) struct Bundle<'a> {
    /// The folder.
    pub(crate) folder: &'a Path,
    /// Asked between files.
    pub(crate) cancel: &'a Cancel,
}

/// Files that were written, or why one was not.
type Written = Result<Vec<FileRecord>, PipelineError>;

impl Bundle<'_> {
    /// Writes one file through `write`, to the disk and not only to the cache, and describes it.
    fn write(
        &self,
        path: &str,
        what: &str,
        write: impl FnOnce(&mut BufWriter<HashedFile>) -> Result<(), PipelineError>,
    ) -> Result<FileRecord, PipelineError> {
        self.cancel.check()?;
        let full = self.folder.join(path);
        let failed = |source| PipelineError::Output {
            path: path.into(),
            source,
        };
        let file = HashedFile::create(&full).map_err(failed)?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        write(&mut out)?;
        let file = out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.finish(path, what).map_err(failed)
    }

    /// The DICOM SEG on the frames of its source.
    pub(crate) fn write_seg(
        &self,
        segmentation: &Segmentation,
        drawings: &[Drawing],
        source: &ImageSeries,
    ) -> Written {
        let options = ObjectOptions {
            software_version: crate::VERSION.into(),
            content: None,
            series_number: SEG_SERIES_NUMBER,
            sign_off: None,
        };
        let sure: Vec<&Volume<u8>> = drawings.iter().map(|d| &d.confidence).collect();
        let labels = FrameLabels::with_confidence(segmentation, &sure, source)?;
        let file = self.write(
            "segmentation.seg.dcm",
            "DICOM SEG (BINARY) on the source frames, for the PACS",
            |out| {
                write_seg(&labels, source, &options, out)?;
                Ok(())
            },
        )?;
        Ok(vec![file])
    }

    /// Image, label map and confidence of each layer, and the table of all labels.
    pub(crate) fn write_nifti(
        &self,
        image: Option<&Volume<f32>>,
        segmentation: &Segmentation,
        drawings: &[Drawing],
    ) -> Written {
        let of_image = WriteOptions {
            description: format!("prosect {}, the image as it was read", crate::VERSION),
            ..WriteOptions::default()
        };
        let mut files = Vec::new();
        if let Some(image) = image {
            files.push(
                self.write("image.nii.gz", "what was segmented, NIfTI", |out| {
                    nifti::write_image(image, &of_image, out).map_err(in_file("image.nii.gz"))
                })?,
            );
        }
        let mut names = Vec::new();
        for (layer, labelmap) in segmentation.layers().iter().enumerate() {
            let name = of_layer("segmentation", layer);
            let options = described(segmentation, layer);
            files.push(self.write(&name, "label map, NIfTI", |out| {
                nifti::write_labelmap(labelmap, &options, out).map_err(in_file(&name))
            })?);
            names.push(name);
        }
        files.push(self.write(
            "segmentation.json",
            "what the label map's values mean",
            |out| {
                nifti::write_label_table(segmentation, &names, out)
                    .map_err(in_file("segmentation.json"))
            },
        )?);
        for (layer, drawing) in drawings.iter().enumerate() {
            let name = of_layer("confidence", layer);
            let options = described(segmentation, layer);
            let what = "confidence, one byte a voxel: probability of the label less that of the runner-up, 255 = 1";
            files.push(self.write(&name, what, |out| {
                nifti::write_confidence(&drawing.confidence, &options, out).map_err(in_file(&name))
            })?);
        }
        Ok(files)
    }

    /// The surfaces in every format asked for, several structures at once.
    pub(crate) fn write_surfaces(
        &self,
        parts: &[(SurfacePart, &Surface)],
        formats: &Formats,
    ) -> Written {
        if parts.is_empty() || !formats.wants_surfaces() {
            return Ok(Vec::new());
        }
        fs::create_dir_all(self.folder.join("surfaces")).map_err(|source| {
            PipelineError::Output {
                path: "surfaces".into(),
                source,
            }
        })?;
        let parts: Vec<(&SurfacePart, &Surface)> = parts
            .iter()
            .map(|(part, surface)| (part, *surface))
            .collect();
        let stems = file_stems(parts.iter().map(|(part, _)| part.name.as_str()));
        let each: Result<Vec<Vec<FileRecord>>, PipelineError> = parts
            .par_iter()
            .zip(&stems)
            .map(|(entry, stem)| self.write_surface(entry, stem, formats))
            .collect();
        let mut files: Vec<FileRecord> = each?.into_iter().flatten().collect();
        if formats.wants(Format::Glb) {
            files.push(self.write(
                "model.glb",
                "all surfaces, binary glTF, metres, Y up, for AR and VR",
                |out| glb::write(&parts, out).map_err(in_file("model.glb")),
            )?);
        }
        Ok(files)
    }

    /// The files of one structure.
    fn write_surface(
        &self,
        entry: &(&SurfacePart, &Surface),
        name: &str,
        formats: &Formats,
    ) -> Written {
        let mut files = Vec::new();
        if formats.wants(Format::Stl) {
            let path = format!("surfaces/{name}.stl");
            files.push(self.write(&path, "surface, binary STL, LPS mm", |out| {
                stl::write(entry.1, entry.0, out)
                    .map(drop)
                    .map_err(in_file(&path))
            })?);
        }
        if formats.wants(Format::Obj) {
            let (path, material) = (format!("surfaces/{name}.obj"), format!("{name}.mtl"));
            let only = std::slice::from_ref(entry);
            files.push(self.write(&path, "surface, OBJ, LPS mm", |out| {
                obj::write(only, &material, out).map_err(in_file(&path))
            })?);
            let path = format!("surfaces/{material}");
            files.push(self.write(&path, "color of the OBJ", |out| {
                obj::write_mtl(only, out).map_err(in_file(&path))
            })?);
        }
        Ok(files)
    }

    /// The preview.
    pub(crate) fn write_preview(&self, pictures: &Pictures) -> Written {
        let file = self.write(
            "preview.png",
            "three slices and the surfaces, for a first look",
            |out| {
                out.write_all(&pictures.preview)
                    .map_err(|source| PipelineError::Output {
                        path: "preview.png".into(),
                        source,
                    })
            },
        )?;
        Ok(vec![file])
    }

    /// The report and `case.json`, which describe everything written before.
    pub(crate) fn finish(
        &self,
        case: &mut CaseRecord,
        pictures: &Pictures,
    ) -> Result<(), PipelineError> {
        let report = self.write("report.html", "what a person looks at first", |out| {
            write_report(case, &pictures.report, out).map_err(|source| PipelineError::Output {
                path: "report.html".into(),
                source,
            })
        })?;
        case.files.push(report);
        write_json(case, &self.folder.join("case.json")).map_err(|source| PipelineError::Output {
            path: "case.json".into(),
            source,
        })
    }
}

/// Names of files for names of structures. A model from elsewhere names its structures as it likes;
/// none of them leads out of the case or to another's file.
fn file_stems<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    const MOST_CHARACTERS: usize = 100;
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "_-".contains(c) {
            c
        } else {
            '_'
        }
    };
    // Some file systems do not tell upper from lower case.
    let mut taken = HashSet::new();
    let mut stems = Vec::new();
    for name in names {
        let stem: String = name.chars().map(plain).take(MOST_CHARACTERS).collect();
        let mut unique = stem.clone();
        let mut n = 2;
        while !taken.insert(unique.to_lowercase()) {
            unique = format!("{stem}-{n}");
            n += 1;
        }
        stems.push(unique);
    }
    stems
}

/// The file of a layer: `segmentation.nii.gz`, `segmentation.2.nii.gz`.
fn of_layer(stem: &str, layer: usize) -> String {
    if layer == 0 {
        format!("{stem}.nii.gz")
    } else {
        format!("{stem}.{}.nii.gz", layer + 1)
    }
}

/// Who drew a layer, for the file's own header.
fn described(segmentation: &Segmentation, layer: usize) -> WriteOptions {
    let segments = segmentation.segments().iter();
    let made_by = segments
        .filter(|s| s.layer == layer)
        .find_map(|s| s.algorithm.as_ref())
        .map_or_else(String::new, Algorithm::short);
    let review = segmentation.review().label();
    WriteOptions {
        description: format!("prosect {} {review} by {made_by}", crate::VERSION),
        ..WriteOptions::default()
    }
}

/// The surfaces with what their files say of them.
pub(crate) fn parts<'a>(
    segmentation: &Segmentation,
    surveys: &[Survey],
    surfaces: &'a [Option<Surface>],
) -> Vec<(SurfacePart, &'a Surface)> {
    let segments = segmentation.segments().iter().zip(surfaces);
    segments
        .filter_map(|(segment, surface)| {
            let measures = surveys[segment.layer].get(segment.label_value)?;
            let part = SurfacePart::of(segment, segmentation, measures.volume_ml);
            Some((part, surface.as_ref()?))
        })
        .collect()
}

/// Names the file in an error of the formats crate. A full disk keeps its own kind.
fn in_file(path: &str) -> impl FnOnce(FormatsError) -> PipelineError + use<'_> {
    move |error| match error {
        FormatsError::Io { source, .. } => PipelineError::Output {
            path: path.into(),
            source,
        },
        source => PipelineError::Format {
            path: path.into(),
            source,
        },
    }
}

/// Makes the step visible and starts the files.
pub(crate) fn announce(progress: &dyn Progress, formats: &Formats) {
    let list: Vec<&str> = Format::ALL
        .into_iter()
        .filter(|f| formats.wants(*f))
        .map(Format::name)
        .collect();
    progress.step(&format!("writing the case ({})", list.join(", ")));
}

#[cfg(test)]
mod tests {
    use super::file_stems;

    #[test]
    fn no_name_leads_out_of_the_case_or_to_anothers_file() {
        let names = [
            "liver",
            "../../etc/x",
            "a/b",
            "a b",
            "A_B",
            "vertebrae_L1",
            "",
        ];
        let stems = file_stems(names.into_iter());
        let expected = [
            "liver",
            "______etc_x",
            "a_b",
            "a_b-2",
            "A_B-3",
            "vertebrae_L1",
            "",
        ];
        assert_eq!(stems, expected);
    }
}
