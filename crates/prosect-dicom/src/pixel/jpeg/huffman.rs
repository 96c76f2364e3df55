//! The bits of a scan and their Huffman codes (ITU T.81 annexes C and F.2.2).

use super::super::PixelFailure;

/// Codes up to this long are found at once; longer ones are searched by their length.
const QUICK_BITS: u32 = 9;

/// One Huffman table, ready for decoding.
#[derive(Clone, Debug)]
pub(super) struct Huffman {
    /// By the next nine bits: length of the code in the upper byte, its symbol in the lower; 0 where longer.
    quick: Vec<u16>,
    /// By length: one more than the last code, filled up to 16 bits; 0 where there is none.
    ends: [u32; 17],
    /// By length: what to add to a code to find its symbol.
    shifts: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// Reads one table from a DHT segment behind its class and number; returns what follows.
    pub(super) fn read(segment: &[u8]) -> Option<(Self, &[u8])> {
        let (counts, rest) = segment.split_first_chunk::<16>()?;
        let n_symbols = counts.iter().map(|&n| usize::from(n)).sum();
        let (symbols, rest) = rest.split_at_checked(n_symbols)?;
        let mut table = Self {
            quick: vec![0; 1 << QUICK_BITS],
            ends: [0; 17],
            shifts: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut first) = (0_u32, 0_usize);
        for (length, &n) in (1_u32..).zip(counts) {
            let n = usize::from(n);
            // More codes than this length has: the table is no prefix code.
            if code as usize + n > 1 << length {
                return None;
            }
            table.shifts[length as usize] = first as i32 - code as i32;
            for &symbol in &symbols[first..first + n] {
                if length <= QUICK_BITS {
                    let spare = QUICK_BITS - length;
                    let begin = (code << spare) as usize;
                    table.quick[begin..begin + (1 << spare)]
                        .fill((length as u16) << 8 | u16::from(symbol));
                }
                code += 1;
            }
            if n > 0 {
                table.ends[length as usize] = code << (16 - length);
            }
            first += n;
            code <<= 1;
        }
        Some((table, rest))
    }
}

/// Bits of a scan. A byte 0xFF in the data is followed by a zero, which is no data; any other byte
/// after it is a marker, at which the bits end.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits not yet taken, at the top.
    held: u64,
    n_held: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            held: 0,
            n_held: 0,
        }
    }

    /// Holds at least 48 bits, or all that are left before the next marker.
    fn fill(&mut self) {
        while self.n_held <= 48 {
            let n = match self.bytes.get(self.at..) {
                Some([0xFF, 0, ..]) => 2,
                Some([0xFF, ..] | []) | None => return,
                Some(_) => 1,
            };
            self.held |= u64::from(self.bytes[self.at]) << (56 - self.n_held);
            self.n_held += 8;
            self.at += n;
        }
    }

    /// The next `n` bits, at most 16, as a number.
    pub(super) fn take(&mut self, n: u32) -> Result<u32, PixelFailure> {
        if n == 0 {
            return Ok(0);
        }
        if self.n_held < n {
            self.fill();
        }
        if self.n_held < n {
            return Err(PixelFailure::malformed("its JPEG image ends too early"));
        }
        let bits = (self.held >> (64 - n)) as u32;
        self.held <<= n;
        self.n_held -= n;
        Ok(bits)
    }

    /// The symbol of the next code.
    pub(super) fn symbol(&mut self, table: &Huffman) -> Result<u8, PixelFailure> {
        if self.n_held < 16 {
            self.fill();
        }
        let entry = table.quick[(self.held >> (64 - QUICK_BITS)) as usize];
        let (length, symbol) = if entry != 0 {
            (u32::from(entry >> 8), entry as u8)
        } else {
            self.long_symbol(table)?
        };
        if self.n_held < length {
            return Err(PixelFailure::malformed("its JPEG image ends too early"));
        }
        self.held <<= length;
        self.n_held -= length;
        Ok(symbol)
    }

    fn long_symbol(&self, table: &Huffman) -> Result<(u32, u8), PixelFailure> {
        let next = (self.held >> 48) as u32;
        (QUICK_BITS + 1..=16)
            .find(|&length| next < table.ends[length as usize])
            .and_then(|length| {
                let code = (next >> (16 - length)) as i32;
                let index = usize::try_from(code + table.shifts[length as usize]).ok()?;
                Some((length, *table.symbols.get(index)?))
            })
            .ok_or_else(|| {
                PixelFailure::malformed("its JPEG image is damaged: a code that no table has")
            })
    }

    /// A number of `size` bits in the form of T.81 table F.1: the lower half of the codes is negative.
    pub(super) fn number(&mut self, size: u8) -> Result<i32, PixelFailure> {
        let bits = self.take(u32::from(size))? as i32;
        Ok(if size > 0 && bits >> (size - 1) == 0 {
            bits - (1 << size) + 1
        } else {
            bits
        })
    }

    /// Passes the restart marker that must stand here; bits before it are padding.
    pub(super) fn restart(&mut self, number: usize) -> Result<(), PixelFailure> {
        self.fill();
        let marker = 0xD0 + (number % 8) as u8;
        let mut at = self.at;
        // Fill bytes may stand before a marker.
        while self.bytes.get(at..at + 2) == Some(&[0xFF, 0xFF]) {
            at += 1;
        }
        if self.n_held >= 8 || self.bytes.get(at..at + 2) != Some(&[0xFF, marker]) {
            return Err(PixelFailure::malformed(
                "its JPEG image is damaged: a restart marker is missing",
            ));
        }
        (self.at, self.held, self.n_held) = (at + 2, 0, 0);
        Ok(())
    }

    /// What follows the scan, from its next marker on.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.bytes
            .get(self.at..)
            .and_then(|rest| {
                let at = rest
                    .windows(2)
                    .position(|w| w[0] == 0xFF && !matches!(w[1], 0 | 0xFF))?;
                rest.get(at..)
            })
            .unwrap_or_default()
    }
}
