//! One gzip stream, compressed in parallel: the voxels are cut into blocks of a fixed number, each
//! block is deflated by itself and ended at a byte, and the blocks are joined (RFC 1951, 3.2.4;
//! RFC 1952). The bytes do not depend on the number of threads, and every reader of gzip reads them.

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use rayon::prelude::*;

/// Voxels of one block: large enough that starting anew costs next to nothing.
const BLOCK_VOXELS: usize = 1 << 18;
/// Blocks that lie in memory at once.
const BLOCKS_AT_ONCE: usize = 32;

/// A deflated block and what the end of the stream must know of it.
struct Block {
    bytes: Vec<u8>,
    crc: Crc,
}

/// Writes `head` and then every voxel, encoded, as one gzip stream without name and time stamp.
pub(crate) fn write_gzip<T: Sync, const N: usize>(
    head: &[u8],
    voxels: &[T],
    level: Compression,
    encode: impl Fn(&T) -> [u8; N] + Sync,
    mut out: impl Write,
) -> io::Result<()> {
    // RFC 1952, 2.3: magic, deflate, no flags, no time, no extra flags, unknown system.
    out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
    let first = Block::of(head, level)?;
    out.write_all(&first.bytes)?;
    let mut crc = first.crc;
    for voxels in voxels.chunks(BLOCK_VOXELS * BLOCKS_AT_ONCE) {
        let blocks: io::Result<Vec<Block>> = voxels
            .par_chunks(BLOCK_VOXELS)
            .map(|voxels| {
                Block::of(
                    voxels
                        .iter()
                        .map(&encode)
                        .collect::<Vec<_>>()
                        .as_flattened(),
                    level,
                )
            })
            .collect();
        for block in blocks? {
            out.write_all(&block.bytes)?;
            crc.combine(&block.crc);
        }
    }
    // An empty last block with fixed codes.
    out.write_all(&[3, 0])?;
    out.write_all(&crc.sum().to_le_bytes())?;
    out.write_all(&crc.amount().to_le_bytes())?;
    out.flush()
}

impl Block {
    fn of(plain: &[u8], level: Compression) -> io::Result<Self> {
        let mut crc = Crc::new();
        crc.update(plain);
        let mut deflate = Compress::new(level, false);
        let mut bytes = Vec::with_capacity(plain.len() / 4 + 64);
        loop {
            let done = deflate.total_in() as usize;
            let status = deflate
                .compress_vec(&plain[done..], &mut bytes, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            // Room left over means that the end of the block was written, too.
            let is_whole =
                deflate.total_in() as usize == plain.len() && bytes.len() < bytes.capacity();
            match status {
                Status::Ok | Status::BufError if is_whole => return Ok(Self { bytes, crc }),
                _ => bytes.reserve(plain.len() / 2 + 64),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::Compression;
    use flate2::read::GzDecoder;

    use super::{BLOCK_VOXELS, BLOCKS_AT_ONCE, write_gzip};

    /// One stream (not several joined), whole, for sizes around the edges of blocks.
    #[track_caller]
    fn check(n_voxels: usize, noise: bool) {
        let value = |n: usize| {
            let mixed = (n as u32).wrapping_mul(2_654_435_761) >> 13;
            if noise {
                mixed as u16
            } else {
                (n / 5000) as u16
            }
        };
        let voxels: Vec<u16> = (0..n_voxels).map(value).collect();
        let mut packed = Vec::new();
        write_gzip(
            b"head",
            &voxels,
            Compression::new(6),
            |v| v.to_le_bytes(),
            &mut packed,
        )
        .unwrap();
        let mut plain = Vec::new();
        let mut decoder = GzDecoder::new(packed.as_slice());
        decoder.read_to_end(&mut plain).unwrap();
        assert!(
            decoder.into_inner().is_empty(),
            "something follows the stream"
        );
        assert_eq!(&plain[..4], b"head");
        let expected: Vec<u8> = voxels.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(plain[4..] == expected[..], "{n_voxels} voxels");
    }

    #[test]
    fn every_reader_of_gzip_reads_it() {
        for n_voxels in [0, 1, BLOCK_VOXELS - 1, BLOCK_VOXELS, BLOCK_VOXELS + 1] {
            check(n_voxels, false);
            check(n_voxels, true);
        }
        check(BLOCK_VOXELS * BLOCKS_AT_ONCE + 3, false);
    }
}
