//! Which transfer syntax compressed pixel data have, where no meta information says so.

use dicom_dictionary_std::uids;

/// How much of the pixel data is looked at: room for the marker segments before the frame header.
pub(crate) const LOOK: usize = 1 << 16;

/// The transfer syntax that the first fragment shows; `at` is where the value of the pixel data
/// begins. Decoding compares the image with the header, and so proves the guess.
pub(crate) fn sniff(bytes: &[u8], at: usize) -> Option<&'static str> {
    let table = item(bytes, at)?;
    let image = bytes.get(item(bytes, table.end)?.start..)?;
    match image {
        [0xFF, 0x4F, 0xFF, 0x51, ..] => Some(uids::JPEG2000),
        [0xFF, 0xD8, 0xFF, ..] => jpeg(image),
        // PS3.5 G.5: the number of segments, and where the first one begins.
        [1..=15, 0, 0, 0, 64, 0, 0, 0, ..] => Some(uids::RLE_LOSSLESS),
        _ => None,
    }
}

/// Where the content of an item lies.
fn item(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let head = bytes.get(at..at.checked_add(8)?)?;
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    (head[..4] == [0xFE, 0xFF, 0x00, 0xE0]).then_some(at + 8..(at + 8).checked_add(length)?)
}

/// The kind of a JPEG stream by its frame header (ISO 10918-1 table B.1, ISO 14495-1 C.1.1).
fn jpeg(image: &[u8]) -> Option<&'static str> {
    let mut at = 2;
    loop {
        let segment = image.get(at..)?;
        let [0xFF, marker, high, low, ..] = segment else {
            return None;
        };
        match marker {
            0xC0 => return Some(uids::JPEG_BASELINE8_BIT),
            0xC1 | 0xC2 => return Some(uids::JPEG_EXTENDED12_BIT),
            0xC3 => return Some(uids::JPEG_LOSSLESS),
            0xF7 => return Some(uids::JPEGLS_NEAR_LOSSLESS),
            0xFF => at += 1,
            _ => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
        }
    }
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::uids;

    use super::sniff;

    #[track_caller]
    fn check(image: &[u8], expected: Option<&str>) {
        let head = b"xx\xfe\xff\x00\xe0\x04\0\0\0abcd\xfe\xff\x00\xe0\xff\0\0\0";
        assert_eq!(sniff(&[head, image].concat(), 2), expected);
    }

    #[test]
    fn codestreams_show_what_they_are() {
        check(
            b"\xff\xd8\xff\xe0\0\x04ab\xff\xc3\0\x0b",
            Some(uids::JPEG_LOSSLESS),
        );
        check(
            b"\xff\xd8\xff\xff\xc0\0\x0b\x08",
            Some(uids::JPEG_BASELINE8_BIT),
        );
        check(b"\xff\xd8\xff\xf7\0\x0b", Some(uids::JPEGLS_NEAR_LOSSLESS));
        check(b"\xff\x4f\xff\x51\0", Some(uids::JPEG2000));
        check(b"\x02\0\0\0\x40\0\0\0", Some(uids::RLE_LOSSLESS));
        for other in [
            &b""[..],
            b"\xff\xd8\xff\xe0\xff",
            b"\x02\0\0\0\x41\0\0\0",
            b"just text",
        ] {
            check(other, None);
        }
        assert_eq!(sniff(b"xx\xfe\xff\x00\xe0\xff\xff\xff\xff", 2), None);
        assert_eq!(sniff(b"", usize::MAX), None);
    }
}
