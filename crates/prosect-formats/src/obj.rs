//! Wavefront OBJ and its materials (MTL): LPS, millimetres, one object for each structure.

use std::fmt::Write as _;
use std::io::Write;

use prosect_surface::Surface;

use crate::error::FormatsError;
use crate::part::SurfacePart;

const FORMAT: &str = "OBJ";
/// Lines are written in pieces of about this size.
const CHUNK_BYTES: usize = 1 << 16;

/// Collects lines and hands them on in pieces.
struct Lines<W: Write> {
    out: W,
    text: String,
}

impl<W: Write> Lines<W> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) -> Result<(), FormatsError> {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
        if self.text.len() >= CHUNK_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), FormatsError> {
        let written = self
            .out
            .write_all(self.text.as_bytes())
            .and_then(|()| self.out.flush());
        self.text.clear();
        written.map_err(FormatsError::io("writing the OBJ file"))
    }
}

/// Writes surfaces whose materials stand in the file `mtl_name` beside it. Numbers have as many
/// digits as it takes to read back the same 32-bit floats.
///
/// # Errors
/// [`FormatsError`] when the stream fails, or there are more corners than the format can number.
pub fn write(
    parts: &[(&SurfacePart, &Surface)],
    mtl_name: &str,
    out: impl Write,
) -> Result<(), FormatsError> {
    let mut lines = Lines {
        out,
        text: String::new(),
    };
    head(&mut lines, parts)?;
    lines.line(format_args!(
        "# space: LPS (x to the patient's left, y to the back, z to the head), unit: millimetre"
    ))?;
    lines.line(format_args!("mtllib {mtl_name}"))?;
    let mut first = 1_u64;
    for (part, surface) in parts {
        lines.line(format_args!("o {}", part.word()))?;
        lines.line(format_args!(
            "# {} {} {}, {:.1} ml",
            part.code.scheme,
            part.code.value,
            plain(&part.code.meaning),
            part.volume_ml
        ))?;
        lines.line(format_args!("# algorithm: {}", part.algorithm_line()))?;
        for [x, y, z] in &surface.vertices {
            lines.line(format_args!("v {x} {y} {z}"))?;
        }
        lines.line(format_args!("usemtl {}", part.word()))?;
        lines.line(format_args!("s 1"))?;
        for triangle in &surface.triangles {
            let [a, b, c] = triangle.map(|v| u64::from(v) + first);
            lines.line(format_args!("f {a} {b} {c}"))?;
        }
        first += surface.vertices.len() as u64;
        if first > u64::from(u32::MAX) {
            return Err(FormatsError::Inconsistent {
                format: FORMAT,
                what: "the surfaces have more than 4 billion corners".to_owned(),
            });
        }
    }
    lines.flush()
}

/// Writes the materials of the same parts: their colors, in sRGB as readers expect.
///
/// # Errors
/// [`FormatsError`] when the stream fails.
pub fn write_mtl(parts: &[(&SurfacePart, &Surface)], out: impl Write) -> Result<(), FormatsError> {
    let mut lines = Lines {
        out,
        text: String::new(),
    };
    head(&mut lines, parts)?;
    for (part, _) in parts {
        let [r, g, b] = part.color.0.map(|byte| f32::from(byte) / 255.0);
        lines.line(format_args!("newmtl {}", part.word()))?;
        lines.line(format_args!(
            "Ka 0 0 0\nKd {r:.4} {g:.4} {b:.4}\nKs 0.1 0.1 0.1\nNs 30\nd 1\nillum 2"
        ))?;
    }
    lines.flush()
}

/// Who made the file, and whether a person has looked.
fn head<W: Write>(
    lines: &mut Lines<W>,
    parts: &[(&SurfacePart, &Surface)],
) -> Result<(), FormatsError> {
    let review = parts.first().map_or("UNREVIEWED", |(part, _)| part.review);
    lines.line(format_args!(
        "# prosect {} {review}: made by an algorithm, not for clinical use without review",
        env!("CARGO_PKG_VERSION")
    ))?;
    match parts
        .first()
        .and_then(|(part, _)| part.frame_of_reference.as_ref())
    {
        Some(uid) => lines.line(format_args!("# frame of reference: {}", plain(uid))),
        None => Ok(()),
    }
}

/// A text within one line.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
