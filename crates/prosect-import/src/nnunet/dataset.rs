//! `dataset.json`: what the channels and labels of a trained nnU-Net are.

use serde_json::Value;

use crate::error::ImportError;
use crate::json::Json;

/// More labels than any model has; the label map is of 16 bits.
const MAX_LABELS: usize = 4096;

/// What a `dataset.json` says.
#[derive(Debug, PartialEq)]
pub(crate) struct Dataset {
    /// Names of the input channels, in order.
    pub(crate) channels: Vec<String>,
    /// What each output channel of the network means.
    pub(crate) heads: Heads,
    /// The reader that the data asks for, over that of the plans.
    pub(crate) reader: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) reference: Option<String>,
    pub(crate) license: Option<String>,
}

/// The output channels of a network, in order.
#[derive(Debug, PartialEq)]
pub(crate) enum Heads {
    /// Every label value and its name, background first; the channel is the value.
    Labels(Vec<(u16, String)>),
    /// For each channel the value it paints and the region's name.
    Regions(Vec<(u16, String)>),
}

impl Heads {
    /// Value and name of each channel.
    pub(crate) fn channels(&self) -> &[(u16, String)] {
        match self {
            Self::Labels(all) | Self::Regions(all) => all,
        }
    }
}

impl Dataset {
    /// Reads a `dataset.json` called `what` in errors.
    pub(crate) fn read(what: &str, value: &Value) -> Result<Self, ImportError> {
        let dataset = Json::new(what, value);
        let text = |key: &str| {
            let found = dataset.find(key).and_then(Value::as_str).map(str::trim);
            found.filter(|t| !t.is_empty()).map(str::to_owned)
        };
        Ok(Self {
            channels: channels(&dataset)?,
            heads: heads(&dataset)?,
            reader: text("overwrite_image_reader_writer").filter(|r| r != "None"),
            name: text("name"),
            description: text("description"),
            reference: text("reference"),
            license: text("license").or_else(|| text("licence")),
        })
    }
}

/// `channel_names`, or `modality` as nnU-Net v1 called it: names by the channel's number.
fn channels(dataset: &Json<'_>) -> Result<Vec<String>, ImportError> {
    let key = if dataset.find("channel_names").is_some() {
        "channel_names"
    } else {
        "modality"
    };
    let named = dataset.get(key)?;
    let n = named.entries()?.len();
    if n == 0 || n > MAX_LABELS {
        return Err(ImportError::malformed(named.what(), "it names no channel"));
    }
    (0..n)
        .map(|i| named.get(&i.to_string())?.text().map(str::to_owned))
        .collect()
}

fn heads(dataset: &Json<'_>) -> Result<Heads, ImportError> {
    let labels = dataset.get("labels")?;
    let entries = labels.entries()?;
    if entries.len() > MAX_LABELS {
        let reason = format!("it has more than {MAX_LABELS} labels");
        return Err(ImportError::limit(labels.what(), reason));
    }
    if entries.get("background").and_then(label_value) != Some(0) {
        let reason = "background must be 0";
        return Err(ImportError::malformed(labels.what(), reason));
    }
    let named: Vec<(&String, Vec<u16>)> = entries
        .iter()
        .filter(|(name, _)| *name != "ignore")
        .map(|(name, value)| Ok((name, values(&labels.enter_value(name, value))?)))
        .collect::<Result<_, ImportError>>()?;
    if named.iter().any(|(_, values)| values.len() > 1) {
        regions(dataset, &named)
    } else {
        consecutive(&labels, &named)
    }
}

/// Labels: the channel is the value, so that values must be 0, 1, 2, ... as nnU-Net demands.
fn consecutive(labels: &Json<'_>, named: &[(&String, Vec<u16>)]) -> Result<Heads, ImportError> {
    let mut all: Vec<(u16, String)> = named
        .iter()
        .map(|(name, values)| (values[0], (*name).clone()))
        .collect();
    all.sort_by_key(|(value, _)| *value);
    match all
        .iter()
        .enumerate()
        .find(|(i, (value, _))| usize::from(*value) != *i)
    {
        None => Ok(Heads::Labels(all)),
        Some((_, (value, name))) => Err(ImportError::malformed(
            labels.what(),
            format!(
                "label {name} has value {value}, but values must be 0, 1, 2 and so on without a gap"
            ),
        )),
    }
}

/// Regions: channels stand in the order of `labels` without background, what each paints in
/// `regions_class_order`.
fn regions(dataset: &Json<'_>, named: &[(&String, Vec<u16>)]) -> Result<Heads, ImportError> {
    let order = dataset.get("regions_class_order")?;
    let painted = order.each(|item| {
        let value = item.size()?;
        u16::try_from(value).map_err(|_| ImportError::malformed(item.what(), "it exceeds 65535"))
    })?;
    let foreground: Vec<&String> = named
        .iter()
        .filter(|(_, values)| values.iter().any(|value| *value != 0))
        .map(|(name, _)| *name)
        .collect();
    if painted.len() != foreground.len() {
        let (regions, values) = (foreground.len(), painted.len());
        let reason = format!("it has {values} values for {regions} regions");
        return Err(ImportError::inconsistent(order.what(), reason));
    }
    let names = foreground.into_iter().cloned();
    Ok(Heads::Regions(painted.into_iter().zip(names).collect()))
}

/// The value or values of one label.
fn values(label: &Json<'_>) -> Result<Vec<u16>, ImportError> {
    let found: Option<Vec<u16>> = match label.value() {
        Value::Array(items) => items.iter().map(label_value).collect(),
        value => label_value(value).map(|value| vec![value]),
    };
    found
        .filter(|values| !values.is_empty() && values.len() <= MAX_LABELS)
        .ok_or_else(|| ImportError::malformed(label.what(), "it is no label value from 0 to 65535"))
}

/// Label values may be written as numbers or, in old files, as text.
fn label_value(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => u16::try_from(value.as_u64()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Dataset, Heads};
    use crate::json;

    #[track_caller]
    fn check(text: &str, expected: Result<Heads, &str>) {
        let value = json::parse("dataset.json", text.as_bytes()).unwrap();
        match (Dataset::read("dataset.json", &value), expected) {
            (Ok(dataset), Ok(heads)) => assert_eq!(dataset.heads, heads),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    fn named(all: &[(u16, &str)]) -> Vec<(u16, String)> {
        all.iter().map(|(v, n)| (*v, (*n).to_owned())).collect()
    }

    #[test]
    fn labels_and_regions_become_channels() {
        check(
            r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "b": 2, "a": 1, "ignore": 3}}"#,
            Ok(Heads::Labels(named(&[
                (0, "background"),
                (1, "a"),
                (2, "b"),
            ]))),
        );
        check(
            r#"{"modality": {"0": "T1"}, "labels": {"background": "0", "a": "1"}}"#,
            Ok(Heads::Labels(named(&[(0, "background"), (1, "a")]))),
        );
        check(
            r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}, "regions_class_order": [1, 2, 3]}"#,
            Ok(Heads::Regions(named(&[
                (1, "whole"),
                (2, "core"),
                (3, "enhancing"),
            ]))),
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        check(r#"{"labels": {"background": 0}}"#, Err("modality"));
        let channel = r#""channel_names": {"0": "CT"}"#;
        check(
            &format!(r#"{{{channel}, "labels": {{"a": 1}}}}"#),
            Err("background must be 0"),
        );
        check(
            &format!(r#"{{{channel}, "labels": {{"background": 0, "a": 2}}}}"#),
            Err("without a gap"),
        );
        check(
            &format!(r#"{{{channel}, "labels": {{"background": 0, "a": [1, 2]}}}}"#),
            Err("regions_class_order"),
        );
        check(
            &format!(
                r#"{{{channel}, "labels": {{"background": 0, "a": [1, 2]}}, "regions_class_order": [1, 2]}}"#
            ),
            Err("2 values for 1 regions"),
        );
        check(
            &format!(r#"{{{channel}, "labels": {{"background": 0, "a": 70000}}}}"#),
            Err("65535"),
        );
    }
}
