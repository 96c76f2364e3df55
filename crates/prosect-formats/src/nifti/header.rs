//! The 348 bytes of a NIfTI-1 header, field by field (nifti1.h).

use crate::error::FormatsError;
use crate::nifti::{malformed, unsupported};
use crate::stored::StoredType;

/// Bytes of the header itself.
pub(crate) const HEADER_BYTES: usize = 348;
/// Bytes before the voxels in files that we write: header and an empty extension flag.
pub(crate) const VOXELS_AT: usize = 352;
/// `NIFTI_INTENT_LABEL`: the values are indices into a label table.
pub(crate) const INTENT_LABEL: i16 = 1002;

/// The numbers that stand in `datatype`.
const CODES: [(StoredType, i16); 10] = [
    (StoredType::U8, 2),
    (StoredType::I16, 4),
    (StoredType::I32, 8),
    (StoredType::F32, 16),
    (StoredType::F64, 64),
    (StoredType::I8, 256),
    (StoredType::U16, 512),
    (StoredType::U32, 768),
    (StoredType::I64, 1024),
    (StoredType::U64, 1280),
];

fn code_of(stored: StoredType) -> i16 {
    CODES
        .iter()
        .find(|(kind, _)| *kind == stored)
        .map_or(0, |(_, code)| *code)
}

fn stored_of(code: i16) -> Result<StoredType, FormatsError> {
    let found = CODES.iter().find(|(_, known)| *known == code);
    found.map(|(kind, _)| *kind).ok_or_else(|| {
        unsupported(format!("data type {code} is neither an integer nor a real number of up to 64 bits; convert it first"))
    })
}

/// Which part of the header said where the voxels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AffineSource {
    /// The affine matrix, with its code.
    Sform(i16),
    /// The quaternion, with its code.
    Qform(i16),
    /// Neither: spacing only. Left and right are a guess.
    Pixdim,
}

/// The fields of a header that matter here, in the file's own numbers (RAS, the file's units).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) shape: [usize; 3],
    pub(crate) stored: StoredType,
    pub(crate) little_endian: bool,
    pub(crate) pixdim: [f32; 4],
    pub(crate) vox_offset: u64,
    pub(crate) slope: f32,
    pub(crate) intercept: f32,
    pub(crate) units: u8,
    pub(crate) description: String,
    pub(crate) qform_code: i16,
    pub(crate) sform_code: i16,
    pub(crate) quaternion: [f32; 3],
    pub(crate) qoffset: [f32; 3],
    pub(crate) srow: [[f32; 4]; 3],
    pub(crate) intent_code: i16,
}

/// Reads numbers at fixed offsets in the file's byte order.
struct Fields<'a> {
    bytes: &'a [u8; HEADER_BYTES],
    little_endian: bool,
}

impl Fields<'_> {
    fn take<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut raw: [u8; N] = std::array::from_fn(|b| self.bytes[at + b]);
        if !self.little_endian {
            raw.reverse();
        }
        raw
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.take(at))
    }

    fn f32(&self, at: usize) -> f32 {
        f32::from_le_bytes(self.take(at))
    }

    fn f32s<const N: usize>(&self, at: usize) -> [f32; N] {
        std::array::from_fn(|n| self.f32(at + 4 * n))
    }
}

impl Header {
    /// Parses a header and refuses what is not a single 3-D NIfTI-1 image.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FormatsError> {
        let little_endian = require_nifti_1(bytes)?;
        let fields = Fields {
            bytes,
            little_endian,
        };
        let shape = require_one_volume(&fields)?;
        let stored = stored_of(fields.i16(70))?;
        let bits = fields.i16(72);
        if usize::try_from(bits).ok() != Some(8 * stored.bytes()) {
            return Err(malformed(format!(
                "the header gives {bits} bits for a voxel of {} bytes",
                stored.bytes()
            )));
        }
        let vox_offset = fields.f32(108);
        if !(vox_offset >= HEADER_BYTES as f32 && vox_offset < 1e9) {
            return Err(malformed(format!(
                "the voxels are said to begin at byte {vox_offset}"
            )));
        }
        let text: String = bytes[148..228]
            .iter()
            .take_while(|b| **b != 0)
            .map(|b| char::from(*b))
            .collect();
        Ok(Self {
            shape,
            stored,
            little_endian,
            pixdim: fields.f32s(76),
            vox_offset: vox_offset as u64,
            slope: fields.f32(112),
            intercept: fields.f32(116),
            units: bytes[123],
            description: text,
            qform_code: fields.i16(252),
            sform_code: fields.i16(254),
            quaternion: fields.f32s(256),
            qoffset: fields.f32s(268),
            srow: [fields.f32s(280), fields.f32s(296), fields.f32s(312)],
            intent_code: fields.i16(68),
        })
    }

    /// The header's bytes, little endian.
    pub(crate) fn to_bytes(&self, intent_name: &str) -> [u8; HEADER_BYTES] {
        let mut bytes = [0_u8; HEADER_BYTES];
        let mut put = |at: usize, raw: &[u8]| bytes[at..at + raw.len()].copy_from_slice(raw);
        put(0, &(HEADER_BYTES as i32).to_le_bytes());
        put(38, b"r");
        let dim = [3, self.shape[0], self.shape[1], self.shape[2], 1, 1, 1, 1];
        for (n, size) in dim.iter().enumerate() {
            put(40 + 2 * n, &(*size as i16).to_le_bytes());
        }
        put(68, &self.intent_code.to_le_bytes());
        put(70, &code_of(self.stored).to_le_bytes());
        put(72, &(8 * self.stored.bytes() as i16).to_le_bytes());
        for (n, size) in self.pixdim.iter().enumerate() {
            put(76 + 4 * n, &size.to_le_bytes());
        }
        put(108, &(self.vox_offset as f32).to_le_bytes());
        put(112, &self.slope.to_le_bytes());
        put(116, &self.intercept.to_le_bytes());
        put(123, &[self.units]);
        put(148, &ascii::<79>(&self.description));
        put(252, &self.qform_code.to_le_bytes());
        put(254, &self.sform_code.to_le_bytes());
        for (n, value) in self
            .quaternion
            .iter()
            .chain(&self.qoffset)
            .chain(self.srow.iter().flatten())
            .enumerate()
        {
            put(256 + 4 * n, &value.to_le_bytes());
        }
        put(328, &ascii::<15>(intent_name));
        put(344, b"n+1\0");
        bytes
    }
}

/// The first `N` bytes of a text, with what is not plain ASCII replaced.
fn ascii<const N: usize>(text: &str) -> [u8; N] {
    let mut out = [0; N];
    for (slot, c) in out.iter_mut().zip(text.chars()) {
        *slot = if c.is_ascii() && !c.is_ascii_control() {
            c as u8
        } else {
            b'?'
        };
    }
    out
}

/// Whether the file is little endian, if it is NIfTI-1 in one file at all.
fn require_nifti_1(bytes: &[u8; HEADER_BYTES]) -> Result<bool, FormatsError> {
    let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
    let little_endian = match (i32::from_le_bytes(size), i32::from_be_bytes(size)) {
        (348, _) => true,
        (_, 348) => false,
        (540, _) | (_, 540) => return Err(unsupported("it is NIfTI-2; convert it to NIfTI-1")),
        _ => return Err(malformed("it does not begin with the header size 348")),
    };
    match &bytes[344..348] {
        b"n+1\0" => Ok(little_endian),
        b"ni1\0" => Err(unsupported(
            "header and voxels lie in two files; convert the pair to one .nii file",
        )),
        _ => Err(unsupported(
            "it has no NIfTI mark (Analyze 7.5?), so its orientation is unknown; convert it to NIfTI-1",
        )),
    }
}

/// The shape, if there is exactly one 3-D volume.
fn require_one_volume(fields: &Fields<'_>) -> Result<[usize; 3], FormatsError> {
    let n_dims = fields.i16(40);
    if !(1..=7).contains(&n_dims) {
        return Err(malformed(format!("it claims {n_dims} dimensions")));
    }
    let mut size = [1_usize; 7];
    for (n, size) in size.iter_mut().enumerate().take(n_dims as usize) {
        let given = fields.i16(42 + 2 * n);
        *size = usize::try_from(given)
            .ok()
            .filter(|s| *s > 0)
            .ok_or_else(|| malformed(format!("dimension {} has size {given}", n + 1)))?;
    }
    if n_dims < 3 {
        return Err(unsupported(format!(
            "it has {n_dims} dimensions; a volume needs three"
        )));
    }
    if size[3..].iter().any(|s| *s > 1) {
        let text = size[..n_dims as usize]
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" x ");
        return Err(unsupported(format!(
            "it holds {text} voxels, more than one volume; cut out one 3-D volume"
        )));
    }
    Ok([size[0], size[1], size[2]])
}
