//! Tubes along a curve with changing radius: vessels, bowel, ribs.

use super::{Bounds, FAR_MM, Vec3, dot, norm, sub};

/// A place on a tube's center line and the radius there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) point: Vec3,
    pub(crate) radius_mm: f32,
}

/// A chain of round cones. Chunks of it carry boxes, so that a far point costs little.
#[derive(Debug, Clone)]
pub(crate) struct Tube {
    chunks: Vec<Chunk>,
    bounds: Bounds,
    /// Stretch of the z axis: 2 makes the cross-section half as wide in x and y as it is high.
    z_scale: f32,
}

#[derive(Debug, Clone)]
struct Chunk {
    nodes: Vec<Node>,
    bounds: Bounds,
}

/// Segments that share one box.
const CHUNK_SEGMENTS: usize = 6;

impl Tube {
    /// A smooth tube through the nodes (Catmull-Rom), cut into `steps` pieces between two nodes.
    pub(crate) fn smooth(nodes: &[[f32; 4]], steps: usize) -> Self {
        Self::from_nodes(&smooth_nodes(nodes, steps), 1.0)
    }

    /// A tube whose cross-section is `height_ratio` times as high (z) as wide; radii are given across.
    pub(crate) fn tall(nodes: &[[f32; 4]], steps: usize, height_ratio: f32) -> Self {
        let mut flat = smooth_nodes(nodes, steps);
        for node in &mut flat {
            node.point[2] /= height_ratio;
        }
        Self::from_nodes(&flat, height_ratio)
    }

    pub(crate) fn from_nodes(nodes: &[Node], z_scale: f32) -> Self {
        let mut chunks = Vec::new();
        let mut start = 0;
        while start + 1 < nodes.len() {
            let end = (start + CHUNK_SEGMENTS + 1).min(nodes.len());
            let part = nodes[start..end].to_vec();
            let bounds = part.iter().fold(Bounds::NOTHING, |all, node| {
                all.joined(Bounds::around(node.point, node.radius_mm))
            });
            chunks.push(Chunk {
                nodes: part,
                bounds,
            });
            start = end - 1;
        }
        let mut bounds = chunks
            .iter()
            .fold(Bounds::NOTHING, |all, chunk| all.joined(chunk.bounds));
        bounds.low[2] *= z_scale;
        bounds.high[2] *= z_scale;
        Self {
            chunks,
            bounds,
            z_scale,
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(crate) fn distance(&self, point: Vec3) -> f32 {
        let point = [point[0], point[1], point[2] / self.z_scale];
        let mut least = FAR_MM;
        for chunk in &self.chunks {
            // Outside its box a chunk is at least that far away.
            let box_mm = chunk.bounds.distance(point);
            if box_mm > 0.0 && box_mm >= least {
                continue;
            }
            for ends in chunk.nodes.windows(2) {
                least = least.min(cone_distance(ends[0], ends[1], point));
            }
        }
        least
    }
}

/// Distance to a cone with round ends; along the cone the radius is taken linearly, which is exact for equal radii and close for slow tapers.
fn cone_distance(start: Node, end: Node, point: Vec3) -> f32 {
    let along = sub(end.point, start.point);
    let offset = sub(point, start.point);
    let share = (dot(offset, along) / dot(along, along).max(1e-9)).clamp(0.0, 1.0);
    let nearest = [along[0] * share, along[1] * share, along[2] * share];
    norm(sub(offset, nearest)) - (start.radius_mm + (end.radius_mm - start.radius_mm) * share)
}

/// Catmull-Rom through the nodes, positions and radii alike.
pub(crate) fn smooth_nodes(nodes: &[[f32; 4]], steps: usize) -> Vec<Node> {
    let mut out = Vec::with_capacity(nodes.len() * steps + 1);
    for index in 0..nodes.len().saturating_sub(1) {
        let before = nodes[index.saturating_sub(1)];
        let (from, to) = (nodes[index], nodes[index + 1]);
        let after = nodes[(index + 2).min(nodes.len() - 1)];
        for step in 0..steps {
            let t = step as f32 / steps as f32;
            out.push(node_of(std::array::from_fn(|axis| {
                catmull_rom([before[axis], from[axis], to[axis], after[axis]], t)
            })));
        }
    }
    if let Some(last) = nodes.last() {
        out.push(node_of(*last));
    }
    out
}

fn node_of(xyzr: [f32; 4]) -> Node {
    Node {
        point: [xyzr[0], xyzr[1], xyzr[2]],
        radius_mm: xyzr[3].max(0.3),
    }
}

fn catmull_rom([p0, p1, p2, p3]: [f32; 4], t: f32) -> f32 {
    let (t2, t3) = (t * t, t * t * t);
    0.5 * (2.0 * p1
        + (p2 - p0) * t
        + (2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3) * t2
        + (3.0 * p1 - p0 - 3.0 * p2 + p3) * t3)
}
