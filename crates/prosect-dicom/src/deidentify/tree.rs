//! A whole data set as a tree of elements whose values are the bytes of the file: what is not
//! changed is written as it was read, pixel data included.
//!
//! Nothing is allocated by a declared length, and nesting is limited.

use std::borrow::Cow;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use crate::reader::Layout;

/// An element of a data set or an item.
#[derive(Clone, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: Tag,
    /// As written, or as the dictionary has it where none is written.
    pub(super) vr: VR,
    pub(super) body: Body<'a>,
}

/// What an element holds.
#[derive(Clone, Debug)]
pub(super) enum Body<'a> {
    /// A value, in the byte order of the file.
    Value(Cow<'a, [u8]>),
    /// The items of a sequence.
    Items(Vec<Vec<Element<'a>>>),
    /// The fragments of encapsulated pixel data, the offset table first.
    Fragments(Vec<&'a [u8]>),
}

impl<'a> Element<'a> {
    /// An element of text, padded as PS3.5 6.2 wants it.
    pub(super) fn text(tag: Tag, vr: VR, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        if bytes.len() % 2 == 1 {
            bytes.push(if vr == VR::UI { 0 } else { b' ' });
        }
        Self {
            tag,
            vr,
            body: Body::Value(Cow::Owned(bytes)),
        }
    }

    /// A sequence.
    pub(super) fn items(tag: Tag, items: Vec<Vec<Element<'a>>>) -> Self {
        Self {
            tag,
            vr: VR::SQ,
            body: Body::Items(items),
        }
    }

    /// The bytes of the value with their padding.
    pub(super) fn bytes_padded(self) -> Vec<u8> {
        match self.body {
            Body::Value(bytes) => bytes.into_owned(),
            Body::Items(_) | Body::Fragments(_) => Vec::new(),
        }
    }

    /// The bytes of the value without padding, or nothing where it is no plain value.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.body {
            Body::Value(bytes) => bytes.trim_ascii_end().trim_suffix_zeros(),
            Body::Items(_) | Body::Fragments(_) => &[],
        }
    }
}

/// Cuts padding by zeros.
trait TrimZeros {
    fn trim_suffix_zeros(&self) -> &Self;
}

impl TrimZeros for [u8] {
    fn trim_suffix_zeros(&self) -> &Self {
        let end = self.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        self[..end].trim_ascii_end()
    }
}

/// The dictionary's value representation, or `UN` for what it does not know.
pub(super) fn known_vr(tag: Tag) -> VR {
    StandardDataDictionary
        .by_tag(tag)
        .map_or(VR::UN, |entry| entry.vr().relaxed())
}

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// PS3.5 7.1.2: these have two reserved bytes and a length of four.
fn has_long_length(vr: VR) -> bool {
    matches!(
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
    )
}

/// Reads the elements of a data set; the reason of a failure names the element.
pub(super) fn read(bytes: &[u8], layout: Layout, depth: usize) -> Result<Vec<Element<'_>>, String> {
    let mut reader = Reader {
        bytes,
        at: 0,
        layout,
    };
    let mut elements = Vec::new();
    while reader.left() > 0 {
        if reader.left() < 8 && bytes[reader.at..].iter().all(|b| *b == 0) {
            break;
        }
        elements.push(reader.element(depth)?);
    }
    Ok(elements)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    layout: Layout,
}

impl<'a> Reader<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n).filter(|e| *e <= self.bytes.len());
        let Some(end) = end else {
            return Err(format!(
                "the file ends within an element (byte {})",
                self.at
            ));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, String> {
        let b = self.take(2)?;
        let number = if self.layout.big_endian {
            u16::from_be_bytes
        } else {
            u16::from_le_bytes
        };
        Ok(number([b[0], b[1]]))
    }

    fn u32(&mut self) -> Result<u32, String> {
        let b = self.take(4)?;
        let number = if self.layout.big_endian {
            u32::from_be_bytes
        } else {
            u32::from_le_bytes
        };
        Ok(number([b[0], b[1], b[2], b[3]]))
    }

    fn header(&mut self) -> Result<(Tag, VR, u32), String> {
        let tag = Tag(self.u16()?, self.u16()?);
        if tag.0 == 0xFFFE {
            return Ok((tag, VR::UN, self.u32()?));
        }
        if !self.layout.explicit {
            return Ok((tag, known_vr(tag), self.u32()?));
        }
        let letters = self.take(2)?;
        let Some(vr) = VR::from_binary([letters[0], letters[1]]) else {
            return Err(format!("element {tag} has an unknown value representation"));
        };
        let length = if has_long_length(vr) {
            self.take(2)?;
            self.u32()?
        } else {
            u32::from(self.u16()?)
        };
        Ok((tag, vr, length))
    }

    fn element(&mut self, depth: usize) -> Result<Element<'a>, String> {
        let (tag, vr, length) = self.header()?;
        if tag.0 == 0xFFFE {
            return Err(format!("delimiter {tag} outside of a sequence"));
        }
        let is_sequence = vr == VR::SQ || (vr == VR::UN && known_vr(tag) == VR::SQ);
        if is_sequence || (length == UNDEFINED && vr == VR::UN) {
            // PS3.5 6.2.2 note 2: an unknown sequence is written in implicit VR little endian.
            let outer = self.layout;
            if vr == VR::UN && outer.explicit {
                if outer.big_endian {
                    return Err(format!("element {tag} mixes byte orders"));
                }
                self.layout = Layout::IMPLICIT_LE;
            }
            let items = self.sequence(tag, length, depth)?;
            self.layout = outer;
            return Ok(Element::items(tag, items));
        }
        let body = if length == UNDEFINED {
            Body::Fragments(self.fragments(tag)?)
        } else {
            let bytes = self.take(length as usize);
            Body::Value(Cow::Borrowed(bytes.map_err(|_| {
                format!("element {tag} claims {length} bytes, but the file has fewer")
            })?))
        };
        Ok(Element { tag, vr, body })
    }

    fn sequence(
        &mut self,
        tag: Tag,
        length: u32,
        depth: usize,
    ) -> Result<Vec<Vec<Element<'a>>>, String> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(format!("sequences are nested too deep at element {tag}"));
        };
        let end = self.end_of(tag, length)?;
        let mut items = Vec::new();
        while end.is_none_or(|end| self.at < end) {
            match self.header()? {
                (SEQUENCE_END, ..) => break,
                (ITEM, _, item_length) => items.push(self.item(tag, item_length, depth)?),
                _ => return Err(format!("sequence {tag} holds something that is no item")),
            }
        }
        if end.is_some_and(|end| end != self.at) {
            return Err(format!("sequence {tag} is longer than it says"));
        }
        Ok(items)
    }

    fn item(&mut self, tag: Tag, length: u32, depth: usize) -> Result<Vec<Element<'a>>, String> {
        let end = self.end_of(tag, length)?;
        let mut elements = Vec::new();
        while end.is_none_or(|end| self.at < end) {
            if end.is_none() && self.is_at(ITEM_END) {
                self.take(8)?;
                break;
            }
            elements.push(self.element(depth)?);
        }
        if end.is_some_and(|end| end != self.at) {
            return Err(format!("an item of {tag} is longer than it says"));
        }
        Ok(elements)
    }

    fn is_at(&self, tag: Tag) -> bool {
        let mut ahead = Reader {
            bytes: self.bytes,
            at: self.at,
            layout: self.layout,
        };
        matches!((ahead.u16(), ahead.u16()), (Ok(group), Ok(element)) if Tag(group, element) == tag)
    }

    fn end_of(&self, tag: Tag, length: u32) -> Result<Option<usize>, String> {
        match length {
            UNDEFINED => Ok(None),
            length if length as usize <= self.left() => Ok(Some(self.at + length as usize)),
            length => Err(format!(
                "sequence {tag} claims {length} bytes, but the file has {}",
                self.left()
            )),
        }
    }

    fn fragments(&mut self, tag: Tag) -> Result<Vec<&'a [u8]>, String> {
        let mut fragments = Vec::new();
        loop {
            match self.header()? {
                (SEQUENCE_END, ..) => return Ok(fragments),
                (ITEM, _, length) if length != UNDEFINED => {
                    fragments.push(self.take(length as usize)?);
                }
                _ => return Err(format!("element {tag} holds something that is no fragment")),
            }
        }
    }
}

/// Writes elements in a layout; sequences and items with their lengths.
pub(super) fn write(elements: &[Element<'_>], layout: Layout, out: &mut Vec<u8>) {
    for element in elements {
        match &element.body {
            Body::Value(bytes) => {
                let length = u32::try_from(bytes.len()).unwrap_or(UNDEFINED - 1);
                header(element.tag, element.vr, length, layout, out);
                out.extend_from_slice(bytes);
            }
            Body::Fragments(fragments) => {
                header(element.tag, element.vr, UNDEFINED, layout, out);
                for fragment in fragments {
                    let length = u32::try_from(fragment.len()).unwrap_or(UNDEFINED - 1);
                    delimiter(ITEM, length, layout, out);
                    out.extend_from_slice(fragment);
                }
                delimiter(SEQUENCE_END, 0, layout, out);
            }
            Body::Items(items) => {
                // A sequence of 4 GiB cannot come from a file that was read whole.
                header(element.tag, VR::SQ, UNDEFINED, layout, out);
                let length_at = out.len() - 4;
                for item in items {
                    delimiter(ITEM, 0, layout, out);
                    let item_at = out.len() - 4;
                    write(item, layout, out);
                    put_length(item_at, layout, out);
                }
                put_length(length_at, layout, out);
            }
        }
    }
}

/// Writes the number of bytes behind a length into it.
fn put_length(at: usize, layout: Layout, out: &mut [u8]) {
    let length = u32::try_from(out.len() - at - 4).unwrap_or(UNDEFINED - 1);
    out[at..at + 4].copy_from_slice(&number_u32(length, layout));
}

fn number_u32(number: u32, layout: Layout) -> [u8; 4] {
    if layout.big_endian {
        number.to_be_bytes()
    } else {
        number.to_le_bytes()
    }
}

fn number_u16(number: u16, layout: Layout) -> [u8; 2] {
    if layout.big_endian {
        number.to_be_bytes()
    } else {
        number.to_le_bytes()
    }
}

fn put_tag(tag: Tag, layout: Layout, out: &mut Vec<u8>) {
    out.extend_from_slice(&number_u16(tag.0, layout));
    out.extend_from_slice(&number_u16(tag.1, layout));
}

fn delimiter(tag: Tag, length: u32, layout: Layout, out: &mut Vec<u8>) {
    put_tag(tag, layout, out);
    out.extend_from_slice(&number_u32(length, layout));
}

fn header(tag: Tag, vr: VR, length: u32, layout: Layout, out: &mut Vec<u8>) {
    put_tag(tag, layout, out);
    // A value that came out of an implicit sequence may be longer than its explicit form can say.
    let vr = match u16::try_from(length) {
        Err(_) if layout.explicit && !has_long_length(vr) => VR::UN,
        _ => vr,
    };
    if layout.explicit {
        out.extend_from_slice(vr.to_string().as_bytes());
    }
    if layout.explicit && !has_long_length(vr) {
        let short = u16::try_from(length).unwrap_or(u16::MAX);
        out.extend_from_slice(&number_u16(short, layout));
        return;
    }
    if layout.explicit {
        out.extend_from_slice(&[0, 0]);
    }
    out.extend_from_slice(&number_u32(length, layout));
}

#[cfg(test)]
mod tests {
    use dicom_core::{Tag, VR};
    use proptest::prelude::*;

    use super::{Body, Element, read, write};
    use crate::reader::Layout;

    const LAYOUTS: [Layout; 3] = [
        Layout::EXPLICIT_LE,
        Layout::IMPLICIT_LE,
        Layout::EXPLICIT_BE,
    ];

    fn tree() -> Vec<Element<'static>> {
        let inner = vec![
            Element::text(Tag(0x0008, 0x1150), VR::UI, "1.2.3"),
            Element::items(Tag(0x0008, 0x1199), vec![vec![], vec![]]),
        ];
        vec![
            Element::text(Tag(0x0008, 0x0060), VR::CS, "CT"),
            Element::items(Tag(0x0008, 0x1140), vec![inner]),
            Element::text(Tag(0x0010, 0x0010), VR::PN, "A^B"),
        ]
    }

    #[test]
    fn what_is_written_is_read_again_in_every_layout() {
        for layout in LAYOUTS {
            let mut bytes = Vec::new();
            write(&tree(), layout, &mut bytes);
            let again = read(&bytes, layout, 8).unwrap();
            assert_eq!(format!("{again:?}"), format!("{:?}", tree()), "{layout:?}");
        }
    }

    #[test]
    fn encapsulated_pixels_and_undefined_lengths_are_read() {
        let bytes = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff\
            \x08\x00\x50\x11UI\x04\x001.2\0\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0\
            \xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\0\0\0\0\
            \xfe\xff\x00\xe0\x02\0\0\0ab\xfe\xff\xdd\xe0\0\0\0\0";
        let elements = read(bytes, Layout::EXPLICIT_LE, 8).unwrap();
        assert!(matches!(&elements[0].body, Body::Items(items) if items[0][0].bytes() == b"1.2"));
        assert!(matches!(&elements[1].body, Body::Fragments(f) if f[..] == [&b""[..], b"ab"]));
        let mut written = Vec::new();
        write(&elements[1..], Layout::EXPLICIT_LE, &mut written);
        assert_eq!(written, bytes[bytes.len() - written.len()..]);
    }

    #[test]
    fn broken_bytes_are_refused() {
        for bytes in [
            &b"\x08\x00\x60\x00CS\x10\x00CT"[..],
            b"\x08\x00\x60\x00??\x02\x00CT",
            b"\xfe\xff\x00\xe0\x02\x00\x00\x00CT",
            b"\x08\x00\x40\x11SQ\0\0\x10\0\0\0\xfe\xff\x00\xe0\0\0\0\0",
        ] {
            assert!(read(bytes, Layout::EXPLICIT_LE, 8).is_err(), "{bytes:?}");
        }
        let deep =
            b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff".repeat(9);
        let error = read(&deep, Layout::EXPLICIT_LE, 8).unwrap_err();
        assert!(error.contains("too deep"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..120) {
            for layout in LAYOUTS {
                let mut good = Vec::new();
                write(&tree(), layout, &mut good);
                let _ = read(&bytes, layout, 8);
                let at = at.min(good.len());
                good.splice(at..at, bytes.iter().copied().take(4));
                let _ = read(&good, layout, 8);
            }
        }
    }
}
