//! AMX, the matrix unit of x86 server CPUs: eight registers of 16 rows by 64 bytes ("tiles"), and an instruction
//! that multiplies two of them.
//!
//! ```text
//! sums[r][n] += sum over k < 64 of  samples[r][k] * weights[k][n]          r, n < 16: bytes, summed in 32 bits, wrapping
//! ```
//!
//! or pairs of `bf16` in place of fours of bytes, summed in `f32` ([`parts`]).
//!
//! The compiler knows no tiles: they are reached by `asm!`, here and in `parts` alone. A [`Tiles`] is
//! the proof that CPU and kernel let this process use them. The registers are configured for the length of one
//! [`Tiles::configured`]: the state is a thread's own, is kept by the kernel like any register, and slows down
//! switching threads while it is in use.
#![expect(unsafe_code, reason = "instructions that the compiler has no intrinsics for")]

mod parts;

pub use parts::{DEPTH, MAX_PARTS, PRODUCTS, Parts, STEP, split, split_weights};

use super::Simd;
use std::marker::PhantomData;

/// Bytes of a row of a register, and rows of one.
const ROW: usize = 64;
const ROWS: usize = 16;

/// Rows and columns of the sums that [`Configured::toeplitz`] makes at once.
pub const TOEPLITZ: [usize; 2] = [ROWS, 4 * ROWS];

/// Weights as a register holds them: the weight of sample `k` for result `n` is byte `[k / 4][4 n + k % 4]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Weights([[u8; ROW]; ROWS]);

impl Weights {
    /// Samples that a result may read, and results.
    pub const SAMPLES: usize = ROW;
    /// Results that stand side by side.
    pub const RESULTS: usize = ROWS;

    /// No weights.
    pub const fn zero() -> Self {
        Self([[0; ROW]; ROWS])
    }

    /// Sets the weight of sample `k` for result `n`.
    ///
    /// # Panics
    /// If there is no such sample or result.
    pub fn set(&mut self, k: usize, n: usize, weight: u8) {
        assert!(k < Self::SAMPLES && n < Self::RESULTS, "a sample and a result");
        self.0[k / 4][4 * n + k % 4] = weight;
    }
}

/// Which of samples and weights are signed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// Samples.
    pub samples: bool,
    /// Weights.
    pub weights: bool,
}

/// The proof that this process may use tiles of bytes and of `bf16`, on top of AVX-512 VNNI.
#[derive(Clone, Copy, Debug)]
pub struct Tiles(());

impl Tiles {
    /// The proof, if the CPU has AMX-INT8 and AMX-BF16, the operating system keeps its registers, and it has granted them.
    pub fn detect() -> Option<Self> {
        static GRANTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        GRANTED.get_or_init(granted).then_some(Self(()))
    }

    /// Runs `f` while the registers are configured, on this thread.
    pub fn configured<R>(self, f: impl FnOnce(&Configured) -> R) -> R {
        f(&Configured::new())
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn granted() -> bool {
    use std::arch::x86_64::{__cpuid_count, _xgetbv};

    /// AMX-BF16, AMX-TILE and AMX-INT8.
    const WANTED: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    /// XCR0's bits for the configuration and the data of tiles.
    const SAVED: u64 = 0b11 << 17;
    /// `arch_prctl`'s request for a part of the extended state, and the number of the tiles' data.
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XTILEDATA: libc::c_ulong = 18;

    #[target_feature(enable = "xsave")]
    fn saved() -> bool {
        // SAFETY: XGETBV is there where the operating system uses XSAVE, which `detect` of AVX-512 has found.
        unsafe { _xgetbv(0) & SAVED == SAVED }
    }

    let features = __cpuid_count(7, 0).edx;
    if super::V4Vnni::detect().is_none() || features & WANTED != WANTED {
        return false;
    }
    // SAFETY: AVX-512, just found, needs XSAVE; the call asks for a permission and touches no memory.
    unsafe { saved() && libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0 }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
const fn granted() -> bool {
    false
}

/// The registers of this thread, configured: all eight as 16 rows of 64 bytes. They are given back in the end.
#[derive(Debug)]
pub struct Configured {
    /// The state is the thread's.
    thread: PhantomData<*mut ()>,
}

/// The operand of LDTILECFG.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configured {
    fn new() -> Self {
        let each = |tile: usize| tile < 8;
        let configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: std::array::from_fn(|tile| if each(tile) { ROW as u16 } else { 0 }),
            rows: std::array::from_fn(|tile| if each(tile) { ROWS as u8 } else { 0 }),
        };
        #[cfg(target_arch = "x86_64")]
        // SAFETY: only a `Tiles` leads here; the operand is a valid configuration of palette 1, 64 bytes long.
        unsafe {
            std::arch::asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, preserves_flags));
        }
        #[cfg(not(target_arch = "x86_64"))]
        drop(configuration);
        Self { thread: PhantomData }
    }

    /// Sums under a window whose rows are bands of a Toeplitz matrix:
    ///
    /// ```text
    /// sums[r * width + 16 b + n] = sum over steps s, k < 64 of  samples[offsets[s] + r * pitch + 16 b + k] * weights[s][k][n]
    /// ```
    ///
    /// for the rows and columns of [`TOEPLITZ`].
    ///
    /// # Panics
    /// If a sample or a sum is beyond the end, or there are not as many weights as offsets.
    pub fn toeplitz(
        &self,
        signs: Signs,
        (samples, pitch): (&[u8], usize),
        (offsets, weights): (&[usize], &[Weights]),
        (sums, width): (&mut [i32], usize),
    ) {
        let [rows, columns] = TOEPLITZ;
        assert!(sums.len() >= (rows - 1) * width + columns, "room for the sums");
        let reach = (ROWS - 1) * pitch + 3 * ROWS + ROW;
        assert!(offsets.len() == weights.len(), "weights for each offset");
        assert!(offsets.iter().all(|&offset| offset + reach <= samples.len()), "samples of the slice");
        if offsets.is_empty() {
            (0..rows).for_each(|r| sums[r * width..][..columns].fill(0));
            return;
        }
        match signs {
            Signs { samples: false, weights: false } => {
                uu((samples, pitch), (offsets, weights), (sums, width));
            }
            Signs { samples: false, weights: true } => {
                us((samples, pitch), (offsets, weights), (sums, width));
            }
            Signs { samples: true, weights: false } => {
                su((samples, pitch), (offsets, weights), (sums, width));
            }
            Signs { samples: true, weights: true } => ss((samples, pitch), (offsets, weights), (sums, width)),
        }
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the registers were configured by `new`, and hold nothing that is still needed.
        unsafe {
            std::arch::asm!("tilerelease", options(nostack, nomem, preserves_flags));
        }
    }
}

/// The loop of [`Configured::toeplitz`] for one pair of signs. Four sums and one register of weights are used for four
/// loads of samples: a load of 16 rows takes about as long as a product.
macro_rules! toeplitz {
    ($($name:ident, $product:literal;)*) => {$(
        fn $name(
            (samples, pitch): (&[u8], usize),
            (offsets, weights): (&[usize], &[Weights]),
            (sums, width): (&mut [i32], usize),
        ) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `toeplitz` has checked that every row is inside the slices and that there is an offset; it is
            // reached through a `Configured`, so the registers are 16 rows of 64 bytes.
            unsafe {
                std::arch::asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    "mov {at}, qword ptr [{offsets}]",
                    "add {at}, {samples}",
                    "tileloadd tmm6, [{weights} + {row}*1]",
                    "tileloadd tmm4, [{at} + {pitch}*1]",
                    "tileloadd tmm5, [{at} + {pitch}*1 + 16]",
                    concat!($product, " tmm0, tmm4, tmm6"),
                    "tileloadd tmm7, [{at} + {pitch}*1 + 32]",
                    concat!($product, " tmm1, tmm5, tmm6"),
                    "tileloadd tmm4, [{at} + {pitch}*1 + 48]",
                    concat!($product, " tmm2, tmm7, tmm6"),
                    concat!($product, " tmm3, tmm4, tmm6"),
                    "add {offsets}, 8",
                    "add {weights}, 1024",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{sums} + {wide}*1], tmm0",
                    "tilestored [{sums} + {wide}*1 + 64], tmm1",
                    "tilestored [{sums} + {wide}*1 + 128], tmm2",
                    "tilestored [{sums} + {wide}*1 + 192], tmm3",
                    at = out(reg) _,
                    samples = in(reg) samples.as_ptr(),
                    pitch = in(reg) pitch,
                    row = in(reg) ROW,
                    wide = in(reg) width * size_of::<i32>(),
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
            unreachable!("no CPU of this kind has tiles: {:?}", (samples, pitch, offsets, weights, sums, width));
        }
    )*};
}
toeplitz! { uu, "tdpbuud"; us, "tdpbusd"; su, "tdpbsud"; ss, "tdpbssd"; }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_definition() {
        let Some(tiles) = Tiles::detect() else {
            eprintln!("not tested: this CPU has no AMX");
            return;
        };
        let pitch = 192;
        let samples: Vec<u8> = (0..40 * pitch).map(|i| (i * 7 + i / 251) as u8).collect();
        let offsets = [0, pitch, 3 * pitch + 5, 17 * pitch + 64];
        let weight = |step: usize, k: usize, n: usize| (step * 31 + k * 5 + n * 3) as u8;
        let mut weights = [Weights::zero(); 4];
        for (step, k, n) in (0..4).flat_map(|s| (0..64).flat_map(move |k| (0..16).map(move |n| (s, k, n)))) {
            weights[step].set(k, n, weight(step, k, n));
        }
        let value = |byte: u8, signed: bool| if signed { i32::from(byte as i8) } else { i32::from(byte) };
        for signs in [[false, false], [false, true], [true, false], [true, true]] {
            let signs = Signs { samples: signs[0], weights: signs[1] };
            let ([rows, columns], width) = (TOEPLITZ, 80);
            let mut sums = vec![-1; rows * width];
            tiles.configured(|registers| {
                registers.toeplitz(signs, (&samples, pitch), (&offsets, &weights), (&mut sums, width));
            });
            for (r, row) in sums.chunks_exact(width).enumerate() {
                assert!(
                    row[columns..].iter().all(|&beside| beside == -1),
                    "{signs:?}, row {r}: written beyond"
                );
                for (x, &sum) in row[..columns].iter().enumerate() {
                    let (b, n) = (x / ROWS, x % ROWS);
                    let product = |s: usize, k: usize| {
                        value(samples[offsets[s] + r * pitch + ROWS * b + k], signs.samples)
                            * value(weight(s, k, n), signs.weights)
                    };
                    let exact: i32 = (0..offsets.len())
                        .flat_map(|s| (0..ROW).map(move |k| (s, k)))
                        .map(|(s, k)| product(s, k))
                        .sum();
                    assert_eq!(sum, exact, "{signs:?}, row {r}, column {x}");
                }
            }
        }
    }
}
