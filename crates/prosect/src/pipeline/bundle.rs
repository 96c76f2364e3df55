//! Writing the case: every format into the stage, then the records that describe it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use prosect_base::{Cancel, Progress};
use prosect_dicom::{ImageSeries, SegOptions, write_seg};
use prosect_formats::case::{CaseRecord, FileRecord, describe_file, write_json};
use prosect_formats::nifti::{self, WriteOptions};
use prosect_formats::report::write_report;
use prosect_formats::{FormatsError, SurfacePart, glb, obj, stl};
use prosect_segmentation::{Algorithm, Segment, Segmentation, measure};
use prosect_surface::Surface;
use prosect_volume::Volume;

use crate::pipeline::error::PipelineError;
use crate::pipeline::format::{Format, Formats};
use crate::pipeline::pictures::Pictures;

/// Series Number of the segmentation: out of the way of what scanners use.
const SEG_SERIES_NUMBER: u32 = 8100;

/// A case folder being filled.
pub(crate) struct Bundle<'a> {
    /// The folder.
    pub(crate) folder: &'a Path,
    /// Its files so far.
    pub(crate) files: Vec<FileRecord>,
    /// Asked between files.
    pub(crate) cancel: &'a Cancel,
}

impl<'a> Bundle<'a> {
    /// An empty case.
    pub(crate) fn new(folder: &'a Path, cancel: &'a Cancel) -> Self {
        Self {
            folder,
            files: Vec::new(),
            cancel,
        }
    }

    /// Writes one file through `write`, to the disk and not only to the cache, and notes it.
    fn add(
        &mut self,
        path: &str,
        what: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        self.cancel.check()?;
        let full = self.folder.join(path);
        let failed = |source| PipelineError::Output {
            path: path.into(),
            source,
        };
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&full).map_err(failed)?);
        write(&mut out)?;
        out.flush().map_err(failed)?;
        out.get_ref().sync_all().map_err(failed)?;
        drop(out);
        self.files
            .push(describe_file(self.folder, path, what).map_err(failed)?);
        Ok(())
    }

    /// The DICOM SEG on the frames of its source.
    pub(crate) fn add_seg(
        &mut self,
        segmentation: &Segmentation,
        source: &ImageSeries,
    ) -> Result<(), PipelineError> {
        let options = SegOptions {
            software_version: crate::VERSION.into(),
            content: None,
            series_number: SEG_SERIES_NUMBER,
        };
        self.add(
            "segmentation.seg.dcm",
            "DICOM SEG (BINARY) on the source frames, for the PACS",
            |out| {
                write_seg(segmentation, source, &options, out)?;
                Ok(())
            },
        )
    }

    /// Image, label map of each layer with its table, and confidence.
    pub(crate) fn add_nifti(
        &mut self,
        image: Option<&Volume<f32>>,
        segmentation: &Segmentation,
        confidence: &Volume<u8>,
    ) -> Result<(), PipelineError> {
        let made_by = segmentation
            .segments()
            .iter()
            .filter_map(|s| s.algorithm.as_ref())
            .map(Algorithm::short);
        let review = segmentation.review().label();
        let description = format!(
            "prosect {} {review} by {}",
            crate::VERSION,
            made_by.collect::<Vec<_>>().join(", ")
        );
        let options = WriteOptions {
            description,
            ..WriteOptions::default()
        };
        let of_image = WriteOptions {
            description: format!("prosect {}, the image as it was read", crate::VERSION),
            ..WriteOptions::default()
        };
        if let Some(image) = image {
            self.add("image.nii.gz", "what was segmented, NIfTI", |out| {
                nifti::write_image(image, &of_image, out).map_err(in_file("image.nii.gz"))
            })?;
        }
        let mut names = Vec::new();
        for (layer, labelmap) in segmentation.layers().iter().enumerate() {
            let name = if layer == 0 {
                "segmentation.nii.gz".to_owned()
            } else {
                format!("segmentation.{}.nii.gz", layer + 1)
            };
            self.add(&name, "label map, NIfTI", |out| {
                nifti::write_labelmap(labelmap, &options, out).map_err(in_file(&name))
            })?;
            names.push(name);
        }
        self.add(
            "segmentation.json",
            "what the label map's values mean",
            |out| {
                nifti::write_label_table(segmentation, &names, out)
                    .map_err(in_file("segmentation.json"))
            },
        )?;
        self.add("confidence.nii.gz", "confidence, one byte a voxel: probability of the label less that of the runner-up, 255 = 1", |out| {
            nifti::write_confidence(confidence, &options, out).map_err(in_file("confidence.nii.gz"))
        })
    }

    /// The surfaces in every format asked for.
    pub(crate) fn add_surfaces(
        &mut self,
        segmentation: &Segmentation,
        surfaces: &[Option<Surface>],
        formats: &Formats,
    ) -> Result<(), PipelineError> {
        let parts: Vec<(SurfacePart, &Surface)> = segmentation
            .segments()
            .iter()
            .zip(surfaces)
            .filter_map(|(segment, surface)| Some((part(segmentation, segment), surface.as_ref()?)))
            .collect();
        if parts.is_empty() {
            return Ok(());
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
        for entry in &parts {
            let name = entry.0.name.clone();
            if formats.wants(Format::Stl) {
                let path = format!("surfaces/{name}.stl");
                self.add(&path, "surface, binary STL, LPS mm", |out| {
                    stl::write(entry.1, entry.0, out)
                        .map(drop)
                        .map_err(in_file(&path))
                })?;
            }
            if formats.wants(Format::Obj) {
                let (path, material) = (format!("surfaces/{name}.obj"), format!("{name}.mtl"));
                let only = std::slice::from_ref(entry);
                self.add(&path, "surface, OBJ, LPS mm", |out| {
                    obj::write(only, &material, out).map_err(in_file(&path))
                })?;
                let path = format!("surfaces/{material}");
                self.add(&path, "color of the OBJ", |out| {
                    obj::write_mtl(only, out).map_err(in_file(&path))
                })?;
            }
        }
        if formats.wants(Format::Glb) {
            self.add(
                "model.glb",
                "all surfaces, binary glTF, metres, Y up, for AR and VR",
                |out| glb::write(&parts, out).map_err(in_file("model.glb")),
            )?;
        }
        Ok(())
    }

    /// The preview.
    pub(crate) fn add_preview(&mut self, pictures: &Pictures) -> Result<(), PipelineError> {
        self.add(
            "preview.png",
            "three slices and the surfaces, for a first look",
            |out| {
                out.write_all(&pictures.preview)
                    .map_err(|source| PipelineError::Output {
                        path: "preview.png".into(),
                        source,
                    })
            },
        )
    }

    /// The report and `case.json`, which describe everything written before.
    pub(crate) fn finish(
        mut self,
        case: &mut CaseRecord,
        pictures: &Pictures,
    ) -> Result<(), PipelineError> {
        case.files.clone_from(&self.files);
        self.add("report.html", "what a person looks at first", |out| {
            write_report(case, &pictures.report, out).map_err(|source| PipelineError::Output {
                path: "report.html".into(),
                source,
            })
        })?;
        case.files = self.files;
        write_json(case, &self.folder.join("case.json")).map_err(|source| PipelineError::Output {
            path: "case.json".into(),
            source,
        })
    }
}

/// What the mesh writers need to know of a segment.
fn part(segmentation: &Segmentation, segment: &Segment) -> SurfacePart {
    let volume_ml = measure::volume_ml(&segmentation.layers()[segment.layer], segment.label_value);
    SurfacePart::of(segment, segmentation, volume_ml)
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
