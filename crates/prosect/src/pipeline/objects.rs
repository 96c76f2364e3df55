//! The DICOM objects of a case, on the frames of its source. Each kind is a series of its own.

use prosect_dicom::{
    CapturedPicture, FrameLabels, Holes, ImageSeries, Measured, Measurements, ObjectOptions,
    ObjectReport, SurfaceDocument, SurfaceKind, model_group_uid, write_capture, write_labelmap,
    write_report, write_rtstruct, write_seg, write_surface,
};
use prosect_formats::case::FileRecord;
use prosect_formats::picture::Raster;
use prosect_segmentation::Segmentation;
use prosect_segmentation::measure::Survey;
use prosect_volume::Volume;

use crate::pipeline::bundle::{Bundle, Written, of_layer};
use crate::pipeline::error::PipelineError;
use crate::pipeline::format::{Format, Formats};

/// Series Numbers: out of the way of what scanners use.
const SEG_SERIES: u32 = 8100;
const LABELMAP_SERIES: u32 = 8101;
const RTSTRUCT_SERIES: u32 = 8102;
const REPORT_SERIES: u32 = 8103;
const SURFACE_SERIES: u32 = 8104;
const CAPTURE_SERIES: u32 = 8105;

/// What DICOM objects are made from.
pub(crate) struct Objects<'a> {
    bundle: &'a Bundle<'a>,
    labels: FrameLabels<'a>,
    source: &'a ImageSeries,
    formats: &'a Formats,
    model_group_uid: String,
}

impl<'a> Objects<'a> {
    /// Puts the labels onto the source's frames; where these lie between the voxels, by the
    /// confidence of each layer.
    pub(crate) fn of(
        bundle: &'a Bundle<'a>,
        (segmentation, confidences): (&'a Segmentation, &[&Volume<u8>]),
        source: &'a ImageSeries,
        formats: &'a Formats,
    ) -> Result<Self, PipelineError> {
        let labels = FrameLabels::with_confidence(segmentation, confidences, source)?;
        let model_group_uid = if formats.wants(Format::Encapsulated) {
            model_group_uid(&labels, source)?
        } else {
            String::new()
        };
        Ok(Self {
            bundle,
            labels,
            source,
            formats,
            model_group_uid,
        })
    }

    /// Segmentations, contours and the measurement report.
    pub(crate) fn write(&self, surveys: &[Survey]) -> Written {
        let mut files = Vec::new();
        let mut segmentations = Vec::new();
        if self.formats.wants(Format::Seg) {
            let what = "DICOM SEG (BINARY) on the source frames, for the PACS";
            let (file, report) = self.write_one("segmentation.seg.dcm", what, |out| {
                write_seg(&self.labels, self.source, &options(SEG_SERIES), out)
            })?;
            files.push(file);
            segmentations.push(report);
        }
        if self.formats.wants(Format::Labelmap) {
            let maps = self.write_labelmaps()?;
            let is_first = segmentations.is_empty();
            for (file, report) in maps {
                files.push(file);
                // The report refers to one kind, and every viewer knows the other.
                if is_first {
                    segmentations.push(report);
                }
            }
        }
        if self.formats.wants(Format::Rtstruct) {
            let what = "DICOM RT Structure Set: contours on the source frames";
            let (file, _) = self.write_one("segmentation.rtstruct.dcm", what, |out| {
                let options = options(RTSTRUCT_SERIES);
                write_rtstruct(&self.labels, self.source, Holes::Keyhole, &options, out)
            })?;
            files.push(file);
        }
        if self.formats.wants(Format::Report) {
            files.extend(self.write_report(surveys, &segmentations)?);
        }
        Ok(files)
    }

    /// One label map for each layer.
    fn write_labelmaps(&self) -> Result<Vec<(FileRecord, ObjectReport)>, PipelineError> {
        let what = "DICOM SEG (LABELMAP) on the source frames, one object a layer";
        let layers = 0..self.labels.layers.len();
        layers
            .map(|layer| {
                let path = of_layer("segmentation", layer, "labelmap.dcm");
                self.write_one(&path, what, |out| {
                    let options = options(LABELMAP_SERIES);
                    write_labelmap(&self.labels, layer, self.source, &options, out)
                })
            })
            .collect()
    }

    /// The measurements of what was found; where nothing was, there is nothing to report.
    fn write_report(
        &self,
        surveys: &[Survey],
        segmentations: &[ObjectReport],
    ) -> Result<Option<FileRecord>, PipelineError> {
        let is_ct = self.source.modality == "CT";
        let measured = self.labels.segments.iter().map(|segment| {
            let measures = surveys[segment.layer].get(segment.label_value)?;
            Some(Measured {
                volume_mm3: measures.volume_ml * 1000.0,
                mean_hu: measures.mean_intensity.filter(|_| is_ct),
            })
        });
        let measured: Vec<Option<Measured>> = measured.collect();
        if measured.iter().all(Option::is_none) {
            return Ok(None);
        }
        let measurements = Measurements {
            segments: &measured,
            segmentations,
        };
        let what = "DICOM SR (TID 1500): volumes and mean HU, unverified";
        let (file, _) = self.write_one("report.sr.dcm", what, |out| {
            let options = options(REPORT_SERIES);
            write_report(&self.labels, measurements, self.source, &options, out)
        })?;
        Ok(Some(file))
    }

    /// A surface's files inside DICOM: the STL, or the OBJ with its materials.
    pub(crate) fn write_surface(&self, segment_number: usize, files: &SurfaceFiles<'_>) -> Written {
        let document = |kind, bytes, instance_number| SurfaceDocument {
            kind,
            bytes,
            segment_number,
            instance_number: 3 * (segment_number - 1) + instance_number,
            model_group_uid: &self.model_group_uid,
            material: None,
        };
        let write = |name: &str, what: &str, document: &SurfaceDocument<'_>| {
            let path = format!("surfaces/{}.{name}.dcm", files.stem);
            self.write_one(&path, what, |out| {
                let options = options(SURFACE_SERIES);
                write_surface(document, &self.labels, self.source, &options, out)
            })
        };
        let stl = document(SurfaceKind::Stl, files.stl, 1);
        let (stl, _) = write("stl", "the STL inside DICOM, for the PACS", &stl)?;
        let mtl = document(SurfaceKind::Mtl, files.mtl, 3);
        let (mtl, material) = write("mtl", "the color of the OBJ inside DICOM", &mtl)?;
        let mtl_name = format!("{}.mtl", files.stem);
        let obj = SurfaceDocument {
            material: Some((&mtl_name, &material)),
            ..document(SurfaceKind::Obj, files.obj, 2)
        };
        let (obj, _) = write("obj", "the OBJ inside DICOM, for the PACS", &obj)?;
        Ok(vec![stl, obj, mtl])
    }

    /// The preview as a picture of the study.
    pub(crate) fn write_capture(&self, preview: &Raster) -> Written {
        if !self.formats.wants(Format::Capture) {
            return Ok(Vec::new());
        }
        let picture = CapturedPicture {
            rgb: preview.rgb(),
            width: preview.width(),
            height: preview.height(),
            title: "Three slices and the surfaces of a segmentation",
        };
        let what = "the preview as DICOM secondary capture";
        let (file, _) = self.write_one("preview.sc.dcm", what, |out| {
            let options = options(CAPTURE_SERIES);
            write_capture(picture, &self.labels, self.source, &options, out)
        })?;
        Ok(vec![file])
    }

    /// Writes one object and keeps what it is called.
    fn write_one(
        &self,
        path: &str,
        what: &str,
        write: impl FnOnce(&mut dyn std::io::Write) -> Result<ObjectReport, prosect_dicom::DicomError>,
    ) -> Result<(FileRecord, ObjectReport), PipelineError> {
        let mut written = None;
        let file = self.bundle.write(path, what, |out| {
            written = Some(write(out)?);
            Ok(())
        })?;
        let report = written.ok_or_else(|| PipelineError::Output {
            path: path.into(),
            source: std::io::Error::other("it was not written"),
        })?;
        Ok((file, report))
    }
}

/// The files of one surface, as they are written beside the objects.
pub(crate) struct SurfaceFiles<'a> {
    /// Their name without its end.
    pub(crate) stem: &'a str,
    pub(crate) stl: &'a [u8],
    pub(crate) obj: &'a [u8],
    pub(crate) mtl: &'a [u8],
}

fn options(series_number: u32) -> ObjectOptions {
    ObjectOptions {
        software_version: crate::VERSION.into(),
        content: None,
        series_number,
        sign_off: None,
    }
}
