//! Voxels as a file stores them: a type, little-endian bytes and a grid, so that a file can be
//! copied into another format without touching a value.

use prosect_segmentation::{LabelValue, Labelmap};
use prosect_volume::{Grid, Volume};

use crate::error::FormatsError;

/// How voxels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredType {
    /// Unsigned 8 bit.
    U8,
    /// Signed 8 bit.
    I8,
    /// Signed 16 bit.
    I16,
    /// Unsigned 16 bit.
    U16,
    /// Signed 32 bit.
    I32,
    /// Unsigned 32 bit.
    U32,
    /// Signed 64 bit.
    I64,
    /// Unsigned 64 bit.
    U64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
}

impl StoredType {
    /// Bytes of one voxel.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// The name that people know, for example `uint8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::U16 => "uint16",
            Self::I32 => "int32",
            Self::U32 => "uint32",
            Self::I64 => "int64",
            Self::U64 => "uint64",
            Self::F32 => "float",
            Self::F64 => "double",
        }
    }

    /// Whether fractions can be stored.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

/// A volume as a file stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVolume {
    grid: Grid,
    stored: StoredType,
    bytes: Vec<u8>,
    scaling: Option<[f64; 2]>,
}

impl StoredVolume {
    /// Joins a grid with its voxels: little endian, i fastest. `scaling` is slope and intercept, if
    /// the values mean something else than what is stored.
    ///
    /// # Errors
    /// [`FormatsError::Inconsistent`] when there are not as many bytes as the grid needs.
    pub fn new(
        grid: Grid,
        (stored, bytes): (StoredType, Vec<u8>),
        scaling: Option<[f64; 2]>,
    ) -> Result<Self, FormatsError> {
        if grid.n_voxels().checked_mul(stored.bytes()) != Some(bytes.len()) {
            return Err(FormatsError::Inconsistent {
                format: "volume",
                what: format!(
                    "{} bytes are not {} voxels of {} bytes",
                    bytes.len(),
                    grid.n_voxels(),
                    stored.bytes()
                ),
            });
        }
        Ok(Self {
            grid,
            stored,
            bytes,
            scaling,
        })
    }

    /// Where the voxels are.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// How they are stored.
    pub fn stored(&self) -> StoredType {
        self.stored
    }

    /// The voxels, little endian, i fastest.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Slope and intercept, if the stored values are not the values themselves.
    pub fn scaling(&self) -> Option<[f64; 2]> {
        self.scaling
    }

    /// The values after slope and intercept.
    pub fn values(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.grid.n_voxels());
        decode(&self.bytes, self.stored, &mut values);
        scale(&mut values, self.scaling);
        values
    }

    /// The same volume with slope and intercept applied, as 32-bit floats; as it is without them.
    pub fn unscaled(self) -> Self {
        if self.scaling.is_none() {
            return self;
        }
        let bytes = self.values().iter().flat_map(|v| v.to_le_bytes()).collect();
        Self {
            grid: self.grid,
            stored: StoredType::F32,
            bytes,
            scaling: None,
        }
    }

    /// The values as labels; the error names the first value that is none.
    ///
    /// # Errors
    /// The value, when it is no integer from 0 to 65535.
    pub fn labels(&self) -> Result<Labelmap, f64> {
        let mut labels = Vec::with_capacity(self.grid.n_voxels());
        for_each_number(&self.bytes, self.stored, |number| {
            let value = match self.scaling {
                Some([slope, intercept]) => number * slope + intercept,
                None => number,
            };
            if value.fract() == 0.0 && (0.0..=f64::from(LabelValue::MAX)).contains(&value) {
                labels.push(value as LabelValue);
                Ok(())
            } else {
                Err(value)
            }
        })?;
        // One label was pushed for each voxel.
        Volume::new(self.grid.clone(), labels).map_err(|_| f64::NAN)
    }
}

/// Appends little-endian voxels to `values`.
pub(crate) fn decode(raw: &[u8], stored: StoredType, values: &mut Vec<f32>) {
    match stored {
        StoredType::U8 => values.extend(raw.iter().map(|byte| f32::from(*byte))),
        StoredType::I8 => values.extend(raw.iter().map(|byte| f32::from(byte.cast_signed()))),
        StoredType::I16 => each(raw, values, |bytes| i16::from_le_bytes(bytes).into()),
        StoredType::U16 => each(raw, values, |bytes| u16::from_le_bytes(bytes).into()),
        StoredType::I32 => each(raw, values, |bytes| i32::from_le_bytes(bytes) as f32),
        StoredType::U32 => each(raw, values, |bytes| u32::from_le_bytes(bytes) as f32),
        StoredType::I64 => each(raw, values, |bytes| i64::from_le_bytes(bytes) as f32),
        StoredType::U64 => each(raw, values, |bytes| u64::from_le_bytes(bytes) as f32),
        StoredType::F32 => each(raw, values, f32::from_le_bytes),
        StoredType::F64 => each(raw, values, |bytes| f64::from_le_bytes(bytes) as f32),
    }
}

fn each<const N: usize>(raw: &[u8], values: &mut Vec<f32>, value: impl Fn([u8; N]) -> f32) {
    values.extend(raw.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)));
}

/// Applies slope and intercept in place.
pub(crate) fn scale(values: &mut [f32], scaling: Option<[f64; 2]>) {
    if let Some([slope, intercept]) = scaling {
        for value in values {
            *value = (f64::from(*value) * slope + intercept) as f32;
        }
    }
}

/// Calls `visit` with every number, exact up to 2^53, until it fails.
fn for_each_number<E>(
    raw: &[u8],
    stored: StoredType,
    mut visit: impl FnMut(f64) -> Result<(), E>,
) -> Result<(), E> {
    fn visit_all<const N: usize, E>(
        raw: &[u8],
        number: impl Fn([u8; N]) -> f64,
        visit: &mut impl FnMut(f64) -> Result<(), E>,
    ) -> Result<(), E> {
        raw.as_chunks::<N>()
            .0
            .iter()
            .try_for_each(|bytes| visit(number(*bytes)))
    }
    let visit = &mut visit;
    match stored {
        StoredType::U8 => visit_all(raw, |[b]: [u8; 1]| f64::from(b), visit),
        StoredType::I8 => visit_all(raw, |b| f64::from(i8::from_le_bytes(b)), visit),
        StoredType::I16 => visit_all(raw, |b| f64::from(i16::from_le_bytes(b)), visit),
        StoredType::U16 => visit_all(raw, |b| f64::from(u16::from_le_bytes(b)), visit),
        StoredType::I32 => visit_all(raw, |b| f64::from(i32::from_le_bytes(b)), visit),
        StoredType::U32 => visit_all(raw, |b| f64::from(u32::from_le_bytes(b)), visit),
        StoredType::I64 => visit_all(raw, |b| i64::from_le_bytes(b) as f64, visit),
        StoredType::U64 => visit_all(raw, |b| u64::from_le_bytes(b) as f64, visit),
        StoredType::F32 => visit_all(raw, |b| f64::from(f32::from_le_bytes(b)), visit),
        StoredType::F64 => visit_all(raw, f64::from_le_bytes, visit),
    }
}

#[cfg(test)]
mod tests {
    use prosect_volume::{Grid, Point};

    use super::{StoredType, StoredVolume};

    #[track_caller]
    fn check(
        stored: StoredType,
        bytes: &[u8],
        scaling: Option<[f64; 2]>,
        expected: Result<&[u16], f64>,
    ) {
        let n = bytes.len() / stored.bytes();
        let grid = Grid::axis_aligned([n, 1, 1], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let volume = StoredVolume::new(grid, (stored, bytes.to_vec()), scaling).unwrap();
        let labels = volume.labels();
        assert_eq!(
            labels.as_ref().map(prosect_volume::Volume::values),
            expected.as_ref().copied()
        );
    }

    #[test]
    fn only_whole_numbers_from_0_to_65535_are_labels() {
        check(StoredType::U8, &[0, 7], None, Ok(&[0, 7]));
        check(StoredType::I8, &[0, 0xFF], None, Err(-1.0));
        check(StoredType::U16, &[0xFF, 0xFF], None, Ok(&[65535]));
        check(StoredType::U32, &[0, 0, 1, 0], None, Err(65536.0));
        check(StoredType::F32, &3.0_f32.to_le_bytes(), None, Ok(&[3]));
        check(StoredType::F64, &2.5_f64.to_le_bytes(), None, Err(2.5));
        check(StoredType::U8, &[4], Some([0.5, 1.0]), Ok(&[3]));
    }

    #[test]
    fn too_few_bytes_are_no_volume() {
        let grid = Grid::axis_aligned([2, 1, 1], [1.0; 3], Point::new([0.0; 3])).unwrap();
        assert!(StoredVolume::new(grid, (StoredType::U16, vec![0; 3]), None).is_err());
    }
}
