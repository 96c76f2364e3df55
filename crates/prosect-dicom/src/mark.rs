//! What may tell two images of one place apart: the rules, each with its reason, in the order in
//! which they are asked.
//!
//! Instance numbers and the names of files are no marks: they say in which order somebody sent
//! or stored images, not what the images show.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use crate::layer::Layers;

/// How much a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The images show something else, or at another moment of the body: such images never lie in
    /// one stack, whether or not they lie at one place.
    Contents,
    /// It may change along one stack, too; it tells stacks apart where places repeat or where the
    /// slices of two interleave.
    Where,
    /// A point in time: it differs from slice to slice, but its order at each place tells phases apart.
    Moment,
    /// As [`Weight::Moment`], but also changed by those who only copy or rework images: asked last.
    Storing,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its name in messages.
    pub(crate) name: &'static str,
    tag: Tag,
    /// Unit in messages.
    unit: &'static str,
    pub(crate) weight: Weight,
    /// Read as a number, so that 2.5 and 2.50 are equal; else as text with all values.
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Number,
    Text,
    Time,
}

const fn rule(
    name: &'static str,
    tag: Tag,
    unit: &'static str,
    (weight, form): (Weight, Form),
) -> Rule {
    Rule {
        name,
        tag,
        unit,
        weight,
        form,
    }
}

const CONTENTS: (Weight, Form) = (Weight::Contents, Form::Number);
const CONTENTS_TEXT: (Weight, Form) = (Weight::Contents, Form::Text);
const WHERE: (Weight, Form) = (Weight::Where, Form::Number);
const WHERE_TEXT: (Weight, Form) = (Weight::Where, Form::Text);
const MOMENT: (Weight, Form) = (Weight::Moment, Form::Number);
const MOMENT_TIME: (Weight, Form) = (Weight::Moment, Form::Time);

/// The rules, the most telling first.
pub(crate) static RULES: [Rule; 35] = [
    // Water, fat, magnitude, phase, reformatted: PS3.3 C.7.6.1.1.2 and C.8.13.3.1.
    rule("image type", tags::IMAGE_TYPE, "", CONTENTS_TEXT),
    rule(
        "complex component",
        tags::COMPLEX_IMAGE_COMPONENT,
        "",
        CONTENTS_TEXT,
    ),
    // The scanner itself says which stack a frame is of: PS3.3 C.7.6.16.2.2.
    rule("stack", tags::STACK_ID, "", CONTENTS_TEXT),
    rule(
        "temporal position",
        tags::TEMPORAL_POSITION_INDEX,
        "",
        CONTENTS,
    ),
    rule(
        "temporal position",
        tags::TEMPORAL_POSITION_IDENTIFIER,
        "",
        CONTENTS,
    ),
    rule(
        "cardiac phase",
        tags::NOMINAL_PERCENTAGE_OF_CARDIAC_PHASE,
        "%",
        CONTENTS,
    ),
    rule(
        "respiratory phase",
        tags::NOMINAL_PERCENTAGE_OF_RESPIRATORY_PHASE,
        "%",
        CONTENTS,
    ),
    rule("echo", tags::ECHO_NUMBERS, "", CONTENTS),
    rule("echo time", tags::EFFECTIVE_ECHO_TIME, "ms", CONTENTS),
    rule("echo time", tags::ECHO_TIME, "ms", CONTENTS),
    rule("b value", tags::DIFFUSION_B_VALUE, "s/mm2", CONTENTS),
    rule("kernel", tags::CONVOLUTION_KERNEL, "", CONTENTS_TEXT),
    rule("unit of values", tags::RESCALE_TYPE, "", CONTENTS_TEXT),
    rule(
        "diffusion direction",
        tags::DIFFUSION_GRADIENT_ORIENTATION,
        "",
        WHERE_TEXT,
    ),
    rule(
        "diffusion direction",
        tags::DIFFUSION_DIRECTIONALITY,
        "",
        WHERE_TEXT,
    ),
    rule(
        "contrast phase",
        tags::CONTRAST_BOLUS_AGENT_PHASE,
        "",
        WHERE_TEXT,
    ),
    rule("contrast agent", tags::CONTRAST_BOLUS_AGENT, "", WHERE_TEXT),
    rule(
        "start of contrast",
        tags::CONTRAST_BOLUS_START_TIME,
        "",
        (Weight::Where, Form::Time),
    ),
    rule("tube voltage", tags::KVP, "kV", WHERE),
    rule("filter", tags::FILTER_TYPE, "", WHERE_TEXT),
    rule(
        "reconstruction",
        tags::RECONSTRUCTION_ALGORITHM,
        "",
        WHERE_TEXT,
    ),
    rule("slice thickness", tags::SLICE_THICKNESS, "mm", WHERE),
    rule("inversion time", tags::INVERSION_TIME, "ms", WHERE),
    rule("repetition time", tags::REPETITION_TIME, "ms", WHERE),
    rule("flip angle", tags::FLIP_ANGLE, "degrees", WHERE),
    rule("sequence", tags::SEQUENCE_NAME, "", WHERE_TEXT),
    rule("acquisition", tags::FRAME_ACQUISITION_NUMBER, "", WHERE),
    rule("acquisition", tags::ACQUISITION_NUMBER, "", WHERE),
    rule(
        "trigger time",
        tags::NOMINAL_CARDIAC_TRIGGER_DELAY_TIME,
        "ms",
        MOMENT,
    ),
    rule("trigger time", tags::TRIGGER_TIME, "ms", MOMENT),
    rule(
        "time offset",
        tags::TEMPORAL_POSITION_TIME_OFFSET,
        "s",
        MOMENT,
    ),
    rule("time offset", tags::FRAME_REFERENCE_TIME, "ms", MOMENT),
    rule(
        "acquisition time",
        tags::FRAME_ACQUISITION_DATE_TIME,
        "",
        MOMENT_TIME,
    ),
    rule("acquisition time", tags::ACQUISITION_TIME, "", MOMENT_TIME),
    rule(
        "content time",
        tags::CONTENT_TIME,
        "",
        (Weight::Storing, Form::Time),
    ),
];

/// The values that a frame has for the rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Vec<(u8, Value)>);

/// One value: equal where the text is, ordered by the number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) text: Box<str>,
    pub(crate) order: f64,
}

impl Marks {
    pub(crate) fn of(layers: &Layers<'_>, image_type: &[String]) -> Self {
        let mut marks = Vec::new();
        for (n, rule) in RULES.iter().enumerate() {
            let value = if rule.tag == tags::IMAGE_TYPE {
                (!image_type.is_empty()).then(|| Value::text(image_type.join("\\")))
            } else {
                rule.read(layers)
            };
            marks.extend(value.map(|value| (n as u8, value)));
        }
        marks.shrink_to_fit();
        Self(marks)
    }

    /// The value for the rule of this number.
    pub(crate) fn get(&self, rule: usize) -> Option<&Value> {
        let found = self.0.iter().find(|(n, _)| usize::from(*n) == rule);
        found.map(|(_, value)| value)
    }
}

impl Rule {
    fn read(&self, layers: &Layers<'_>) -> Option<Value> {
        match self.form {
            Form::Number => layers.number(self.tag).map(Value::number),
            Form::Text => {
                let text = layers.texts(self.tag).join("\\");
                (!text.is_empty()).then(|| Value::text(text))
            }
            Form::Time => {
                let text = layers.text(self.tag)?;
                let order = seconds(&text)?;
                Some(Value {
                    text: text.into(),
                    order,
                })
            }
        }
    }

    /// A value in words. Times of day are not told: with a date they may name an examination.
    pub(crate) fn describe(&self, value: Option<&Value>) -> String {
        match value {
            None => format!("no {}", self.name),
            Some(_) if self.form == Form::Time => format!("another {}", self.name),
            Some(value) if self.unit.is_empty() => format!("{} {}", self.name, value.text),
            Some(value) => format!("{} {} {}", self.name, value.text, self.unit),
        }
    }
}

impl Value {
    fn text(text: String) -> Self {
        Self {
            text: text.into(),
            order: 0.0,
        }
    }

    /// Ten-thousandths are below what any of these quantities means.
    fn number(number: f64) -> Self {
        let order = (number * 1e4).round() / 1e4;
        Self {
            text: format!("{order}").into(),
            order,
        }
    }

    /// Order for people: by number, then by text.
    pub(crate) fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let by_number = self.order.total_cmp(&other.order);
        by_number.then_with(|| self.text.cmp(&other.text))
    }
}

/// Seconds of a time (`HHMMSS.ffffff`) or of a date with a time (`YYYYMMDDHHMMSS.ffffff`), counted
/// from a day that does not matter (PS3.5 6.2).
fn seconds(text: &str) -> Option<f64> {
    // A zone behind the time is the same for all images of a series.
    let text = text.split(['+', '-']).next().unwrap_or_default();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.bytes().all(|b| b.is_ascii_digit()) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (days, time) = if whole.len() > 8 {
        let (date, time) = whole.split_at(8);
        let number = |a: usize, b: usize| date[a..b].parse::<f64>().unwrap_or(0.0);
        (
            number(0, 4) * 372.0 + number(4, 6) * 31.0 + number(6, 8),
            time,
        )
    } else {
        (0.0, whole)
    };
    let part = |at: usize| -> f64 {
        let digits = time.get(at..(at + 2).min(time.len())).unwrap_or_default();
        digits.parse().unwrap_or(0.0)
    };
    (time.len() >= 2).then_some(())?;
    let fraction: f64 = format!("0.{fraction}0").parse().ok()?;
    Some(days * 86_400.0 + part(0) * 3600.0 + part(2) * 60.0 + part(4) + fraction)
}

#[cfg(test)]
mod tests {
    use super::{RULES, Value, seconds};

    #[test]
    fn times_are_ordered() {
        let all = [
            "235959.999999",
            "20260101000000",
            "20260101000000.5",
            "20260101010000",
            "20260201000000.000000+0100",
        ];
        let seconds: Vec<f64> = all.iter().map(|t| seconds(t).unwrap()).collect();
        assert!(seconds.is_sorted_by(|a, b| a < b), "{seconds:?}");
        assert_eq!(super::seconds("1015"), Some(36_900.0));
        for bad in ["", "1", "ab", "12:30"] {
            assert_eq!(super::seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn equal_numbers_are_equal_marks() {
        assert_eq!(Value::number(2.5), Value::number(2.500_001));
        assert_ne!(Value::number(2.5), Value::number(2.501));
        assert_eq!(&*Value::number(30.0).text, "30");
    }

    #[test]
    fn no_rule_looks_at_the_number_of_an_instance() {
        use dicom_dictionary_std::tags;
        let forbidden = [tags::INSTANCE_NUMBER, tags::IN_STACK_POSITION_NUMBER];
        assert!(RULES.iter().all(|rule| !forbidden.contains(&rule.tag)));
    }
}
