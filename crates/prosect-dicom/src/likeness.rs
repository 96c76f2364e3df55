//! Whether images of one place that nothing in their headers tells apart have the same pixels.

use std::collections::BTreeMap;
use std::io::Read;

use prosect_base::{Cancel, Limits, Progress};
use sha2::{Digest, Sha256};

use crate::arrange::{Arranged, FrameIndex, arrange};
use crate::error::DicomError;
use crate::file::FileHeader;
use crate::frame::Frame;
use crate::instance::Instance;
use crate::pixel::{Frames, PixelForm, Rescale};
use crate::source::{Source, visit_sources};

/// Sorts the images of one series into stacks; where headers are not enough, pixels are compared.
pub(crate) fn arrange_by_pixels(
    instances: &mut [Instance],
    limits: &Limits,
    work: (&dyn Progress, &Cancel),
) -> Result<Arranged, DicomError> {
    let arranged = arrange(instances);
    if arranged.unknown.is_empty() {
        return Ok(arranged);
    }
    work.0.step(&format!(
        "comparing {} images that lie where others do",
        arranged.unknown.len()
    ));
    let mut files: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for FrameIndex { instance, frame } in arranged.unknown {
        files.entry(instance).or_default().push(frame);
    }
    let files: Vec<(usize, Vec<usize>)> = files.into_iter().collect();
    let sources: Vec<&Source> = files.iter().map(|(n, _)| &instances[*n].source).collect();
    let hashed = visit_sources(&sources, limits, work, |n, reader, _| {
        hash_frames(reader, limits, (&instances[files[n].0], &files[n].1))
    })?;
    for ((instance, frames), hashes) in files.iter().zip(hashed) {
        for (n, &frame) in frames.iter().enumerate() {
            let known = hashes.as_ref().ok().and_then(|hashes| *hashes.get(n)?);
            // What cannot be read is like nothing else.
            let alone = || {
                let uid = instances[*instance].sop_instance_uid.as_bytes();
                Sha256::new()
                    .chain_update(uid)
                    .chain_update(frame.to_le_bytes())
                    .finalize()
                    .into()
            };
            let hash = known.unwrap_or_else(alone);
            instances[*instance].frames[frame].pixels = Some(hash);
        }
    }
    Ok(arrange(instances))
}

fn hash_frames(
    reader: &mut dyn Read,
    limits: &Limits,
    (instance, frames): (&Instance, &[usize]),
) -> Vec<Option<[u8; 32]>> {
    let mut bytes = Vec::new();
    let unknown = || vec![None; frames.len()];
    if reader
        .take(limits.file_bytes)
        .read_to_end(&mut bytes)
        .is_err()
    {
        return unknown();
    }
    let Ok(header) = FileHeader::of(&bytes, limits) else {
        return unknown();
    };
    let Ok(form) = PixelForm::of(&header) else {
        return unknown();
    };
    let Ok(pixels) = Frames::of(&header, &bytes, form) else {
        return unknown();
    };
    let hash = |&n: &usize| {
        let frame: &Frame = &instance.frames[n];
        let rescale = frame
            .rescale
            .as_ref()
            .map_or_else(|| Rescale::of(&header), Rescale::of_frame);
        // What stored numbers mean belongs to them.
        let mut hasher = Sha256::new().chain_update(format!("{form:?} {rescale:?}"));
        for number in pixels.stored(n).ok()? {
            hasher.update(number.to_le_bytes());
        }
        Some(hasher.finalize().into())
    };
    frames.iter().map(hash).collect()
}
