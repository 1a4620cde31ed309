//! Sums of 16-bit samples over windows, by products in pairs of neighbours in a row.
//!
//! A tap beyond 16 bits is the sum of several: what one lacks is added alone ([`Further`]). Result rows don't share such
//! samples; they are few.

#![expect(unsafe_code, reason = "raw loads in the innermost loop; bounds are checked once a block")]

use super::{Ahead, Ending, Halves, MAX_ROWS, Two, store_tile};

/// A tap beside those of [`Paired`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Further {
    /// Of the window.
    pub row: usize,
    /// Samples from a result to that of the tap.
    pub place: usize,
    /// Of the tap.
    pub weight: i16,
}

/// The taps of a window, in pairs.
#[derive(Clone, Copy, Debug)]
pub struct Paired<'a> {
    /// Samples from a result to those of each pair of a row: the same in all rows.
    pub places: &'a [[usize; 2]],
    /// Row by row.
    pub weights: &'a [Two],
    /// What is added to them.
    pub further: &'a [Further],
}

impl Paired<'_> {
    /// Rows of the window.
    pub fn rows(&self) -> usize {
        self.weights.len() / self.places.len()
    }

    /// The farthest sample, and whether the samples of every pair are neighbours.
    #[inline(always)]
    fn reach(&self) -> (usize, bool) {
        let (mut reach, mut beside) = (0, true);
        for &[first, second] in self.places {
            reach = reach.max(first).max(second);
            beside &= second == first + 1;
        }
        let reach = self.further.iter().fold(reach, |reach, further| reach.max(further.place));
        (reach, beside)
    }
}

/// Sums over a window: result row `r` is the sum over rows `i` of the window and pairs `k` of the samples at
/// `places[k]` of row `r + i`, times `weights[i * places.len() + k]`, and over the further taps; ended by `ending`.
/// `ahead` comes near meanwhile.
///
/// # Panics
/// If a row is shorter than `width`, a whole number of vectors, and what the places reach; if there are too few
/// rows or weights.
#[inline(always)]
pub fn over<V: Halves, const R: usize>(
    rows: &[&[i16]],
    taps: Paired<'_>,
    ahead: &Ahead,
    width: usize,
    ending: impl Ending<V> + Copy,
    mut out: [&mut [i16]; R],
) {
    const { assert!(R <= MAX_ROWS) };
    let height = taps.rows();
    let (reach, beside) = taps.reach();
    assert!(
        height * taps.places.len() == taps.weights.len() && height >= R && rows.len() >= height + R - 1,
        "a weight for every pair, and rows that results share"
    );
    assert!(taps.further.iter().all(|further| further.row < height), "further taps of the same rows");
    assert!(
        width.is_multiple_of(V::LANES) && rows.iter().all(|row| row.len() >= width + reach),
        "the rows cover the block"
    );
    let mut x = 0;
    macro_rules! vectors {
        ($nv:literal) => {
            ahead.spread((width - x) / ($nv * V::LANES));
            while x + $nv * V::LANES <= width {
                // SAFETY: `x + NV * LANES <= width`, and the rest was asserted.
                unsafe {
                    if beside {
                        over_at::<V, R, $nv, true>(rows, taps, x, ending, &mut out);
                    } else {
                        over_at::<V, R, $nv, false>(rows, taps, x, ending, &mut out);
                    }
                }
                ahead.step();
                x += $nv * V::LANES;
            }
        };
    }
    // What 32 registers hold of two times two R sums, as many pairs, and a weight.
    if V::REGISTERS == 32 {
        vectors!(2);
    }
    vectors!(1);
}

/// [`over`] for `NV` vectors from column `x` on; `BESIDE` if the places of every pair are neighbours.
///
/// # Safety
/// There is a weight for every pair, there are the rows of `R` results, and they have `x + NV * LANES` samples and
/// what the places reach.
#[inline(always)]
unsafe fn over_at<V: Halves, const R: usize, const NV: usize, const BESIDE: bool>(
    rows: &[&[i16]],
    taps: Paired<'_>,
    x: usize,
    mut ending: impl Ending<V> + Copy,
    out: &mut [&mut [i16]; R],
) {
    let Paired { places, weights, further } = taps;
    let (count, height) = (places.len(), taps.rows());
    let mut sums = [[V::no_sums(); NV]; R];
    // As in the register tile, each range of result rows is a loop of its own: the sums stay in registers.
    macro_rules! row {
        ($j:expr, $rows:expr) => {{
            let j = $j;
            for k in 0..count {
                // SAFETY: `j < height + R - 1` and `j - r < height`; the rest is the caller's promise.
                unsafe {
                    let (row, [first, second]) =
                        (rows.get_unchecked(j).as_ptr().add(x), *places.get_unchecked(k));
                    let mut pairs = [V::pairs(V::splat(0), V::splat(0)); NV];
                    for v in 0..NV {
                        let row = row.add(v * V::LANES);
                        pairs[v] = if BESIDE {
                            V::neighbours(row.add(first))
                        } else {
                            V::pairs(V::load(row.add(first)), V::load(row.add(second)))
                        };
                    }
                    for r in $rows {
                        let weights = *weights.get_unchecked((j - r) * count + k);
                        for v in 0..NV {
                            sums[r][v] = V::dot(sums[r][v], pairs[v], weights);
                        }
                    }
                }
            }
        }};
    }
    macro_rules! first { ($($hi:literal)*) => { $(if R > $hi { row!($hi - 1, 0..$hi); })* }; }
    macro_rules! last { ($($lo:literal)*) => { $(if R > $lo { row!(height + $lo - 1, $lo..R); })* }; }
    first!(1 2 3 4 5);
    for j in R - 1..height {
        row!(j, 0..R);
    }
    last!(1 2 3 4 5);
    for &Further { row, place, weight } in further {
        for r in 0..R {
            for v in 0..NV {
                // SAFETY: `row < height`; the rest is the caller's promise.
                let samples =
                    unsafe { V::load(rows.get_unchecked(row + r).as_ptr().add(x + place + v * V::LANES)) };
                sums[r][v] = if BESIDE {
                    V::dot_alone(sums[r][v], samples, weight)
                } else {
                    V::dot(sums[r][v], V::pairs(samples, samples), Two::new(weight, 0))
                };
            }
        }
    }
    for (r, (sums, out)) in sums.into_iter().zip(out).enumerate() {
        let mut results = [V::splat(0); NV];
        for v in 0..NV {
            results[v] = ending.end(sums[v], r, x + v * V::LANES);
            if BESIDE {
                results[v] = results[v].ordered();
            }
        }
        store_tile(&results, out, x);
    }
}
