//! An RGB raster, letters on it, and PNG.

use std::io;

use font8x8::legacy::BASIC_LEGACY;

/// An 8-bit RGB raster, row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raster {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Raster {
    /// A raster of one color.
    pub fn filled(width: usize, height: usize, color: [u8; 3]) -> Self {
        Self {
            width,
            height,
            rgb: color.repeat(width * height),
        }
    }

    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All pixels, three bytes each, row by row from the top left.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The color at a pixel, or `None` outside.
    pub fn get(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        let inside = x < self.width && y < self.height;
        let at = 3 * (x + self.width * y);
        inside.then(|| [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]])
    }

    /// Sets a pixel; outside nothing happens.
    pub fn set(&mut self, x: usize, y: usize, color: [u8; 3]) {
        if x < self.width && y < self.height {
            let at = 3 * (x + self.width * y);
            self.rgb[at..at + 3].copy_from_slice(&color);
        }
    }

    /// Copies another raster in, its top left at `x`, `y`; what reaches out is cut.
    pub fn paste(&mut self, other: &Self, x: usize, y: usize) {
        for row in 0..other.height {
            for column in 0..other.width {
                if let Some(color) = other.get(column, row) {
                    self.set(x + column, y + row, color);
                }
            }
        }
    }

    /// Writes ASCII text with its top left at `x`, `y`; each dot of the 8 x 8 font is `scale` pixels.
    pub fn write(&mut self, text: &str, at: [usize; 2], scale: usize, color: [u8; 3]) {
        for (n, character) in text.chars().enumerate() {
            let Some(glyph) = BASIC_LEGACY.get(character as usize) else {
                continue;
            };
            for (row, bits) in glyph.iter().enumerate() {
                for column in (0..8).filter(|c| bits >> c & 1 == 1) {
                    let [x, y] = [at[0] + scale * (8 * n + column), at[1] + scale * row];
                    for dy in 0..scale {
                        for dx in 0..scale {
                            self.set(x + dx, y + dy, color);
                        }
                    }
                }
            }
        }
    }

    /// Writes the letters of the left, right, top and bottom side.
    pub(super) fn write_sides(&mut self, [left, right, top, bottom]: [&str; 4]) {
        let scale = (self.width / 200).max(1);
        let (w, h, glyph, yellow) = (self.width, self.height, 8 * scale, [255, 220, 80]);
        self.write(left, [4, h / 2 - glyph / 2], scale, yellow);
        self.write(
            right,
            [w.saturating_sub(glyph + 2), h / 2 - glyph / 2],
            scale,
            yellow,
        );
        self.write(top, [w / 2 - glyph / 2, 4], scale, yellow);
        self.write(
            bottom,
            [w / 2 - glyph / 2, h.saturating_sub(glyph + 2)],
            scale,
            yellow,
        );
    }
}

/// The raster as PNG.
///
/// # Errors
/// When the encoder fails, which it does only for an empty raster.
pub fn encode_png(raster: &Raster) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, raster.width as u32, raster.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer
        .write_image_data(&raster.rgb)
        .map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Raster, encode_png};

    #[test]
    fn text_leaves_dots_and_png_reads_back() {
        let mut raster = Raster::filled(40, 20, [0, 0, 0]);
        raster.write("L", [2, 2], 2, [255, 255, 0]);
        let lit = |from: usize, to: usize| {
            (from..to)
                .flat_map(|x| (0..20).map(move |y| (x, y)))
                .filter(|&(x, y)| raster.get(x, y) == Some([255, 255, 0]))
                .count()
        };
        assert!(lit(0, 20) > 20 && lit(20, 40) == 0);
        let bytes = encode_png(&raster).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, raster.rgb);
    }
}
