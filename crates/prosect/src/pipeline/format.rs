//! The formats that a case can hold.

use crate::pipeline::error::PipelineError;

/// A format asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// DICOM SEG, BINARY, on the frames of the source.
    Seg,
    /// NIfTI: image, label map and confidence.
    Nifti,
    /// Binary STL, one file a structure.
    Stl,
    /// OBJ with its MTL, one pair a structure.
    Obj,
    /// One binary glTF with all structures.
    Glb,
}

impl Format {
    /// Every format, in the order in which they are written.
    pub const ALL: [Self; 5] = [Self::Seg, Self::Nifti, Self::Stl, Self::Obj, Self::Glb];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seg => "seg",
            Self::Nifti => "nifti",
            Self::Stl => "stl",
            Self::Obj => "obj",
            Self::Glb => "glb",
        }
    }

    /// Whether it holds surfaces.
    pub fn is_surface(self) -> bool {
        matches!(self, Self::Stl | Self::Obj | Self::Glb)
    }
}

/// Which formats to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formats {
    /// All that the input allows: without DICOM frames there is no SEG.
    All,
    /// Exactly these.
    Only(Vec<Format>),
}

impl Formats {
    /// Reads `all`, or a list such as `seg,stl`.
    ///
    /// # Errors
    /// [`PipelineError::UnknownFormat`] with the list of known ones.
    pub fn parse(text: &str) -> Result<Self, PipelineError> {
        let mut formats = Vec::new();
        for word in text.split(',').map(str::trim) {
            if word.eq_ignore_ascii_case("all") {
                return if text.trim().eq_ignore_ascii_case("all") {
                    Ok(Self::All)
                } else {
                    Err(PipelineError::UnknownFormat {
                        format: text.to_owned(),
                    })
                };
            }
            let known = Format::ALL
                .into_iter()
                .find(|f| word.eq_ignore_ascii_case(f.name()));
            let format = known.ok_or_else(|| PipelineError::UnknownFormat {
                format: word.to_owned(),
            })?;
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        Ok(Self::Only(formats))
    }

    /// Whether this format is to be written.
    pub fn wants(&self, format: Format) -> bool {
        match self {
            Self::All => true,
            Self::Only(formats) => formats.contains(&format),
        }
    }

    /// Whether any surface is to be written.
    pub fn wants_surfaces(&self) -> bool {
        Format::ALL
            .into_iter()
            .any(|f| f.is_surface() && self.wants(f))
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Formats};

    #[test]
    fn lists_are_read_and_unknown_words_are_named() {
        assert_eq!(Formats::parse("all").unwrap(), Formats::All);
        assert_eq!(
            Formats::parse("stl, SEG,stl").unwrap(),
            Formats::Only(vec![Format::Stl, Format::Seg])
        );
        for wrong in ["3mf", "", "seg,", "all,stl"] {
            let message = Formats::parse(wrong).unwrap_err().to_string();
            assert!(message.contains("seg, nifti, stl, obj, glb"), "{message}");
        }
    }
}
