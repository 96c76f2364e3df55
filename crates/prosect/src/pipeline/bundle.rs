//! Writing the case: every format into the stage, then the records that describe it.

use std::collections::HashSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use prosect_base::{Cancel, Progress};
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
use crate::pipeline::objects::{Objects, SurfaceFiles};
use crate::pipeline::pictures::Pictures;

/// A case folder being filled.
#[derive(Clone, Copy)]
pub(crate) struct Bundle<'a> {
    /// The folder.
    pub(crate) folder: &'a Path,
    /// Asked between files.
    pub(crate) cancel: &'a Cancel,
}

/// Files that were written, or why one was not.
pub(crate) type Written = Result<Vec<FileRecord>, PipelineError>;

impl Bundle<'_> {
    /// Writes one file through `write`, to the disk and not only to the cache, and describes it.
    pub(crate) fn write(
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
            let name = of_layer("segmentation", layer, "nii.gz");
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
            let name = of_layer("confidence", layer, "nii.gz");
            let options = described(segmentation, layer);
            let what = "confidence, one byte a voxel: probability of the label less that of the runner-up, 255 = 1";
            files.push(self.write(&name, what, |out| {
                nifti::write_confidence(&drawing.confidence, &options, out).map_err(in_file(&name))
            })?);
        }
        Ok(files)
    }

    /// The surfaces in every format asked for, several structures at once; `objects` where they can
    /// stand in DICOM objects as well.
    pub(crate) fn write_surfaces(
        &self,
        parts: &[Part<'_>],
        formats: &Formats,
        objects: Option<&Objects<'_>>,
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
        let stems = file_stems(parts.iter().map(|part| part.description.name.as_str()));
        let each: Result<Vec<Vec<FileRecord>>, PipelineError> = parts
            .par_iter()
            .zip(&stems)
            .map(|(part, stem)| self.write_surface(part, stem, formats, objects))
            .collect();
        let mut files: Vec<FileRecord> = each?.into_iter().flatten().collect();
        if formats.wants(Format::Glb) {
            let all: Vec<(&SurfacePart, &Surface)> = parts.iter().map(Part::entry).collect();
            files.push(self.write(
                "model.glb",
                "all surfaces, binary glTF, metres, Y up, for AR and VR",
                |out| glb::write(&all, out).map_err(in_file("model.glb")),
            )?);
        }
        Ok(files)
    }

    /// The files of one structure. What goes into DICOM objects is the very bytes of the files.
    fn write_surface(
        &self,
        part: &Part<'_>,
        stem: &str,
        formats: &Formats,
        objects: Option<&Objects<'_>>,
    ) -> Written {
        let objects = objects.filter(|_| formats.wants(Format::Encapsulated));
        let entry = part.entry();
        let only = [entry];
        let mut files = Vec::new();
        let (mut stl_bytes, mut obj_bytes, mut mtl_bytes) = (Vec::new(), Vec::new(), Vec::new());
        let path = format!("surfaces/{stem}.stl");
        if formats.wants(Format::Stl) || objects.is_some() {
            stl::write(entry.1, entry.0, &mut stl_bytes).map_err(in_file(&path))?;
        }
        if formats.wants(Format::Stl) {
            files.push(self.write_bytes(&path, "surface, binary STL, LPS mm", &stl_bytes)?);
        }
        let path = format!("surfaces/{stem}.obj");
        let material = format!("{stem}.mtl");
        if formats.wants(Format::Obj) || objects.is_some() {
            obj::write(&only, &material, &mut obj_bytes).map_err(in_file(&path))?;
            obj::write_mtl(&only, &mut mtl_bytes).map_err(in_file(&path))?;
        }
        if formats.wants(Format::Obj) {
            files.push(self.write_bytes(&path, "surface, OBJ, LPS mm", &obj_bytes)?);
            let path = format!("surfaces/{material}");
            files.push(self.write_bytes(&path, "color of the OBJ", &mtl_bytes)?);
        }
        if let Some(objects) = objects {
            let made = SurfaceFiles {
                stem,
                stl: &stl_bytes,
                obj: &obj_bytes,
                mtl: &mtl_bytes,
            };
            files.extend(objects.write_surface(part.segment_number, &made)?);
        }
        Ok(files)
    }

    fn write_bytes(
        &self,
        path: &str,
        what: &str,
        bytes: &[u8],
    ) -> Result<FileRecord, PipelineError> {
        self.write(path, what, |out| {
            out.write_all(bytes)
                .map_err(|source| PipelineError::Output {
                    path: path.into(),
                    source,
                })
        })
    }

    /// The preview.
    pub(crate) fn write_preview(&self, pictures: &Pictures) -> Written {
        let what = "three slices and the surfaces, for a first look";
        let file = self.write_bytes("preview.png", what, &pictures.preview_png)?;
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
pub(crate) fn of_layer(stem: &str, layer: usize, end: &str) -> String {
    if layer == 0 {
        format!("{stem}.{end}")
    } else {
        format!("{stem}.{}.{end}", layer + 1)
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

/// A surface with what its files say of it.
pub(crate) struct Part<'a> {
    segment_number: usize,
    description: SurfacePart,
    surface: &'a Surface,
}

impl Part<'_> {
    fn entry(&self) -> (&SurfacePart, &Surface) {
        (&self.description, self.surface)
    }
}

/// The surfaces with what their files say of them.
pub(crate) fn parts<'a>(
    segmentation: &Segmentation,
    surveys: &[Survey],
    surfaces: &'a [Option<Surface>],
) -> Vec<Part<'a>> {
    let segments = segmentation.segments().iter().zip(surfaces).enumerate();
    segments
        .filter_map(|(n, (segment, surface))| {
            let measures = surveys[segment.layer].get(segment.label_value)?;
            Some(Part {
                segment_number: n + 1,
                description: SurfacePart::of(segment, segmentation, measures.volume_ml),
                surface: surface.as_ref()?,
            })
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
