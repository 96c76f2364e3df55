//! Patient data as a type: what is wrapped here does not reach logs, errors or file names by accident.

use std::fmt;

/// Protected health information. It prints `[redacted]`; the only way out is
/// [`Phi::reveal`], and `cargo xtask tidy` lists every place that calls it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Phi<T>(T);

impl<T> Phi<T> {
    /// Wraps a value that identifies or describes a patient.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Call it only where the receiver is entitled to it,
    /// such as a DICOM object that goes back to the patient's own study.
    pub fn reveal(&self) -> &T {
        &self.0
    }

    /// Transforms the value without letting it out.
    pub fn map<U>(self, transform: impl FnOnce(T) -> U) -> Phi<U> {
        Phi(transform(self.0))
    }
}

impl<T> fmt::Debug for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Display for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::Phi;

    #[test]
    fn neither_debug_nor_display_lets_the_value_out() {
        let name = Phi::new("Doe^Jane".to_owned());
        assert_eq!(format!("{name:?} {name}"), "[redacted] [redacted]");
        assert_eq!(name.map(|n| n.len()).reveal(), &8);
    }
}
