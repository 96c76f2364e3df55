//! glTF 2.0 in one binary file (GLB) for headsets and the web: metres, Y up.
//!
//! Corners stay in LPS millimetres, the same numbers as in the STL; the root node turns them:
//! (x, y, z) in glTF = (left, head, front) of the patient in metres. That is a rotation by -90
//! degrees about x and a scale, never a mirror: who looks at the model from the front sees the
//! patient's left on the right.

use std::io::Write;

use prosect_segmentation::Code;
use prosect_surface::Surface;
use serde_json::{Value, json};

use crate::error::FormatsError;
use crate::part::SurfacePart;

const FORMAT: &str = "GLB";
/// glTF 2.0, 5.1.3 and 5.11.5: component types and buffer targets.
const FLOAT: u32 = 5126;
const UNSIGNED_INT: u32 = 5125;
const ARRAY_BUFFER: u32 = 34962;
const ELEMENT_ARRAY_BUFFER: u32 = 34963;

/// Writes one named node for each structure under one root node.
///
/// # Errors
/// [`FormatsError`] when the stream fails, a surface is empty, or the file would pass 4 GiB.
pub fn write(parts: &[(&SurfacePart, &Surface)], mut out: impl Write) -> Result<(), FormatsError> {
    if parts.is_empty()
        || parts
            .iter()
            .any(|(_, s)| s.triangles.is_empty() || s.vertices.is_empty())
    {
        return Err(inconsistent("a surface without triangles cannot be stored"));
    }
    let n_bytes: u64 = parts
        .iter()
        .map(|(_, s)| part_bytes(s).iter().sum::<u64>())
        .sum();
    let mut text = serde_json::to_vec(&document(parts, n_bytes))
        .map_err(|error| inconsistent(&error.to_string()))?;
    text.resize(text.len().next_multiple_of(4), b' ');
    let total = 12 + 8 + text.len() as u64 + 8 + n_bytes;
    let total = u32::try_from(total).map_err(|_| {
        inconsistent("the surfaces take more than 4 GiB; simplify them or write fewer")
    })?;
    let io = FormatsError::io("writing the GLB file");
    let mut head = Vec::with_capacity(28 + text.len());
    head.extend(b"glTF");
    for word in [2, total, text.len() as u32] {
        head.extend(word.to_le_bytes());
    }
    head.extend(b"JSON");
    head.extend(text);
    head.extend((n_bytes as u32).to_le_bytes());
    head.extend(b"BIN\0");
    out.write_all(&head).map_err(&io)?;
    for (_, surface) in parts {
        out.write_all(&bytes_of_vectors(&surface.vertices))
            .map_err(&io)?;
        out.write_all(&bytes_of_vectors(&normals(surface)))
            .map_err(&io)?;
        let indices: Vec<u8> = surface
            .triangles
            .iter()
            .flatten()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        out.write_all(&indices).map_err(&io)?;
    }
    out.flush().map_err(&io)
}

fn inconsistent(what: &str) -> FormatsError {
    FormatsError::Inconsistent {
        format: FORMAT,
        what: what.to_owned(),
    }
}

/// Bytes of corners, normals and indices.
fn part_bytes(surface: &Surface) -> [u64; 3] {
    let [corners, triangles] = [
        surface.vertices.len() as u64,
        surface.triangles.len() as u64,
    ];
    [12 * corners, 12 * corners, 12 * triangles]
}

/// The JSON part.
fn document(parts: &[(&SurfacePart, &Surface)], n_bytes: u64) -> Value {
    let (mut views, mut accessors, mut meshes, mut materials) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut nodes = vec![json!({
        "name": "prosect: LPS mm to glTF m",
        "rotation": [-std::f64::consts::FRAC_1_SQRT_2, 0.0, 0.0, std::f64::consts::FRAC_1_SQRT_2],
        "scale": [0.001, 0.001, 0.001],
        "children": (1..=parts.len()).collect::<Vec<_>>(),
    })];
    let mut offset = 0;
    for (n, (part, surface)) in parts.iter().enumerate() {
        for (bytes, target) in
            part_bytes(surface)
                .into_iter()
                .zip([ARRAY_BUFFER, ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER])
        {
            views.push(
                json!({ "buffer": 0, "byteOffset": offset, "byteLength": bytes, "target": target }),
            );
            offset += bytes;
        }
        let [low, high] = bounds(surface);
        let n_corners = surface.vertices.len();
        accessors.push(json!({ "bufferView": 3 * n, "componentType": FLOAT, "count": n_corners, "type": "VEC3", "min": low, "max": high }));
        accessors.push(json!({ "bufferView": 3 * n + 1, "componentType": FLOAT, "count": n_corners, "type": "VEC3" }));
        accessors.push(json!({ "bufferView": 3 * n + 2, "componentType": UNSIGNED_INT, "count": 3 * surface.triangles.len(), "type": "SCALAR" }));
        let attributes = json!({ "POSITION": 3 * n, "NORMAL": 3 * n + 1 });
        meshes.push(json!({ "name": part.name, "primitives": [{ "attributes": attributes, "indices": 3 * n + 2, "material": n }] }));
        materials.push(material(part));
        nodes.push(json!({ "name": part.name, "mesh": n, "extras": extras(part) }));
    }
    let review = parts.first().map_or("UNREVIEWED", |(part, _)| part.review);
    let frame = parts
        .first()
        .and_then(|(part, _)| part.frame_of_reference.clone());
    json!({
        "asset": {
            "version": "2.0",
            "generator": format!("prosect {}", env!("CARGO_PKG_VERSION")),
            "extras": { "review": review, "corners": "LPS millimetres before the root node", "frame_of_reference": frame },
        },
        "scene": 0,
        "scenes": [{ "name": "prosect", "nodes": [0] }],
        "nodes": nodes,
        "meshes": meshes,
        "materials": materials,
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{ "byteLength": n_bytes }],
    })
}

/// glTF wants base colors in linear light.
fn material(part: &SurfacePart) -> Value {
    let [r, g, b] = part.color.to_linear();
    json!({
        "name": part.name,
        "doubleSided": false,
        "pbrMetallicRoughness": { "baseColorFactor": [r, g, b, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.6 },
    })
}

fn extras(part: &SurfacePart) -> Value {
    let code = |code: &Code| json!({ "scheme": code.scheme, "value": code.value, "meaning": code.meaning });
    json!({
        "structure": part.name,
        "code": code(&part.code),
        "modifier": part.modifier.as_ref().map(code),
        "volume_ml": part.volume_ml,
        "review": part.review,
        "algorithm_type": part.algorithm_type,
        "algorithm": part.algorithm.as_ref().map(|a| json!({
            "name": a.name, "version": a.version, "weights_sha256": a.weights_sha256, "source": a.source,
        })),
    })
}

/// Lowest and highest coordinates, as glTF demands of positions.
fn bounds(surface: &Surface) -> [[f32; 3]; 2] {
    let fold = |start: f32, pick: fn(f32, f32) -> f32| {
        surface.vertices.iter().fold([start; 3], |found, v| {
            std::array::from_fn(|d| pick(found[d], v[d]))
        })
    };
    [
        fold(f32::INFINITY, f32::min),
        fold(f32::NEG_INFINITY, f32::max),
    ]
}

/// Unit normals at the corners, weighted by the areas of the triangles around them.
fn normals(surface: &Surface) -> Vec<[f32; 3]> {
    let mut sums = vec![[0.0_f64; 3]; surface.vertices.len()];
    for triangle in &surface.triangles {
        let [a, b, c] = triangle.map(|v| surface.vertices[v as usize].map(f64::from));
        let [u, v] = [b, c].map(|p| [p[0] - a[0], p[1] - a[1], p[2] - a[2]]);
        let normal = [
            u[1] * v[2] - u[2] * v[1],
            u[2] * v[0] - u[0] * v[2],
            u[0] * v[1] - u[1] * v[0],
        ];
        for corner in triangle {
            sums[*corner as usize]
                .iter_mut()
                .zip(normal)
                .for_each(|(sum, n)| *sum += n);
        }
    }
    let unit = |n: [f64; 3]| {
        let length = n.iter().map(|c| c * c).sum::<f64>().sqrt();
        // A corner between opposite triangles has no direction; any unit vector is legal.
        if length > 0.0 {
            n.map(|c| (c / length) as f32)
        } else {
            [0.0, 0.0, 1.0]
        }
    };
    sums.into_iter().map(unit).collect()
}

fn bytes_of_vectors(vectors: &[[f32; 3]]) -> Vec<u8> {
    vectors
        .iter()
        .flatten()
        .flat_map(|c| c.to_le_bytes())
        .collect()
}
