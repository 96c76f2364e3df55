//! How other software writes names: with capitals, hyphens and the side in any place.

/// Words that say a side, and the word of the table.
const SIDES: [(&str, &str); 6] = [
    ("left", "left"),
    ("right", "right"),
    ("lh", "left"),
    ("rh", "right"),
    ("lt", "left"),
    ("rt", "right"),
];

/// Names that say what they are only within their task: a `crown` may be one of a tooth or of a head,
/// a `ventricle` one of the brain or of the heart. No label of another software is taken for them.
const NEED_THEIR_TASK: [&str; 7] = [
    "annulus",
    "bridge",
    "crown",
    "head",
    "implant",
    "sinotubular_junction",
    "ventricle",
];

/// The names under which the table may have a label, most exact first.
pub(super) fn candidates(label: &str) -> Vec<String> {
    let plain = plain_name(label);
    let mut names = vec![label.to_owned(), plain.clone()];
    let words: Vec<&str> = plain.split('_').collect();
    if let Some((place, side)) = side_of(&words) {
        let rest: Vec<&str> = (words.iter().enumerate())
            .filter(|(index, _)| *index != place)
            .map(|(_, word)| *word)
            .collect();
        if !rest.is_empty() {
            names.push(format!("{}_{side}", rest.join("_")));
            names.push(format!("{side}_{}", rest.join("_")));
        }
    }
    names.dedup();
    names.retain(|name| !NEED_THEIR_TASK.contains(&name.as_str()));
    names
}

/// The one side that a label names: `left` or `right`; `None` if it names none, or both.
pub(super) fn side(label: &str) -> Option<&'static str> {
    let plain = plain_name(label);
    let words: Vec<&str> = plain.split('_').collect();
    side_of(&words).map(|(_, side)| side)
}

fn side_of(words: &[&str]) -> Option<(usize, &'static str)> {
    let last = words.len().checked_sub(1)?;
    let mut found = words.iter().enumerate().filter_map(|(index, word)| {
        // A single letter is a side at the end only: `Parotid_L` (AAPM TG-263).
        let letter = match (*word, index == last && last > 0) {
            ("l", true) => Some("left"),
            ("r", true) => Some("right"),
            _ => None,
        };
        let side = SIDES.iter().find(|(written, _)| written == word);
        Some((index, side.map(|(_, side)| *side).or(letter)?))
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Lower case, digits and underscores: `Left Kidney (2)` is `left_kidney_2`.
pub(super) fn plain_name(label: &str) -> String {
    let mut name = String::new();
    for c in label.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => name.push(c),
            _ if !name.is_empty() && !name.ends_with('_') => name.push('_'),
            _ => {}
        }
    }
    name.trim_end_matches('_').to_owned()
}
