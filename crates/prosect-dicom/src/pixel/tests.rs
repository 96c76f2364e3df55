//! Pixels of whole files, compared with their uncompressed twins.

use prosect_base::Limits;

use super::{Frames, PixelForm, Rescale};
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
    Frames::of(&header, file, form)
        .and_then(|frames| frames.read(0, Rescale::of(&header), &mut out))
        .map_err(|failure| failure.reason)?;
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
fn lossy_images_stay_near_their_twin() {
    // The bounds are the errors that the encoders made, as pydicom with CharLS and OpenJPEG reads them too.
    check_twin(
        "_JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81.dcm",
        Ok(2.0),
    );
    check_twin(
        "_JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91.dcm",
        Ok(30.0),
    );
    // 12 bits and lossy, sequential and progressive; their values are compared with GDCM's elsewhere.
    for process in [
        "_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm",
        "_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm",
        "_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm",
    ] {
        check_twin(process, Ok(60.0));
    }
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
    bytes[at + 8] = 1;
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
