//! Surfaces of masks and fields: always closed, outward and proved, and close to what they show.

#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::sync::Mutex;

use proptest::prelude::*;
use prosect_base::{Cancel, Silent};
use prosect_surface::{ExtractOptions, Field, Surface, SurfaceError, SurfaceReport, extract};
use prosect_volume::{Affine, Grid, IndexBox, Lps, Point, Vector, Volume, Voxel, VoxelIndex};

fn surface_of(field: &Field<'_>, smoothing_mm: Option<f64>) -> (Surface, SurfaceReport) {
    extract(
        field,
        &ExtractOptions { smoothing_mm },
        &Silent,
        &Cancel::new(),
    )
    .unwrap()
}

/// All 48 orders and directions of the axes, with a spacing that tells them apart.
fn axis_orders() -> Vec<Affine<Lps, Voxel>> {
    let spacing = [0.7, 1.1, 2.3];
    let mut all = Vec::new();
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        for signs in 0..8 {
            let column = |axis: usize| {
                let mut step = [0.0; 3];
                step[order[axis]] = if signs >> axis & 1 == 1 {
                    -spacing[axis]
                } else {
                    spacing[axis]
                };
                Vector::new(step)
            };
            all.push(Affine::from_columns(
                [column(0), column(1), column(2)],
                Point::new([-130.0, -250.0, 900.0]),
            ));
        }
    }
    all
}

fn oblique() -> Affine<Lps, Voxel> {
    let columns = [
        Vector::new([0.6, 0.3, -0.1]),
        Vector::new([-0.3, 0.6, 0.2]),
        Vector::new([0.5, -0.4, 2.4]),
    ];
    Affine::from_columns(columns, Point::new([-130.0, -250.0, 1700.0]))
}

/// Noise of a given density, the same in every run.
fn noise(grid: Grid, percent: u64, seed: u64) -> Volume<bool> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    Volume::from_fn(grid, |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 100 < percent
    })
}

#[test]
fn a_block_faces_outward_and_keeps_its_volume_in_all_48_axis_orders() {
    for affine in axis_orders() {
        let grid = Grid::new([12, 10, 9], affine, None).unwrap();
        // An L, so that a mirrored surface would not look the same.
        let mask = Volume::from_fn(grid, |v| {
            (2..10).contains(&v.i)
                && (2..8).contains(&v.j)
                && (2..7).contains(&v.k)
                && !(v.i > 5 && v.j > 4)
        });
        let (surface, report) = surface_of(&Field::Mask(&mask), None);
        assert!(surface.volume_mm3() > 0.0);
        assert!(
            report.volume_error_percent.abs() < 0.1,
            "{affine:?}: {report:?}"
        );
        assert_eq!(report.proof.n_shells, 1);
        for vertex in &surface.vertices {
            let place = affine.inverse().unwrap() * Point::new(vertex.map(f64::from));
            assert!(
                place
                    .xyz
                    .iter()
                    .zip([9.6, 7.6, 6.6])
                    .all(|(c, high)| *c > 1.0 && *c < high + 0.5),
                "{place:?}"
            );
        }
    }
}

#[test]
fn noise_in_any_space_is_proved() {
    for (percent, seed) in [(3, 1), (20, 2), (35, 3), (50, 4), (70, 5), (97, 6)] {
        let grid = Grid::new([24, 20, 22], oblique(), None).unwrap();
        let mask = noise(grid, percent, seed);
        for smoothing_mm in [Some(0.0), None, Some(20.0)] {
            let (_, report) = surface_of(&Field::Mask(&mask), smoothing_mm);
            assert!(!report.smoothing_reduced, "{percent} %: {report:?}");
        }
    }
}

#[test]
fn shapes_that_other_methods_lose_keep_their_volume() {
    let grid = || {
        Grid::axis_aligned(
            [9, 9, 9],
            [0.7, 0.7, 1.0],
            Point::new([-40.0, 10.0, -900.0]),
        )
        .unwrap()
    };
    let check = |inside: &dyn Fn(usize, usize, usize) -> bool, n_shells: usize| {
        let mask = Volume::from_fn(grid(), |v| inside(v.i, v.j, v.k));
        let (_, report) = surface_of(&Field::Mask(&mask), None);
        assert_eq!(report.proof.n_shells, n_shells);
        assert!(report.volume_error_percent.abs() < 1.0, "{report:?}");
    };
    check(&|i, j, k| (i, j, k) == (4, 4, 4), 1); // one voxel
    check(&|_, _, k| k == 4, 1); // a sheet from border to border
    check(&|_, j, k| (j, k) == (4, 4), 1); // a line
    check(&|i, j, k| i == j && k == 4 && (1..8).contains(&i), 7); // touching at edges: kept apart
    check(&|i, j, k| i == j && j == k && (1..8).contains(&i), 7); // touching at corners: kept apart
    check(
        &|i, j, k| i.abs_diff(4).max(j.abs_diff(4)).max(k.abs_diff(4)) == 2,
        2,
    ); // a cavity
    check(&|i, j, k| i < 2 && j < 3 && k > 5, 1); // in a corner of the volume
}

#[test]
fn a_sphere_has_its_volume_and_radius() {
    let (center, radius) = ([20.3, 19.6, 20.9], 15.0_f64);
    let grid = Grid::axis_aligned([56, 56, 36], [0.76, 0.76, 1.2], Point::new([0.0; 3])).unwrap();
    let analytic_mm3 = 4.0 / 3.0 * std::f64::consts::PI * radius.powi(3);
    let far = |v: prosect_volume::VoxelIndex, grid: &Grid| {
        radius - grid.position(v).distance(Point::new(center))
    };
    let mask = Volume::from_fn(grid.clone(), |v| far(v, &grid) >= 0.0);
    let scalar = Volume::from_fn(grid.clone(), |v| far(v, &grid) as f32);
    // Mean distance of the corners in mm: what a mask of 0.76 x 0.76 x 1.2 mm can know, and a field.
    for (field, mean_mm) in [
        (Field::Mask(&mask), 0.1),
        (
            Field::Scalar {
                volume: &scalar,
                level: 0.0,
            },
            0.01,
        ),
    ] {
        let (surface, _) = surface_of(&field, None);
        assert!((surface.volume_mm3() / analytic_mm3 - 1.0).abs() < 0.01);
        let n = surface.vertices.len() as f64;
        let mean = surface
            .vertices
            .iter()
            .map(|v| {
                (Point::<Lps>::new(v.map(f64::from)).distance(Point::new(center)) - radius).abs()
            })
            .sum::<f64>()
            / n;
        println!("mean {mean}");
        assert!(mean < mean_mm, "mean distance {mean} mm");
    }
}

#[test]
fn small_round_things_keep_the_volume_of_their_shape() {
    let grid = Grid::axis_aligned([40, 40, 40], [0.7, 0.7, 1.0], Point::new([0.0; 3])).unwrap();
    let center = Point::new([14.2, 13.7, 20.1]);
    let sphere = Volume::from_fn(grid.clone(), |v| grid.position(v).distance(center) <= 3.0);
    let (surface, _) = surface_of(&Field::Mask(&sphere), None);
    assert!(
        (surface.volume_mm3() / (36.0 * std::f64::consts::PI) - 1.0).abs() < 0.05,
        "{}",
        surface.volume_mm3()
    );
    // A leaning tube of 3 mm diameter from border to border.
    let axis = Vector::new([0.3, 0.2, 1.0]).unit().unwrap();
    let tube = Volume::from_fn(grid.clone(), |v| {
        (grid.position(v) - center).cross(axis).norm() <= 1.5
    });
    let (surface, report) = surface_of(&Field::Mask(&tube), None);
    let analytic = std::f64::consts::PI * 2.25 * 40.0 / axis.xyz[2];
    assert!(
        (surface.volume_mm3() / analytic - 1.0).abs() < 0.05,
        "{} of {analytic}: {report:?}",
        surface.volume_mm3()
    );
}

#[test]
fn the_surface_parts_the_voxels_as_the_mask_does() {
    let grid = Grid::new([14, 12, 13], oblique(), None).unwrap();
    let mask = noise(grid.clone(), 40, 9);
    let (surface, _) = surface_of(&Field::Mask(&mask), Some(5.0));
    for k in 0..13 {
        for j in 0..12 {
            for i in 0..14 {
                let v = prosect_volume::VoxelIndex { i, j, k };
                assert_eq!(
                    winding(&surface, grid.position(v)),
                    i32::from(mask.get(v).unwrap()),
                    "{v:?}"
                );
            }
        }
    }
}

/// How often a surface winds round a point: the sum of the solid angles of its triangles.
fn winding(surface: &Surface, p: Point<Lps>) -> i32 {
    let solid_angle = |t: &[u32; 3]| {
        let [a, b, c] = t.map(|v| surface.point(v).unwrap() - p);
        let (la, lb, lc) = (a.norm(), b.norm(), c.norm());
        2.0 * a
            .dot(b.cross(c))
            .atan2(la * lb * lc + a.dot(b) * lc + b.dot(c) * la + c.dot(a) * lb)
    };
    (surface.triangles.iter().map(solid_angle).sum::<f64>() / (4.0 * std::f64::consts::PI)).round()
        as i32
}

#[test]
fn the_result_is_the_same_for_any_number_of_threads() {
    let grid = Grid::new([40, 40, 30], oblique(), None).unwrap();
    let mask = noise(grid, 30, 11);
    let results = Mutex::new(Vec::new());
    for n_threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .build()
            .unwrap();
        let result = pool.install(|| surface_of(&Field::Mask(&mask), None));
        results.lock().unwrap().push(result);
    }
    let results = results.into_inner().unwrap();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_cannot_be_is_refused() {
    let grid = Grid::axis_aligned([4, 4, 4], [1.0; 3], Point::new([0.0; 3])).unwrap();
    let empty = Volume::filled(grid.clone(), false);
    let full = Volume::filled(grid.clone(), true);
    let run = |mask: &Volume<bool>, smoothing_mm: Option<f64>, cancel: &Cancel| {
        extract(
            &Field::Mask(mask),
            &ExtractOptions { smoothing_mm },
            &Silent,
            cancel,
        )
        .map(|_| ())
    };
    assert_eq!(run(&empty, None, &Cancel::new()), Err(SurfaceError::Empty));
    assert!(matches!(
        run(&full, Some(f64::NAN), &Cancel::new()),
        Err(SurfaceError::Smoothing { .. })
    ));
    let stopped = Cancel::new();
    stopped.request();
    assert!(matches!(
        run(&full, None, &stopped),
        Err(SurfaceError::Canceled(_))
    ));
    let nan = Volume::filled(grid, f32::NAN);
    let field = Field::Scalar {
        volume: &nan,
        level: 0.5,
    };
    assert_eq!(
        extract(&field, &ExtractOptions::default(), &Silent, &Cancel::new()).map(|_| ()),
        Err(SurfaceError::Empty)
    );
}

proptest! {
    #[test]
    fn any_field_in_any_space_is_proved(
        values in prop::collection::vec(prop_oneof![4 => -2.0..2.0_f32, 1 => Just(0.5_f32), 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)], 6 * 5 * 4),
        columns in prop::array::uniform3(prop::array::uniform3(-3.0..3.0_f64)),
        smoothing_mm in 0.0..8.0_f64,
    ) {
        let affine = Affine::from_columns(columns.map(Vector::new), Point::new([-500.0, 700.0, 1900.0]));
        prop_assume!(affine.determinant().abs() > 0.3);
        let volume = Volume::new(Grid::new([6, 5, 4], affine, None).unwrap(), values).unwrap();
        prop_assume!(volume.values().iter().any(|v| *v >= 0.5));
        let (surface, _) = surface_of(&Field::Scalar { volume: &volume, level: 0.5 }, Some(smoothing_mm));
        prop_assert!(surface.volume_mm3() > 0.0);
    }
}

/// A ball of label 3 beside a block of label 9, with the lead that a network would have there.
fn ball_of_labels(radius: f64) -> (Volume<u16>, Volume<u8>) {
    let grid =
        Grid::axis_aligned([40, 40, 40], [1.0; 3], Point::new([-20.0, -20.0, 980.0])).unwrap();
    let depth = |v: VoxelIndex| {
        let d = [v.i, v.j, v.k].map(|n| n as f64 - 19.3);
        radius - d.iter().map(|x| x * x).sum::<f64>().sqrt()
    };
    let labels = Volume::from_fn(grid.clone(), |v| {
        let beside = if v.i > 37 { 9 } else { 0 };
        if depth(v) > 0.0 { 3 } else { beside }
    });
    let confidence = Volume::from_fn(grid, |v| (depth(v).abs() * 100.0).min(255.0) as u8);
    (labels, confidence)
}

#[test]
fn confidence_places_the_surface_of_a_label_between_the_voxels() {
    let radius = 14.4;
    let (labels, confidence) = ball_of_labels(radius);
    let around = IndexBox::around(&labels, |v| *v == 3).unwrap();
    let field = Field::Label {
        labels: &labels,
        confidence: &confidence,
        value: 3,
        within: around,
    };
    let (surface, report) = surface_of(&field, Some(0.0));
    let off: Vec<f64> = surface
        .vertices
        .iter()
        .map(|v| {
            let center = [-0.7, -0.7, 999.3];
            let d = std::array::from_fn::<f64, 3, _>(|a| f64::from(v[a]) - center[a]);
            (d.iter().map(|x| x * x).sum::<f64>().sqrt() - radius).abs()
        })
        .collect();
    let mean = off.iter().sum::<f64>() / off.len() as f64;
    // Midway between voxels the corners lie a quarter of a voxel off on average: stairs.
    assert!(mean < 0.05, "corners lie {mean:.3} mm off the ball");
    assert!(report.volume_error_percent.abs() < 0.5, "{report:?}");
    // A wider box changes nothing, and a label that is not there has no surface.
    let wide = Field::Label {
        labels: &labels,
        confidence: &confidence,
        value: 3,
        within: IndexBox::whole(labels.grid()),
    };
    assert_eq!(
        surface_of(&wide, Some(0.0)).1.proof.n_triangles,
        report.proof.n_triangles
    );
    let none = Field::Label {
        labels: &labels,
        confidence: &confidence,
        value: 4,
        within: around,
    };
    let refused = extract(&none, &ExtractOptions::default(), &Silent, &Cancel::new());
    assert_eq!(refused.unwrap_err(), SurfaceError::Empty);
}
