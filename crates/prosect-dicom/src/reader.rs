//! Data elements from bytes, up to the pixel data (PS3.5 chapter 7).
//!
//! The structure is read here and not by dicom-rs, because that trusts declared lengths. Nothing
//! is allocated by a declared length: a value is only read when its bytes are really there.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::value::{C, DataSetSequence};
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::InMemDicomObject;

use crate::attribute;
use crate::charset::Charset;

/// The elements of a data set or an item.
pub(crate) type DataSet = InMemDicomObject;

/// How elements are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Value representations are written.
    pub(crate) explicit: bool,
    /// Most significant byte first.
    pub(crate) big_endian: bool,
}

impl Layout {
    /// The layout of file meta information and of most files.
    pub(crate) const EXPLICIT_LE: Self = Self {
        explicit: true,
        big_endian: false,
    };
    /// The default transfer syntax.
    pub(crate) const IMPLICIT_LE: Self = Self {
        explicit: false,
        big_endian: false,
    };
    /// Retired, but still met.
    pub(crate) const EXPLICIT_BE: Self = Self {
        explicit: true,
        big_endian: true,
    };
}

/// Why reading stopped before the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The file is longer than what was read of it: read up to this offset and come again.
    NeedMore(usize),
    /// The bytes break the format; the reason names the element.
    Broken(String),
    /// Nested deeper or longer than the limits allow.
    Limit(String),
}

/// Where the pixel data are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PixelElement {
    /// Pixel Data, or one of the two float forms.
    pub(crate) tag: Tag,
    /// Offset of the value.
    pub(crate) offset: usize,
    /// Length of the value in bytes; `None` when it is encapsulated in fragments.
    pub(crate) length: Option<u32>,
    /// Written as words of two bytes (OW), which matters for samples of one byte in big endian.
    pub(crate) words: bool,
}

/// Values longer than this are skipped: no attribute that Prosect uses comes near it.
const LONGEST_VALUE: usize = 1 << 16;
/// Most items kept of one object: a body of 120 structures on 3,000 slices has two million. An empty
/// item has eight bytes in a file and a hundred times that in memory.
const MOST_ITEMS: usize = 1 << 22;
/// Multi-frame objects of some thousand frames have some hundred thousand values.
const MOST_KEPT: usize = 4_000_000;
/// The contours of large structure sets have some million numbers.
const MOST_NUMBERS: usize = 1 << 26;
const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// Reads elements from the part of a file that is in memory.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    /// The first bytes of the file.
    bytes: &'a [u8],
    /// Length of the whole file.
    total: usize,
    at: usize,
    layout: Layout,
    depth: usize,
    charset: Charset,
    /// Inside a sequence that nobody wants: its elements are checked, but not kept.
    discarding: bool,
    /// Items that may still be kept, where every element is wanted; `None` where only headers are.
    items_left: Option<usize>,
    /// Values and items kept so far: each takes far more memory than it takes bytes in a file.
    kept: usize,
    /// Some text could not be decoded.
    pub(crate) unsure_text: bool,
}

impl<'a> Reader<'a> {
    /// Reads from offset `at` of a file of `total` bytes, of which the first are in `bytes`.
    pub(crate) fn new(
        bytes: &'a [u8],
        total: usize,
        at: usize,
        layout: Layout,
        depth: usize,
    ) -> Self {
        Self {
            bytes,
            total,
            at,
            layout,
            depth,
            charset: Charset::default(),
            discarding: false,
            items_left: None,
            kept: 0,
            unsure_text: false,
        }
    }

    /// Keeps every standard element, however long, and all its items: for objects whose content
    /// lies in the data set itself, such as segmentations and contours.
    pub(crate) fn keeping_everything(mut self) -> Self {
        self.items_left = Some(MOST_ITEMS);
        self
    }

    /// Where the next element starts.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// File meta information: the elements of group 0002.
    pub(crate) fn meta(&mut self) -> Result<DataSet, Halt> {
        let mut meta = DataSet::new_empty();
        while self.at + 8 <= self.total {
            if self.peek(2)? != [0x02, 0x00] {
                break;
            }
            self.element(&mut meta, true)?;
        }
        Ok(meta)
    }

    /// The elements up to the pixel data go into `data`, so that a broken file still tells what it is.
    pub(crate) fn data_set(&mut self, data: &mut DataSet) -> Result<Option<PixelElement>, Halt> {
        while self.at < self.total {
            if self.total - self.at < 8 {
                // Some writers pad to an even or a block length.
                let rest = self.total - self.at;
                let padding = self.peek(rest)?.iter().all(|&b| b == 0);
                return if padding {
                    Ok(None)
                } else {
                    Err(self.broken("the file ends within an element"))
                };
            }
            if let Some(pixel) = self.element(data, false)? {
                return Ok(Some(pixel));
            }
        }
        Ok(None)
    }

    fn broken(&self, what: &str) -> Halt {
        Halt::Broken(format!("{what} (byte {})", self.at))
    }

    fn peek(&self, n: usize) -> Result<&'a [u8], Halt> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.total);
        let end = end.ok_or_else(|| self.broken("the file ends within an element"))?;
        self.bytes.get(self.at..end).ok_or(Halt::NeedMore(end))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Halt> {
        let bytes = self.peek(n)?;
        self.at += n;
        Ok(bytes)
    }

    fn skip(&mut self, n: usize, tag: Tag) -> Result<(), Halt> {
        let left = self.total - self.at;
        if n > left {
            return Err(self.broken(&format!("element {tag} claims {n} bytes, but the file has {left} more; it is truncated or damaged")));
        }
        self.at += n;
        Ok(())
    }

    fn u16(&mut self) -> Result<u16, Halt> {
        let b = self.take(2)?;
        Ok(if self.layout.big_endian {
            u16::from_be_bytes([b[0], b[1]])
        } else {
            u16::from_le_bytes([b[0], b[1]])
        })
    }

    fn u32(&mut self) -> Result<u32, Halt> {
        let b = self.take(4)?;
        let b = [b[0], b[1], b[2], b[3]];
        Ok(if self.layout.big_endian {
            u32::from_be_bytes(b)
        } else {
            u32::from_le_bytes(b)
        })
    }

    /// Tag, value representation and length. Delimiters have no value representation.
    fn header(&mut self) -> Result<(Tag, VR, u32), Halt> {
        let tag = Tag(self.u16()?, self.u16()?);
        if tag.0 == 0xFFFE {
            return Ok((tag, VR::UN, self.u32()?));
        }
        if !self.layout.explicit {
            return Ok((tag, known_vr(tag), self.u32()?));
        }
        let letters = self.take(2)?;
        let Some(vr) = VR::from_binary([letters[0], letters[1]]) else {
            return Err(self.broken(&format!(
                "element {tag} has an unknown value representation"
            )));
        };
        // PS3.5 7.1.2: these have two reserved bytes and a long length.
        let long = matches!(
            vr,
            VR::OB
                | VR::OD
                | VR::OF
                | VR::OL
                | VR::OV
                | VR::OW
                | VR::SQ
                | VR::SV
                | VR::UC
                | VR::UN
                | VR::UR
                | VR::UT
                | VR::UV
        );
        let length = if long {
            self.take(2)?;
            self.u32()?
        } else {
            u32::from(self.u16()?)
        };
        Ok((tag, vr, length))
    }

    /// Reads one element into `data`; returns the place of the pixel data when they begin.
    fn element(&mut self, data: &mut DataSet, inside: bool) -> Result<Option<PixelElement>, Halt> {
        let (tag, written_vr, length) = self.header()?;
        // PS3.5 6.2.2 note 3: a standard element may pass through software that does not know it, as UN.
        let vr = if written_vr == VR::UN {
            known_vr(tag)
        } else {
            written_vr
        };
        if !inside && tag.0 == 0x7FE0 && matches!(tag.1, 0x0008..=0x0010) {
            let length = (length != UNDEFINED).then_some(length);
            return Ok(Some(PixelElement {
                tag,
                offset: self.at,
                length,
                words: vr == VR::OW,
            }));
        }
        if matches!(tag, ITEM | ITEM_END | SEQUENCE_END) {
            return Err(self.broken(&format!("delimiter {tag} outside of a sequence")));
        }
        let sequence = vr == VR::SQ || length == UNDEFINED;
        let wanted = self.wants_sequence(tag, data);
        if sequence && (length == UNDEFINED || inside || wanted) {
            if length == UNDEFINED && !matches!(vr, VR::SQ | VR::UN) {
                return Err(self.broken(&format!("element {tag} of type {vr} has no length")));
            }
            let outer = self.discarding;
            self.discarding |= !inside && !wanted;
            let items = self.sequence(tag, written_vr, length)?;
            let discarded = std::mem::replace(&mut self.discarding, outer);
            if !discarded {
                data.put(DataElement::new(
                    tag,
                    VR::SQ,
                    DataSetSequence::new(items, Length::UNDEFINED),
                ));
            }
        } else if sequence || self.discarding || !self.wants(tag, length) {
            self.skip(length as usize, tag)?;
        } else {
            let left = self.total - self.at;
            if length as usize > left {
                return Err(self.broken(&format!("element {tag} claims {length} bytes, but the file has {left} more; it is truncated or damaged")));
            }
            let bytes = self.take(length as usize)?;
            let value = self.value(vr, bytes);
            self.keep(1 + value.multiplicity() as usize)?;
            if tag == tags::SPECIFIC_CHARACTER_SET && !inside {
                self.charset = Charset::from_codes(&value.to_str());
            }
            data.put(DataElement::new(tag, vr, value));
        }
        Ok(None)
    }

    /// The items of a sequence whose header was just read.
    fn sequence(&mut self, tag: Tag, vr: VR, length: u32) -> Result<Vec<DataSet>, Halt> {
        if self.depth == 0 {
            return Err(Halt::Limit(format!(
                "sequences are nested too deep at element {tag}"
            )));
        }
        self.depth -= 1;
        let outer = self.layout;
        if vr == VR::UN {
            // PS3.5 6.2.2 note 2: an unknown sequence is written in implicit VR little endian.
            self.layout = Layout::IMPLICIT_LE;
        }
        let end = self.end_of(tag, length)?;
        let mut items = Vec::new();
        while end.is_none_or(|end| self.at < end) {
            let (item, _, item_length) = self.header()?;
            match item {
                SEQUENCE_END => break,
                ITEM => {
                    self.count_item(tag)?;
                    let item = self.item(tag, item_length)?;
                    if !self.discarding {
                        self.keep(1)?;
                        items.push(item);
                    }
                }
                _ => {
                    return Err(
                        self.broken(&format!("sequence {tag} holds something that is no item"))
                    );
                }
            }
        }
        self.require_end(tag, end)?;
        self.layout = outer;
        self.depth += 1;
        Ok(items)
    }

    /// Whether a value is kept.
    fn wants(&self, tag: Tag, length: u32) -> bool {
        if self.items_left.is_some() {
            tag.group().is_multiple_of(2)
        } else {
            is_wanted(tag) && length as usize <= LONGEST_VALUE
        }
    }

    fn wants_sequence(&self, tag: Tag, data: &DataSet) -> bool {
        if self.items_left.is_some() {
            tag.group().is_multiple_of(2)
        } else {
            is_wanted_sequence(tag, data)
        }
    }

    fn count_item(&mut self, tag: Tag) -> Result<(), Halt> {
        let Some(left) = self.items_left.filter(|_| !self.discarding) else {
            return Ok(());
        };
        self.items_left = Some(left.checked_sub(1).ok_or_else(|| {
            Halt::Limit(format!(
                "it has more than {MOST_ITEMS} items at sequence {tag}"
            ))
        })?);
        Ok(())
    }

    fn keep(&mut self, n: usize) -> Result<(), Halt> {
        self.kept += n;
        let most = if self.items_left.is_some() {
            MOST_NUMBERS
        } else {
            MOST_KEPT
        };
        if self.kept > most {
            let reason = format!("it holds more than {most} values");
            return Err(Halt::Limit(reason));
        }
        Ok(())
    }

    fn item(&mut self, tag: Tag, length: u32) -> Result<DataSet, Halt> {
        let end = self.end_of(tag, length)?;
        let mut item = DataSet::new_empty();
        while end.is_none_or(|end| self.at < end) {
            if end.is_none() && self.at_item_end()? {
                self.take(8)?;
                break;
            }
            self.element(&mut item, true)?;
        }
        self.require_end(tag, end)?;
        Ok(item)
    }

    fn at_item_end(&self) -> Result<bool, Halt> {
        let wanted: [u8; 4] = if self.layout.big_endian {
            [0xFF, 0xFE, 0xE0, 0x0D]
        } else {
            [0xFE, 0xFF, 0x0D, 0xE0]
        };
        Ok(self.peek(8)?[..4] == wanted)
    }

    fn end_of(&self, tag: Tag, length: u32) -> Result<Option<usize>, Halt> {
        let left = self.total - self.at;
        match length {
            UNDEFINED => Ok(None),
            length if length as usize <= left => Ok(Some(self.at + length as usize)),
            length => Err(self.broken(&format!("sequence {tag} claims {length} bytes, but the file has {left} more; it is truncated or damaged"))),
        }
    }

    fn require_end(&self, tag: Tag, end: Option<usize>) -> Result<(), Halt> {
        if end.is_none_or(|end| end == self.at) {
            Ok(())
        } else {
            Err(self.broken(&format!("sequence {tag} is longer than it says")))
        }
    }

    fn value(&mut self, vr: VR, bytes: &[u8]) -> PrimitiveValue {
        let big = self.layout.big_endian;
        match vr {
            VR::US | VR::OW => PrimitiveValue::U16(numbers(bytes, big, u16::from_le_bytes)),
            VR::SS => PrimitiveValue::I16(numbers(bytes, big, i16::from_le_bytes)),
            VR::UL | VR::OL => PrimitiveValue::U32(numbers(bytes, big, u32::from_le_bytes)),
            VR::SL => PrimitiveValue::I32(numbers(bytes, big, i32::from_le_bytes)),
            VR::UV | VR::OV => PrimitiveValue::U64(numbers(bytes, big, u64::from_le_bytes)),
            VR::SV => PrimitiveValue::I64(numbers(bytes, big, i64::from_le_bytes)),
            VR::FL | VR::OF => PrimitiveValue::F32(numbers(bytes, big, f32::from_le_bytes)),
            VR::FD | VR::OD => PrimitiveValue::F64(numbers(bytes, big, f64::from_le_bytes)),
            VR::AT => {
                let halves = numbers(bytes, big, u16::from_le_bytes);
                PrimitiveValue::Tags(
                    halves
                        .chunks_exact(2)
                        .map(|pair| Tag(pair[0], pair[1]))
                        .collect(),
                )
            }
            VR::OB | VR::UN | VR::SQ => PrimitiveValue::U8(C::from_slice(bytes)),
            _ => self.text(vr, bytes),
        }
    }

    fn text(&mut self, vr: VR, bytes: &[u8]) -> PrimitiveValue {
        let (text, sure) = self.charset.decode(bytes);
        self.unsure_text |= !sure;
        let trimmed = |s: &str| s.trim_end_matches(['\0', ' ']).to_owned();
        match vr {
            // PS3.5 6.2: backslash does not separate values here, and leading spaces count.
            VR::LT | VR::ST | VR::UT | VR::UR => PrimitiveValue::Str(trimmed(&text)),
            _ if trimmed(&text).is_empty() => PrimitiveValue::Empty,
            _ => PrimitiveValue::Strs(
                text.split('\\')
                    .map(|s| trimmed(s).trim_start().to_owned())
                    .collect(),
            ),
        }
    }
}

/// The value representation of a standard element.
fn known_vr(tag: Tag) -> VR {
    StandardDataDictionary
        .by_tag(tag)
        .map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// Numbers of `N` bytes each; a rest that is no whole number is dropped.
fn numbers<const N: usize, T>(bytes: &[u8], big_endian: bool, from_le: fn([u8; N]) -> T) -> C<T> {
    let (whole, _) = bytes.as_chunks::<N>();
    whole
        .iter()
        .map(|&b| {
            let mut b = b;
            if big_endian {
                b.reverse();
            }
            from_le(b)
        })
        .collect()
}

/// Whether the element may be of use: standard attributes of the modules that Prosect reads or copies.
fn is_wanted(tag: Tag) -> bool {
    matches!(
        tag.group(),
        0x0002
            | 0x0004
            | 0x0008
            | 0x0010
            | 0x0012
            | 0x0018
            | 0x0020
            | 0x0028
            | 0x0032
            | 0x0040
            | 0x0054
    ) || tag == tags::EXTENDED_OFFSET_TABLE
}

/// Sequences that decide how an image is read, or that go with the patient.
fn is_wanted_sequence(tag: Tag, before: &DataSet) -> bool {
    match tag {
        tags::MODALITY_LUT_SEQUENCE
        | tags::DIRECTORY_RECORD_SEQUENCE
        | tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE
        | tags::ISSUER_OF_ACCESSION_NUMBER_SEQUENCE => true,
        // Segmentations have functional groups, too, often for tens of thousands of frames.
        tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE | tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE => {
            attribute::text(before, tags::SOP_CLASS_UID)
                .is_none_or(|class| !class.starts_with(SEGMENTATIONS))
        }
        _ => false,
    }
}

/// SOP classes of segmentations and surfaces begin so (PS3.4 B.5).
const SEGMENTATIONS: &str = "1.2.840.10008.5.1.4.1.1.66.";

#[cfg(test)]
mod tests {
    use dicom_core::Tag;
    use dicom_dictionary_std::tags;
    use proptest::prelude::*;

    use super::{DataSet, Halt, Layout, Reader};

    fn read(bytes: &[u8], layout: Layout) -> (DataSet, Result<Option<super::PixelElement>, Halt>) {
        let mut data = DataSet::new_empty();
        let outcome = Reader::new(bytes, bytes.len(), 0, layout, 8).data_set(&mut data);
        (data, outcome)
    }

    #[track_caller]
    fn check(bytes: &[u8], layout: Layout, expected: &str) {
        let (data, outcome) = read(bytes, layout);
        let number = data
            .get(tags::INSTANCE_NUMBER)
            .map(|element| element.to_str().unwrap().into_owned());
        let got = format!("{outcome:?} number {}", number.unwrap_or_default());
        assert!(got.contains(expected), "{got} does not say {expected}");
    }

    const NUMBER: &[u8] = b"\x20\x00\x13\x00IS\x02\x007 ";

    #[test]
    fn elements_are_read_up_to_the_pixels() {
        check(NUMBER, Layout::EXPLICIT_LE, "Ok(None) number 7");
        check(
            b"\x20\x00\x13\x00\x02\x00\x00\x007 ",
            Layout::IMPLICIT_LE,
            "Ok(None) number 7",
        );
        check(
            b"\x00\x20\x00\x13IS\x00\x027 ",
            Layout::EXPLICIT_BE,
            "Ok(None) number 7",
        );
        let pixels = [NUMBER, b"\xe0\x7f\x10\x00OW\0\0\xff\xff\xff\xff"].concat();
        check(&pixels, Layout::EXPLICIT_LE, "offset: 22, length: None");
        check(
            b"\x20\x00\x13\x00UN\0\0\x02\x00\x00\x007 ",
            Layout::EXPLICIT_LE,
            "Ok(None) number 7",
        );
    }

    #[test]
    fn sequences_of_every_kind_are_passed() {
        let undefined = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff\x20\x00\x13\x00IS\x02\x009 \xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0";
        check(
            &[undefined, NUMBER].concat(),
            Layout::EXPLICIT_LE,
            "Ok(None) number 7",
        );
        let defined = b"\x08\x00\x40\x11SQ\0\0\x12\0\0\0\xfe\xff\x00\xe0\x0a\0\0\0\x20\x00\x13\x00IS\x02\x009 ";
        check(
            &[defined, NUMBER].concat(),
            Layout::EXPLICIT_LE,
            "Ok(None) number 7",
        );
        let unknown = b"\x09\x00\x40\x11UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff\x20\x00\x13\x00\x02\0\0\x009 \xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0";
        check(
            &[unknown, NUMBER].concat(),
            Layout::EXPLICIT_LE,
            "Ok(None) number 7",
        );
    }

    #[test]
    fn lies_about_lengths_are_refused_before_reading() {
        check(
            b"\x09\x00\x10\x00UN\0\0\xf0\xff\xff\xdd1234",
            Layout::EXPLICIT_LE,
            "claims 3724541936 bytes, but the file has 4 more",
        );
        check(
            b"\x08\x00\x40\x11SQ\0\0\xf0\xff\xff\xdd1234",
            Layout::EXPLICIT_LE,
            "claims 3724541936 bytes",
        );
        check(
            b"\x20\x00\x13\x00IS\x20\x007 ",
            Layout::EXPLICIT_LE,
            "claims 32 bytes",
        );
        check(
            b"\x20\x00\x13\x00??\x20\x007 ",
            Layout::EXPLICIT_LE,
            "unknown value representation",
        );
        let item = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff";
        check(&item.repeat(20), Layout::EXPLICIT_LE, "nested too deep");
    }

    #[test]
    fn a_part_of_a_file_asks_for_more() {
        let mut data = DataSet::new_empty();
        let outcome =
            Reader::new(&NUMBER[..9], NUMBER.len(), 0, Layout::EXPLICIT_LE, 8).data_set(&mut data);
        assert_eq!(outcome, Err(Halt::NeedMore(10)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0..3_usize, explicit: bool, big_endian: bool) {
            let heads: [&[u8]; 3] = [b"", NUMBER, b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"];
            let bytes = [heads[start], &bytes].concat();
            let (data, _) = read(&bytes, Layout { explicit, big_endian });
            prop_assert!(data.tags().all(|tag: Tag| tag.group() != 0xFFFE));
        }
    }
}
