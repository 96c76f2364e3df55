//! DICOM SEG of other software: BINARY, FRACTIONAL and LABELMAP (PS3.3 A.51, C.8.20).

use std::collections::BTreeSet;

use dicom_dictionary_std::tags;
use prosect_base::Limits;
use prosect_segmentation::{AlgorithmType, LabelValue, Rgb, Segment, terminology};

use super::geometry::{self, Geometry};
use super::item::{Groups, referenced_series};
use super::layer::Layers;
use super::pixel::{Pixels, Runs};
use super::segment::{self, Described};
use super::{ForeignKind, ForeignLabels, Refusal, finding, header_of};
use crate::attribute::{count, integer, text};
use crate::file::FileHeader;
use crate::load::Finding;
use crate::reader::DataSet;

/// A fractional pixel belongs to its segment from half of the largest value on.
const INSIDE_PERCENT: u32 = 50;

/// Reads a segmentation from the bytes of its file.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<ForeignLabels, Refusal> {
    let header = header_of(bytes, limits)?;
    let data = &header.data;
    let kind = kind_of(data)?;
    let n_frames = n_frames(data)?;
    let pixels = Pixels::of(&header, bytes, n_frames, limits)?;
    let geometry = geometry::read(data, n_frames)?;
    let described = segment::read(data)?;
    let object = Object {
        header: &header,
        pixels,
        geometry,
        described,
        limits,
    };
    let mut remarks = Remarks::default();
    let (layers, segments) = match kind {
        ForeignKind::Labelmap => object.labelmap(&mut remarks)?,
        _ => object.masks(kind, &mut remarks)?,
    };
    if segments.is_empty() {
        return Err(Refusal::malformed("it describes no segment"));
    }
    let Geometry {
        stack, spacing_mm, ..
    } = object.geometry;
    Ok(ForeignLabels {
        kind,
        stack,
        spacing_mm,
        layers,
        segments,
        study_uid: text(data, tags::STUDY_INSTANCE_UID).unwrap_or_default(),
        source_series: referenced_series(data),
        findings: remarks.findings,
        notes: remarks.notes,
    })
}

fn kind_of(data: &DataSet) -> Result<ForeignKind, Refusal> {
    match text(data, tags::SEGMENTATION_TYPE).as_deref() {
        Some("BINARY") => Ok(ForeignKind::Binary),
        Some("FRACTIONAL") => Ok(ForeignKind::Fractional),
        Some("LABELMAP") => Ok(ForeignKind::Labelmap),
        Some(other) => Err(Refusal::unsupported(format!(
            "its Segmentation Type {other} is none of BINARY, FRACTIONAL and LABELMAP"
        ))),
        None => Err(Refusal::malformed("it has no Segmentation Type")),
    }
}

fn n_frames(data: &DataSet) -> Result<usize, Refusal> {
    let groups = Groups::of(data);
    let stated = count(data, tags::NUMBER_OF_FRAMES);
    let n_frames = stated.unwrap_or(groups.n_frames().max(1));
    if n_frames == 0
        || (groups.n_frames() != n_frames && !(n_frames == 1 && groups.n_frames() == 0))
    {
        return Err(Refusal::malformed(format!(
            "it says that it has {n_frames} frames, but describes {}",
            groups.n_frames()
        )));
    }
    Ok(n_frames)
}

/// What is told of an object besides its labels.
#[derive(Debug, Default)]
struct Remarks {
    findings: Vec<Finding>,
    notes: Vec<String>,
}

/// An object whose parts have been found.
struct Object<'a> {
    header: &'a FileHeader,
    pixels: Pixels<'a>,
    geometry: Geometry,
    described: Vec<Described>,
    limits: &'a Limits,
}

type Labels = (Vec<Vec<LabelValue>>, Vec<Segment>);

impl Object<'_> {
    fn n_voxels(&self) -> Result<usize, Refusal> {
        self.pixels
            .n_pixels()
            .checked_mul(self.geometry.stack.origins.len())
            .ok_or_else(|| Refusal::limit("it has more voxels than can be counted"))
    }

    /// BINARY and FRACTIONAL: each frame shows one segment.
    fn masks(&self, kind: ForeignKind, remarks: &mut Remarks) -> Result<Labels, Refusal> {
        let from = self.threshold(kind, remarks)?;
        let frames_of = self.frames_by_segment()?;
        let mut layers = Layers::new(self.n_voxels()?, self.limits)?;
        let mut segments = Vec::new();
        for (described, frames) in self.described.iter().zip(frames_of) {
            let value = described.number;
            if value == 0 {
                return Err(Refusal::malformed(
                    "a segment has the number 0, which only a LABELMAP may have",
                ));
            }
            let slices: BTreeSet<usize> =
                frames.iter().map(|&f| self.geometry.slice_of[f]).collect();
            if slices.len() < frames.len() {
                let message =
                    format!("segment {value} has several frames at one place; they were joined");
                remarks.findings.push(finding("frames_joined", message));
            }
            let runs: Result<Vec<(usize, Runs)>, Refusal> = frames
                .iter()
                .map(|&frame| {
                    let start = self.geometry.slice_of[frame] * self.pixels.n_pixels();
                    Ok((start, self.pixels.at_least(frame, from)?))
                })
                .collect();
            let layer = layers.put(value, &runs?)?;
            segments.push(Segment {
                layer,
                ..described.segment.clone()
            });
        }
        Ok((layers.finish(), segments))
    }

    /// The smallest pixel value that is inside.
    fn threshold(&self, kind: ForeignKind, remarks: &mut Remarks) -> Result<u32, Refusal> {
        if kind == ForeignKind::Binary {
            return Ok(1);
        }
        let data = &self.header.data;
        let most = count(data, tags::MAXIMUM_FRACTIONAL_VALUE)
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| *n > 0)
            .ok_or_else(|| Refusal::malformed("it has no Maximum Fractional Value"))?;
        let what = text(data, tags::SEGMENTATION_FRACTIONAL_TYPE).unwrap_or_default();
        let from = (most * INSIDE_PERCENT).div_ceil(100).max(1);
        let message = format!(
            "its fractions ({}) became labels: {from} of {most} and more is inside",
            if what.is_empty() {
                "of unknown kind"
            } else {
                &what
            }
        );
        remarks
            .findings
            .push(finding("fractions_thresholded", message));
        Ok(from)
    }

    /// For each segment, its frames.
    fn frames_by_segment(&self) -> Result<Vec<Vec<usize>>, Refusal> {
        let groups = Groups::of(&self.header.data);
        let mut frames_of = vec![Vec::new(); self.described.len()];
        for frame in 0..self.geometry.slice_of.len() {
            let number = groups
                .get(frame, tags::SEGMENT_IDENTIFICATION_SEQUENCE)
                .and_then(|item| integer(item, tags::REFERENCED_SEGMENT_NUMBER));
            let number = match (number, self.described.as_slice()) {
                (Some(number), _) => number,
                // With one segment there is nothing to mix up.
                (None, [only]) => i64::from(only.number),
                (None, _) => {
                    return Err(Refusal::malformed(format!(
                        "frame {} does not say which segment it shows",
                        frame + 1
                    )));
                }
            };
            let index = self
                .described
                .iter()
                .position(|d| i64::from(d.number) == number)
                .ok_or_else(|| {
                    Refusal::malformed(format!(
                        "frame {} shows segment {number}, which the object does not describe",
                        frame + 1
                    ))
                })?;
            frames_of[index].push(frame);
        }
        Ok(frames_of)
    }

    /// LABELMAP: each pixel names its segment.
    fn labelmap(&self, remarks: &mut Remarks) -> Result<Labels, Refusal> {
        let n_pixels = self.pixels.n_pixels();
        let n_voxels = self.n_voxels()?;
        let mut layer = Layers::new(n_voxels, self.limits)?.finish().remove(0);
        let n_slices = self.geometry.stack.origins.len();
        if n_slices < self.geometry.slice_of.len() {
            return Err(Refusal::malformed(
                "it has several frames at one place, which a LABELMAP may not have",
            ));
        }
        let mut used = vec![false; usize::from(LabelValue::MAX) + 1];
        for frame in 0..self.geometry.slice_of.len() {
            let start = self.geometry.slice_of[frame] * n_pixels;
            let values = self.pixels.values(frame)?;
            for (label, value) in layer[start..start + n_pixels].iter_mut().zip(values) {
                *label = value as LabelValue;
                used[usize::from(*label)] = true;
            }
        }
        let background = self.background();
        let mut segments = self.named(background);
        self.add_undescribed(&used, background, (&mut segments, remarks));
        // 0 is background here, whatever the object has there.
        if background != 0 {
            let zero = segments.iter_mut().find(|s| s.label_value == 0);
            let moved = zero.map(|segment| {
                segment.label_value = background;
                background
            });
            for label in &mut layer {
                *label = match *label {
                    value if value == background => 0,
                    0 => moved.unwrap_or(0),
                    value => value,
                };
            }
        }
        Ok((vec![layer], segments))
    }

    /// The value where there is nothing.
    fn background(&self) -> LabelValue {
        let padding = count(&self.header.data, tags::PIXEL_PADDING_VALUE)
            .and_then(|n| LabelValue::try_from(n).ok());
        let described = self.described.iter().find(|d| d.is_background);
        described.map(|d| d.number).or(padding).unwrap_or(0)
    }

    /// The segments that are described, with the colors of the palette where they have none.
    fn named(&self, background: LabelValue) -> Vec<Segment> {
        let palette = Palette::of(&self.header.data);
        let described = self.described.iter();
        described
            .filter(|d| d.number != background)
            .map(|d| {
                let mut segment = d.segment.clone();
                let shown = palette.as_ref().and_then(|palette| palette.color(d.number));
                if let (false, Some(color)) = (d.has_color, shown) {
                    segment.structure.color = color;
                }
                segment
            })
            .collect()
    }

    /// Values that occur, but that no segment describes, become segments of their own: nothing that
    /// was drawn is lost.
    fn add_undescribed(
        &self,
        used: &[bool],
        background: LabelValue,
        (segments, remarks): (&mut Vec<Segment>, &mut Remarks),
    ) {
        for value in 0..=LabelValue::MAX {
            let known = value == background || self.described.iter().any(|d| d.number == value);
            if !used[usize::from(value)] || known {
                continue;
            }
            let label = format!("value_{value}");
            remarks.findings.push(finding(
                "undescribed_value",
                format!("pixels have the value {value}, which no segment describes; it is called {label}"),
            ));
            segments.push(Segment {
                label_value: value,
                layer: 0,
                structure: terminology::private_structure(&label),
                algorithm_type: AlgorithmType::Manual,
                algorithm: None,
            });
        }
    }
}

/// Colors of pixel values (PS3.3 C.7.6.3.1.5).
struct Palette {
    first: i64,
    /// Red, green and blue, from 0 to 255.
    channels: [Vec<u8>; 3],
}

impl Palette {
    fn of(data: &DataSet) -> Option<Self> {
        let descriptor = data
            .get(tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR)?
            .to_multi_int::<i64>()
            .ok()?;
        let [_, first, bits] = descriptor.as_slice() else {
            return None;
        };
        let channels = [
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ]
        .map(|tag| {
            let values = data.get(tag).and_then(|e| e.to_multi_int::<u16>().ok());
            let values = values.unwrap_or_default().into_iter();
            if *bits == 16 {
                values.map(|v| (v >> 8) as u8).collect()
            } else {
                values.flat_map(u16::to_le_bytes).collect()
            }
        });
        Some(Self {
            first: *first,
            channels,
        })
    }

    fn color(&self, value: LabelValue) -> Option<Rgb> {
        let at = usize::try_from(i64::from(value) - self.first).ok()?;
        let [r, g, b] = [0, 1, 2].map(|n| self.channels[n].get(at).copied());
        Some(Rgb([r?, g?, b?]))
    }
}
