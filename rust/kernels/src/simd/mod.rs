//! The vector trait, a file for each family of instruction sets, and the register tile that they feed.
//!
//! This folder holds the project's only intrinsics. An algorithm elsewhere is written once, generic
//! over [`Simd`]; an instruction set's file only says how its vectors add, multiply and load. A token
//! (`V3`, `V4`, ...) can be made only where the CPU has the instructions: holding one is the proof
//! that they may be executed.

mod abreast;
mod amx;
mod bytes;
mod depthwise;
mod dots;
mod fetch;
pub mod fft;
mod gemm;
mod halves;
mod lines;
mod over;
mod portable;
mod row;
mod spread;
mod taps;
mod tile;
mod weighed;
pub mod winograd;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use abreast::{Abreast, MOST_TAPS};
pub use amx::{
    Configured, DEPTH, MAX_PARTS, PRODUCTS, Parts, STEP, Signs, TOEPLITZ, Tiles, Weights, split,
    split_weights,
};
pub use bytes::{
    Bytes, Kept, Narrow, NarrowDivisor, Terms, Three, Total, Wide, WideDivisor, bytes_of_part, fours,
    fours_of, means,
};
pub use depthwise::{Own, gather_own, outer_own};
pub(crate) use dots::with_dots;
pub use dots::{Grid, dots};
pub use fetch::{Ahead, fetch, fetch_at, is_far};
pub use gemm::{Line, MAX_RESULTS, MAX_VECTORS, Runs, Window, beside, gather, outer, tile_rows};
pub(crate) use gemm::{with_places, with_results, with_tile};
pub use halves::{Ending, Halves, MAX_NOTES, Multiplied, Nearest, Noted, Notes, Rounded, Truncated, Two};
pub use lines::{Lines, MAX_HALF_ROWS, RowTaps, Samples, along, down};
pub use over::{Further, Paired, Reading, Sample, over};
#[cfg(target_arch = "aarch64")]
pub use portable::Neon;
pub use portable::{Lanes, PairLanes, Scalar};
pub use row::RowProgram;
pub use spread::Spread;
pub use taps::{Place, Windows, search, take};
pub use tile::{MAX_ROWS, Program, load_tile, store_each, store_tile, transpose};
pub use weighed::{OfWords, Weighed, bytes_at_once};
#[cfg(target_arch = "x86_64")]
pub use x86::{V3, V4, V4Vnni};

use crate::dtype::Accumulator;

/// An instruction set: the proof that it is there, and its vectors.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Vectors of `f32`; multiply-add is fused where the instruction set can.
    type F32: Vector<Elem = f32>;
    /// Vectors of `f64`, likewise.
    type F64: Vector<Elem = f64>;
    /// Vectors of `f64` whose multiply-add rounds the product first, as C without contraction does.
    type F64Unfused: Vector<Elem = f64>;
    /// Vectors of `i16`, wrapping.
    type I16: Bytes;
    /// Vectors of `i32`, wrapping.
    type I32: Vector<Elem = i32>;
    /// Vectors of `i64`, wrapping.
    type I64: Vector<Elem = i64>;
    /// Vectors of `i128`, wrapping.
    type I128: Vector<Elem = i128>;
    /// Vectors of two `i16` a lane, whose multiply-add adds both products to a sum of `i32`, wrapping.
    type I16Pairs: Vector<Elem = i32>;

    /// The token, if this CPU has the instruction set.
    fn detect() -> Option<Self>;

    /// Runs `f` compiled with the instruction set's features. `f`, and all that it calls, must be
    /// `#[inline(always)]` to be part of that compilation.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;
}

/// Lanes of the longest vector of any instruction set, of accumulators of 32 bits and more.
pub const MAX_LANES: usize = 16;

/// The same for accumulators of type `A`.
pub const fn most_lanes<A>() -> usize {
    MAX_LANES * 4 / size_of::<A>()
}

/// A vector of accumulators.
pub trait Vector: Copy {
    /// One lane.
    type Elem: Accumulator;
    /// Lanes.
    const LANES: usize;
    /// Vector registers: 16 or 32. Register tiles are sized by it.
    const REGISTERS: usize;

    /// `x` in every lane.
    fn splat(x: Self::Elem) -> Self;
    /// Reads `LANES` elements; any alignment.
    ///
    /// # Safety
    /// - `from` is valid for reading `LANES` elements.
    /// - The CPU has the instruction set (a token of it exists).
    #[expect(unsafe_code, reason = "raw vector access; bounds are checked once a tile, not once a load")]
    unsafe fn load(from: *const Self::Elem) -> Self;
    /// Writes `LANES` elements; any alignment.
    ///
    /// # Safety
    /// - `to` is valid for writing `LANES` elements.
    /// - The CPU has the instruction set (a token of it exists).
    #[expect(unsafe_code, reason = "raw vector access; bounds are checked once a tile, not once a store")]
    unsafe fn store(self, to: *mut Self::Elem);
    /// `self + a * b`, lane by lane.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// `self + other`, lane by lane.
    fn add(self, other: Self) -> Self;
    /// `self - other`, lane by lane.
    fn sub(self, other: Self) -> Self;
    /// `self - a * b`, lane by lane.
    #[inline(always)]
    fn mul_sub(self, a: Self, b: Self) -> Self {
        self.sub(Self::splat(Self::Elem::default()).mul_add(a, b))
    }
    /// Writes the transpose of a square of `LANES` rows, `step` elements apart, to rows `to_step` apart. What is beyond
    /// `size`, rows and columns that matter, may be left out.
    ///
    /// # Safety
    /// - Every row is valid for reading or writing `LANES` elements; the squares don't overlap.
    /// - The CPU has the instruction set (a token of it exists).
    #[expect(unsafe_code, reason = "raw access to a square; its bounds are checked once a transform")]
    #[inline(always)]
    unsafe fn transpose(
        from: *const Self::Elem,
        step: usize,
        to: *mut Self::Elem,
        to_step: usize,
        size: [usize; 2],
    ) {
        for i in 0..Self::LANES.min(size[0]) {
            for j in 0..Self::LANES.min(size[1]) {
                // SAFETY: the caller's promise.
                unsafe { to.add(j * to_step + i).write(from.add(i * step + j).read()) }
            }
        }
    }

    /// Reads the elements at the bits of `which` that are set, and no others; those of `rest` stand in their place.
    ///
    /// # Safety
    /// - Each of those elements is valid for reading.
    /// - The CPU has the instruction set (a token of it exists).
    #[expect(unsafe_code, reason = "raw vector access; bounds are checked once a row")]
    #[inline(always)]
    unsafe fn load_some(from: *const Self::Elem, which: u32, rest: Self) -> Self {
        let mut lanes = rest.lanes();
        for l in 0..Self::LANES {
            if which >> l & 1 == 1 {
                // SAFETY: the caller's promise.
                lanes[l] = unsafe { from.wrapping_add(l).read() };
            }
        }
        Self::of_lanes(&lanes)
    }

    /// Every other lane of `self` and then of `further`, from the first on and from the second on.
    #[inline(always)]
    fn deal(self, further: Self) -> [Self; 2] {
        let both = [self.lanes(), further.lanes()];
        std::array::from_fn(|phase| {
            let mut dealt = [Self::Elem::default(); MAX_LANES];
            for l in 0..Self::LANES {
                let at = 2 * l + phase;
                dealt[l] = both[at / Self::LANES][at % Self::LANES];
            }
            Self::of_lanes(&dealt)
        })
    }

    /// `value` in the lanes where `self` equals `other`, 0 in the rest.
    #[inline(always)]
    fn where_equal(self, other: Self, value: Self) -> Self {
        let [a, b, mut made] = [self, other, value].map(Self::lanes);
        for l in 0..Self::LANES {
            made[l] = if a[l] == b[l] { made[l] } else { Self::Elem::default() };
        }
        Self::of_lanes(&made)
    }

    /// The greater of `self` and `later`, and the number that belongs to it, `mine` or `its`: `later`
    /// has to be greater, or a NaN.
    #[inline(always)]
    fn greatest(self, later: Self, mine: Self, its: Self) -> (Self, Self) {
        let [a, b, mine, its] = [self, later, mine, its].map(Self::lanes);
        let mut made = [[Self::Elem::default(); MAX_LANES]; 2];
        for l in 0..Self::LANES {
            // Not `||`: the compiler made branches of it where lanes of a vector were meant.
            #[expect(clippy::eq_op, reason = "no NaN equals itself")]
            let wins = (b[l] > a[l]) | (b[l] != b[l]);
            made[0][l] = if wins { b[l] } else { a[l] };
            made[1][l] = if wins { its[l] } else { mine[l] };
        }
        let [greatest, number] = made.map(|lanes| Self::of_lanes(&lanes));
        (greatest, number)
    }

    /// The greater of `self` and `later`, which has to be greater, or a NaN.
    #[inline(always)]
    fn greater(self, later: Self) -> Self {
        self.greatest(later, self, later).0
    }

    /// Writes for each lane, its bits taken for a whole number that an `i64` holds, the sum of that number, its `start` and
    /// `base`.
    ///
    /// # Safety
    /// - `starts` is valid for reading `LANES` elements, and `to` for writing as many.
    /// - The CPU has the instruction set (a token of it exists).
    #[expect(unsafe_code, reason = "raw vector access; bounds are checked once a row")]
    #[inline(always)]
    unsafe fn store_sums(self, starts: *const i64, base: i64, to: *mut i64) {
        let lanes = self.lanes();
        for l in 0..Self::LANES {
            // SAFETY: the caller's promise; a lane has the size that is read.
            unsafe {
                let lane = &raw const lanes[l];
                let number = match size_of::<Self::Elem>() {
                    4 => i64::from(lane.cast::<u32>().read()),
                    8 => lane.cast::<i64>().read(),
                    _ => unreachable!("lanes of 4 or 8 bytes"),
                };
                to.add(l).write(number.wrapping_add(*starts.add(l)).wrapping_add(base));
            }
        }
    }

    /// The lanes, first in an array.
    #[inline(always)]
    #[expect(unsafe_code, reason = "a store into an array that is long enough")]
    fn lanes(self) -> [Self::Elem; MAX_LANES] {
        const { assert!(Self::LANES <= MAX_LANES) };
        let mut lanes = [Self::Elem::default(); MAX_LANES];
        // SAFETY: room for as many lanes as any vector has; a vector exists.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes
    }

    /// The vector of the first lanes of an array.
    #[inline(always)]
    #[expect(unsafe_code, reason = "a load from an array that is long enough")]
    fn of_lanes(lanes: &[Self::Elem; MAX_LANES]) -> Self {
        const { assert!(Self::LANES <= MAX_LANES) };
        // SAFETY: as many lanes as any vector has. Only what has vectors calls this.
        unsafe { Self::load(lanes.as_ptr()) }
    }
}

/// A kind of [`Arithmetic`](crate::dtype::Arithmetic) as a type: its accumulator, and its vector in
/// each instruction set.
pub trait Lane: 'static {
    /// The accumulator.
    type Elem: Accumulator;
    /// The vector that the instruction set `S` has for it.
    type Vector<S: Simd>: Vector<Elem = Self::Elem>;
}

macro_rules! lanes {
    ($($variant:ident, $elem:ty;)*) => {
        /// The kinds of arithmetic, as types; and `I16Pairs` and `U8`, which an implementation chooses for itself.
        pub mod lane {
            use super::{Lane, Lanes, Simd};

            /// Bytes, in rows as they stand in an image. They are widened in registers, so that no instruction set
            /// has a vector of its own for them.
            #[derive(Debug)]
            pub enum U8 {}
            impl Lane for U8 {
                type Elem = u8;
                type Vector<S: Simd> = Lanes<u8, 64, false>;
            }

            $(
                #[doc = concat!("`", stringify!($variant), "`.")]
                #[derive(Debug)]
                pub enum $variant {}
                impl Lane for $variant {
                    type Elem = $elem;
                    type Vector<S: Simd> = S::$variant;
                }
            )*
        }
    };
}

lanes! { F32, f32; F64, f64; F64Unfused, f64; I16, i16; I32, i32; I64, i64; I128, i128; I16Pairs, i32; }

/// Runs `$body` with `$L` standing for the [`Lane`](crate::simd::Lane) of `$arithmetic`.
#[macro_export]
macro_rules! dispatch_arithmetic {
    ($arithmetic:expr, |$L:ident| $body:expr) => {{
        use $crate::dtype::Arithmetic;
        use $crate::simd::lane;
        match $arithmetic {
            Arithmetic::F32 => {
                type $L = lane::F32;
                $body
            }
            Arithmetic::F64 => {
                type $L = lane::F64;
                $body
            }
            Arithmetic::F64Unfused => {
                type $L = lane::F64Unfused;
                $body
            }
            Arithmetic::I16 => {
                type $L = lane::I16;
                $body
            }
            Arithmetic::I32 => {
                type $L = lane::I32;
                $body
            }
            Arithmetic::I64 => {
                type $L = lane::I64;
                $body
            }
            Arithmetic::I128 => {
                type $L = lane::I128;
                $body
            }
        }
    }};
}
