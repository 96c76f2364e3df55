//! Views, strides and element types.

use proptest::prelude::*;

use super::pickle::{Element, Storage, Tensor};
use super::{gather, half, span};

fn tensor(shape: &[u64], strides: &[u64]) -> Tensor {
    Tensor {
        storage: Storage {
            key: "0".into(),
            element: Element::F32,
            length: 1 << 20,
        },
        offset: 0,
        shape: shape.to_vec(),
        strides: strides.to_vec(),
    }
}

#[test]
fn a_view_is_read_in_the_order_of_its_axes() {
    let values: Vec<f32> = (0..6_u8).map(f32::from).collect();
    assert_eq!(
        gather(&tensor(&[2, 3], &[3, 1]), &values),
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    );
    assert_eq!(
        gather(&tensor(&[3, 2], &[1, 3]), &values),
        [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    );
    assert_eq!(gather(&tensor(&[3], &[2]), &values), [0.0, 2.0, 4.0]);
    assert_eq!(gather(&tensor(&[], &[]), &values[..1]), [0.0]);
    assert_eq!(span(&tensor(&[3, 2], &[1, 3])), Some(6));
    assert_eq!(span(&tensor(&[3, 0], &[1, 3])), Some(0));
    // A shape that repeats one value, and one that overflows.
    assert_eq!(span(&tensor(&[1 << 30, 1 << 30], &[0, 0])), None);
    assert_eq!(span(&tensor(&[u64::MAX, 2], &[u64::MAX, 1])), None);
}

#[test]
fn half_precision_is_exact() {
    for (bits, value) in [
        (0x0000_u16, 0.0_f32),
        (0x3c00, 1.0),
        (0xc000, -2.0),
        (0x7bff, 65504.0),
        (0x0001, 5.960_464_5e-8),
        (0x03ff, 6.097_555e-5),
        (0x0400, 6.103_515_6e-5),
        (0x3555, 0.333_251_95),
        (0x7c00, f32::INFINITY),
    ] {
        assert_eq!(half(bits.to_le_bytes()), value, "{bits:#06x}");
    }
    assert!(half(0x7e00_u16.to_le_bytes()).is_nan());
}

proptest! {
    #[test]
    fn any_view_within_its_span_can_be_read(shape in proptest::collection::vec(0_u64..5, 0..4), strides in proptest::collection::vec(0_u64..20, 4)) {
        let tensor = tensor(&shape, &strides[..shape.len()]);
        if let Some(span) = span(&tensor) {
            let values = vec![1.0; span as usize];
            let n: u64 = shape.iter().product();
            prop_assert_eq!(gather(&tensor, &values).len() as u64, n);
        }
    }
}
