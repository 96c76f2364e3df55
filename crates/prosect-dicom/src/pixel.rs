//! From the pixel data of a single-frame instance to values: HU for CT, the rescaled unit otherwise.

mod native;
mod fragment;
mod rle;
mod jpeg;
mod jpeg_ls;
mod jpeg_2000;

use dicom_dictionary_std::{tags, uids};
use prosect_base::Fault;

use crate::attribute::{count, number, text};
use crate::file::{EXPLICIT_VR_BIG_ENDIAN, FileHeader};
use crate::name;

/// The form of stored pixels (PS3.3 C.7.6.3, PS3.5 8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PixelForm {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    /// 8, 16 or 32.
    pub(crate) bits_allocated: usize,
    pub(crate) bits_stored: usize,
    pub(crate) high_bit: usize,
    pub(crate) signed: bool,
}

/// Why pixels cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PixelFailure {
    pub(crate) fault: Fault,
    pub(crate) reason: String,
}

impl PixelFailure {
    pub(crate) fn unsupported(reason: impl Into<String>) -> Self {
        Self {
            fault: Fault::Unsupported,
            reason: reason.into(),
        }
    }

    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self {
            fault: Fault::Malformed,
            reason: reason.into(),
        }
    }
}

/// From stored values to the unit of the modality (PS3.3 C.7.6.3.1, C.11.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rescale {
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    /// Whether the header says so, or whether it is silent.
    pub(crate) stated: bool,
}

impl PixelForm {
    /// Reads the form and refuses what is no single gray channel.
    pub(crate) fn of(header: &FileHeader) -> Result<Self, PixelFailure> {
        let data = &header.data;
        let pixel = header
            .pixel
            .ok_or_else(|| PixelFailure::malformed("it has no pixel data"))?;
        if pixel.tag != tags::PIXEL_DATA {
            return Err(PixelFailure::unsupported(
                "floating-point pixel data are not supported",
            ));
        }
        let samples = count(data, tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let photometric = text(data, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        if photometric.is_empty() {
            return Err(PixelFailure::malformed(
                "it has no Photometric Interpretation",
            ));
        }
        if samples != 1 || photometric != "MONOCHROME2" {
            return Err(PixelFailure::unsupported(format!(
                "pixels of the kind {photometric} with {samples} channels are not supported, only MONOCHROME2"
            )));
        }
        if data.get(tags::MODALITY_LUT_SEQUENCE).is_some() {
            return Err(PixelFailure::unsupported(
                "values given by a table (Modality LUT) are not supported",
            ));
        }
        let required = |tag, name| {
            count(data, tag).ok_or_else(|| PixelFailure::malformed(format!("it has no {name}")))
        };
        let bits_allocated = required(tags::BITS_ALLOCATED, "Bits Allocated")?;
        let bits_stored = count(data, tags::BITS_STORED).unwrap_or(bits_allocated);
        let form = Self {
            columns: required(tags::COLUMNS, "Columns")?,
            rows: required(tags::ROWS, "Rows")?,
            bits_allocated,
            bits_stored,
            high_bit: count(data, tags::HIGH_BIT).unwrap_or(bits_stored.saturating_sub(1)),
            signed: is_signed(data)?,
        };
        if !matches!(bits_allocated, 8 | 16 | 32) {
            return Err(PixelFailure::unsupported(format!(
                "{bits_allocated} bits per pixel are not supported"
            )));
        }
        let sound =
            bits_stored >= 1 && bits_stored <= form.high_bit + 1 && form.high_bit < bits_allocated;
        if !sound {
            let reason = format!(
                "Bits Allocated {bits_allocated}, Bits Stored {bits_stored} and High Bit {} contradict each other",
                form.high_bit
            );
            return Err(PixelFailure::malformed(reason));
        }
        Ok(form)
    }

    pub(crate) fn n_pixels(&self) -> usize {
        self.columns * self.rows
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.n_pixels() * self.bits_allocated / 8
    }

    /// The number that a stored sample means: unused bits away, sign extended.
    fn number(&self, sample: u32) -> i64 {
        let value = i64::from(sample >> (self.high_bit + 1 - self.bits_stored))
            & ((1 << self.bits_stored) - 1);
        let negative = self.signed && value >> (self.bits_stored - 1) == 1;
        if negative {
            value - (1 << self.bits_stored)
        } else {
            value
        }
    }
}

/// Whether samples are two's complement. Where that is not said, it is not guessed: signed samples
/// read as unsigned would turn air into the densest metal.
fn is_signed(data: &crate::reader::DataSet) -> Result<bool, PixelFailure> {
    match count(data, tags::PIXEL_REPRESENTATION) {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(other) => Err(PixelFailure::malformed(format!(
            "its Pixel Representation is {other}, neither 0 nor 1"
        ))),
        None => Err(PixelFailure::malformed(
            "it has no Pixel Representation, so nobody knows whether its values have signs",
        )),
    }
}

impl Rescale {
    /// Slope and intercept; 1 and 0 where the header is silent.
    pub(crate) fn of(header: &FileHeader) -> Self {
        let slope = number(&header.data, tags::RESCALE_SLOPE).filter(|s| *s != 0.0);
        let intercept = number(&header.data, tags::RESCALE_INTERCEPT);
        Self {
            slope: slope.unwrap_or(1.0),
            intercept: intercept.unwrap_or(0.0),
            stated: slope.is_some() && intercept.is_some(),
        }
    }
}

/// Checks, before pixels are read, that native pixel data are as long as the header says and
/// that the file has them: a truncated file is known from its header.
pub(crate) fn require_complete(header: &FileHeader, file_length: u64) -> Result<(), String> {
    let Some(pixel) = header.pixel else {
        return Ok(());
    };
    let Some(length) = pixel.length else {
        let empty = pixel.offset as u64 >= file_length
            && header.transfer_syntax != uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;
        return if empty {
            Err("its pixel data are missing; the file is truncated".to_owned())
        } else {
            Ok(())
        };
    };
    let (offset, length) = (pixel.offset as u64, u64::from(length));
    let deflated = header.transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;
    if !deflated && offset + length > file_length {
        let there = file_length.saturating_sub(offset);
        return Err(format!(
            "it is truncated: {there} of {length} bytes of pixel data are there"
        ));
    }
    let size = |tag| count(&header.data, tag).unwrap_or(1) as u64;
    let pixels = [
        tags::COLUMNS,
        tags::ROWS,
        tags::SAMPLES_PER_PIXEL,
        tags::NUMBER_OF_FRAMES,
    ]
    .into_iter()
    .map(size);
    let bits = pixels
        .chain([size(tags::BITS_ALLOCATED)])
        .fold(1_u64, u64::saturating_mul);
    // PS3.3 C.7.6.3.1.2: YBR_FULL_422 and the like hold fewer samples; they are refused later, not here.
    let subsampled =
        text(&header.data, tags::PHOTOMETRIC_INTERPRETATION).is_some_and(|p| p.starts_with("YBR"));
    if length < bits.div_ceil(8) && !subsampled {
        return Err(format!(
            "its pixel data have {length} bytes, but its size needs {}",
            bits.div_ceil(8)
        ));
    }
    Ok(())
}

/// Decodes the pixels of a whole file and writes rescaled values, one for each pixel of `out`.
pub(crate) fn read_values(
    header: &FileHeader,
    file: &[u8],
    form: PixelForm,
    out: &mut [f32],
) -> Result<(), PixelFailure> {
    let pixel = header
        .pixel
        .ok_or_else(|| PixelFailure::malformed("it has no pixel data"))?;
    let rescale = Rescale::of(header);
    let body = header
        .body(file, pixel.offset.saturating_add(form.n_bytes()))
        .map_err(PixelFailure::malformed)?;
    let samples = match pixel.length {
        Some(_) => {
            require_native(&header.transfer_syntax)?;
            let bytes = body
                .get(pixel.offset..)
                .and_then(|rest| rest.get(..form.n_bytes()));
            let bytes =
                bytes.ok_or_else(|| PixelFailure::malformed("its pixel data are truncated"))?;
            return native::read(bytes, form, (rescale, header.big_endian()), out);
        }
        None => decode_fitting(
            &header.transfer_syntax,
            &fragment::join(&body, pixel.offset)?,
            form,
        )?,
    };
    if samples.len() != out.len() {
        return Err(PixelFailure::malformed(format!(
            "its compressed image has {} pixels instead of {}",
            samples.len(),
            out.len()
        )));
    }
    for (value, &sample) in out.iter_mut().zip(&samples) {
        *value = (form.number(sample) as f64 * rescale.slope + rescale.intercept) as f32;
    }
    Ok(())
}

fn require_native(transfer_syntax: &str) -> Result<(), PixelFailure> {
    let native = [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ];
    if native.contains(&transfer_syntax) {
        return Ok(());
    }
    let name = name::of_uid(transfer_syntax);
    Err(PixelFailure::malformed(format!(
        "it declares {name}, but its pixel data are not encapsulated"
    )))
}

/// As [`decode`], for forms that say where the bits of a sample are. A codestream has its samples
/// at the lowest bits; RLE alone keeps them where the data set says.
fn decode_fitting(
    transfer_syntax: &str,
    image: &[u8],
    form: PixelForm,
) -> Result<Vec<u32>, PixelFailure> {
    if transfer_syntax != uids::RLE_LOSSLESS && form.high_bit + 1 != form.bits_stored {
        return Err(PixelFailure::unsupported(format!(
            "compressed pixels with Bits Stored {} and High Bit {} are not supported",
            form.bits_stored, form.high_bit
        )));
    }
    decode(transfer_syntax, image, form)
}

/// The samples of one compressed image, as many as pixels.
fn decode(transfer_syntax: &str, image: &[u8], form: PixelForm) -> Result<Vec<u32>, PixelFailure> {
    match transfer_syntax {
        uids::RLE_LOSSLESS => rle::decode(image, form),
        uids::JPEG_BASELINE8_BIT
        | uids::JPEG_EXTENDED12_BIT
        | uids::JPEG_LOSSLESS
        | uids::JPEG_LOSSLESS_SV1 => jpeg::decode(image, form),
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => jpeg_ls::decode(image, form),
        uids::JPEG2000_LOSSLESS | uids::JPEG2000 => jpeg_2000::decode(image, form),
        _ => Err(PixelFailure::unsupported(format!(
            "the transfer syntax {} is not supported",
            name::of_uid(transfer_syntax)
        ))),
    }
}

/// Runs a foreign decoder. Should it panic on damaged bytes, that image is malformed; the message
/// says so, and the rest of the work goes on.
fn guarded<T>(
    codec: &str,
    decoder: impl FnOnce() -> Result<T, PixelFailure>,
) -> Result<T, PixelFailure> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(decoder)) {
        Ok(outcome) => outcome,
        Err(_) => Err(PixelFailure::malformed(format!(
            "the {codec} decoder broke down on its pixel data; they are damaged"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use prosect_base::Limits;

    use super::{PixelForm, read_values};
    use crate::file::FileHeader;
    use crate::shared_data::shared;

    #[track_caller]
    fn check(bits: [usize; 3], signed: bool, sample: u32, expected: i64) {
        let [bits_allocated, bits_stored, high_bit] = bits;
        let form = PixelForm {
            columns: 1,
            rows: 1,
            bits_allocated,
            bits_stored,
            high_bit,
            signed,
        };
        assert_eq!(form.number(sample), expected);
    }

    #[test]
    fn samples_mean_numbers() {
        check([16, 16, 15], true, 0xF430, -3024);
        check([16, 16, 15], false, 0xF430, 62512);
        check([16, 12, 11], true, 0x0FFF, -1);
        check([16, 12, 11], true, 0xF7FF, 2047);
        check([16, 12, 11], false, 0xFFFF, 4095);
        check([16, 12, 15], true, 0x8000, -2048);
        check([8, 8, 7], true, 0x80, -128);
        check([32, 32, 31], true, 0xFFFF_FFFE, -2);
        check([16, 1, 0], false, 3, 1);
    }

    fn values(file: &[u8]) -> Result<Vec<f32>, String> {
        let header =
            FileHeader::of(file, &Limits::default()).map_err(|failure| format!("{failure:?}"))?;
        let form = PixelForm::of(&header).map_err(|failure| failure.reason)?;
        let mut out = vec![0.0; form.n_pixels()];
        read_values(&header, file, form, &mut out).map_err(|failure| failure.reason)?;
        Ok(out)
    }

    /// Compares a file with its uncompressed twin: the largest difference allowed in HU, or the refusal.
    #[track_caller]
    fn check_twin(name: &str, expected: Result<f32, &str>) {
        let (Some(file), Some(twin)) = (
            shared(&format!("transfer-syntaxes/CTImage.dcm{name}")),
            shared("transfer-syntaxes/CTImage.dcm"),
        ) else {
            return;
        };
        let twin = values(&std::fs::read(twin).unwrap()).unwrap();
        match (values(&std::fs::read(file).unwrap()), expected) {
            (Ok(got), Ok(most)) => {
                let worst = got
                    .iter()
                    .zip(&twin)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f32::max);
                assert!(worst <= most, "{name}: {worst} HU");
            }
            (Err(got), Err(expected)) => assert!(got.contains(expected), "{name}: {got}"),
            (got, _) => panic!("{name}: {:?} instead of {expected:?}", got.map(|v| v.len())),
        }
    }

    #[test]
    fn every_transfer_syntax_gives_the_pixels_of_its_twin() {
        let exact = Ok(0.0);
        check_twin(
            "_LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2.dcm",
            exact,
        );
        check_twin(
            "_LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1.dcm",
            exact,
        );
        check_twin(
            "_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm",
            exact,
        );
        check_twin(
            "_DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99.dcm",
            exact,
        );
        check_twin("_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm", exact);
        check_twin(
            "_JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57.dcm",
            exact,
        );
        check_twin(
            "_JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70.dcm",
            exact,
        );
        check_twin(
            "_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm",
            exact,
        );
        check_twin(
            "_JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90.dcm",
            exact,
        );
    }

    #[test]
    fn lossy_images_stay_near_their_twin_or_are_refused() {
        // The bounds are the errors that the encoders made, as pydicom with CharLS and OpenJPEG reads them too.
        check_twin(
            "_JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81.dcm",
            Ok(2.0),
        );
        check_twin(
            "_JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91.dcm",
            Ok(30.0),
        );
        check_twin(
            "_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm",
            Err("lossy JPEG of 12 bits"),
        );
        check_twin(
            "_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm",
            Err("transfer syntax"),
        );
        check_twin(
            "_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm",
            Err("transfer syntax"),
        );
    }

    #[test]
    fn codestreams_that_contradict_the_header_are_refused() {
        let name = "transfer-syntaxes/CTImage.dcm_JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90.dcm";
        let Some(file) = shared(name) else {
            return;
        };
        let mut bytes = std::fs::read(file).unwrap();
        let signed = b"\x28\x00\x03\x01US\x02\x00\x01\x00";
        let at = bytes.windows(10).position(|w| w == signed).unwrap();
        bytes[at + 8] = 0;
        let reason = values(&bytes).unwrap_err();
        assert!(reason.contains("negative values"), "{reason}");
        let stored = b"\x28\x00\x01\x01US\x02\x00\x10\x00";
        let at = bytes.windows(10).position(|w| w == stored).unwrap();
        bytes[at + 8] = 12;
        let reason = values(&bytes).unwrap_err();
        assert!(
            reason.contains("Bits Stored 12 and High Bit 15"),
            "{reason}"
        );
    }

    #[test]
    fn damage_in_compressed_pixels_is_an_error_and_no_panic() {
        let names = [
            "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
            "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
            "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
        ];
        for name in names {
            let Some(file) = shared(&format!("transfer-syntaxes/CTImage.dcm_{name}.dcm")) else {
                return;
            };
            let whole = std::fs::read(file).unwrap();
            // The codestream is cut, but closed as if it were whole: the truncation is the codec's to find.
            let cut = [
                &whole[..whole.len() / 2],
                b"\xff\xd9\xfe\xff\xdd\xe0\0\0\0\0",
            ]
            .concat();
            assert!(values(&cut).is_err(), "{name}");
            for at in (2000..whole.len()).step_by(whole.len() / 7) {
                let mut damaged = whole.clone();
                damaged[at] ^= 0x55;
                let _ = values(&damaged);
            }
        }
    }
}
