//! Time and memory of the surfaces of a label map with many structures:
//! `many_labels [SHAPE] [SPACING_MM] [N_LABELS]`, for example `many_labels 512,512,280 0.8,0.8,1.5 117`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for measuring, not part of the product"
)]

use std::time::Instant;

use prosect_base::{Cancel, Silent};
use prosect_surface::{ExtractOptions, Field, extract};
use prosect_volume::{Grid, IndexBox, Point, Volume};

fn numbers(text: &str) -> [f64; 3] {
    let values: Vec<f64> = text.split(',').map(|n| n.parse().unwrap()).collect();
    values.try_into().unwrap()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let shape = numbers(&arguments.next().unwrap_or("256,256,140".into())).map(|n| n as usize);
    let spacing = numbers(&arguments.next().unwrap_or("1.6,1.6,3.0".into()));
    let n_labels: u16 = arguments.next().unwrap_or("117".into()).parse().unwrap();
    let grid = Grid::axis_aligned(shape, spacing, Point::new([0.0; 3])).unwrap();
    let mut labels = Volume::filled(grid.clone(), 0_u16);
    let mut confidence = Volume::filled(grid.clone(), 255_u8);
    let mut boxes = Vec::new();
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 40) as f64 / f64::from(1 << 24)
    };
    for value in 1..=n_labels {
        let radius = 12.0 + 45.0 * random() * random();
        let center: [f64; 3] =
            std::array::from_fn(|a| (0.2 + 0.6 * random()) * shape[a] as f64 * spacing[a]);
        let around = IndexBox {
            start: std::array::from_fn(|a| {
                ((center[a] - radius * 1.4) / spacing[a]).max(0.0) as usize
            }),
            end: std::array::from_fn(|a| {
                (((center[a] + radius * 1.4) / spacing[a]) as usize + 1).min(shape[a])
            }),
        };
        boxes.push((value, around));
        for k in around.start[2]..around.end[2] {
            for j in around.start[1]..around.end[1] {
                for i in around.start[0]..around.end[0] {
                    let d: [f64; 3] = [
                        i as f64 * spacing[0] - center[0],
                        j as f64 * spacing[1] - center[1],
                        k as f64 * spacing[2] - center[2],
                    ];
                    let bumps = 1.0
                        + 0.12 * (d[0] / 7.0).sin() * (d[1] / 9.0).cos()
                        + 0.1 * (d[2] / 8.0).sin();
                    let depth = radius * bumps - d.iter().map(|x| x * x).sum::<f64>().sqrt();
                    let at = i + shape[0] * (j + shape[1] * k);
                    let lead = (depth.abs() * 60.0).min(255.0) as u8;
                    if depth > 0.0 {
                        labels.values_mut()[at] = value;
                        confidence.values_mut()[at] = lead;
                    } else {
                        let c = &mut confidence.values_mut()[at];
                        *c = (*c).min(lead);
                    }
                }
            }
        }
    }
    let start = Instant::now();
    let (mut n_triangles, mut n_failed) = (0, 0);
    for (value, within) in boxes {
        let field = Field::Label {
            labels: &labels,
            confidence: &confidence,
            value,
            within,
        };
        match extract(&field, &ExtractOptions::default(), &Silent, &Cancel::new()) {
            Ok((surface, _)) => n_triangles += surface.triangles.len(),
            Err(_) => n_failed += 1,
        }
    }
    println!(
        "{n_labels} labels, {n_triangles} triangles, {n_failed} without a surface, {:.2} s",
        start.elapsed().as_secs_f64()
    );
}
