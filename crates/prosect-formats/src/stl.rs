//! Binary STL for 3-D printers: LPS, millimetres, one structure a file.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use prosect_base::Limits;
use prosect_surface::{Proof, Surface, prove};

use crate::error::FormatsError;
use crate::part::SurfacePart;

const FORMAT: &str = "STL";
const HEADER_BYTES: usize = 80;
const TRIANGLE_BYTES: usize = 50;
/// Triangles encoded or decoded at once.
const CHUNK: usize = 1 << 14;

/// Writes a surface after proving it on the very numbers that the file holds.
///
/// # Errors
/// [`FormatsError::Unproven`] when the proof fails; nothing is written then.
pub fn write(
    surface: &Surface,
    part: &SurfacePart,
    mut out: impl Write,
) -> Result<Proof, FormatsError> {
    let proof = prove(surface).map_err(|defect| FormatsError::Unproven {
        format: FORMAT,
        defect,
    })?;
    let io = FormatsError::io("writing the STL file");
    // A header that began with `solid` would be taken for text.
    let algorithm = part
        .algorithm
        .as_ref()
        .map_or_else(String::new, |a| format!(" by {}", a.short()));
    let text = format!(
        "prosect {} {} LPS mm {}{algorithm}",
        env!("CARGO_PKG_VERSION"),
        part.review,
        part.word()
    );
    let mut header = [b' '; HEADER_BYTES];
    header
        .iter_mut()
        .zip(text.bytes())
        .for_each(|(slot, byte)| *slot = byte);
    out.write_all(&header).map_err(&io)?;
    out.write_all(&(surface.triangles.len() as u32).to_le_bytes())
        .map_err(&io)?;
    let mut bytes = Vec::with_capacity(CHUNK * TRIANGLE_BYTES);
    for triangles in surface.triangles.chunks(CHUNK) {
        bytes.clear();
        for triangle in triangles {
            let corners = triangle.map(|v| surface.vertices[v as usize]);
            for value in facet_normal(corners).iter().chain(corners.iter().flatten()) {
                bytes.extend(value.to_le_bytes());
            }
            bytes.extend([0, 0]);
        }
        out.write_all(&bytes).map_err(&io)?;
    }
    out.flush().map_err(&io)?;
    Ok(proof)
}

/// The unit normal of a proven triangle.
fn facet_normal(corners: [[f32; 3]; 3]) -> [f32; 3] {
    let [a, b, c] = corners.map(|v| v.map(f64::from));
    let [u, v] = [b, c].map(|p| [p[0] - a[0], p[1] - a[1], p[2] - a[2]]);
    let n = [
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    ];
    let length = n.iter().map(|c| c * c).sum::<f64>().sqrt();
    n.map(|c| {
        if length > 0.0 {
            (c / length) as f32
        } else {
            0.0
        }
    })
}

/// Reads a binary STL; corners at equal places become one.
///
/// # Errors
/// [`FormatsError`] for a text STL, a file that is cut off or goes on after its last triangle, or
/// one beyond the limits.
pub fn read(mut reader: impl Read, limits: &Limits) -> Result<Surface, FormatsError> {
    let malformed = |what: &str| FormatsError::Malformed {
        format: FORMAT,
        what: what.to_owned(),
    };
    let fill = |reader: &mut dyn Read, buffer: &mut [u8]| {
        reader
            .read_exact(buffer)
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => malformed("it ends before its last triangle"),
                _ => FormatsError::Io {
                    doing: "reading the STL file",
                    source,
                },
            })
    };
    let mut start = [0_u8; HEADER_BYTES + 4];
    fill(&mut reader, &mut start)?;
    if start.starts_with(b"solid") {
        return Err(FormatsError::Unsupported {
            format: FORMAT,
            what: "it is a text STL; convert it to binary".to_owned(),
        });
    }
    let n = u32::from_le_bytes([start[80], start[81], start[82], start[83]]) as usize;
    if (n * TRIANGLE_BYTES) as u64 > limits.file_bytes {
        return Err(FormatsError::Limit {
            format: FORMAT,
            what: format!("it claims {n} triangles"),
        });
    }
    let mut surface = Surface::default();
    let mut number_of: HashMap<[u32; 3], u32> = HashMap::new();
    let mut chunk = vec![0_u8; CHUNK * TRIANGLE_BYTES];
    while surface.triangles.len() < n {
        let raw = &mut chunk[..CHUNK.min(n - surface.triangles.len()) * TRIANGLE_BYTES];
        fill(&mut reader, raw)?;
        for facet in raw.chunks_exact(TRIANGLE_BYTES) {
            let number = |at: usize| {
                f32::from_le_bytes([facet[at], facet[at + 1], facet[at + 2], facet[at + 3]]) + 0.0
            };
            let triangle = [12, 24, 36].map(|at| {
                let corner = [number(at), number(at + 4), number(at + 8)];
                *number_of
                    .entry(corner.map(f32::to_bits))
                    .or_insert_with(|| {
                        surface.vertices.push(corner);
                        surface.vertices.len() as u32 - 1
                    })
            });
            surface.triangles.push(triangle);
        }
    }
    match reader.read(&mut [0]) {
        Ok(0) => Ok(surface),
        Ok(_) => Err(malformed("it goes on after its last triangle")),
        Err(source) => Err(FormatsError::Io {
            doing: "reading the STL file",
            source,
        }),
    }
}
