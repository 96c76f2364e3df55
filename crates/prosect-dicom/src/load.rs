//! From a chosen series to a volume: every slice read, checked and rescaled, in order along the normal.

pub(crate) mod place;
mod redact;
mod remark;

use std::collections::HashMap;
use std::io::Read;
use std::sync::Mutex;

use dicom_dictionary_std::{tags, uids};
use prosect_base::{Cancel, Fault, Limits, Phi, Progress};
use prosect_volume::{Cover, SliceStack, Volume};
use rayon::prelude::*;

use crate::arrange::FrameIndex;
use crate::attribute;
use crate::error::DicomError;
use crate::file::{FileHeader, HeaderFailure};
use crate::frame::Frame;
use crate::inventory::Series;
use crate::pixel::{Frames, PixelFailure, PixelForm, Rescale};
use crate::reader::DataSet;
use crate::source::{Source, visit_sources};

/// A series as a volume, with what ties it to its source.
#[derive(Clone, Debug)]
pub struct ImageSeries {
    /// Values on the grid of the stack where it is regular, else on a regular grid that covers it:
    /// HU for CT, the rescaled unit otherwise.
    pub image: Volume<f32>,
    /// Where the scanner's slices are: the truth, whatever the grid of the image.
    pub stack: SliceStack,
    /// How the image was made where the stack is no regular grid; `None` where slice `k` of the
    /// volume is frame `k`.
    pub resampled: Option<Resampled>,
    /// The source of each slice of the stack, in its order.
    pub frames: Vec<SourceFrame>,
    /// What a derived object must repeat of patient, study and equipment.
    pub header: Phi<SourceHeader>,
    /// Study Instance UID.
    pub study_uid: String,
    /// Series Instance UID.
    pub series_uid: String,
    /// `CT`, `MR` and so on.
    pub modality: String,
    /// Series Description.
    pub description: String,
    /// What a person must look at.
    pub findings: Vec<Finding>,
    /// What is worth knowing, but no cause for concern.
    pub notes: Vec<String>,
}

impl ImageSeries {
    /// Body Part Examined in DICOM's words, for example `HEAD`.
    pub fn body_part(&self) -> Option<String> {
        // It says what was scanned, not who.
        attribute::text(&self.header.reveal().data, tags::BODY_PART_EXAMINED)
    }
}

/// Why and how the image of a series was put on a grid that its frames do not lie on.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampled {
    /// The grid, and where the frames lie on it.
    pub cover: Cover,
    /// What is irregular, for a person to read: `the gantry was tilted by 18.5 degrees`.
    pub why: String,
}

/// The image from which a slice was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFrame {
    /// Its SOP class.
    pub sop_class_uid: String,
    /// Its UID.
    pub sop_instance_uid: String,
    /// Its number in the series, which says nothing about the order.
    pub instance_number: Option<i64>,
    /// Its number in its image, from 1, where the image has several frames.
    pub frame_number: Option<u32>,
    /// Its file, by the path below the input.
    pub label: String,
}

/// The header of one source image: patient, study, series and equipment as the scanner wrote them.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceHeader {
    pub(crate) data: DataSet,
}

/// Something that a person must look at before the result is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A word for machines, for example `file_left_out`.
    pub code: &'static str,
    /// One sentence without patient data.
    pub message: String,
}

/// What reading one slice gave besides its pixels.
struct SliceOutcome {
    rescale: Rescale,
    bits_stored: usize,
    lossy: bool,
    /// Small values are meant to be shown white (MONOCHROME1).
    inverted: bool,
    /// What the rescaled values are, where the header says so.
    unit: Option<String>,
}

/// Why one slice could not be read.
#[derive(Clone)]
struct SliceFailure {
    fault: Fault,
    reason: String,
}

/// Reads the pixels of a series.
///
/// Frames are sorted by position. A tilted or uneven stack is put on a regular grid that covers it
/// ([`ImageSeries::resampled`]). A file that turns out to be damaged is left out, as a finding; in
/// the middle of the stack it leaves a gap, which is bridged or, where it is too large, refused.
///
/// # Errors
/// [`DicomError::Unusable`] when the slices cannot be put on a grid or their pixels cannot be read,
/// [`DicomError::Limit`] when the volume would be too large.
pub fn load_series(
    series: &Series,
    limits: &Limits,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<ImageSeries, DicomError> {
    let stack = require_stack(series, limits)?;
    let order = &series.arrangement.order;
    progress.step(&format!("reading {} slices", order.len()));
    let mut values = require_room(series, stack.shape[0] * stack.shape[1] * order.len())?;
    let outcomes = read_slices(series, &mut values, limits, (progress, cancel))?;
    verify_copies(series, limits, cancel)?;
    let (kept, lost) = sort_out(series, &outcomes)?;
    let stack = if lost.is_empty() {
        stack.clone()
    } else {
        keep_frames(&mut values, &kept, stack.shape);
        place::restricted(series, stack, (&kept, &lost))?
    };
    let (image, resampled) = place::on_grid(series, &stack, values, limits)?;
    let read: Vec<&SliceOutcome> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().ok())
        .collect();
    let mut findings = remark::lost_files(series, &lost);
    let order_kept: Vec<FrameIndex> = kept.iter().map(|&k| order[k]).collect();
    findings.extend(remark::geometry(series, &order_kept, &stack));
    findings.extend(remark::assumptions(series, &read));
    let notes = remark::notes(series, &read);
    let middle = order_kept[order_kept.len() / 2].instance;
    Ok(ImageSeries {
        image,
        stack,
        resampled,
        frames: order_kept
            .iter()
            .map(|&index| source_frame(series, index))
            .collect(),
        header: Phi::new(read_header(series, middle, limits)?),
        study_uid: series.study_uid.clone(),
        series_uid: series.uid.clone(),
        modality: series.modality.clone(),
        description: series.description.clone(),
        findings,
        notes,
    })
}

/// What a person must look at that is known before pixels are read.
pub(crate) fn known_findings(series: &Series) -> Vec<Finding> {
    let mut findings = remark::lost_files(series, &[]);
    if let (Some(stack), None) = (&series.arrangement.stack, &series.arrangement.obstacle) {
        findings.extend(remark::geometry(series, &series.arrangement.order, stack));
    }
    findings
}

/// So many zeros. Compressed files of a few bytes may claim any size within the limits: where there is
/// no room for it, the series is refused instead of the process ended.
fn require_room(series: &Series, n_voxels: usize) -> Result<Vec<f32>, DicomError> {
    if Vec::<f32>::new().try_reserve_exact(n_voxels).is_err() {
        return Err(DicomError::Limit {
            what: format!(
                "series {} has {n_voxels} voxels, more than memory holds",
                series.uid
            ),
        });
    }
    Ok(vec![0.0; n_voxels])
}

fn unusable(series: &Series, fault: Fault, reason: String) -> DicomError {
    DicomError::Unusable {
        series_uid: series.uid.clone(),
        reason,
        fault,
    }
}

/// The stack of the series, if it is one and not too large.
fn require_stack<'a>(series: &'a Series, limits: &Limits) -> Result<&'a SliceStack, DicomError> {
    if let Some(obstacle) = &series.arrangement.obstacle {
        return Err(unusable(series, obstacle.fault, obstacle.reason.clone()));
    }
    let stack = series
        .arrangement
        .stack
        .as_ref()
        .ok_or_else(|| unusable(series, Fault::Unsupported, "it holds no images".to_owned()))?;
    let [columns, rows] = stack.shape;
    let n_voxels = columns as u64 * rows as u64 * stack.origins.len() as u64;
    if columns.max(rows) > limits.edge || n_voxels > limits.voxels {
        return Err(DicomError::Limit {
            what: format!(
                "series {} has {columns} x {rows} x {} voxels",
                series.uid,
                stack.origins.len()
            ),
        });
    }
    Ok(stack)
}

fn source_frame(series: &Series, index: FrameIndex) -> SourceFrame {
    let instance = &series.instances[index.instance];
    SourceFrame {
        sop_class_uid: instance.sop_class_uid.clone(),
        sop_instance_uid: instance.sop_instance_uid.clone(),
        instance_number: instance.number,
        frame_number: index.of(&series.instances).number,
        label: instance.source.label.clone(),
    }
}

type Outcome = Result<SliceOutcome, SliceFailure>;

/// A slice that was left out.
struct Lost {
    /// Its place in the stack as it should be.
    k: usize,
    /// Its frame.
    index: FrameIndex,
    reason: String,
}

/// A slice of the volume and the frame in its file that it comes from.
struct Wanted<'a> {
    k: usize,
    frame: &'a Frame,
    /// Position among the frames of the file.
    at: usize,
}

/// Reads all slices in parallel, each into its place; a file of many frames once.
fn read_slices(
    series: &Series,
    values: &mut [f32],
    limits: &Limits,
    work: (&dyn Progress, &Cancel),
) -> Result<Vec<Outcome>, DicomError> {
    let order = &series.arrangement.order;
    let files = by_file(series);
    let sources: Vec<&Source> = files
        .iter()
        .map(|(instance, _)| &series.instances[*instance].source)
        .collect();
    // Each slice is locked once, by the one worker that reads it.
    let slices: Vec<Mutex<&mut [f32]>> = values
        .chunks_exact_mut(values.len() / order.len())
        .map(Mutex::new)
        .collect();
    let shape = series.shape.unwrap_or_default();
    let read = visit_sources(&sources, limits, work, |n, reader, length| {
        read_frames(reader, length, (shape, limits), (&files[n].1, &slices))
    })?;
    let mut outcomes: Vec<Option<Outcome>> = order.iter().map(|_| None).collect();
    for ((_, wanted), read) in files.iter().zip(read) {
        let failed = |reason: String| wanted.iter().map(|_| Err(io_failure(&reason))).collect();
        let read: Vec<Outcome> = read.unwrap_or_else(failed);
        for (wanted, outcome) in wanted.iter().zip(read) {
            outcomes[wanted.k] = Some(outcome);
        }
    }
    let missing = || Err(io_failure("it was not read"));
    Ok(outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(missing))
        .collect())
}

fn io_failure(reason: &str) -> SliceFailure {
    SliceFailure {
        fault: Fault::Io,
        reason: reason.to_owned(),
    }
}

/// The slices by the instance that holds them, instances in the order of their first slice.
fn by_file(series: &Series) -> Vec<(usize, Vec<Wanted<'_>>)> {
    let mut position: HashMap<usize, usize> = HashMap::new();
    let mut files: Vec<(usize, Vec<Wanted<'_>>)> = Vec::new();
    for (k, index) in series.arrangement.order.iter().enumerate() {
        let n = *position.entry(index.instance).or_insert(files.len());
        if n == files.len() {
            files.push((index.instance, Vec::new()));
        }
        files[n].1.push(Wanted {
            k,
            frame: index.of(&series.instances),
            at: index.frame,
        });
    }
    files
}

/// Reads the frames of one file.
fn read_frames(
    reader: &mut dyn Read,
    length: u64,
    (shape, limits): ([usize; 2], &Limits),
    (wanted, slices): (&[Wanted<'_>], &[Mutex<&mut [f32]>]),
) -> Vec<Outcome> {
    let whole = read_file(reader, length, limits).and_then(|bytes| {
        let header = FileHeader::of(&bytes, limits).map_err(SliceFailure::from)?;
        let form = PixelForm::of(&header)?;
        if [form.columns, form.rows] != shape {
            return Err(SliceFailure {
                fault: Fault::Inconsistent,
                reason: "it changed while it was read".to_owned(),
            });
        }
        let pixels = Frames::of(&header, &bytes, form)?;
        // One file may hold the whole volume; its frames are then the work to share.
        let read = wanted.par_iter().map(|wanted| {
            let mut out = slices[wanted.k]
                .lock()
                .map_err(|_| io_failure("another worker failed on it"))?;
            read_frame((&header, form), &pixels, wanted, &mut out)
        });
        Ok(read.collect::<Vec<Outcome>>())
    });
    whole.unwrap_or_else(|failure| wanted.iter().map(|_| Err(failure.clone())).collect())
}

fn read_frame(
    (header, form): (&FileHeader, PixelForm),
    pixels: &Frames<'_>,
    wanted: &Wanted<'_>,
    out: &mut [f32],
) -> Outcome {
    let of_frame = wanted.frame.rescale.as_ref();
    let rescale = of_frame.map_or_else(|| Rescale::of(header), Rescale::of_frame);
    pixels.read(wanted.at, rescale, out)?;
    let unit = || attribute::text(&header.data, tags::RESCALE_TYPE);
    Ok(SliceOutcome {
        rescale,
        bits_stored: form.bits_stored,
        lossy: is_lossy(header),
        inverted: attribute::text(&header.data, tags::PHOTOMETRIC_INTERPRETATION)
            .is_some_and(|kind| kind == "MONOCHROME1"),
        unit: of_frame.map_or_else(unit, |frame| frame.unit.clone()),
    })
}

fn is_lossy(header: &FileHeader) -> bool {
    let flagged = attribute::text(&header.data, tags::LOSSY_IMAGE_COMPRESSION)
        .is_some_and(|flag| flag == "01");
    let process = matches!(
        header.transfer_syntax.as_str(),
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT | uids::JPEGLS_NEAR_LOSSLESS
    );
    flagged || process
}

/// The whole file; a claimed length larger than the limit or than the file is not believed.
fn read_file(reader: &mut dyn Read, length: u64, limits: &Limits) -> Result<Vec<u8>, SliceFailure> {
    if length > limits.file_bytes {
        return Err(SliceFailure {
            fault: Fault::Limit,
            reason: format!("it has {length} bytes, more than the limit"),
        });
    }
    // Room for the claimed length is only made while it is modest.
    let mut bytes = Vec::with_capacity(length.min(8 << 20) as usize);
    match reader.take(limits.file_bytes).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(SliceFailure {
            fault: Fault::Io,
            reason: error.to_string(),
        }),
    }
}

/// The frames that were read, one after the other.
fn keep_frames(values: &mut Vec<f32>, kept: &[usize], shape: [usize; 2]) {
    let n = shape[0] * shape[1];
    for (to, &from) in kept.iter().enumerate() {
        values.copy_within(from * n..(from + 1) * n, to * n);
    }
    values.truncate(kept.len() * n);
}

/// More than this share of a series lost is no series any more.
const MOST_LOST: f64 = 0.5;

/// Slices that were read, and those that are damaged.
fn sort_out(series: &Series, outcomes: &[Outcome]) -> Result<(Vec<usize>, Vec<Lost>), DicomError> {
    let name = |k: usize| series.arrangement.order[k].name(&series.instances);
    let (mut kept, mut lost) = (Vec::new(), Vec::new());
    for (k, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(_) => kept.push(k),
            Err(failure) => lost.push((k, failure)),
        }
    }
    // What is not damaged but not supported concerns the whole series, wherever it lies.
    let hopeless = lost
        .iter()
        .find(|(_, failure)| !matches!(failure.fault, Fault::Malformed | Fault::Io));
    let too_many = lost.len() as f64 > MOST_LOST * outcomes.len() as f64;
    if let Some((k, failure)) = hopeless.or(lost.first().filter(|_| too_many)) {
        let others = match lost.len() - 1 {
            0 => String::new(),
            more => format!("; {more} more slices cannot be read either"),
        };
        return Err(unusable(
            series,
            failure.fault,
            format!("{}: {}{others}", name(*k), failure.reason),
        ));
    }
    let lost = lost.into_iter().map(|(k, failure)| Lost {
        k,
        index: series.arrangement.order[k],
        reason: failure.reason.clone(),
    });
    Ok((kept, lost.collect()))
}

/// Copies of an instance must be copies: the same bytes.
fn verify_copies(series: &Series, limits: &Limits, cancel: &Cancel) -> Result<(), DicomError> {
    let pairs = series
        .set_aside
        .iter()
        .filter_map(|aside| Some((aside.index.instance, aside.copy_of?)));
    for (copy, original) in pairs {
        let sources = [copy, original].map(|index| &series.instances[index].source);
        let work: (&dyn Progress, &Cancel) = (&prosect_base::Silent, cancel);
        let bytes = visit_sources(&sources, limits, work, |_, reader, length| {
            read_file(reader, length, limits).ok()
        })?;
        if bytes[0] != bytes[1] {
            let [a, b] = sources.map(|source| &source.label);
            let reason = format!(
                "files {a} and {b} have the same SOP Instance UID, but not the same content; leave one of them out"
            );
            return Err(unusable(series, Fault::Inconsistent, reason));
        }
    }
    Ok(())
}

fn read_header(series: &Series, index: usize, limits: &Limits) -> Result<SourceHeader, DicomError> {
    let source = &series.instances[index].source;
    let work: (&dyn Progress, &Cancel) = (&prosect_base::Silent, &Cancel::new());
    let mut read = visit_sources(&[source], limits, work, |_, reader, length| {
        FileHeader::read(reader, length, limits)
    })?;
    match read.pop() {
        Some(Ok(Ok(header))) => Ok(SourceHeader { data: header.data }),
        _ => Err(DicomError::Io {
            label: source.label.clone(),
            reason: "it changed while it was read".to_owned(),
        }),
    }
}

impl From<PixelFailure> for SliceFailure {
    fn from(failure: PixelFailure) -> Self {
        Self {
            fault: failure.fault,
            reason: failure.reason,
        }
    }
}

impl From<HeaderFailure> for SliceFailure {
    fn from(failure: HeaderFailure) -> Self {
        let (fault, reason) = match failure {
            HeaderFailure::NotDicom => (Fault::Malformed, "it is no DICOM file".to_owned()),
            HeaderFailure::Broken { reason, .. } => (Fault::Malformed, reason),
            HeaderFailure::Limit(reason) => (Fault::Limit, reason),
            HeaderFailure::Io(reason) => (Fault::Io, reason),
        };
        Self { fault, reason }
    }
}
