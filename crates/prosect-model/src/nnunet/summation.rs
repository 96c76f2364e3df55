//! Sums in the order in which numpy takes them: means and deviations of an image are sums of many
//! millions of numbers in single precision, and their last digits depend on the order.

/// Numbers that are summed in one loop with eight partial sums.
const BLOCK: usize = 128;

/// Pairwise sum of doubles, as numpy sums a contiguous array.
pub(crate) fn pairwise_sum_f64(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 8 {
        return values.iter().fold(0.0, |sum, value| sum + value);
    }
    if n > BLOCK {
        let half = n / 2 - n / 2 % 8;
        let (low, high) = values.split_at(half);
        return pairwise_sum_f64(low) + pairwise_sum_f64(high);
    }
    let mut partial: [f64; 8] = std::array::from_fn(|lane| values[lane]);
    let whole = n - n % 8;
    for eight in values[8..whole].chunks_exact(8) {
        for (sum, value) in partial.iter_mut().zip(eight) {
            *sum += value;
        }
    }
    let [a, b, c, d, e, f, g, h] = partial;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    values[whole..].iter().fold(sum, |sum, value| sum + value)
}

/// Pairwise sum of `n` single-precision numbers, which `read` copies into its buffer from an index
/// on. The halves of long sums run in parallel; the order of additions is always the same.
pub(crate) fn pairwise_sum(n: usize, read: &(dyn Fn(usize, &mut [f32]) + Sync)) -> f32 {
    sum_from(0, n, read)
}

fn sum_from(first: usize, n: usize, read: &(dyn Fn(usize, &mut [f32]) + Sync)) -> f32 {
    /// Sums shorter than this are not worth another thread.
    const PARALLEL: usize = 1 << 18;
    if n > BLOCK {
        let half = n / 2 - n / 2 % 8;
        let low = || sum_from(first, half, read);
        let high = || sum_from(first + half, n - half, read);
        let (a, b) = if n > PARALLEL {
            rayon::join(low, high)
        } else {
            (low(), high())
        };
        return a + b;
    }
    let mut buffer = [0.0_f32; BLOCK];
    let values = &mut buffer[..n];
    read(first, values);
    if n < 8 {
        return values.iter().fold(0.0, |sum, value| sum + value);
    }
    let mut partial: [f32; 8] = std::array::from_fn(|lane| values[lane]);
    let whole = n - n % 8;
    for eight in values[8..whole].chunks_exact(8) {
        for (sum, value) in partial.iter_mut().zip(eight) {
            *sum += value;
        }
    }
    let [a, b, c, d, e, f, g, h] = partial;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    values[whole..].iter().fold(sum, |sum, value| sum + value)
}
