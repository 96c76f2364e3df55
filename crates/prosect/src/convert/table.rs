//! Tables of labels: what each value means. JSON in the form of `segmentation.json`, as
//! `{"1": "liver"}` or as nnU-Net's `{"labels": {"liver": 1}}`; or CSV.

use std::fs;
use std::path::Path;

use prosect_segmentation::{
    Algorithm, AlgorithmType, Code, LabelValue, Rgb, Structure, terminology,
};
use serde_json::Value;

use crate::convert::error::ConvertError;
use crate::convert::label_of;

/// No table is longer: one of 1,000 labels with all codes has 300 KiB.
const MOST_BYTES: u64 = 16 << 20;
/// PS3.5 6.2: a long string has 64 characters.
const MOST_CHARACTERS: usize = 64;

/// What the values of label maps mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    /// The files of the layers, where the table names them.
    pub(super) files: Vec<String>,
    /// The frame of reference, where the table names it.
    pub(super) frame_of_reference: Option<String>,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) value: LabelValue,
    /// The layer that is meant; `None` for every layer.
    pub(super) layer: Option<usize>,
    pub(super) structure: Structure,
    pub(super) drawn_by: Option<(AlgorithmType, Option<Algorithm>)>,
}

impl Table {
    /// Reads a table that the user names.
    pub(super) fn read(path: &Path) -> Result<Self, ConvertError> {
        let text = read_text(path)?;
        let refuse = |reason: String| ConvertError::Table {
            table: label_of(path),
            reason,
        };
        let is_json = text.trim_start().starts_with(['{', '[']);
        let table = if is_json {
            let value = serde_json::from_str(&text)
                .map_err(|error| refuse(format!("it is no valid JSON ({error})")))?;
            of_json(&value).map_err(refuse)?
        } else {
            of_csv(&text).map_err(refuse)?
        };
        table.require_sound().map_err(refuse)?;
        Ok(table)
    }

    /// Reads the table that this software writes beside a label map, if there is one.
    pub(super) fn beside(path: &Path) -> Option<Self> {
        let value: Value = serde_json::from_str(&read_text(path).ok()?).ok()?;
        value.get("layers")?;
        let table = of_json(&value).ok()?;
        table.require_sound().ok()?;
        Some(table)
    }

    /// What a value of a layer means.
    pub(super) fn row(&self, layer: usize, value: LabelValue) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.value == value && row.layer.is_none_or(|l| l == layer))
    }

    fn require_sound(&self) -> Result<(), String> {
        if self.rows.is_empty() {
            return Err("it names no label".to_owned());
        }
        for (n, row) in self.rows.iter().enumerate() {
            let same = |other: &&Row| {
                other.value == row.value
                    && (other.layer == row.layer || other.layer.is_none() || row.layer.is_none())
            };
            if self.rows[..n].iter().find(same).is_some() {
                return Err(format!("the value {} is named twice", row.value));
            }
        }
        Ok(())
    }
}

fn read_text(path: &Path) -> Result<String, ConvertError> {
    let failed = |source| ConvertError::Input {
        path: path.into(),
        source,
    };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MOST_BYTES {
        return Err(ConvertError::Table {
            table: label_of(path),
            reason: format!("it has {length} bytes, the limit is {MOST_BYTES}"),
        });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    // A byte order mark, as spreadsheets write it.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

fn of_json(value: &Value) -> Result<Table, String> {
    if let Some(layers) = value.get("layers").and_then(Value::as_array) {
        let mut table = Table {
            frame_of_reference: text_of(value, "frame_of_reference"),
            ..Table::default()
        };
        for (layer, item) in layers.iter().enumerate() {
            table.files.extend(text_of(item, "file"));
            let labels = item.get("labels").and_then(Value::as_array);
            for label in labels.into_iter().flatten() {
                table.rows.extend(row_of(label, Some(layer))?);
            }
        }
        return Ok(table);
    }
    let value = value.get("labels").unwrap_or(value);
    let rows: Result<Vec<Option<Row>>, String> = match value {
        Value::Array(items) => items.iter().map(|item| row_of(item, None)).collect(),
        Value::Object(pairs) => pairs.iter().map(pair).collect(),
        _ => return Err("it is neither a list nor pairs of values and names".to_owned()),
    };
    Ok(Table {
        rows: rows?.into_iter().flatten().collect(),
        ..Table::default()
    })
}

/// `"1": "liver"`, `"liver": 1`, or `"1": { "name": "liver", ... }`; nothing for the background.
fn pair((key, value): (&String, &Value)) -> Result<Option<Row>, String> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let named = |n: u64, name: &str| {
        let value = label_value(n)?;
        Ok(value.map(|value| Row {
            value,
            layer: None,
            structure: structure(name, Codes::default()),
            drawn_by: None,
        }))
    };
    match (number(key), value) {
        (Some(n), Value::String(name)) => named(n, name),
        (None, Value::Number(n)) => {
            let n = n
                .as_u64()
                .ok_or_else(|| format!("{key} has no whole number"))?;
            named(n, key)
        }
        (Some(n), Value::Object(_)) => {
            let mut item = value.clone();
            item["value"] = n.into();
            row_of(&item, None)
        }
        _ => Err(format!("{key:?} is not a value with a name")),
    }
}

/// `None` for the background.
fn label_value(n: u64) -> Result<Option<LabelValue>, String> {
    let value = LabelValue::try_from(n).map_err(|_| format!("{n} is larger than 65535"))?;
    Ok((value != 0).then_some(value))
}

/// Codes and color that a table may give.
#[derive(Clone, Debug, Default)]
struct Codes {
    /// Category, type, its modifier, region, its modifier.
    codes: [Option<Code>; 5],
    color: Option<Rgb>,
}

/// A label as `segmentation.json` writes it; `None` for the background.
fn row_of(item: &Value, layer: Option<usize>) -> Result<Option<Row>, String> {
    let number = item
        .get("value")
        .and_then(Value::as_u64)
        .ok_or("a label has no value")?;
    let name = text_of(item, "name").ok_or_else(|| format!("the value {number} has no name"))?;
    let Some(value) = label_value(number)? else {
        return Ok(None);
    };
    let code = |key: &str| {
        let code = item.get(key)?;
        Some(Code {
            scheme: text_of(code, "scheme")?,
            value: text_of(code, "value")?,
            meaning: text_of(code, "meaning")?,
        })
    };
    let keys = [
        "category",
        "type",
        "type_modifier",
        "region",
        "region_modifier",
    ];
    let color = item.get("color_srgb").and_then(Value::as_array);
    let channels: Option<Vec<u8>> = color.and_then(|channels| {
        let channels = channels.iter().map(|c| u8::try_from(c.as_u64()?).ok());
        channels.collect()
    });
    let codes = Codes {
        codes: keys.map(code),
        color: channels.and_then(|c| c.try_into().ok()).map(Rgb),
    };
    Ok(Some(Row {
        value,
        layer,
        structure: structure(&name, codes),
        drawn_by: drawn_by(item),
    }))
}

fn drawn_by(item: &Value) -> Option<(AlgorithmType, Option<Algorithm>)> {
    let kinds = [
        AlgorithmType::Automatic,
        AlgorithmType::SemiAutomatic,
        AlgorithmType::Manual,
    ];
    let word = text_of(item, "algorithm_type")?;
    let kind = kinds.into_iter().find(|kind| kind.dicom_name() == word)?;
    let algorithm = item.get("algorithm").and_then(|a| {
        Some(Algorithm {
            name: text_of(a, "name")?,
            version: text_of(a, "version")?,
            weights_sha256: text_of(a, "weights_sha256").unwrap_or_default(),
            source: text_of(a, "source").unwrap_or_default(),
        })
    });
    // DICOM wants to know which algorithm it was.
    (kind == AlgorithmType::Manual || algorithm.is_some()).then_some((kind, algorithm))
}

fn text_of(item: &Value, key: &str) -> Option<String> {
    let text = item.get(key)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The structure of this name: with the codes given, else with those of the terminology, else with a
/// private code that means the name.
fn structure(name: &str, given: Codes) -> Structure {
    let name = plain(name);
    let known = known(&name);
    let [
        category,
        property_type,
        type_modifier,
        region,
        region_modifier,
    ] = given.codes;
    let color = given.color.unwrap_or(known.color);
    let Some(property_type) = property_type else {
        return Structure {
            name,
            color,
            ..known
        };
    };
    Structure {
        category: category.unwrap_or(known.category),
        property_type,
        type_modifier,
        region,
        region_modifier,
        color,
        name,
    }
}

/// What the terminology knows of a name, else a private code.
pub(super) fn known(name: &str) -> Structure {
    terminology::structure(name)
        .or_else(|| terminology::structure_of_label(name))
        .unwrap_or_else(|| terminology::private_structure(name))
}

/// A name as DICOM holds it: 64 characters, none of them a backslash or a control character.
pub(super) fn plain(name: &str) -> String {
    let good = |c: char| if c == '\\' || c.is_control() { ' ' } else { c };
    let name: String = name
        .trim()
        .chars()
        .map(good)
        .take(MOST_CHARACTERS)
        .collect();
    let name = name.trim().to_owned();
    if name.is_empty() {
        "unnamed".to_owned()
    } else {
        name
    }
}

/// Columns of a CSV without a heading.
const COLUMNS: [&str; 20] = [
    "value",
    "name",
    "category_scheme",
    "category_code",
    "category_meaning",
    "type_scheme",
    "type_code",
    "type_meaning",
    "type_modifier_scheme",
    "type_modifier_code",
    "type_modifier_meaning",
    "region_scheme",
    "region_code",
    "region_meaning",
    "region_modifier_scheme",
    "region_modifier_code",
    "region_modifier_meaning",
    "rgb_r",
    "rgb_g",
    "rgb_b",
];

fn of_csv(text: &str) -> Result<Table, String> {
    let mut columns: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
    let mut rows = Vec::new();
    let lines = text.lines().enumerate();
    for (n, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let fields = fields_of(line);
        let is_number = fields.first().is_some_and(|f| f.parse::<u64>().is_ok());
        if rows.is_empty() && !is_number && fields.iter().any(|f| f.eq_ignore_ascii_case("name")) {
            columns = fields.iter().map(|f| f.to_ascii_lowercase()).collect();
            continue;
        }
        let row = csv_row(&columns, &fields).map_err(|what| format!("line {}: {what}", n + 1))?;
        rows.extend(row);
    }
    Ok(Table {
        rows,
        ..Table::default()
    })
}

fn csv_row(columns: &[String], fields: &[String]) -> Result<Option<Row>, String> {
    let field = |name: &str| {
        let at = columns.iter().position(|column| column == name)?;
        fields.get(at).map(String::as_str).filter(|f| !f.is_empty())
    };
    let number = ["value", "label", "id"].into_iter().find_map(field);
    let number: u64 = number
        .and_then(|text| text.parse().ok())
        .ok_or("it has no whole number as value")?;
    let name = field("name").ok_or("it has no name")?;
    let Some(value) = label_value(number)? else {
        return Ok(None);
    };
    let code = |what: &str| {
        Some(Code {
            scheme: field(&format!("{what}_scheme"))?.to_owned(),
            value: field(&format!("{what}_code"))?.to_owned(),
            meaning: field(&format!("{what}_meaning"))?.to_owned(),
        })
    };
    let channel = |name: &str| field(name).and_then(|text| text.parse::<u8>().ok());
    let color = match ["rgb_r", "rgb_g", "rgb_b"].map(channel) {
        [Some(r), Some(g), Some(b)] => Some(Rgb([r, g, b])),
        _ => None,
    };
    let codes = [
        "category",
        "type",
        "type_modifier",
        "region",
        "region_modifier",
    ]
    .map(code);
    Ok(Some(Row {
        value,
        layer: None,
        structure: structure(name, Codes { codes, color }),
        drawn_by: None,
    }))
}

/// Fields between commas, semicolons or tabs; in quotes they may hold these themselves.
fn fields_of(line: &str) -> Vec<String> {
    let separator = [',', ';', '\t'].into_iter().find(|c| line.contains(*c));
    let separator = separator.unwrap_or(',');
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                push(&mut fields, '"');
            }
            '"' => quoted = !quoted,
            c if c == separator && !quoted => fields.push(String::new()),
            c => push(&mut fields, c),
        }
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
}

fn push(fields: &mut [String], c: char) {
    if let Some(field) = fields.last_mut() {
        field.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    /// Value, name, scheme and code of each row; or the refusal.
    #[track_caller]
    fn check(text: &str, expected: Result<&[(u16, &str, &str)], &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        std::fs::write(&path, text).unwrap();
        match (Table::read(&path), expected) {
            (Ok(table), Ok(expected)) => {
                let mut rows: Vec<(u16, String, String)> = table
                    .rows
                    .iter()
                    .map(|row| {
                        let code = &row.structure.property_type;
                        let code = format!("{} {}", code.scheme, code.value);
                        (row.value, row.structure.name.clone(), code)
                    })
                    .collect();
                rows.sort();
                let rows: Vec<(u16, &str, &str)> = rows
                    .iter()
                    .map(|(v, n, c)| (*v, n.as_str(), c.as_str()))
                    .collect();
                assert_eq!(rows, expected);
            }
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
            }
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    const LIVER: (u16, &str, &str) = (1, "liver", "SCT 10200004");

    #[test]
    fn every_form_of_table_is_read() {
        check(r#"{"1": "liver", "0": "background"}"#, Ok(&[LIVER]));
        check(r#"{"labels": {"background": 0, "liver": 1}}"#, Ok(&[LIVER]));
        check(r#"[{"value": 1, "name": "liver"}]"#, Ok(&[LIVER]));
        check(
            r#"{"layers": [{"file": "x.nii.gz", "labels": [{"value": 1, "name": "mine", "type": {"scheme": "99X", "value": "7", "meaning": "Mine"}}]}]}"#,
            Ok(&[(1, "mine", "99X 7")]),
        );
        check(
            "1,liver\n2,\"a, b\"\n",
            Ok(&[LIVER, (2, "a, b", "99PROSECT a_b-8889bc26")]),
        );
        check("value;name\n1;liver\n\n", Ok(&[LIVER]));
        check(
            "name,value,type_scheme,type_code,type_meaning\nliver,1,,,\nmine,2,99X,7,Mine",
            Ok(&[LIVER, (2, "mine", "99X 7")]),
        );
    }

    #[test]
    fn what_is_no_table_is_refused_by_line() {
        check("", Err("names no label"));
        check("{", Err("no valid JSON"));
        check("1,liver\n1,spleen", Err("the value 1 is named twice"));
        check("1,liver\nx,spleen", Err("line 2: it has no whole number"));
        check("1", Err("line 1: it has no name"));
        check(r#"{"70000": "liver"}"#, Err("larger than 65535"));
        check(r#"{"liver": "1"}"#, Err("not a value with a name"));
    }
}
