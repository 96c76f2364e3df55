//! Operations on one slice of a mask, rows of `ni` voxels.

/// Erodes and dilates `rounds` times by the four neighbors; beyond the border is background.
pub(super) fn open(slice: &mut [bool], ni: usize, rounds: usize) {
    for eroding in [true, false] {
        for _ in 0..rounds {
            sweep(slice, ni, eroding);
        }
    }
}

/// Flips voxels that have the value `eroding` and a neighbor of the other.
fn sweep(slice: &mut [bool], ni: usize, eroding: bool) {
    let before = slice.to_vec();
    let nj = slice.len() / ni;
    for j in 0..nj {
        for i in 0..ni {
            let n = j * ni + i;
            if before[n] != eroding {
                continue;
            }
            let neighbors = [
                i > 0 && before[n - usize::from(i > 0)],
                i + 1 < ni && before[n + usize::from(i + 1 < ni)],
                j > 0 && before[n - if j > 0 { ni } else { 0 }],
                j + 1 < nj && before[n + if j + 1 < nj { ni } else { 0 }],
            ];
            if neighbors.contains(&!eroding) {
                slice[n] = !eroding;
            }
        }
    }
}

/// Fills what the border cannot reach by the four neighbors.
pub(super) fn fill_holes(slice: &mut [bool], ni: usize) {
    let nj = slice.len() / ni;
    let mut reached = vec![false; slice.len()];
    let mut front: Vec<usize> = (0..slice.len())
        .filter(|n| {
            (n % ni == 0 || n % ni == ni - 1 || n / ni == 0 || n / ni == nj - 1) && !slice[*n]
        })
        .collect();
    for n in &front {
        reached[*n] = true;
    }
    while let Some(n) = front.pop() {
        let (i, j) = (n % ni, n / ni);
        let neighbors = [
            (i > 0).then(|| n - 1),
            (i + 1 < ni).then(|| n + 1),
            (j > 0).then(|| n - ni),
            (j + 1 < nj).then(|| n + ni),
        ];
        for next in neighbors.into_iter().flatten() {
            if !slice[next] && !reached[next] {
                reached[next] = true;
                front.push(next);
            }
        }
    }
    for (value, open) in slice.iter_mut().zip(reached) {
        *value = !open;
    }
}

#[cfg(test)]
mod tests {
    use super::{fill_holes, open};

    fn slice(rows: &[&str]) -> Vec<bool> {
        rows.concat().chars().map(|c| c == '#').collect()
    }

    #[track_caller]
    fn check(change: impl Fn(&mut [bool], usize), before: &[&str], after: &[&str]) {
        let mut mask = slice(before);
        change(&mut mask, before[0].len());
        assert_eq!(mask, slice(after));
    }

    #[test]
    fn holes_are_filled_and_bays_are_not() {
        check(
            fill_holes,
            &["#####", "#.#.#", "#.#.#", "###.#"],
            &["#####", "###.#", "###.#", "###.#"],
        );
    }

    #[test]
    fn opening_removes_sheets_and_keeps_bodies() {
        let before = [".......", ".###...", ".###...", ".###.##", "......."];
        check(
            |s, ni| open(s, ni, 1),
            &before,
            &[".......", "..#....", ".###...", "..#....", "......."],
        );
    }
}
