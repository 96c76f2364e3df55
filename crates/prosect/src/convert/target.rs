//! The formats to convert into, by name or by the end of a file's name.

use std::path::Path;

use crate::convert::error::ConvertError;

/// A format to convert into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// DICOM SEG, BINARY.
    Seg,
    /// DICOM SEG, LABELMAP.
    Labelmap,
    /// RT structure set.
    Rtstruct,
    /// NIfTI.
    Nifti,
    /// NRRD.
    Nrrd,
}

/// Ends of names, the longer before those that they end in.
const ENDS: [(&str, Target); 7] = [
    (".seg.dcm", Target::Seg),
    (".labelmap.dcm", Target::Labelmap),
    (".rtstruct.dcm", Target::Rtstruct),
    (".nii.gz", Target::Nifti),
    (".nii", Target::Nifti),
    (".seg.nrrd", Target::Nrrd),
    (".nrrd", Target::Nrrd),
];

impl Target {
    const ALL: [Self; 5] = [
        Self::Seg,
        Self::Labelmap,
        Self::Rtstruct,
        Self::Nifti,
        Self::Nrrd,
    ];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seg => "seg",
            Self::Labelmap => "labelmap",
            Self::Rtstruct => "rtstruct",
            Self::Nifti => "nifti",
            Self::Nrrd => "nrrd",
        }
    }

    /// The format of this name.
    ///
    /// # Errors
    /// [`ConvertError::UnknownFormat`].
    pub fn parse(word: &str) -> Result<Self, ConvertError> {
        Self::ALL
            .into_iter()
            .find(|target| target.name().eq_ignore_ascii_case(word.trim()))
            .ok_or_else(|| ConvertError::UnknownFormat { word: word.into() })
    }

    /// Whether it is a DICOM object on the frames of a series.
    pub fn is_dicom(self) -> bool {
        matches!(self, Self::Seg | Self::Labelmap | Self::Rtstruct)
    }

    /// The format asked for, else that of the name's end.
    pub(super) fn of(asked: Option<Self>, output: &Path) -> Result<Self, ConvertError> {
        let found = split(output).map(|(_, _, target)| target);
        match (asked, found) {
            (Some(asked), Some(found)) if asked != found => Err(ConvertError::FormatContradicts {
                asked: asked.name(),
                output: super::label_of(output),
            }),
            (Some(target), _) | (None, Some(target)) => Ok(target),
            (None, None) => Err(ConvertError::NoFormat {
                output: super::label_of(output),
            }),
        }
    }
}

/// Stem, end and format of a file's name, where the end says one.
fn split(path: &Path) -> Option<(String, String, Target)> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let lower = name.to_ascii_lowercase();
    let (end, target) = ENDS.iter().find(|(end, _)| lower.ends_with(end))?;
    // Only ASCII is made lower case: the lengths are the same.
    let (stem, end) = name.split_at(name.len() - end.len());
    Some((stem.to_owned(), end.to_owned(), *target))
}

/// The name of a file without the end that says its format, and that end.
pub(super) fn stem_and_end(path: &Path) -> (String, String) {
    if let Some((stem, end, _)) = split(path) {
        return (stem, end);
    }
    let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
    let end = text(path.extension()).map_or_else(String::new, |end| format!(".{end}"));
    (text(path.file_stem()).unwrap_or_default(), end)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Target, stem_and_end};

    #[track_caller]
    fn check(asked: Option<Target>, name: &str, expected: Result<Target, &str>) {
        match (Target::of(asked, Path::new(name)), expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{name}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
            }
            (got, _) => panic!("{name}: {got:?}"),
        }
    }

    #[test]
    fn the_names_end_says_the_format() {
        check(None, "x.seg.dcm", Ok(Target::Seg));
        check(None, "X.LABELMAP.DCM", Ok(Target::Labelmap));
        check(None, "dir.nii/x.rtstruct.dcm", Ok(Target::Rtstruct));
        check(None, "x.nii.gz", Ok(Target::Nifti));
        check(None, "x.seg.nrrd", Ok(Target::Nrrd));
        check(None, "x.dcm", Err("--format"));
        check(None, "x", Err("--format"));
        check(Some(Target::Seg), "x.dcm", Ok(Target::Seg));
        check(Some(Target::Seg), "x.seg.dcm", Ok(Target::Seg));
        check(Some(Target::Seg), "x.nii.gz", Err("seg"));
    }

    #[test]
    fn stems_are_what_stands_before_the_end() {
        let split = |name: &str| stem_and_end(Path::new(name));
        assert_eq!(split("a/x.b.nii.gz"), ("x.b".into(), ".nii.gz".into()));
        assert_eq!(split("x.seg.nrrd"), ("x".into(), ".seg.nrrd".into()));
        assert_eq!(split("x.dcm"), ("x".into(), ".dcm".into()));
        assert_eq!(split("x"), ("x".into(), String::new()));
    }
}
