//! Polygons to pixels: a pixel is inside when its center is, by the even-odd rule over all polygons
//! together, so that holes are holes and keyholes close.

use super::Refusal;
use super::pixel::Runs;

/// Most places where edges cross rows of pixels in one frame: a thousand times those of a real
/// structure.
const MOST_CROSSINGS: usize = 1 << 24;

/// The pixels whose centers lie inside an odd number of the polygons. Points are in pixels, along
/// columns and rows; centers lie at whole numbers.
pub(super) fn fill(polygons: &[&[[f64; 2]]], shape: [usize; 2]) -> Result<Runs, Refusal> {
    let [columns, rows] = shape;
    let mut crossings: Vec<(u32, f64)> = Vec::new();
    for polygon in polygons {
        let after = polygon.iter().cycle().skip(1);
        for (&a, &b) in polygon.iter().zip(after) {
            cross(a, b, rows, &mut crossings)?;
        }
    }
    crossings.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut runs = Runs::default();
    for row in crossings.chunk_by(|a, b| a.0 == b.0) {
        let start = row[0].0 as usize * columns;
        for pair in row.chunks_exact(2) {
            // A center on the left border is inside, one on the right is not.
            let [from, to] =
                [pair[0].1, pair[1].1].map(|x| x.ceil().clamp(0.0, columns as f64) as usize);
            runs.push_run(start + from..start + to);
        }
    }
    Ok(runs)
}

/// Where an edge crosses the rows of centers. The end with the lower row counts, the other does not,
/// so that a corner is crossed once. Both directions of an edge give the very same places.
fn cross(
    a: [f64; 2],
    b: [f64; 2],
    rows: usize,
    crossings: &mut Vec<(u32, f64)>,
) -> Result<(), Refusal> {
    let (low, high) = if (a[1], a[0]) <= (b[1], b[0]) {
        (a, b)
    } else {
        (b, a)
    };
    let first = low[1].ceil().max(0.0) as usize;
    let end = high[1].ceil().clamp(0.0, rows as f64) as usize;
    if first >= end {
        return Ok(());
    }
    if crossings.len() + (end - first) > MOST_CROSSINGS {
        return Err(Refusal::limit(format!(
            "its contours cross rows of pixels more than {MOST_CROSSINGS} times in one frame"
        )));
    }
    let slope = (high[0] - low[0]) / (high[1] - low[1]);
    crossings.extend((first..end).map(|row| {
        let x = low[0] + (row as f64 - low[1]) * slope;
        (row as u32, x)
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::fill;

    /// The picture of what is filled on 6 x 5 pixels.
    #[track_caller]
    fn check(polygons: &[&[[f64; 2]]], expected: [&str; 5]) {
        let runs = fill(polygons, [6, 5]).unwrap();
        let mut picture = [b'.'; 30];
        for place in runs.0.into_iter().flatten() {
            picture[place] = b'#';
        }
        let rows: Vec<&str> = picture
            .chunks(6)
            .map(|row| std::str::from_utf8(row).unwrap())
            .collect();
        assert_eq!(rows, expected);
    }

    const OUTER: &[[f64; 2]] = &[[0.5, 0.5], [5.5, 0.5], [5.5, 4.5], [0.5, 4.5]];
    const INNER: &[[f64; 2]] = &[[1.5, 1.5], [3.5, 1.5], [3.5, 3.5], [1.5, 3.5]];

    #[test]
    fn a_contour_in_a_contour_is_a_hole() {
        check(&[OUTER], ["......", ".#####", ".#####", ".#####", ".#####"]);
        check(
            &[OUTER, INNER],
            ["......", ".#####", ".#..##", ".#..##", ".#####"],
        );
    }

    #[test]
    fn a_keyhole_is_the_same_hole() {
        let keyhole: Vec<[f64; 2]> = OUTER
            .iter()
            .chain([
                &OUTER[0], &INNER[0], &INNER[3], &INNER[2], &INNER[1], &INNER[0],
            ])
            .copied()
            .collect();
        check(
            &[&keyhole],
            ["......", ".#####", ".#..##", ".#..##", ".#####"],
        );
    }

    #[test]
    fn borders_on_centers_belong_to_one_side() {
        let left = [[0.0, 0.0], [2.0, 0.0], [2.0, 4.0], [0.0, 4.0]];
        let right = [[2.0, 0.0], [4.0, 0.0], [4.0, 4.0], [2.0, 4.0]];
        check(&[&left], ["##....", "##....", "##....", "##....", "......"]);
        check(
            &[&left, &right],
            ["####..", "####..", "####..", "####..", "......"],
        );
    }

    #[test]
    fn what_lies_beyond_the_frame_is_cut() {
        let large = [[-9.0, -9.0], [9.0, -9.0], [9.0, 2.5], [-9.0, 2.5]];
        check(
            &[&large],
            ["######", "######", "######", "......", "......"],
        );
        check(&[&[[1.0, 1.0], [2.0, 2.0]]], ["......"; 5]);
        check(&[&[]], ["......"; 5]);
    }
}
