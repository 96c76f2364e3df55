//! Values of a foreign JSON file, asked for by key, with errors that say where in the file they are.

use serde_json::{Map, Value};

use crate::error::ImportError;

/// Largest edge of a patch, kernel or list of sizes.
const MAX_SIZE: u64 = 1 << 20;
/// Longest list that is read.
const MAX_ITEMS: usize = 1 << 16;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Json<'a> {
    what: String,
    value: &'a Value,
}

/// Parses a JSON file. Python writes NaN and Infinity, which JSON does not have.
pub(crate) fn parse(what: &str, bytes: &[u8]) -> Result<Value, ImportError> {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ImportError::malformed(what, "it is not UTF-8 text"))?;
    serde_json::from_str(&without_python_numbers(text))
        .map_err(|error| ImportError::malformed(what, error.to_string()))
}

/// The text with NaN and infinities outside of strings as null.
fn without_python_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if !in_string {
            let found = ["-Infinity", "Infinity", "NaN"]
                .into_iter()
                .find(|word| rest.starts_with(word));
            if let Some(word) = found {
                out.push_str("null");
                rest = &rest[word.len()..];
                continue;
            }
        }
        if c == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

impl<'a> Json<'a> {
    /// The value of a whole file called `what`.
    pub(crate) fn new(what: &str, value: &'a Value) -> Self {
        Self {
            what: what.to_owned(),
            value,
        }
    }

    /// Where it stands: `plans.json: configurations.3d_fullres`.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The same value, one step deeper in messages.
    pub(crate) fn enter(&self, key: &str) -> Self {
        self.enter_value(key, self.value)
    }

    /// Another value, one step deeper in messages.
    pub(crate) fn enter_value(&self, key: &str, value: &'a Value) -> Self {
        Self {
            what: format!("{}: {key}", self.what),
            value,
        }
    }

    /// The value of a key, or `None` when the key is missing or null.
    pub(crate) fn find(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    /// The value of a key that must be there.
    pub(crate) fn get(&self, key: &str) -> Result<Self, ImportError> {
        match self.value.get(key) {
            Some(value) => Ok(self.enter_value(key, value)),
            None => Err(ImportError::malformed(
                &self.what,
                format!("it has no {key:?}"),
            )),
        }
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn entries(&self) -> Result<&'a Map<String, Value>, ImportError> {
        self.value.as_object().ok_or_else(|| self.no("an object"))
    }

    pub(crate) fn text(&self) -> Result<&'a str, ImportError> {
        self.value.as_str().ok_or_else(|| self.no("a text"))
    }

    pub(crate) fn number(&self) -> Result<f64, ImportError> {
        let number = self.value.as_f64().filter(|number| number.is_finite());
        number.ok_or_else(|| self.no("a finite number"))
    }

    pub(crate) fn bool(&self) -> Result<bool, ImportError> {
        self.value.as_bool().ok_or_else(|| self.no("true or false"))
    }

    pub(crate) fn items(&self) -> Result<&'a [Value], ImportError> {
        let items = self.value.as_array().filter(|a| a.len() <= MAX_ITEMS);
        items.map(Vec::as_slice).ok_or_else(|| self.no("a list"))
    }

    /// A whole number from 0.
    pub(crate) fn size(&self) -> Result<usize, ImportError> {
        let whole = self.value.as_u64().or_else(|| {
            let number = self.value.as_f64()?;
            (number >= 0.0 && number.fract() == 0.0 && number < 1e9).then_some(number as u64)
        });
        let size = whole.filter(|n| *n <= MAX_SIZE);
        size.map(|n| n as usize)
            .ok_or_else(|| self.no("a whole number"))
    }

    pub(crate) fn sizes(&self) -> Result<Vec<usize>, ImportError> {
        self.each(Self::size)
    }

    pub(crate) fn texts(&self) -> Result<Vec<String>, ImportError> {
        self.each(|item| item.text().map(str::to_owned))
    }

    pub(crate) fn bools(&self) -> Result<Vec<bool>, ImportError> {
        self.each(Self::bool)
    }

    /// Three whole numbers from 1.
    pub(crate) fn three_sizes(&self) -> Result<[usize; 3], ImportError> {
        self.three_sizes_from(1)
    }

    /// Three whole numbers from `least`.
    pub(crate) fn three_sizes_from(&self, least: usize) -> Result<[usize; 3], ImportError> {
        let sizes: [usize; 3] = self
            .sizes()?
            .try_into()
            .map_err(|_| self.no("a list of three"))?;
        if sizes.iter().all(|n| *n >= least) {
            Ok(sizes)
        } else {
            Err(self.no(&format!("three numbers from {least}")))
        }
    }

    /// Three distances in mm.
    pub(crate) fn three_numbers(&self) -> Result<[f64; 3], ImportError> {
        let numbers = self.each(Self::number)?;
        let three: [f64; 3] = numbers.try_into().map_err(|_| self.no("a list of three"))?;
        if three.iter().all(|n| *n > 0.0) {
            Ok(three)
        } else {
            Err(self.no("three positive numbers"))
        }
    }

    /// Every item of a list.
    pub(crate) fn each<T>(
        &self,
        read: impl Fn(&Self) -> Result<T, ImportError>,
    ) -> Result<Vec<T>, ImportError> {
        let items = self.items()?.iter().enumerate();
        items
            .map(|(i, item)| read(&self.enter_value(&i.to_string(), item)))
            .collect()
    }

    fn no(&self, wanted: &str) -> ImportError {
        ImportError::malformed(&self.what, format!("it is not {wanted}"))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_python_calls_a_number_becomes_null() {
        let value = parse(
            "a.json",
            br#"{"a": NaN, "b": [-Infinity, 1.5], "NaN": "Infinity \" NaN"}"#,
        )
        .unwrap();
        assert_eq!(
            value.to_string(),
            r#"{"a":null,"b":[null,1.5],"NaN":"Infinity \" NaN"}"#
        );
        assert!(
            parse("a.json", b"{")
                .unwrap_err()
                .to_string()
                .contains("a.json")
        );
    }
}
