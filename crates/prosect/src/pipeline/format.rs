//! The formats that a case can hold.

use crate::pipeline::error::PipelineError;

/// A format asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// DICOM SEG, BINARY, on the frames of the source.
    Seg,
    /// DICOM SEG, LABELMAP, on the frames of the source, one object a layer.
    Labelmap,
    /// DICOM RT Structure Set: contours on the frames of the source.
    Rtstruct,
    /// DICOM SR with the measurements; it refers to a segmentation, which must be written too.
    Report,
    /// NIfTI: image, label map and confidence.
    Nifti,
    /// Binary STL, one file a structure.
    Stl,
    /// OBJ with its MTL, one pair a structure.
    Obj,
    /// One binary glTF with all structures.
    Glb,
    /// STL, OBJ and MTL of each structure inside DICOM objects.
    Encapsulated,
    /// The preview as DICOM secondary capture.
    Capture,
}

impl Format {
    /// Every format, in the order in which they are written.
    pub const ALL: [Self; 10] = [
        Self::Seg,
        Self::Labelmap,
        Self::Rtstruct,
        Self::Report,
        Self::Nifti,
        Self::Stl,
        Self::Obj,
        Self::Glb,
        Self::Encapsulated,
        Self::Capture,
    ];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seg => "seg",
            Self::Labelmap => "labelmap",
            Self::Rtstruct => "rtstruct",
            Self::Report => "sr",
            Self::Nifti => "nifti",
            Self::Stl => "stl",
            Self::Obj => "obj",
            Self::Glb => "glb",
            Self::Encapsulated => "encapsulated",
            Self::Capture => "sc",
        }
    }

    /// Whether it holds surfaces.
    pub fn is_surface(self) -> bool {
        matches!(self, Self::Stl | Self::Obj | Self::Glb | Self::Encapsulated)
    }

    /// Whether it lies on DICOM frames, or in the study they are of.
    pub fn is_dicom(self) -> bool {
        matches!(
            self,
            Self::Seg
                | Self::Labelmap
                | Self::Rtstruct
                | Self::Report
                | Self::Encapsulated
                | Self::Capture
        )
    }

    /// Whether a case has it without being asked. The others hold nothing new: they wrap the
    /// surfaces and the preview for archives that take nothing but DICOM.
    pub fn is_usual(self) -> bool {
        !matches!(self, Self::Encapsulated | Self::Capture)
    }
}

/// Which formats to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formats {
    /// All that the input allows: without DICOM frames there are no DICOM objects.
    All,
    /// As all, but for what holds nothing new.
    Usual,
    /// Exactly these.
    Only(Vec<Format>),
}

impl Formats {
    /// Reads `usual`, `all`, or a list such as `seg,stl`.
    ///
    /// # Errors
    /// [`PipelineError::UnknownFormat`] with the list of known ones,
    /// [`PipelineError::ReportWithoutSegmentation`].
    pub fn parse(text: &str) -> Result<Self, PipelineError> {
        let whole = text.trim();
        if whole.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        if whole.eq_ignore_ascii_case("usual") {
            return Ok(Self::Usual);
        }
        let mut formats = Vec::new();
        for word in text.split(',').map(str::trim) {
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
        let refers = formats.contains(&Format::Report);
        if refers && !formats.contains(&Format::Seg) && !formats.contains(&Format::Labelmap) {
            return Err(PipelineError::ReportWithoutSegmentation);
        }
        Ok(Self::Only(formats))
    }

    /// Whether this format is to be written.
    pub fn wants(&self, format: Format) -> bool {
        match self {
            Self::All => true,
            Self::Usual => format.is_usual(),
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
        assert_eq!(Formats::parse(" Usual").unwrap(), Formats::Usual);
        for wrong in ["3mf", "", "seg,", "all,stl", "usual,sc"] {
            let message = Formats::parse(wrong).unwrap_err().to_string();
            let known = Format::ALL.map(Format::name).join(", ");
            assert!(message.contains(&known), "{message}");
        }
        let message = Formats::parse("sr,stl").unwrap_err().to_string();
        assert!(message.contains("seg or labelmap"), "{message}");
        assert!(Formats::parse("sr,labelmap").is_ok());
    }

    #[test]
    fn what_is_usual_holds_no_surface_twice() {
        let usual = Formats::Usual;
        assert!(usual.wants(Format::Rtstruct) && !usual.wants(Format::Encapsulated));
        assert!(Format::ALL.into_iter().all(|f| Formats::All.wants(f)));
    }
}
