//! Specific Character Set (PS3.5 6.1.2): from the bytes of a file to text. Writing is always UTF-8.

use dicom_encoding::text::{SpecificCharacterSet, TextCodec};

/// How the text of a data set is encoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Charset {
    /// Without a declared set only ASCII is sure; more is read as Latin-1, which is most common.
    codec: Option<SpecificCharacterSet>,
    /// Names as in the file that this reader does not know.
    unknown: bool,
}

/// Escape sequences that switch G1 to a double-byte set whose bytes the codec knows by itself
/// (PS3.3 table C.12-4: KS X 1001 and GB 2312).
const SWITCHES: [&[u8]; 2] = [b"\x1b$)C", b"\x1b$)A"];

impl Charset {
    /// From the values of Specific Character Set. With code extensions, the last set that is
    /// known decides: each of them holds ASCII, and the Japanese one follows escapes itself.
    pub(crate) fn from_codes(codes: &str) -> Self {
        let mut charset = Self::default();
        for code in codes.split('\\').map(str::trim).filter(|c| !c.is_empty()) {
            let code = if code == "ISO 2022 IR 58" {
                "GBK"
            } else {
                code
            };
            match SpecificCharacterSet::from_code(code) {
                Some(codec) => charset.codec = Some(codec),
                None => charset.unknown = true,
            }
        }
        charset
    }

    /// The text, and whether it is surely right. What cannot be decoded becomes `?`.
    pub(crate) fn decode(&self, bytes: &[u8]) -> (String, bool) {
        if bytes.is_ascii() && !bytes.contains(&0x1b) {
            return (String::from_utf8_lossy(bytes).into_owned(), true);
        }
        let mut plain = bytes.to_vec();
        for switch in SWITCHES {
            while let Some(at) = plain.windows(switch.len()).position(|w| w == switch) {
                plain.drain(at..at + switch.len());
            }
        }
        let codec = self
            .codec
            .clone()
            .unwrap_or(SpecificCharacterSet::ISO_IR_100);
        match codec.decode(&plain) {
            // The codec turns bytes that it cannot read into escapes such as `\351`.
            Ok(text)
                if !self.unknown
                    && !text.contains('\u{1b}')
                    && backslashes(text.bytes()) <= backslashes(plain.iter().copied()) =>
            {
                (text, self.codec.is_some())
            }
            _ => (
                plain
                    .iter()
                    .map(|&b| {
                        if (0x20..0x7f).contains(&b) {
                            char::from(b)
                        } else {
                            '?'
                        }
                    })
                    .collect(),
                false,
            ),
        }
    }
}

fn backslashes(bytes: impl Iterator<Item = u8>) -> usize {
    bytes.filter(|b| *b == b'\\').count()
}

#[cfg(test)]
mod tests {
    use super::Charset;

    #[track_caller]
    fn check(codes: &str, bytes: &[u8], expected: (&str, bool)) {
        let (text, sure) = Charset::from_codes(codes).decode(bytes);
        assert_eq!((text.as_str(), sure), expected);
    }

    #[test]
    fn names_of_the_standards_examples_are_read() {
        check("", b"Adams^John", ("Adams^John", true));
        check("ISO_IR 100", b"Buc^J\xe9r\xf4me", ("Buc^Jérôme", true));
        check(
            "ISO_IR 192",
            "Wang^XiaoDong=王^小東".as_bytes(),
            ("Wang^XiaoDong=王^小東", true),
        );
        // PS3.5 H.3.1
        check(
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
            ("Yamada^Tarou=山田^太郎", true),
        );
        // PS3.5 I.2
        check(
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            ("Hong^Gildong=洪^吉洞", true),
        );
        check("GB18030", b"\xcd\xf5^\xd0\xa1\xb6\xab", ("王^小东", true));
    }

    #[test]
    fn what_cannot_be_decoded_is_said() {
        check("ISO_IR 999", b"J\xe9r\xf4me", ("J?r?me", false));
        check("", b"J\xe9r\xf4me", ("Jérôme", false));
        check("ISO_IR 192", b"J\xe9", ("J?", false));
    }
}
