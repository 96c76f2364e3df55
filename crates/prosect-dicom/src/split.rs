//! From slices of one shape and direction to the stacks that they are: phases, echoes, kernels
//! and acquisitions go apart by what their headers say of them, never by names or numbers of files.
//!
//! 1. Where the headers say that images show something else ([`Weight::Contents`]), they go apart,
//!    unless each kind only continues the other along the normal.
//! 2. Where places repeat, the first rule goes that leaves no place twice in a stack, and every
//!    place in every stack; then the order in time at each place; then a rule that leaves stacks
//!    of unequal length.
//! 3. Where no place repeats, but the slices are uneven, a rule goes by which they are even stacks
//!    that interleave, or that lie far apart, be it by the pauses in time between them.
//! 4. Images of one place that nothing tells apart are copies, if their pixels are equal; else the
//!    stack is ambiguous.

use std::collections::{HashMap, HashSet};

use prosect_volume::Vector;

use crate::arrange::FrameIndex;
use crate::frame::{Frame, Place};
use crate::mark::{RULES, Value, Weight};

/// A frame among others of its shape and direction.
#[derive(Clone, Debug)]
pub(crate) struct Slice<'a> {
    pub(crate) index: FrameIndex,
    pub(crate) frame: &'a Frame,
    pub(crate) place: Place,
    /// Along the common normal.
    pub(crate) height_mm: f64,
}

/// Slices that belong together, in the order of their height.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) slices: Vec<Slice<'a>>,
    /// What tells it from the other parts, with its order for people.
    pub(crate) told_apart: Vec<(f64, String)>,
    /// Slices left out because another has their place and their pixels, and that other.
    pub(crate) copies: Vec<(FrameIndex, FrameIndex)>,
    /// Differences along the stack that are no reason to take it apart.
    pub(crate) remarks: Vec<String>,
    /// Whether slices lie at one place that nothing tells apart.
    pub(crate) clash: bool,
}

/// Slices this close lie at one place: less than any scanner moves, and less than the rounding of
/// headers. Of pixels smaller than half a millimetre, a tenth.
const SAME_PLACE_MM: f64 = 0.05;
const SAME_PLACE_OF_PIXEL: f64 = 0.1;
/// Stacks beside each other have rows that start this far apart, at least.
const BESIDE_MM: f64 = 1.0;
/// Even slices that lie further from the next are another stack, if a rule says so, too: a gap that
/// no stack is bridged over (`SliceStack`).
const APART_GAPS: f64 = 2.1;
const APART_MM: f64 = 10.0;
/// So many passes over the body are told apart by the pauses between them.
const MOST_PASSES: usize = 4;
/// How far gaps may be from the usual one in an even stack: as for a regular grid.
const UNEVEN_MM: f64 = 0.05;
const UNEVEN_OF_GAP: f64 = 0.02;

impl<'a> Part<'a> {
    /// Slices along a normal; at one height in the order given.
    pub(crate) fn new(
        frames: Vec<(FrameIndex, &'a Frame, Place)>,
        normal: Vector<prosect_volume::Lps>,
    ) -> Self {
        let slices = frames.into_iter().map(|(index, frame, place)| Slice {
            index,
            frame,
            place,
            height_mm: place.height_mm(normal),
        });
        Self::of(slices.collect(), Vec::new())
    }

    fn of(mut slices: Vec<Slice<'a>>, told_apart: Vec<(f64, String)>) -> Self {
        slices.sort_by(|a, b| a.height_mm.total_cmp(&b.height_mm));
        Self {
            slices,
            told_apart,
            copies: Vec::new(),
            remarks: Vec::new(),
            clash: false,
        }
    }

    /// What distinguishes the part, in words.
    pub(crate) fn distinction(&self) -> String {
        let mut words: Vec<&str> = Vec::new();
        for (_, text) in &self.told_apart {
            if !words.contains(&text.as_str()) {
                words.push(text);
            }
        }
        words.join(", ")
    }

    /// Parts by the value of a rule, in the order of the values.
    fn by_value(&self, rule: usize) -> Vec<Self> {
        let mut known: HashMap<Option<&str>, usize> = HashMap::new();
        let mut values: Vec<Option<&Value>> = Vec::new();
        let mut slices: Vec<Vec<Slice<'a>>> = Vec::new();
        for slice in &self.slices {
            let value = slice.frame.marks.get(rule);
            let n = *known.entry(value.map(|v| &*v.text)).or_insert(values.len());
            if n == values.len() {
                values.push(value);
                slices.push(Vec::new());
            }
            slices[n].push(slice.clone());
        }
        let mut parts: Vec<(Option<&Value>, Self)> = values
            .into_iter()
            .zip(slices)
            .map(|(value, slices)| {
                (
                    value,
                    self.child(
                        slices,
                        value.map_or(0.0, |v| v.order),
                        RULES[rule].describe(value),
                    ),
                )
            })
            .collect();
        parts.sort_by(|(a, _), (b, _)| match (a, b) {
            (Some(a), Some(b)) => a.compare(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// Parts between the `n - 1` longest pauses of a time that all slices have.
    fn by_pauses(&self, rule: usize, n: usize) -> Option<Vec<Self>> {
        let timed: Option<Vec<(f64, &Slice<'a>)>> = self
            .slices
            .iter()
            .map(|slice| Some((slice.frame.marks.get(rule)?.order, slice)))
            .collect();
        let mut timed = timed?;
        timed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut pauses: Vec<(f64, usize)> = (1..timed.len())
            .map(|k| (timed[k].0 - timed[k - 1].0, k))
            .collect();
        pauses.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut cuts: Vec<usize> = pauses.get(..n - 1)?.iter().map(|(_, k)| *k).collect();
        cuts.sort_unstable();
        cuts.push(timed.len());
        let mut begin = 0;
        let mut parts = Vec::new();
        for (rank, end) in cuts.into_iter().enumerate() {
            let slices = timed[begin..end].iter().map(|(_, slice)| (*slice).clone());
            let text = format!("number {} of {n} by {}", rank + 1, RULES[rule].name);
            parts.push(self.child(slices.collect(), rank as f64, text));
            begin = end;
        }
        Some(parts)
    }

    fn child(&self, slices: Vec<Slice<'a>>, order: f64, text: String) -> Self {
        let mut told_apart = self.told_apart.clone();
        told_apart.push((order, text));
        Self {
            remarks: self.remarks.clone(),
            ..Self::of(slices, told_apart)
        }
    }

    /// The places, each with the positions of its slices in `slices`.
    fn places(&self) -> Vec<Vec<usize>> {
        let near_mm = self.near_mm();
        let mut places: Vec<Vec<usize>> = Vec::new();
        let mut first_of_height = 0;
        for (n, slice) in self.slices.iter().enumerate() {
            let far =
                |place: &Vec<usize>| slice.height_mm - self.slices[place[0]].height_mm > near_mm;
            while places.get(first_of_height).is_some_and(far) {
                first_of_height += 1;
            }
            let here = |place: &&mut Vec<usize>| {
                self.slices[place[0]]
                    .place
                    .origin
                    .distance(slice.place.origin)
                    <= near_mm
            };
            match places[first_of_height..].iter_mut().find(here) {
                Some(place) => place.push(n),
                None => places.push(vec![n]),
            }
        }
        places
    }

    /// Whether no place has two slices.
    fn is_clean(&self) -> bool {
        self.places().iter().all(|place| place.len() == 1)
    }

    /// Whether slices lie at one height, at one place or beside each other.
    fn has_equal_heights(&self) -> bool {
        let mut pairs = self.slices.windows(2);
        pairs.any(|pair| pair[1].height_mm - pair[0].height_mm <= self.near_mm())
    }

    /// Slices this close lie at one place.
    fn near_mm(&self) -> f64 {
        let pixel_mm = self
            .slices
            .first()
            .map_or(1.0, |s| s.place.spacing_mm[0].min(s.place.spacing_mm[1]));
        SAME_PLACE_MM.min(SAME_PLACE_OF_PIXEL * pixel_mm)
    }

    fn heights(&self) -> (f64, f64) {
        let height = |slice: Option<&Slice<'_>>| slice.map_or(0.0, |s| s.height_mm);
        (height(self.slices.first()), height(self.slices.last()))
    }

    /// The usual distance of neighbours, if all have it.
    fn even_gap_mm(&self) -> Option<f64> {
        let gaps: Vec<f64> = self
            .slices
            .windows(2)
            .map(|pair| pair[1].height_mm - pair[0].height_mm)
            .collect();
        let mut sorted = gaps.clone();
        sorted.sort_by(f64::total_cmp);
        let usual = *sorted.get(sorted.len() / 2)?;
        let tolerance = UNEVEN_MM.max(UNEVEN_OF_GAP * usual);
        gaps.iter()
            .all(|gap| (gap - usual).abs() <= tolerance)
            .then_some(usual)
    }
}

/// The stacks that the slices form.
pub(crate) fn split(group: Part<'_>) -> Vec<Part<'_>> {
    let mut parts = vec![group];
    for rule in rules_of(&[Weight::Contents]) {
        parts = parts
            .into_iter()
            .flat_map(|part| by_contents(part, rule))
            .collect();
    }
    parts.into_iter().flat_map(resolve).collect()
}

fn rules_of(weights: &'static [Weight]) -> impl Iterator<Item = usize> {
    (0..RULES.len()).filter(|&n| weights.contains(&RULES[n].weight))
}

/// Images that show something else go apart, whatever their places.
fn by_contents(mut part: Part<'_>, rule: usize) -> Vec<Part<'_>> {
    let mut told: HashSet<&str> = HashSet::new();
    for value in part.slices.iter().filter_map(|s| s.frame.marks.get(rule)) {
        told.insert(&value.text);
        // What differs from slice to slice says nothing of stacks.
        if told.len() * 2 > part.slices.len() {
            return vec![part];
        }
    }
    // Where some are silent and all others agree, the silent ones are not known to differ.
    if told.len() < 2 {
        return vec![part];
    }
    let parts = part.by_value(rule);
    // A scanner may change a setting halfway through the head, or for one slice that it repeats:
    // the slices are one stack.
    let one_stack = part.is_clean()
        && part.even_gap_mm().is_some()
        && parts.iter().any(|p| p.even_gap_mm().is_none());
    if one_stack || continue_each_other(&parts) {
        let values: Vec<String> = parts
            .iter()
            .map(|p| format!("{} of {}", p.slices.len(), p.distinction()))
            .collect();
        part.remarks.push(format!(
            "the slices are not all alike: {}",
            values.join(", ")
        ));
        return vec![part];
    }
    parts
}

/// Whether the parts lie behind each other along the normal without a gap that no stack is bridged over.
fn continue_each_other(parts: &[Part<'_>]) -> bool {
    let mut sorted: Vec<&Part<'_>> = parts.iter().collect();
    sorted.sort_by(|a, b| a.heights().0.total_cmp(&b.heights().0));
    sorted.windows(2).all(|pair| {
        let gap_mm = pair[1].heights().0 - pair[0].heights().1;
        gap_mm > SAME_PLACE_MM && gap_mm <= bridged_mm(pair)
    })
}

/// The largest gap that may lie between two parts of one stack.
fn bridged_mm(pair: &[&Part<'_>]) -> f64 {
    let usual_mm = pair
        .iter()
        .filter_map(|part| part.even_gap_mm())
        .fold(0.0, f64::max);
    APART_MM.max(APART_GAPS * usual_mm)
}

/// Parts of which none has a place twice, as far as anything tells.
fn resolve(mut part: Part<'_>) -> Vec<Part<'_>> {
    let places = part.places();
    if places.iter().all(|place| place.len() == 1) {
        let beside = part.has_equal_heights().then(|| beside(&part)).flatten();
        if let Some(parts) = beside {
            return parts.into_iter().flat_map(resolve).collect();
        }
        return interleaved(&part).unwrap_or_else(|| vec![part]);
    }
    let found = beside(&part)
        .or_else(|| complete(&part, &places))
        .or_else(|| by_rank(&part, &places, Weight::Moment))
        .or_else(|| incomplete(&part));
    if let Some(parts) = found {
        return parts.into_iter().flat_map(resolve).collect();
    }
    let mut several = places.iter().filter(|place| place.len() > 1).flatten();
    if several.any(|&n| part.slices[n].frame.pixels.is_none()) {
        // Only their pixels can tell; the caller reads them and asks again.
        part.clash = true;
        return vec![part];
    }
    let copies = drop_copies(&mut part, &places);
    if !copies.is_empty() {
        let told_apart = part.told_apart.clone();
        let rest = Part::of(std::mem::take(&mut part.slices), told_apart);
        let mut parts = resolve(rest);
        if let Some(first) = parts.first_mut() {
            first.copies.extend(copies);
        }
        return parts;
    }
    if let Some(parts) = by_rank(&part, &places, Weight::Storing) {
        return parts;
    }
    part.clash = true;
    vec![part]
}

/// Stacks beside each other: equal heights, other places in the plane, such as two knees.
fn beside<'a>(part: &Part<'a>) -> Option<Vec<Part<'a>>> {
    let mut corners: Vec<[f64; 2]> = Vec::new();
    let mut slices: Vec<Vec<Slice<'a>>> = Vec::new();
    for slice in &part.slices {
        let from_zero = slice.place.origin - prosect_volume::Point::new([0.0; 3]);
        let corner = [
            slice.place.direction_i.dot(from_zero),
            slice.place.direction_j.dot(from_zero),
        ];
        let near = |c: &[f64; 2]| (c[0] - corner[0]).hypot(c[1] - corner[1]) < BESIDE_MM;
        if let Some(n) = corners.iter().position(near) {
            slices[n].push(slice.clone());
        } else {
            corners.push(corner);
            slices.push(vec![slice.clone()]);
        }
    }
    let whole = slices.iter().all(|s| s.len() > 1);
    (slices.len() > 1 && whole).then(|| {
        let mut all: Vec<([f64; 2], Vec<Slice<'a>>)> = corners.into_iter().zip(slices).collect();
        all.sort_by(|(a, _), (b, _)| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
        let child = |(n, (_, slices))| {
            part.child(
                slices,
                n as f64,
                format!("stack {} of those beside each other", n + 1),
            )
        };
        all.into_iter().enumerate().map(child).collect()
    })
}

/// Parts by a rule after which every part has every place, equally often.
fn complete<'a>(part: &Part<'a>, places: &[Vec<usize>]) -> Option<Vec<Part<'a>>> {
    let rules = rules_of(&[Weight::Contents, Weight::Where]);
    let splits: Vec<Vec<Part<'a>>> = rules
        .map(|rule| part.by_value(rule))
        .filter(|parts| parts.len() > 1)
        .collect();
    let has_all = |part: &Part<'_>| {
        let own = part.places();
        own.len() == places.len() && own.iter().all(|place| place.len() == own[0].len())
    };
    let is_final = |parts: &&Vec<Part<'_>>| {
        parts
            .iter()
            .all(|p| has_all(p) && p.slices.len() == places.len())
    };
    let best = splits.iter().position(|parts| is_final(&parts));
    let best = best.or_else(|| splits.iter().position(|parts| parts.iter().all(has_all)))?;
    splits.into_iter().nth(best)
}

/// Parts by the order in time at each place, where every place has as many images, all of
/// different times.
fn by_rank<'a>(part: &Part<'a>, places: &[Vec<usize>], weight: Weight) -> Option<Vec<Part<'a>>> {
    let n_times = places.first()?.len();
    if n_times < 2 || places.iter().any(|place| place.len() != n_times) {
        return None;
    }
    (0..RULES.len())
        .filter(|&rule| RULES[rule].weight == weight)
        .find_map(|rule| {
            let mut ranked: Vec<Vec<Slice<'a>>> = vec![Vec::new(); n_times];
            for place in places {
                let mut timed: Vec<(f64, usize)> = place
                    .iter()
                    .map(|&n| Some((part.slices[n].frame.marks.get(rule)?.order, n)))
                    .collect::<Option<_>>()?;
                timed.sort_by(|a, b| a.0.total_cmp(&b.0));
                if timed.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
                    return None;
                }
                for (rank, (_, n)) in timed.into_iter().enumerate() {
                    ranked[rank].push(part.slices[n].clone());
                }
            }
            let name = RULES[rule].name;
            let child = |(rank, slices)| {
                part.child(
                    slices,
                    rank as f64,
                    format!("number {} of {n_times} by {name}", rank + 1),
                )
            };
            Some(ranked.into_iter().enumerate().map(child).collect())
        })
}

/// Parts by a rule after which no part has a place twice, though some may lack places.
fn incomplete<'a>(part: &Part<'a>) -> Option<Vec<Part<'a>>> {
    rules_of(&[Weight::Contents, Weight::Where]).find_map(|rule| {
        let parts = part.by_value(rule);
        // A rule by which most slices stand alone says nothing of stacks.
        let good = parts.len() > 1
            && parts.len() * 2 <= part.slices.len()
            && parts.iter().all(Part::is_clean);
        good.then_some(parts)
    })
}

/// Even stacks whose slices lie between each other, or far from each other, though the whole is uneven.
fn interleaved<'a>(part: &Part<'a>) -> Option<Vec<Part<'a>>> {
    if part.even_gap_mm().is_some() {
        return None;
    }
    let by_value = rules_of(&[Weight::Where]).map(|rule| part.by_value(rule));
    let times = rules_of(&[Weight::Moment, Weight::Storing]);
    let by_time =
        times.flat_map(|rule| (2..=MOST_PASSES).filter_map(move |n| part.by_pauses(rule, n)));
    by_value.chain(by_time).find(|parts| {
        let even = |p: &Part<'_>| p.slices.len() > 2 && p.even_gap_mm().is_some();
        parts.len() > 1 && parts.iter().all(even) && all_apart(parts)
    })
}

/// Whether each two of the parts interleave or lie far from each other: none continues another.
fn all_apart(parts: &[Part<'_>]) -> bool {
    let mut sorted: Vec<&Part<'_>> = parts.iter().collect();
    sorted.sort_by(|a, b| a.heights().0.total_cmp(&b.heights().0));
    sorted.windows(2).all(|pair| {
        let gap_mm = pair[1].heights().0 - pair[0].heights().1;
        gap_mm < 0.0 || gap_mm > bridged_mm(pair)
    })
}

/// Takes out slices whose place and pixels another has; gives each with the one that stays.
fn drop_copies(part: &mut Part<'_>, places: &[Vec<usize>]) -> Vec<(FrameIndex, FrameIndex)> {
    let mut copies = Vec::new();
    let mut gone = vec![false; part.slices.len()];
    for place in places {
        for (n, &later) in place.iter().enumerate() {
            let pixels = part.slices[later].frame.pixels;
            let same =
                |&&earlier: &&usize| !gone[earlier] && part.slices[earlier].frame.pixels == pixels;
            if let Some(&first) = place[..n].iter().find(same).filter(|_| pixels.is_some()) {
                gone[later] = true;
                copies.push((part.slices[later].index, part.slices[first].index));
            }
        }
    }
    let mut kept = gone.iter().map(|gone| !gone);
    part.slices.retain(|_| kept.next().unwrap_or(true));
    copies
}

/// Slices that nothing tells from another of their place.
pub(crate) fn clashing(part: &Part<'_>) -> Vec<Vec<FrameIndex>> {
    let places = part.places().into_iter().filter(|place| place.len() > 1);
    places
        .map(|place| place.into_iter().map(|n| part.slices[n].index).collect())
        .collect()
}
