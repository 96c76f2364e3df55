//! JPEG (ITU T.81), one gray channel: lossless of 2 to 16 bits, and lossy of 8 and 12 bits, sequential
//! and progressive. What the image says of itself decides, not the transfer syntax. Arithmetic coding
//! and hierarchical images are refused.

mod huffman;
mod lossless;
mod blocks;
mod cosine;

use self::blocks::{Blocks, ZIGZAG};
use self::huffman::Huffman;
use super::codec::Decoded;
use super::{PixelFailure, PixelForm};

/// What the frame header of a JPEG or JPEG-LS image says (ITU T.81 B.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The SOF marker's number: 0xC0 baseline, 0xC3 lossless, 0xF7 JPEG-LS.
    pub(super) process: u8,
    pub(super) precision: u8,
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) n_components: u8,
}

impl FrameHeader {
    /// Finds the frame header.
    pub(super) fn find(image: &[u8]) -> Option<Self> {
        let mut rest = image.strip_prefix(b"\xff\xd8")?;
        loop {
            let (marker, segment, after) = segment(rest)?;
            match marker {
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7 => {
                    return Self::read(marker, segment);
                }
                0xDA | 0xD9 => return None,
                _ => rest = after,
            }
        }
    }

    fn read(process: u8, segment: &[u8]) -> Option<Self> {
        let &[precision, a, b, c, d, n_components] = segment.first_chunk()?;
        Some(Self {
            process,
            precision,
            columns: usize::from(u16::from_be_bytes([c, d])),
            rows: usize::from(u16::from_be_bytes([a, b])),
            n_components,
        })
    }

    /// Checks it against what the data set says, before anything is allocated.
    pub(super) fn require(&self, form: PixelForm) -> Result<(), PixelFailure> {
        if (self.columns, self.rows, self.n_components) != (form.columns, form.rows, 1) {
            let Self {
                columns,
                rows,
                n_components,
                ..
            } = self;
            let reason = format!(
                "its compressed image has {columns} x {rows} pixels in {n_components} channels, not {} x {} in one",
                form.columns, form.rows
            );
            return Err(PixelFailure::malformed(reason));
        }
        if usize::from(self.precision) > form.bits_allocated {
            return Err(PixelFailure::malformed(format!(
                "its compressed image has {} bits, more than it declares",
                self.precision
            )));
        }
        Ok(())
    }
}

/// One marker segment without its length, and what follows it.
fn segment(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let mut rest = bytes;
    loop {
        let (&[0xFF, marker], after) = rest.split_first_chunk::<2>()? else {
            return None;
        };
        if marker == 0xFF {
            // Fill bytes may stand before a marker.
            rest = &rest[1..];
            continue;
        }
        if marker == 0xD9 {
            return Some((marker, &[], after));
        }
        let length = usize::from(u16::from_be_bytes(*after.first_chunk()?));
        let (segment, after) = after.split_at_checked(length)?;
        return Some((marker, segment.get(2..)?, after));
    }
}

/// What the marker segments before a scan have set.
struct Frame {
    header: FrameHeader,
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    /// Quantization tables, in the order of the rows of a block.
    quantization: [Option<[u16; 64]>; 4],
    /// Which of them the one component uses.
    table: usize,
    /// Blocks, or samples of a lossless image, between restart markers; 0 for none.
    restart: usize,
}

/// The header of a scan (T.81 B.2.3) and all bytes behind it.
struct Scan<'a> {
    dc: u8,
    ac: u8,
    /// Start of spectral selection, or the predictor of a lossless image.
    first: u8,
    last: u8,
    /// Successive approximation: the bit told before, and the one told now, or the point transform.
    high: u8,
    low: u8,
    bytes: &'a [u8],
}

fn damaged() -> PixelFailure {
    PixelFailure::malformed("the header of its JPEG image is damaged")
}

/// Decodes one image into samples.
pub(super) fn decode(image: &[u8], form: PixelForm) -> Result<Decoded, PixelFailure> {
    let header = FrameHeader::find(image)
        .ok_or_else(|| PixelFailure::malformed("its JPEG image has no frame header"))?;
    header.require(form)?;
    require_known(header)?;
    let mut frame = Frame {
        header,
        dc: [const { None }; 4],
        ac: [const { None }; 4],
        quantization: [None; 4],
        table: 0,
        restart: 0,
    };
    let scans = image.get(2..).ok_or_else(damaged)?;
    let samples = match header.process {
        0xC3 => {
            let scan = frame.next_scan(scans)?.ok_or_else(damaged)?;
            lossless::decode(&frame, &scan)?
        }
        0xC2 => frame.progressive(scans)?,
        _ => {
            let scan = frame.next_scan(scans)?.ok_or_else(damaged)?;
            let mut blocks = Blocks::new(header.columns, header.rows);
            blocks.read_sequential(&frame, &scan)?;
            blocks.samples(&frame, frame.quantization()?)
        }
    };
    Ok(Decoded {
        samples,
        precision: u32::from(header.precision),
        signs_known: false,
    })
}

/// Refuses by name what is not decoded here.
fn require_known(header: FrameHeader) -> Result<(), PixelFailure> {
    let precision = header.precision;
    let refused = match header.process {
        0xC0 if precision == 8 => return Ok(()),
        0xC1 | 0xC2 if matches!(precision, 8 | 12) => return Ok(()),
        0xC3 if (2..=16).contains(&precision) => return Ok(()),
        0xC0..=0xC3 => format!("JPEG of {precision} bits"),
        0xC5..=0xC7 | 0xCD..=0xCF => "hierarchical JPEG".to_owned(),
        0xF7 => "JPEG-LS under the name of JPEG".to_owned(),
        _ => "arithmetic-coded JPEG".to_owned(),
    };
    Err(PixelFailure::unsupported(format!(
        "{refused} is not supported; ask for the uncompressed images"
    )))
}

impl Frame {
    /// Reads marker segments up to the next scan; `None` at the end of the image.
    fn next_scan<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Scan<'a>>, PixelFailure> {
        let mut rest = bytes;
        loop {
            let (marker, segment, after) = segment(rest).ok_or_else(|| {
                PixelFailure::malformed(
                    "its JPEG image ends before its end is marked, or is damaged",
                )
            })?;
            let read = match marker {
                0xD9 => return Ok(None),
                0xDA => return Self::scan(segment, after).map(Some).ok_or_else(damaged),
                0xC4 => self.huffman(segment),
                0xDB => self.quantization_tables(segment),
                0xDD => self.restart_interval(segment),
                0xC0..=0xC3 => self.component(segment),
                _ => Some(()),
            };
            read.ok_or_else(damaged)?;
            rest = after;
        }
    }

    fn scan<'a>(segment: &[u8], bytes: &'a [u8]) -> Option<Scan<'a>> {
        let &[1, _, tables, first, last, bits] = segment else {
            return None;
        };
        let (dc, ac) = (tables >> 4, tables & 15);
        (dc < 4 && ac < 4).then_some(Scan {
            dc,
            ac,
            first,
            last,
            high: bits >> 4,
            low: bits & 15,
            bytes,
        })
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&place, rest)) = segment.split_first() {
            let (table, rest) = Huffman::read(rest)?;
            let tables = match place >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(place & 15))? = Some(table);
            segment = rest;
        }
        Some(())
    }

    fn quantization_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&place, mut rest)) = segment.split_first() {
            let mut table = [0; 64];
            for to in ZIGZAG {
                let (&value, after) = rest.split_first()?;
                (table[usize::from(to)], rest) = if place >> 4 == 0 {
                    (u16::from(value), after)
                } else {
                    let (&low, after) = after.split_first()?;
                    (u16::from_be_bytes([value, low]), after)
                };
            }
            *self.quantization.get_mut(usize::from(place & 15))? = Some(table);
            segment = rest;
        }
        Some(())
    }

    fn restart_interval(&mut self, segment: &[u8]) -> Option<()> {
        self.restart = usize::from(u16::from_be_bytes(*segment.first_chunk()?));
        Some(())
    }

    /// The one component of the frame header: its number, sampling and quantization table.
    fn component(&mut self, segment: &[u8]) -> Option<()> {
        // A second frame header would contradict the one that was checked.
        let same = FrameHeader::read(self.header.process, segment)? == self.header;
        self.table = usize::from(*segment.get(8)?);
        same.then_some(())
    }

    fn quantization(&self) -> Result<&[u16; 64], PixelFailure> {
        let table = self.quantization.get(self.table).and_then(Option::as_ref);
        table.ok_or_else(damaged)
    }

    /// All scans of a progressive image. One that ends early is not taken for a whole one.
    fn progressive(&mut self, bytes: &[u8]) -> Result<Vec<u32>, PixelFailure> {
        let mut blocks = Blocks::new(self.header.columns, self.header.rows);
        let mut rest = bytes;
        while let Some(scan) = self.next_scan(rest)? {
            rest = blocks.read_progressive(self, &scan)?;
        }
        Ok(blocks.samples(self, self.quantization()?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::PixelForm;
    use super::decode;

    const FORM: PixelForm = PixelForm {
        columns: 4,
        rows: 2,
        bits_allocated: 16,
        bits_stored: 16,
        high_bit: 15,
        signed: false,
    };

    /// A lossless image of 4 x 2 pixels: segments before its scan, predictor, point transform and bits.
    fn lossless(before: &[u8], [predictor, low]: [u8; 2], bits: &[u8]) -> Vec<u8> {
        // Codes: category 0 is `0`, category 15 is `10`, category 16 is `110`.
        let tables: &[u8] = b"\xff\xd8\xff\xc3\x00\x0b\x10\x00\x02\x00\x04\x01\x01\x11\x00\
            \xff\xc4\x00\x16\x00\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0f\x10";
        let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, predictor, 0, low];
        [tables, before, &scan, bits, b"\xff\xd9"].concat()
    }

    /// `10`, then the low 15 bits of 1000 - 32768 - 1, then seven zeros: 1000 everywhere.
    const FLAT: [u8; 3] = {
        let bits = (0b10_u32 << 30 | 999 << 15).to_be_bytes();
        [bits[0], bits[1], bits[2]]
    };

    #[track_caller]
    fn check(image: &[u8], expected: Result<[u32; 8], &str>) {
        match (decode(image, FORM), expected) {
            (Ok(decoded), Ok(values)) => assert_eq!(decoded.samples, values),
            (Err(failure), Err(part)) => assert!(failure.reason.contains(part), "{failure:?}"),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn lossless_images_restart_and_shift() {
        check(&lossless(b"", [1, 0], &FLAT), Ok([1000; 8]));
        let restarting = b"\xff\xdd\x00\x04\x00\x04";
        // Each line begins afresh, with padding and a marker between them.
        let lines = [&FLAT[..], b"\xff\xd0", &FLAT].concat();
        check(&lossless(restarting, [1, 0], &lines), Ok([1000; 8]));
        check(
            &lossless(restarting, [1, 0], &FLAT),
            Err("restart marker is missing"),
        );
        check(
            &lossless(b"\xff\xdd\x00\x04\x00\x03", [1, 0], &FLAT),
            Err("restarts within a line"),
        );
        // With two bits shifted away, the image begins at 2^13 and is 4 times as large.
        check(&lossless(b"", [4, 2], &[0]), Ok([32768; 8]));
        // Category 16 is 32768, modulo 2^16.
        check(&lossless(b"", [7, 0], &[0b1100_0000, 0]), Ok([0; 8]));
        check(&lossless(b"", [8, 0], &FLAT), Err("damaged"));
        check(&lossless(b"", [1, 0], &FLAT[..2]), Err("ends too early"));
        check(&lossless(b"", [1, 0], &[0xF0, 0]), Err("no table has"));
    }

    #[test]
    fn other_processes_are_refused_by_name() {
        for (process, name) in [(0xC9, "arithmetic"), (0xC5, "hierarchical")] {
            let mut image = lossless(b"", [1, 0], &FLAT);
            image[3] = process;
            check(&image, Err(name));
        }
        let mut image = lossless(b"", [1, 0], &FLAT);
        image[6] = 1;
        check(&image, Err("1 bits"));
    }
}
