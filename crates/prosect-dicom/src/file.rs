//! DICOM files (PS3.10): preamble, file meta information and the header of the data set.
//! Files without preamble or meta information are read when their first element leaves no doubt.

use std::borrow::Cow;
use std::io::Read;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use flate2::read::DeflateDecoder;
use prosect_base::Limits;

use crate::attribute;
use crate::pixel::PixelFailure;
use crate::reader::{DataSet, Halt, Layout, PixelElement, Reader};
use crate::sniff;
use crate::worker;

/// A transfer syntax that is retired, but still met (PS3.5 A.3).
pub(crate) const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// What stands before the pixel data.
#[derive(Clone, Debug)]
pub(crate) struct FileHeader {
    /// UID of the transfer syntax, as written or as found out.
    pub(crate) transfer_syntax: String,
    /// The attributes of use.
    pub(crate) data: DataSet,
    /// Where the pixel data are, in the file or, when it is deflated, in the inflated data set.
    pub(crate) pixel: Option<PixelElement>,
    /// Offset of the data set in the file.
    pub(crate) start: usize,
    /// Some text could not be decoded surely.
    pub(crate) unsure_text: bool,
}

/// Why a file gives no header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFailure {
    /// It is no DICOM file, and does not look as if it should be one.
    NotDicom,
    /// It is DICOM, but damaged. The series is known when the damage comes after its UID.
    Broken {
        reason: String,
        series_uid: Option<String>,
    },
    /// It goes over a limit.
    Limit(String),
    /// The machine failed.
    Io(String),
}

/// A header is read in steps, as most are small: 32 KiB first, then twice as much each time.
const FIRST_STEP: usize = 32 << 10;
/// No header that Prosect reads is longer; multi-frame objects with many functional groups reach tens of MiB.
const LONGEST_HEADER: usize = 512 << 20;
/// Length of the preamble with its mark (PS3.10 7.1).
const PREAMBLE: usize = 132;

impl FileHeader {
    /// Reads the header from a file of `total` bytes.
    pub(crate) fn read(
        file: &mut dyn Read,
        total: u64,
        limits: &Limits,
    ) -> Result<Self, HeaderFailure> {
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        let mut wanted = FIRST_STEP.min(total);
        loop {
            fill(file, &mut bytes, wanted)?;
            // A file that ends early is as long as it is.
            let total = if bytes.len() < wanted {
                bytes.len()
            } else {
                total
            };
            worker::try_header(&bytes, total, (limits, Keep::Header))?;
            match Self::parse(&bytes, total, (limits, Keep::Header)) {
                Err(Stop::NeedMore(n)) => {
                    if n > LONGEST_HEADER {
                        return Err(HeaderFailure::Limit(format!(
                            "its header is longer than {} MiB",
                            LONGEST_HEADER >> 20
                        )));
                    }
                    wanted = n.max(2 * bytes.len()).min(total);
                }
                Err(Stop::Failed(failure)) => return Err(failure),
                Ok(header) => return Ok(header),
            }
        }
    }

    /// Parses what a worker is given, for its own sake: whether it can be done at all.
    pub(crate) fn rehearse(bytes: &[u8], total: usize, wish: (&Limits, Keep)) {
        let _ = Self::parse(bytes, total, wish);
    }

    /// Reads the header from a whole file that [`FileHeader::read`] has read before, so that no worker
    /// needs to see it again.
    pub(crate) fn of(bytes: &[u8], limits: &Limits) -> Result<Self, HeaderFailure> {
        match Self::parse(bytes, bytes.len(), (limits, Keep::Header)) {
            Ok(header) => Ok(header),
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::NeedMore(_)) => Err(broken("the file ends within its header", None)),
        }
    }

    /// Reads every standard element before the pixel data from a whole file.
    pub(crate) fn everything_of(bytes: &[u8], limits: &Limits) -> Result<Self, HeaderFailure> {
        let wish = (limits, Keep::Everything);
        let mut wanted = FIRST_STEP.min(bytes.len());
        loop {
            worker::try_header(&bytes[..wanted], bytes.len(), wish)?;
            match Self::parse(&bytes[..wanted], bytes.len(), wish) {
                Ok(header) => return Ok(header),
                Err(Stop::Failed(failure)) => return Err(failure),
                Err(Stop::NeedMore(n)) if wanted < bytes.len() => {
                    wanted = n.max(2 * wanted).min(bytes.len());
                }
                Err(Stop::NeedMore(_)) => {
                    return Err(broken("the file ends within its header", None));
                }
            }
        }
    }

    fn parse(bytes: &[u8], total: usize, (limits, keep): (&Limits, Keep)) -> Result<Self, Stop> {
        let begin = recognize(bytes).ok_or(Stop::Failed(HeaderFailure::NotDicom))?;
        let (at, guessed) = match begin {
            Begin::Preamble => (PREAMBLE, false),
            Begin::Meta => (0, false),
            Begin::DataSet => (0, true),
        };
        let mut meta = DataSet::new_empty();
        let mut start = at;
        if !guessed {
            let mut reader = Reader::new(bytes, total, at, Layout::EXPLICIT_LE, limits.depth);
            meta = reader.meta().map_err(|halt| Stop::from(halt, None))?;
            start = reader.position();
        }
        let declared = attribute::text(&meta, tags::TRANSFER_SYNTAX_UID);
        let is_declared = declared.is_some();
        let transfer_syntax = match declared {
            Some(uid) => uid,
            None => guess_syntax(bytes.get(start..).unwrap_or_default()).to_owned(),
        };
        let mut header = Self {
            transfer_syntax,
            data: DataSet::new_empty(),
            pixel: None,
            start,
            unsure_text: false,
        };
        let outcome = header.read_data_set(bytes, total, (limits, keep));
        if guessed
            && attribute::text(&header.data, tags::SOP_CLASS_UID).is_none()
            && !matches!(outcome, Err(Halt::NeedMore(_)))
        {
            return Err(Stop::Failed(HeaderFailure::NotDicom));
        }
        let series = attribute::text(&header.data, tags::SERIES_INSTANCE_UID);
        outcome.map_err(|halt| Stop::from(halt, series))?;
        if !is_declared {
            header.guess_compression(bytes, total)?;
        }
        header.complete_from(&meta);
        Ok(header)
    }

    /// Without a declared transfer syntax, compressed pixel data say themselves what they are.
    fn guess_compression(&mut self, bytes: &[u8], total: usize) -> Result<(), Stop> {
        let Some(PixelElement {
            offset,
            length: None,
            ..
        }) = self.pixel
        else {
            return Ok(());
        };
        let wanted = offset.saturating_add(sniff::LOOK).min(total);
        if bytes.len() < wanted {
            return Err(Stop::NeedMore(wanted));
        }
        if let Some(found) = sniff::sniff(bytes, offset) {
            found.clone_into(&mut self.transfer_syntax);
        }
        Ok(())
    }

    /// Some anonymizers empty the identity of the data set, but leave it in the meta information.
    fn complete_from(&mut self, meta: &DataSet) {
        let pairs = [
            (tags::SOP_CLASS_UID, tags::MEDIA_STORAGE_SOP_CLASS_UID),
            (tags::SOP_INSTANCE_UID, tags::MEDIA_STORAGE_SOP_INSTANCE_UID),
        ];
        for (tag, media_tag) in pairs {
            if let (None, Some(uid)) = (
                attribute::text(&self.data, tag),
                attribute::text(meta, media_tag),
            ) {
                self.data
                    .put(DataElement::new(tag, VR::UI, PrimitiveValue::from(uid)));
            }
        }
    }

    fn read_data_set(
        &mut self,
        bytes: &[u8],
        total: usize,
        (limits, keep): (&Limits, Keep),
    ) -> Result<(), Halt> {
        let rest = bytes.get(self.start..).unwrap_or_default();
        if self.transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
            if bytes.len() < total {
                return Err(Halt::NeedMore(total));
            }
            return self.read_deflated(rest, (limits, keep));
        }
        let layout = layout_of(&self.transfer_syntax, rest);
        let mut reader = keep.on(Reader::new(bytes, total, self.start, layout, limits.depth));
        let outcome = reader.data_set(&mut self.data);
        self.unsure_text = reader.unsure_text;
        self.pixel = outcome?;
        Ok(())
    }

    /// Inflates as much as the header needs.
    fn read_deflated(
        &mut self,
        compressed: &[u8],
        (limits, keep): (&Limits, Keep),
    ) -> Result<(), Halt> {
        let mut wanted = FIRST_STEP;
        loop {
            let inflated = inflate(compressed, wanted).map_err(Halt::Broken)?;
            let total = if inflated.len() < wanted {
                inflated.len()
            } else {
                usize::MAX
            };
            let reader = Reader::new(&inflated, total, 0, Layout::EXPLICIT_LE, limits.depth);
            let mut reader = keep.on(reader);
            self.data = DataSet::new_empty();
            match reader.data_set(&mut self.data) {
                Err(Halt::NeedMore(n)) if n <= LONGEST_HEADER && total == usize::MAX => {
                    wanted = n.max(2 * wanted);
                }
                Err(Halt::NeedMore(_)) => {
                    return Err(Halt::Limit("its header is too long".to_owned()));
                }
                Err(halt) => return Err(halt),
                Ok(pixel) => {
                    self.unsure_text = reader.unsure_text;
                    self.pixel = pixel;
                    return Ok(());
                }
            }
        }
    }

    /// The bytes in which the pixel data lie at [`PixelElement::offset`]: those of the file, or the
    /// first `needed` of the inflated data set.
    pub(crate) fn body<'a>(
        &self,
        file: &'a [u8],
        needed: usize,
    ) -> Result<Cow<'a, [u8]>, PixelFailure> {
        if self.transfer_syntax != uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
            return Ok(Cow::Borrowed(file));
        }
        let deflated = file.get(self.start..).unwrap_or_default();
        worker::inflated(deflated, needed).map(Cow::Owned)
    }

    /// How many frames the header claims, at least one.
    pub(crate) fn n_frames(&self) -> usize {
        attribute::count(&self.data, tags::NUMBER_OF_FRAMES)
            .unwrap_or(1)
            .max(1)
    }

    /// The Extended Offset Table (PS3.5 A.4), or nothing.
    pub(crate) fn extended_offsets(&self) -> Vec<u64> {
        let table = self.data.get(tags::EXTENDED_OFFSET_TABLE);
        table
            .and_then(|element| element.to_multi_int().ok())
            .unwrap_or_default()
    }

    /// Whether numbers are written most significant byte first.
    pub(crate) fn big_endian(&self) -> bool {
        self.transfer_syntax == EXPLICIT_VR_BIG_ENDIAN
    }
}

/// What is kept of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// What tells one image from another, and what is copied from it.
    Header,
    /// Every standard element.
    Everything,
}

impl Keep {
    fn on(self, reader: Reader<'_>) -> Reader<'_> {
        match self {
            Self::Header => reader,
            Self::Everything => reader.keeping_everything(),
        }
    }
}

/// Why parsing stopped.
enum Stop {
    NeedMore(usize),
    Failed(HeaderFailure),
}

impl Stop {
    fn from(halt: Halt, series_uid: Option<String>) -> Self {
        match halt {
            Halt::NeedMore(n) => Self::NeedMore(n),
            Halt::Broken(reason) => Self::Failed(HeaderFailure::Broken { reason, series_uid }),
            Halt::Limit(reason) => Self::Failed(HeaderFailure::Limit(reason)),
        }
    }
}

fn broken(reason: &str, series_uid: Option<String>) -> HeaderFailure {
    HeaderFailure::Broken {
        reason: reason.to_owned(),
        series_uid,
    }
}

fn fill(file: &mut dyn Read, bytes: &mut Vec<u8>, wanted: usize) -> Result<(), HeaderFailure> {
    let missing = wanted.saturating_sub(bytes.len()) as u64;
    match file.take(missing).read_to_end(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(HeaderFailure::Io(error.to_string())),
    }
}

/// The first `n` bytes of what was deflated.
pub(crate) fn inflate(compressed: &[u8], n: usize) -> Result<Vec<u8>, String> {
    let mut inflated = Vec::new();
    match DeflateDecoder::new(compressed)
        .take(n as u64)
        .read_to_end(&mut inflated)
    {
        Ok(_) => Ok(inflated),
        Err(_) => Err("its deflated data are damaged".to_owned()),
    }
}

/// How a file begins.
enum Begin {
    Preamble,
    Meta,
    DataSet,
}

fn recognize(bytes: &[u8]) -> Option<Begin> {
    if bytes.get(128..PREAMBLE) == Some(b"DICM") {
        return Some(Begin::Preamble);
    }
    match bytes.get(..8)? {
        [0x02, 0x00, element, 0x00, b'U' | b'O', _, ..] if *element <= 0x10 => Some(Begin::Meta),
        // A data set begins with group 0008 and an element below 0080; the value is short.
        [0x08, 0x00, element, 0x00, a, b, ..]
            if *element < 0x80 && VR::from_binary([*a, *b]).is_some() =>
        {
            Some(Begin::DataSet)
        }
        [0x00, 0x08, 0x00, element, a, b, ..]
            if *element < 0x80 && VR::from_binary([*a, *b]).is_some() =>
        {
            Some(Begin::DataSet)
        }
        [0x08, 0x00, element, 0x00, length, 0x00, 0x00, 0x00]
            if *element < 0x80 && *length <= 64 =>
        {
            Some(Begin::DataSet)
        }
        _ => None,
    }
}

/// The uncompressed transfer syntax that the first element of a data set shows.
fn guess_syntax(data_set: &[u8]) -> &'static str {
    let lettered = |b: &[u8]| b.len() >= 6 && VR::from_binary([b[4], b[5]]).is_some();
    match data_set {
        [0x00, 0x08, ..] if lettered(data_set) => EXPLICIT_VR_BIG_ENDIAN,
        _ if lettered(data_set) => uids::EXPLICIT_VR_LITTLE_ENDIAN,
        _ => uids::IMPLICIT_VR_LITTLE_ENDIAN,
    }
}

/// The layout that a transfer syntax means. Some writers declare explicit value representations
/// and write none, or the reverse; the first element settles it.
pub(crate) fn layout_of(transfer_syntax: &str, data_set: &[u8]) -> Layout {
    let first_is_implicit =
        data_set.len() >= 8 && guess_syntax(data_set) == uids::IMPLICIT_VR_LITTLE_ENDIAN;
    match transfer_syntax {
        EXPLICIT_VR_BIG_ENDIAN => Layout::EXPLICIT_BE,
        uids::IMPLICIT_VR_LITTLE_ENDIAN if data_set.len() < 8 => Layout::IMPLICIT_LE,
        _ if first_is_implicit => Layout::IMPLICIT_LE,
        _ => Layout::EXPLICIT_LE,
    }
}

#[cfg(test)]
mod tests {
    use prosect_base::Limits;

    use super::{FileHeader, HeaderFailure};

    const SOP_CLASS: &[u8] = b"\x08\x00\x16\x00UI\x04\x001.2\0";
    const SERIES: &[u8] = b"\x20\x00\x0e\x00UI\x04\x003.4\0";

    #[track_caller]
    fn check(parts: &[&[u8]], expected: &str) {
        let bytes = parts.concat();
        let outcome = FileHeader::read(
            &mut bytes.as_slice(),
            bytes.len() as u64,
            &Limits::default(),
        );
        let got = match outcome {
            Ok(header) => format!("{} {:?}", header.transfer_syntax, header.pixel),
            Err(failure) => format!("{failure:?}"),
        };
        assert!(got.contains(expected), "{got} does not say {expected}");
    }

    #[test]
    fn files_are_recognized_with_and_without_preamble() {
        let preamble = [&[0; 128][..], b"DICM"].concat();
        let meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0";
        check(&[&preamble, meta, SOP_CLASS], "1.2.840.10008.1.2.1 None");
        check(&[meta, SOP_CLASS], "1.2.840.10008.1.2.1 None");
        check(&[&preamble, SOP_CLASS], "1.2.840.10008.1.2.1 None");
        check(&[SOP_CLASS], "1.2.840.10008.1.2.1 None");
        check(
            &[b"\x08\x00\x16\x00\x04\0\0\x001.2\0"],
            "1.2.840.10008.1.2 None",
        );
        // Declared as JPEG, whose data sets have letters, and written without.
        let jpeg = b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.4.50";
        check(
            &[&preamble, jpeg, b"\x08\x00\x16\x00\x04\0\0\x001.2\0"],
            "1.2.840.10008.1.2.4.50 None",
        );
        check(
            &[b"\x00\x08\x00\x16UI\x00\x041.2\0"],
            "1.2.840.10008.1.2.2 None",
        );
    }

    #[test]
    fn other_files_are_no_dicom_and_damaged_ones_are_broken() {
        check(&[b"just a text that is long enough to be read"], "NotDicom");
        check(&[b""], "NotDicom");
        check(&[b"\x08\x00\x16\x00\x04\0\0\x00"], "NotDicom");
        check(
            &[SOP_CLASS, SERIES, b"\x20\x00\x13\x00IS\x20\x007 "],
            "series_uid: Some(\"3.4\")",
        );
    }

    #[test]
    fn a_long_header_is_read_in_steps() {
        let long = [&b"\x09\x00\x10\x00UN\0\0\0\0\x02\0"[..], &vec![0; 2 << 16]].concat();
        check(
            &[SOP_CLASS, &long, b"\xe0\x7f\x10\x00OW\0\0\x02\0\0\0ab"],
            "offset: 131108, length: Some(2)",
        );
        let bytes = [SOP_CLASS, &long, SERIES].concat();
        let outcome = FileHeader::read(
            &mut &bytes[..40_000],
            bytes.len() as u64,
            &Limits::default(),
        );
        assert!(
            matches!(outcome, Err(HeaderFailure::Broken { .. })),
            "{outcome:?}"
        );
    }
}
