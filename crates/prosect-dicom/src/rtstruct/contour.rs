//! Contours of labels along the edges of their pixels.
//!
//! A corner between pixels lies half a pixel from their centres, so that whoever fills the contours
//! by pixel centres gets exactly the labeled pixels back. Each corner is drawn in by a thousandth of
//! a pixel, so that who first rounds to whole pixels gets them back as well, and neither loops that
//! meet at a corner touch, nor two structures side by side overlap.

/// By how much corners are drawn in, in pixels. The area of a contour changes by less than
/// 0.05 % for what is ten pixels wide.
pub(super) const INSET: f64 = 1e-3;

/// A closed polygon in pixels: columns to the right, rows down, pixel centres at integers. The
/// labeled pixels lie to the right of its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Contour {
    pub(super) points: Vec<[f64; 2]>,
    /// It runs around what is not labeled, inside of what is.
    pub(super) is_hole: bool,
}

/// One step along an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Right,
    Down,
    Left,
    Up,
}

impl Step {
    /// Clockwise: where to turn so that a loop stays with its own pixel where two pixels meet at a
    /// corner alone.
    const ALL: [Self; 4] = [Self::Right, Self::Down, Self::Left, Self::Up];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    fn turned(self, quarters: usize) -> Self {
        Self::ALL[(self as usize + quarters) % 4]
    }

    /// Columns and rows.
    fn along(self) -> [i64; 2] {
        match self {
            Self::Right => [1, 0],
            Self::Down => [0, 1],
            Self::Left => [-1, 0],
            Self::Up => [0, -1],
        }
    }

    /// Towards the labeled pixels.
    fn inwards(self) -> [i64; 2] {
        self.turned(1).along()
    }
}

/// All contours of a mask of `width` columns, whose first pixel is at `origin`.
pub(super) fn trace(mask: &[bool], width: usize, origin: [usize; 2]) -> Vec<Contour> {
    let mut edges = edges(mask, width);
    let stride = width + 1;
    let mut contours = Vec::new();
    for start in 0..edges.len() {
        while edges[start] != 0 {
            contours.push(follow(&mut edges, stride, start, origin));
        }
    }
    contours
}

/// For each corner the steps that leave it along an edge, labeled pixels to the right.
fn edges(mask: &[bool], width: usize) -> Vec<u8> {
    let height = mask.len() / width;
    let stride = width + 1;
    let mut edges = vec![0_u8; stride * (height + 1)];
    for (row, pixels) in mask.chunks_exact(width).enumerate() {
        for (column, _) in pixels.iter().enumerate().filter(|(_, pixel)| **pixel) {
            let corner = row * stride + column;
            if row == 0 || !mask[(row - 1) * width + column] {
                edges[corner] |= Step::Right.bit();
            }
            if column + 1 == width || !pixels[column + 1] {
                edges[corner + 1] |= Step::Down.bit();
            }
            if row + 1 == height || !mask[(row + 1) * width + column] {
                edges[corner + stride + 1] |= Step::Left.bit();
            }
            if column == 0 || !pixels[column - 1] {
                edges[corner + stride] |= Step::Up.bit();
            }
        }
    }
    edges
}

/// Takes the loop that leaves the corner `start` out of the edges. `start` is the first corner with
/// an edge, row by row, so that the loop turns there.
fn follow(edges: &mut [u8], stride: usize, start: usize, origin: [usize; 2]) -> Contour {
    let leaving = |edges: &[u8], corner: usize, from: Option<Step>| {
        let first = from.map_or(Step::Right, |step| step.turned(1));
        // Right, straight on, left: the first that is there. At the start, whatever leaves.
        let order = [0, 3, 2, 1].map(|quarters| first.turned(quarters));
        order
            .into_iter()
            .find(|step| edges[corner] & step.bit() != 0)
    };
    let mut points = Vec::new();
    let mut doubled_area = 0;
    let mut corner = start;
    let mut last = None;
    let mut first = None;
    while let Some(step) = leaving(edges, corner, last) {
        let at = [(corner % stride) as i64, (corner / stride) as i64];
        match last {
            Some(before) if before != step => points.push(point(at, [before, step], origin)),
            Some(_) => {}
            None => first = Some((at, step)),
        }
        edges[corner] &= !step.bit();
        let [columns, rows] = step.along();
        let next = [at[0] + columns, at[1] + rows];
        doubled_area += at[0] * next[1] - next[0] * at[1];
        corner = next[1] as usize * stride + next[0] as usize;
        last = Some(step);
        if corner == start {
            break;
        }
    }
    if let (Some((at, step)), Some(before)) = (first, last) {
        points.push(point(at, [before, step], origin));
    }
    Contour {
        points,
        is_hole: doubled_area < 0,
    }
}

/// The place of a corner between two steps, drawn in.
fn point(corner: [i64; 2], steps: [Step; 2], origin: [usize; 2]) -> [f64; 2] {
    let inwards = steps.map(Step::inwards);
    std::array::from_fn(|axis| {
        let edge = corner[axis] as f64 + origin[axis] as f64 - 0.5;
        edge + INSET * (inwards[0][axis] + inwards[1][axis]) as f64
    })
}

/// Joins each hole to what is around it by a channel without width (PS3.3 C.8.8.6.3, "keyhole"),
/// for receivers that know no holes. The channel runs along a row of labeled pixels.
pub(super) fn join_holes(contours: Vec<Contour>) -> Vec<Contour> {
    let (holes, mut joined): (Vec<Contour>, Vec<Contour>) =
        contours.into_iter().partition(|contour| contour.is_hole);
    let mut holes: Vec<(usize, Vec<[f64; 2]>)> = holes
        .into_iter()
        .map(|hole| (top_left(&hole.points), hole.points))
        .collect();
    // From the top down, then from the left: what a channel to the left meets is joined already.
    let key = |(top, points): &(usize, Vec<[f64; 2]>)| [points[*top][1], points[*top][0]];
    holes.sort_by(|a, b| {
        let ([ay, ax], [by, bx]) = (key(a), key(b));
        ay.total_cmp(&by).then(ax.total_cmp(&bx))
    });
    for (top, points) in holes {
        let from = points[top];
        let nearest = joined
            .iter()
            .enumerate()
            .flat_map(|(n, contour)| crossings(&contour.points, from).map(move |c| (n, c)))
            .max_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
        let Some((around, (edge, column))) = nearest else {
            debug_assert!(false, "a hole has labeled pixels on all sides");
            continue;
        };
        let at = [column, from[1]];
        let way = points[top..].iter().chain(&points[..top]);
        let detour: Vec<[f64; 2]> = [at].iter().chain(way).chain(&[from, at]).copied().collect();
        joined[around].points.splice((edge + 1)..=edge, detour);
    }
    joined
}

/// The leftmost of the highest points.
fn top_left(points: &[[f64; 2]]) -> usize {
    let order = |a: &[f64; 2], b: &[f64; 2]| a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0]));
    (0..points.len())
        .min_by(|&a, &b| order(&points[a], &points[b]))
        .unwrap_or(0)
}

/// Where the row of a point meets upright edges to its left: the edge's first point, and the column.
fn crossings(
    points: &[[f64; 2]],
    [column, row]: [f64; 2],
) -> impl Iterator<Item = (usize, f64)> + '_ {
    (0..points.len()).filter_map(move |n| {
        let (a, b) = (points[n], points[(n + 1) % points.len()]);
        let upright = (a[0] - b[0]).abs() < INSET / 2.0 && (a[1] - b[1]).abs() > INSET / 2.0;
        let spans = a[1].min(b[1]) <= row && row <= a[1].max(b[1]);
        (upright && spans && a[0] < column).then_some((n, a[0]))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Contour, join_holes, trace};

    /// Whether a pixel centre is inside, by the even-odd rule.
    fn inside(contours: &[Contour], x: f64, y: f64) -> bool {
        let mut inside = false;
        for contour in contours {
            let points = &contour.points;
            for (n, a) in points.iter().enumerate() {
                let b = points[(n + 1) % points.len()];
                if (a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
                {
                    inside = !inside;
                }
            }
        }
        inside
    }

    /// The pixels on the boundary of the contours after rounding to whole pixels.
    fn drawn(contours: &[Contour]) -> Vec<[i64; 2]> {
        let mut drawn = Vec::new();
        for contour in contours {
            let rounded = contour.points.iter().map(|p| p.map(|c| c.round() as i64));
            let rounded: Vec<[i64; 2]> = rounded.collect();
            for (n, a) in rounded.iter().enumerate() {
                let b = rounded[(n + 1) % rounded.len()];
                let (x, y) = ([a[0], b[0]], [a[1], b[1]]);
                for x in x[0].min(x[1])..=x[0].max(x[1]) {
                    for y in y[0].min(y[1])..=y[0].max(y[1]) {
                        drawn.push([x, y]);
                    }
                }
            }
        }
        drawn
    }

    fn area(contour: &Contour) -> f64 {
        let points = &contour.points;
        let next = |n: usize| points[(n + 1) % points.len()];
        let terms =
            (0..points.len()).map(|n| points[n][0] * next(n)[1] - next(n)[0] * points[n][1]);
        terms.sum::<f64>() / 2.0
    }

    #[track_caller]
    fn check(picture: &[&str], n_outer: usize, n_holes: usize) {
        let width = picture[0].len();
        let mask: Vec<bool> = picture
            .iter()
            .flat_map(|row| row.bytes().map(|b| b == b'#'))
            .collect();
        let contours = trace(&mask, width, [10, 20]);
        let holes = contours.iter().filter(|c| c.is_hole).count();
        assert_eq!(
            (contours.len() - holes, holes),
            (n_outer, n_holes),
            "{contours:?}"
        );
        require_exact(&mask, width, &contours, true);
        let joined = join_holes(contours);
        assert_eq!(joined.len(), n_outer);
        require_exact(&mask, width, &joined, true);
    }

    fn require_exact(mask: &[bool], width: usize, contours: &[Contour], rounded: bool) {
        for (n, &pixel) in mask.iter().enumerate() {
            let (x, y) = ((n % width + 10) as f64, (n / width + 20) as f64);
            assert_eq!(inside(contours, x, y), pixel, "at {x}, {y} of {contours:?}");
        }
        for [x, y] in drawn(contours).into_iter().filter(|_| rounded) {
            let (column, row) = (
                usize::try_from(x - 10).unwrap(),
                usize::try_from(y - 20).unwrap(),
            );
            assert!(
                column < width && mask[row * width + column],
                "{x}, {y} is drawn, but not labeled"
            );
        }
    }

    #[test]
    fn pictures_have_their_contours() {
        check(&["#"], 1, 0);
        check(&["##", "##"], 1, 0);
        check(&["#.", ".#"], 2, 0);
        check(&[".#", "#."], 2, 0);
        check(&["###", "#.#", "###"], 1, 1);
        check(&["####", "#.##", "##.#", "####"], 1, 1);
        check(&["####", "##.#", "#.##", "####"], 1, 1);
        check(&["#####", "#...#", "#.#.#", "#...#", "#####"], 2, 1);
        check(&["#####", "#.#.#", "#####", "#.#.#", "#####"], 1, 4);
        check(&["#.#", "###", "#.#"], 1, 0);
        check(&["...", "...", "..."], 0, 0);
    }

    #[test]
    fn a_square_runs_along_its_pixels_edges() {
        let contours = trace(&[true; 6], 3, [0, 0]);
        let [only] = &contours[..] else {
            panic!("{contours:?}")
        };
        assert_eq!(only.points.len(), 4);
        // Three pixels by two, less the inset.
        assert!((area(only) - 6.0).abs() < 0.02, "{}", area(only));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn any_mask_comes_back(width in 1..9_usize, mask in prop::collection::vec(any::<bool>(), 1..80)) {
            let mask = &mask[..mask.len() / width * width];
            if !mask.is_empty() {
                let contours = trace(mask, width, [10, 20]);
                let total: f64 = contours.iter().map(area).sum();
                let n = mask.iter().filter(|pixel| **pixel).count() as f64;
                prop_assert!((total - n).abs() <= 0.005 * n);
                require_exact(mask, width, &contours, true);
                require_exact(mask, width, &join_holes(contours), true);
            }
        }
    }
}
