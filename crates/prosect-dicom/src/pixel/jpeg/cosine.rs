//! The inverse cosine transform of a block, in the whole numbers of the Independent JPEG Group's
//! `jidctint` (after Loeffler, Ligtenberg and Moschytz, 1989), so that pixels are those of GDCM and dcmtk.

/// 0.298631336 and so on, times 2^13.
const F_0_298: i64 = 2446;
const F_0_390: i64 = 3196;
const F_0_541: i64 = 4433;
const F_0_765: i64 = 6270;
const F_0_899: i64 = 7373;
const F_1_175: i64 = 9633;
const F_1_501: i64 = 12299;
const F_1_847: i64 = 15137;
const F_1_961: i64 = 16069;
const F_2_053: i64 = 16819;
const F_2_562: i64 = 20995;
const F_3_072: i64 = 25172;
const SCALE_BITS: u32 = 13;

/// Dequantized coefficients, in rows of frequencies, to samples around zero.
pub(super) fn inverse(block: &mut [i64; 64], precision: u8) {
    // Extra bits kept between the passes; 12-bit images leave less room for them in 32 bits.
    let extra = if precision > 8 { 1 } else { 2 };
    for x in 0..8 {
        let column = std::array::from_fn(|y| block[8 * y + x]);
        let column = line(column, SCALE_BITS - extra);
        for (y, value) in column.into_iter().enumerate() {
            block[8 * y + x] = value;
        }
    }
    let (rows, _) = block.as_chunks_mut::<8>();
    for row in rows {
        *row = line(*row, SCALE_BITS + extra + 3);
    }
}

/// One line of eight; `descale` bits are rounded away.
fn line(f: [i64; 8], descale: u32) -> [i64; 8] {
    let common = (f[2] + f[6]) * F_0_541;
    let (low, high) = (common - f[6] * F_1_847, common + f[2] * F_0_765);
    let (sum, difference) = ((f[0] + f[4]) << SCALE_BITS, (f[0] - f[4]) << SCALE_BITS);
    let even = [sum + high, difference + low, difference - low, sum - high];

    let (a, b, c, d) = (f[7], f[5], f[3], f[1]);
    let turn = (a + c + b + d) * F_1_175;
    let (p, q) = (-(a + d) * F_0_899, -(b + c) * F_2_562);
    let (r, s) = (turn - (a + c) * F_1_961, turn - (b + d) * F_0_390);
    let odd = [
        d * F_1_501 + p + s,
        c * F_3_072 + q + r,
        b * F_2_053 + q + s,
        a * F_0_298 + p + r,
    ];
    let round = |value: i64| (value + (1 << (descale - 1))) >> descale;
    std::array::from_fn(|i| {
        if i < 4 {
            round(even[i] + odd[i])
        } else {
            round(even[7 - i] - odd[7 - i])
        }
    })
}
