//! Lossy JPEG: coefficients of blocks, from one scan or from many that refine each other (ITU T.81
//! annexes F and G), to samples.

use super::super::PixelFailure;
use super::huffman::{Bits, Huffman};
use super::{Frame, Scan, cosine};

/// The order in which the coefficients of a block are coded (T.81 figure A.6).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The quantized coefficients of an image, blocks in rows, each in the order of its rows.
pub(super) struct Blocks {
    across: usize,
    coefficients: Vec<[i32; 64]>,
    /// By place in a block: the lowest bit that scans have told so far.
    known: [Option<u8>; 64],
}

fn damaged(what: &str) -> PixelFailure {
    PixelFailure::malformed(format!("its JPEG image is damaged: {what}"))
}

impl Blocks {
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        let across = columns.div_ceil(8);
        Self {
            across,
            coefficients: vec![[0; 64]; across * rows.div_ceil(8)],
            known: [None; 64],
        }
    }

    /// Reads the only scan of a sequential image.
    pub(super) fn read_sequential(
        &mut self,
        frame: &Frame,
        scan: &Scan<'_>,
    ) -> Result<(), PixelFailure> {
        let missing = || damaged("a Huffman table is missing");
        let dc = frame.dc[usize::from(scan.dc)]
            .as_ref()
            .ok_or_else(missing)?;
        let ac = frame.ac[usize::from(scan.ac)]
            .as_ref()
            .ok_or_else(missing)?;
        let mut bits = Bits::new(scan.bytes);
        let mut before = 0_i32;
        for (index, block) in self.coefficients.iter_mut().enumerate() {
            if restarts(frame, index) {
                bits.restart(index / frame.restart - 1)?;
                before = 0;
            }
            before = before.wrapping_add(dc_difference(&mut bits, dc)?);
            block[0] = before;
            let mut k = 1;
            while k < 64 {
                let (run, size) = split(bits.symbol(ac)?);
                match (run, size) {
                    (15, 0) => k += 16,
                    (_, 0) => break,
                    _ => {
                        k += run;
                        let place = ZIGZAG.get(k).ok_or_else(|| damaged("a block overflows"))?;
                        block[usize::from(*place)] = bits.number(size)?;
                        k += 1;
                    }
                }
            }
            if k > 64 {
                return Err(damaged("a block overflows"));
            }
        }
        Ok(())
    }

    /// Reads one of the scans of a progressive image; returns what follows it.
    pub(super) fn read_progressive<'a>(
        &mut self,
        frame: &Frame,
        scan: &Scan<'a>,
    ) -> Result<&'a [u8], PixelFailure> {
        self.require_next(scan)?;
        let mut bits = Bits::new(scan.bytes);
        let missing = || damaged("a Huffman table is missing");
        let mut before = 0_i32;
        let mut run = Band {
            first: usize::from(scan.first),
            last: usize::from(scan.last),
            low: u32::from(scan.low),
            empty: 0,
        };
        let dc = frame.dc[usize::from(scan.dc)].as_ref();
        let ac = frame.ac[usize::from(scan.ac)].as_ref();
        for (index, block) in self.coefficients.iter_mut().enumerate() {
            if restarts(frame, index) {
                bits.restart(index / frame.restart - 1)?;
                (before, run.empty) = (0, 0);
            }
            match (scan.first, scan.high) {
                (0, 0) => {
                    let difference = dc_difference(&mut bits, dc.ok_or_else(missing)?)?;
                    before = before.wrapping_add(difference);
                    block[0] = before.wrapping_shl(run.low);
                }
                (0, _) => block[0] |= (bits.take(1)? << run.low) as i32,
                (_, 0) => run.read_first(&mut bits, ac.ok_or_else(missing)?, block)?,
                (_, _) => run.refine(&mut bits, ac.ok_or_else(missing)?, block)?,
            }
        }
        Ok(bits.rest())
    }

    /// T.81 G.1.1.1: a scan tells bits that no scan has told, and the next lower of those told.
    /// So their number is bounded, whatever a file may hold.
    fn require_next(&mut self, scan: &Scan<'_>) -> Result<(), PixelFailure> {
        let band = usize::from(scan.first)..=usize::from(scan.last);
        let sound = scan.last < 64
            && scan.low <= 13
            && (scan.high == 0 || scan.high == scan.low + 1)
            && if scan.first == 0 {
                scan.last == 0
            } else {
                scan.first <= scan.last
            };
        if !sound {
            return Err(damaged("a scan of an impossible kind"));
        }
        let told = (scan.high != 0).then_some(scan.high);
        for known in &mut self.known[band] {
            if *known != told {
                return Err(damaged("scans that contradict each other"));
            }
            *known = Some(scan.low);
        }
        Ok(())
    }

    /// Samples of the image, held in the range of its precision.
    pub(super) fn samples(&self, frame: &Frame, table: &[u16; 64]) -> Vec<u32> {
        let (columns, rows) = (frame.header.columns, frame.header.rows);
        let center = 1_i64 << (frame.header.precision - 1);
        let mut samples = vec![0_u32; columns * rows];
        for (index, quantized) in self.coefficients.iter().enumerate() {
            let (left, top) = (index % self.across * 8, index / self.across * 8);
            // No true coefficient of 12 bits comes near 2^17; the bound keeps damaged ones from overflowing.
            let mut block = std::array::from_fn(|i| {
                (i64::from(quantized[i]) * i64::from(table[i])).clamp(-(1 << 17), 1 << 17)
            });
            cosine::inverse(&mut block, frame.header.precision);
            let (lines, _) = block.as_chunks::<8>();
            let width = (columns - left).min(8);
            for (y, line) in lines.iter().enumerate().take(rows - top) {
                let begin = (top + y) * columns + left;
                for (sample, value) in samples[begin..begin + width].iter_mut().zip(line) {
                    *sample = (value + center).clamp(0, 2 * center - 1) as u32;
                }
            }
        }
        samples
    }
}

fn restarts(frame: &Frame, index: usize) -> bool {
    frame.restart > 0 && index > 0 && index.is_multiple_of(frame.restart)
}

fn split(symbol: u8) -> (usize, u8) {
    (usize::from(symbol >> 4), symbol & 15)
}

fn dc_difference(bits: &mut Bits<'_>, table: &Huffman) -> Result<i32, PixelFailure> {
    match bits.symbol(table)? {
        size @ 0..=15 => bits.number(size),
        _ => Err(damaged("a difference is too large")),
    }
}

/// The coefficients that a progressive scan tells of each block.
struct Band {
    first: usize,
    last: usize,
    /// The bit that the scan tells, or the lowest of them.
    low: u32,
    /// Blocks to come, this one included, in which nothing new begins.
    empty: u32,
}

impl Band {
    /// T.81 G.1.2.2: the upper bits of a band.
    fn read_first(
        &mut self,
        bits: &mut Bits<'_>,
        table: &Huffman,
        block: &mut [i32; 64],
    ) -> Result<(), PixelFailure> {
        if self.empty > 0 {
            self.empty -= 1;
            return Ok(());
        }
        let mut k = self.first;
        while k <= self.last {
            let (run, size) = split(bits.symbol(table)?);
            match (run, size) {
                (15, 0) => k += 16,
                (_, 0) => {
                    self.empty = (1 << run) + bits.take(run as u32)? - 1;
                    return Ok(());
                }
                _ => {
                    k += run;
                    if k > self.last {
                        return Err(damaged("a band overflows"));
                    }
                    block[usize::from(ZIGZAG[k])] = bits.number(size)? << self.low;
                    k += 1;
                }
            }
        }
        Ok(())
    }

    /// T.81 G.1.2.3: one more bit of a band.
    fn refine(
        &mut self,
        bits: &mut Bits<'_>,
        table: &Huffman,
        block: &mut [i32; 64],
    ) -> Result<(), PixelFailure> {
        let mut k = self.first;
        while k <= self.last && self.empty == 0 {
            let (run, size) = split(bits.symbol(table)?);
            let value = match size {
                0 if run < 15 => {
                    self.empty = (1 << run) + bits.take(run as u32)?;
                    break;
                }
                0 => 0,
                1 => (2 * bits.take(1)? as i32 - 1) << self.low,
                _ => return Err(damaged("a correction of more than one bit")),
            };
            k = self.pass(bits, block, (k, run))?;
            if value != 0 {
                let place = ZIGZAG.get(k).filter(|_| k <= self.last);
                let place = place.ok_or_else(|| damaged("a band overflows"))?;
                block[usize::from(*place)] = value;
            }
            k += 1;
        }
        if self.empty > 0 {
            self.pass(bits, block, (k, 64))?;
            self.empty -= 1;
        }
        Ok(())
    }

    /// Corrects the coefficients that are not zero, from `k` on, until `zeros` zeros were passed and
    /// the next is met, or to the end of the band; returns where.
    fn pass(
        &self,
        bits: &mut Bits<'_>,
        block: &mut [i32; 64],
        (mut k, mut zeros): (usize, usize),
    ) -> Result<usize, PixelFailure> {
        while k <= self.last {
            let value = &mut block[usize::from(ZIGZAG[k])];
            if *value == 0 {
                if zeros == 0 {
                    break;
                }
                zeros -= 1;
            } else if bits.take(1)? == 1 && *value & (1 << self.low) == 0 {
                *value += value.signum() << self.low;
            }
            k += 1;
        }
        Ok(k)
    }
}
