//! Products of numbers that are sums of parts of 8 significant bits: `f32` from a matrix unit of `bf16`.
//!
//! ```text
//! x = x_0 + x_1 + x_2        x_0 the bf16 nearest to x, x_1 that nearest to x - x_0, ...
//! x w = sum over i + j < P of  x_i w_j,  and what is dropped:
//! |x w| (2 / 2^9 + ...), (3 / 2^18 + ...), (2 / 2^27 + ...) at most, for P = 1, 2, 3 parts
//! ```
//!
//! Henry, Tang, Heinecke: Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations
//! (arXiv 1904.06376). The unit takes denormal numbers for zeros, so the parts of a number must not be any, and
//! neither must sums of products: [`split`] tells whether numbers are such.

use super::{Configured, ROW, ROWS};

/// Parts of a number, at most.
pub const MAX_PARTS: usize = 3;

/// Rows and columns of the sums that [`Configured::products`] makes at once.
pub const PRODUCTS: [usize; 2] = [2 * ROWS, 2 * ROWS];

/// Samples that one step of [`Configured::products`] sums over.
pub const DEPTH: usize = ROW / size_of::<u16>();

/// Pairs of weights that one step reads of each part.
pub const STEP: usize = PRODUCTS[1] * DEPTH / 2;

/// How small numbers may be that are not 0, as a power of two: products of samples and weights are then not so small
/// that a part of one is denormal, or its error large beside the rounding of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Least {
    /// Of samples.
    Samples = -62,
    /// Of weights.
    Weights = -38,
}

/// Numbers are below this power of two: no sum of products is beyond `f32`.
const MOST: i32 = 60;

impl Least {
    /// Whether a number may be split.
    #[inline(always)]
    fn fits(self, x: f32) -> bool {
        let power = |n: i32| ((127 + n) as u32) << 23;
        let magnitude = x.to_bits() & (u32::MAX >> 1);
        magnitude == 0 || magnitude.wrapping_sub(power(self as i32)) < power(MOST) - power(self as i32)
    }
}

/// The `bf16` nearest to a number that may be split: the upper half of the result, whose lower half is 0.
#[inline(always)]
fn nearest(x: f32) -> u32 {
    let bits = x.to_bits();
    bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000
}

/// Splits numbers into `P` parts; tells whether all may be.
///
/// # Panics
/// If there is not room for as many numbers of each part.
#[inline(always)]
pub fn split<const P: usize>(from: &[f32], mut into: [&mut [u16]; P]) -> bool {
    for into in &mut into {
        assert!(into.len() >= from.len(), "room for the parts");
    }
    let mut fits = true;
    for (i, &x) in from.iter().enumerate() {
        fits &= Least::Samples.fits(x);
        let mut rest = x;
        for into in &mut into {
            let part = nearest(rest);
            rest -= f32::from_bits(part);
            into[i] = (part >> 16) as u16;
        }
    }
    fits
}

/// Splits weights, rows of the columns of [`PRODUCTS`] for each of the [`DEPTH`] samples of a step, into `P` parts: pairs
/// as a register holds them, [`STEP`] of each part. Tells whether all may be split.
///
/// # Panics
/// If there is not room for them.
#[inline(always)]
pub fn split_weights<const P: usize>(from: &[f32; PRODUCTS[1] * DEPTH], into: &mut [u32]) -> bool {
    let (into, _) = into.as_chunks_mut::<STEP>();
    let into = into.first_chunk_mut::<P>().expect("room for the parts");
    let mut fits = true;
    for (k, pair) in from.chunks_exact(2 * PRODUCTS[1]).enumerate() {
        for n in 0..PRODUCTS[1] {
            let mut rest = [pair[n], pair[PRODUCTS[1] + n]];
            fits &= Least::Weights.fits(rest[0]) & Least::Weights.fits(rest[1]);
            for into in &mut *into {
                let parts = rest.map(nearest);
                for i in 0..2 {
                    rest[i] -= f32::from_bits(parts[i]);
                }
                into[n / ROWS * (STEP / 2) + k * ROWS + n % ROWS] = parts[0] >> 16 | parts[1];
            }
        }
    }
    fits
}

/// Samples, split: sum `r` of step `s` reads [`DEPTH`] of part `i` from `i * part + offsets[s] + r * pitch` on.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// How many there are.
    pub count: usize,
    /// All of them.
    pub numbers: &'a [u16],
    /// Distance between parts.
    pub part: usize,
    /// Distance between the rows of sums.
    pub pitch: usize,
}

impl Configured {
    /// Sums of products:
    ///
    /// ```text
    /// sums[r][n] = sum over steps s, i + j < P, k < DEPTH of  x_i[offsets[s] + r * pitch + k] * w_j[s][k][n]
    /// ```
    ///
    /// `weights` are what [`split_weights`] makes, for each step.
    ///
    /// # Panics
    /// If a sample is beyond the end, there are not as many weights as offsets, or not one to [`MAX_PARTS`] parts.
    pub fn products(
        &self,
        samples: Parts<'_>,
        (offsets, weights): (&[usize], &[u32]),
        sums: &mut [[f32; PRODUCTS[1]]; PRODUCTS[0]],
    ) {
        let parts = samples.count;
        assert!((1..=MAX_PARTS).contains(&parts), "one to three parts");
        let reach = (parts - 1) * samples.part + (PRODUCTS[0] - 1) * samples.pitch + DEPTH;
        let room = samples.numbers.len().checked_sub(reach).expect("samples of the slice");
        assert!(weights.len() == offsets.len() * parts * STEP, "weights for each offset");
        assert!(offsets.iter().all(|&offset| offset <= room), "samples of the slice");
        if offsets.is_empty() {
            *sums = [[0.0; PRODUCTS[1]]; PRODUCTS[0]];
            return;
        }
        match parts {
            1 => one(samples, offsets, weights, sums),
            2 => two(samples, offsets, weights, sums),
            _ => three(samples, offsets, weights, sums),
        }
    }
}

/// Loads the weights' part that begins so many bytes after a step's first.
macro_rules! weights {
    ($first:literal, $second:literal) => {
        concat!(
            "tileloadd tmm6, [{weights} + {row}*1 + ",
            $first,
            "]\n",
            "tileloadd tmm7, [{weights} + {row}*1 + ",
            $second,
            "]"
        )
    };
}

/// Loads a part of the samples.
macro_rules! samples {
    () => {
        "tileloadd tmm4, [{upper} + {pitch}*1]\ntileloadd tmm5, [{lower} + {pitch}*1]"
    };
}

/// Goes on to the next part of the samples.
macro_rules! next {
    () => {
        "add {upper}, {part}\nadd {lower}, {part}"
    };
}

/// Adds the products of the parts that are loaded: four chains, as the unit is done with one when the fourth is begun.
macro_rules! add {
    () => {
        concat!(
            "tdpbf16ps tmm0, tmm4, tmm6\n",
            "tdpbf16ps tmm1, tmm4, tmm7\n",
            "tdpbf16ps tmm2, tmm5, tmm6\n",
            "tdpbf16ps tmm3, tmm5, tmm7"
        )
    };
}

/// The loop of [`Configured::products`] for a number of parts: what a step does, and bytes of its weights.
macro_rules! products {
    ($($name:ident, $bytes:literal, [$($step:expr),*];)*) => {$(
        fn $name(
            samples: Parts<'_>,
            offsets: &[usize],
            weights: &[u32],
            sums: &mut [[f32; PRODUCTS[1]]; PRODUCTS[0]],
        ) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `products` has checked that every row is inside the samples, that there are weights for each
            // offset, and that there is an offset; it is reached through a `Configured`, so the registers are 16 rows
            // of 64 bytes.
            unsafe {
                std::arch::asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    "mov {upper}, qword ptr [{offsets}]",
                    "lea {upper}, [{samples} + {upper}*2]",
                    "lea {lower}, [{upper} + {down}]",
                    $($step,)*
                    "add {offsets}, 8",
                    concat!("add {weights}, ", $bytes),
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{sums} + {wide}*1], tmm0",
                    "tilestored [{sums} + {wide}*1 + 64], tmm1",
                    "tilestored [{sums} + {wide}*1 + 2048], tmm2",
                    "tilestored [{sums} + {wide}*1 + 2112], tmm3",
                    upper = out(reg) _,
                    lower = out(reg) _,
                    samples = in(reg) samples.numbers.as_ptr(),
                    part = in(reg) 2 * samples.part,
                    pitch = in(reg) 2 * samples.pitch,
                    down = in(reg) 2 * ROWS * samples.pitch,
                    row = in(reg) ROW,
                    wide = in(reg) PRODUCTS[1] * size_of::<f32>(),
                    sums = in(reg) sums.as_mut_ptr(),
                    offsets = inout(reg) offsets.as_ptr() => _,
                    weights = inout(reg) weights.as_ptr() => _,
                    steps = inout(reg) offsets.len() => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
            #[cfg(not(target_arch = "x86_64"))]
            unreachable!("no CPU of this kind has tiles: {:?}", (samples, offsets, weights, sums));
        }
    )*};
}
// The order of products keeps in the registers what the next one needs. (One part has no next: an operand that no
// instruction names would be refused.)
products! {
    one, "2048", [samples!(), weights!("0", "1024"), add!(), next!()];
    two, "4096", [
        samples!(), weights!("2048", "3072"), add!(), weights!("0", "1024"), add!(),
        next!(), samples!(), add!()
    ];
    three, "6144", [
        samples!(), weights!("4096", "5120"), add!(), weights!("2048", "3072"), add!(), weights!("0", "1024"), add!(),
        next!(), samples!(), add!(), weights!("2048", "3072"), add!(),
        next!(), samples!(), weights!("0", "1024"), add!()
    ];
}

#[cfg(test)]
mod tests {
    use super::super::Tiles;
    use super::*;

    #[test]
    fn parts_add_up_to_the_number() {
        let numbers = [1.0, -1.0, 0.1, 1.0 + f32::EPSILON, 12_345.678, -3e-15, 0.0, -0.0, 1e18, 16_777_215.0];
        let mut parts = [[0; 10]; 3];
        let [a, b, c] = &mut parts;
        assert!(split(&numbers, [&mut a[..], &mut b[..], &mut c[..]]));
        for (i, &x) in numbers.iter().enumerate() {
            let part = |p: usize| f32::from_bits(u32::from(parts[p][i]) << 16);
            assert_eq!(part(0) + (part(1) + part(2)), x, "exactly");
            assert!(part(1).abs() <= x.abs() / 512.0 && part(2).abs() <= x.abs() / 262_144.0, "{x}");
        }
    }

    #[test]
    fn numbers_that_may_not_be_split_are_told() {
        for x in [f32::NAN, f32::INFINITY, -f32::MAX, 1e-40, -1e-20, 2e18] {
            assert!(!Least::Samples.fits(x), "{x}");
            let mut into = [[0; 40]];
            let mut numbers = [1.0; 40];
            numbers[37] = x;
            let [into] = &mut into;
            assert!(!split(&numbers, [&mut into[..]]), "{x}");
        }
        assert!(Least::Samples.fits(-1e-15) && !Least::Weights.fits(-1e-15) && Least::Weights.fits(1e-11));
    }

    fn check(tiles: Tiles, count: usize) {
        // Small whole numbers: every order of summing gives the same.
        let (pitch, part) = (48, 3000);
        let sample = |i: usize| ((i * 7 + i / 251) % 13) as f32 - 6.0;
        let weight = |i: usize| ((i * 11 + i / 17) % 9) as f32 - 4.0;
        let bits = |x: f32| x.to_bits() >> 16;
        let numbers: Vec<u16> = (0..count * part).map(|i| bits(sample(i)) as u16).collect();
        let offsets = [0, 5, 1030];
        let weights: Vec<u32> = (0..offsets.len() * count * STEP)
            .map(|i| bits(weight(2 * i)) | bits(weight(2 * i + 1)) << 16)
            .collect();
        let mut sums = [[f32::NAN; PRODUCTS[1]]; PRODUCTS[0]];
        let samples = Parts { count, numbers: &numbers, part, pitch };
        tiles.configured(|registers| registers.products(samples, (&offsets, &weights), &mut sums));
        for (r, row) in sums.iter().enumerate() {
            for (n, &sum) in row.iter().enumerate() {
                let mut exact = 0.0;
                for (s, offset) in offsets.iter().enumerate() {
                    for (i, j) in (0..count).flat_map(|i| (0..count - i).map(move |j| (i, j))) {
                        for k in 0..DEPTH {
                            let pair = n / ROWS * (STEP / 2) + k / 2 * ROWS + n % ROWS;
                            let at = 2 * ((s * count + j) * STEP + pair) + k % 2;
                            exact += sample(i * part + offset + r * pitch + k) * weight(at);
                        }
                    }
                }
                assert_eq!(sum, exact, "{count} parts, row {r}, column {n}");
            }
        }
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        let Some(tiles) = Tiles::detect() else {
            eprintln!("not tested: this CPU has no AMX");
            return;
        };
        (1..=MAX_PARTS).for_each(|count| check(tiles, count));
    }
}
