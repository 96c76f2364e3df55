//! The frames of one instance whose bytes are in memory: where each is, and its values.

use std::borrow::Cow;
use std::ops::Range;

use dicom_dictionary_std::uids;

use super::fragment::Fragments;
use super::{PixelFailure, PixelForm, Rescale, native};
use crate::file::{EXPLICIT_VR_BIG_ENDIAN, FileHeader};
use crate::name;
use crate::worker::image_samples;

/// The frames of one instance. Finding them costs little; each is decoded when it is read, by any
/// thread.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    /// The bytes in which the frames lie: the file, or the inflated data set.
    body: Cow<'a, [u8]>,
    transfer_syntax: &'a str,
    form: PixelForm,
    order: native::Order,
    places: Places,
}

/// Where frames are in the body.
#[derive(Debug)]
enum Places {
    /// One behind the other.
    Native { offset: usize, n_frames: usize },
    /// Each in one fragment or several.
    Encapsulated(Vec<Vec<Range<usize>>>),
}

impl<'a> Frames<'a> {
    /// Finds the frames in a whole file. What a header claims is compared with the bytes that are there.
    pub(crate) fn of(
        header: &'a FileHeader,
        file: &'a [u8],
        form: PixelForm,
    ) -> Result<Self, PixelFailure> {
        let pixel = header
            .pixel
            .ok_or_else(|| PixelFailure::malformed("it has no pixel data"))?;
        let n_frames = header.n_frames();
        let size = form.n_bytes().saturating_mul(n_frames);
        let needed = pixel.offset.saturating_add(size);
        let body = header.body(file, needed)?;
        let places = if pixel.length.is_some() {
            require_native(&header.transfer_syntax)?;
            if body.len() < needed {
                return Err(PixelFailure::malformed("its pixel data are truncated"));
            }
            Places::Native {
                offset: pixel.offset,
                n_frames,
            }
        } else {
            let fragments = Fragments::find(&body, pixel.offset)?;
            Places::Encapsulated(fragments.by_frame(&body, n_frames, &header.extended_offsets())?)
        };
        let order = native::Order {
            big_endian: header.big_endian(),
            swapped_pairs: header.big_endian() && pixel.words,
        };
        Ok(Self {
            body,
            transfer_syntax: &header.transfer_syntax,
            form,
            order,
            places,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match &self.places {
            Places::Native { n_frames, .. } => *n_frames,
            Places::Encapsulated(frames) => frames.len(),
        }
    }

    /// Reads frame `index`, counted from 0, and writes rescaled values, one for each pixel of `out`.
    pub(crate) fn read(
        &self,
        index: usize,
        rescale: Rescale,
        out: &mut [f32],
    ) -> Result<(), PixelFailure> {
        self.visit(index, out, |number| {
            (number as f64 * rescale.slope + rescale.intercept) as f32
        })
    }

    /// The stored values of frame `index`, counted from 0.
    pub(crate) fn stored(&self, index: usize) -> Result<Vec<i64>, PixelFailure> {
        let mut out = vec![0; self.form.n_pixels()];
        self.visit(index, &mut out, |number| number)?;
        Ok(out)
    }

    fn visit<T>(
        &self,
        index: usize,
        out: &mut [T],
        value: impl Fn(i64) -> T,
    ) -> Result<(), PixelFailure> {
        let form = self.form;
        if index >= self.len() || out.len() != form.n_pixels() {
            return Err(PixelFailure::malformed(format!(
                "it has no frame {} of {} pixels",
                index + 1,
                out.len()
            )));
        }
        match &self.places {
            Places::Native { offset, .. } => {
                let begin = offset + index * form.n_bytes();
                let bytes = &self.body[begin..begin + form.n_bytes()];
                native::read(bytes, form, self.order, (out, value))
            }
            Places::Encapsulated(frames) => {
                let fragments = frames[index].iter().map(|range| &self.body[range.clone()]);
                let image = fragments.collect::<Vec<&[u8]>>();
                let samples = match image.as_slice() {
                    [whole] => image_samples(self.transfer_syntax, whole, form)?,
                    parts => image_samples(self.transfer_syntax, &parts.concat(), form)?,
                };
                for (out, &sample) in out.iter_mut().zip(&samples) {
                    *out = value(form.number(sample));
                }
                Ok(())
            }
        }
    }
}

fn require_native(transfer_syntax: &str) -> Result<(), PixelFailure> {
    let native = [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ];
    if native.contains(&transfer_syntax) {
        return Ok(());
    }
    let name = name::of_uid(transfer_syntax);
    Err(PixelFailure::malformed(format!(
        "it declares {name}, but its pixel data are not encapsulated"
    )))
}
