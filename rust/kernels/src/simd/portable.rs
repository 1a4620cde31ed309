//! Vectors as plain arrays: the path of a CPU that has none of the instruction sets in the list.
//!
//! The compiler turns the loops into whatever the baseline has (SSE2 on x86-64, NEON on aarch64), so
//! a fused variant of the same code serves as the NEON row. That row was compiled only as generic
//! code and never run: no such machine was at hand.
#![expect(unsafe_code, reason = "implements the vector trait's raw loads and stores")]

use super::{Simd, Vector};

/// `N` lanes of `T`; `FUSED` says whether multiply-add rounds once.
#[derive(Clone, Copy, Debug)]
pub struct Lanes<T, const N: usize, const FUSED: bool>(pub(super) [T; N]);

impl<T: Copy, const N: usize, const FUSED: bool> Lanes<T, N, FUSED> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

macro_rules! portable_vector {
    ($t:ty, |$acc:ident, $a:ident, $b:ident| fused $fused:expr, else $plain:expr, add $add:expr, sub $sub:expr
     $(, bits $bits:ty)?) => {
        impl<const N: usize, const FUSED: bool> Vector for Lanes<$t, N, FUSED> {
            type Elem = $t;
            const LANES: usize = N;
            const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 32 } else { 16 };

            #[inline(always)]
            fn splat(x: $t) -> Self {
                Self([x; N])
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                // SAFETY: the caller vouches for N elements.
                Self(unsafe { from.cast::<[$t; N]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                // SAFETY: the caller vouches for N elements.
                unsafe { to.cast::<[$t; N]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                Self(std::array::from_fn(|i| {
                    let ($acc, $a, $b) = (self.0[i], a.0[i], b.0[i]);
                    if FUSED { $fused } else { $plain }
                }))
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self.zip(other, $add)
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self.zip(other, $sub)
            }
            $(
                #[inline(always)]
                fn greatest(self, later: Self, mine: Self, its: Self) -> (Self, Self) {
                    // As masks: of choices the compiler made branches.
                    let wins: [$bits; N] = std::array::from_fn(|l| {
                        let (later, earlier) = (later.0[l], self.0[l]);
                        <$bits>::from((later > earlier) | later.is_nan()).wrapping_neg()
                    });
                    let choose = |of: Self, or: Self| {
                        Self(std::array::from_fn(|l| {
                            <$t>::from_bits((of.0[l].to_bits() & wins[l]) | (or.0[l].to_bits() & !wins[l]))
                        }))
                    };
                    (choose(later, self), choose(its, mine))
                }
            )?
        }
    };
}
macro_rules! portable_floats {
    ($($t:ty, $bits:ty;)*) => {$(
        portable_vector!($t, |acc, a, b| fused a.mul_add(b, acc), else acc + a * b, add |x, y| x + y, sub |x, y| x - y,
            bits $bits);
    )*};
}
macro_rules! portable_integers {
    ($($t:ty),*) => {$(
        portable_vector!($t, |acc, a, b| fused acc.wrapping_add(a.wrapping_mul(b)),
            else acc.wrapping_add(a.wrapping_mul(b)), add <$t>::wrapping_add, sub <$t>::wrapping_sub);
    )*};
}
portable_floats! { f32, u32; f64, u64; }
portable_integers!(u8, i16, i32, i64, i128);

/// `N` lanes of two `i16`, or of the `i32` that their products are added up to.
#[derive(Clone, Copy, Debug)]
pub struct PairLanes<const N: usize>(Lanes<i32, N, false>);

impl<const N: usize> Vector for PairLanes<N> {
    type Elem = i32;
    const LANES: usize = N;
    const REGISTERS: usize = <Lanes<i32, N, false> as Vector>::REGISTERS;

    #[inline(always)]
    fn splat(x: i32) -> Self {
        Self(Lanes::splat(x))
    }
    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: the caller vouches for N elements.
        Self(unsafe { Lanes::load(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: the caller vouches for N elements.
        unsafe { self.0.store(to) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        // Each product fits; two of -2^15 by -2^15 are 2^31, which wraps as the instruction does.
        let product = |a: i16, b: i16| i32::from(a) * i32::from(b);
        let dot = |a: i32, b: i32| {
            product(a as i16, b as i16).wrapping_add(product((a >> 16) as i16, (b >> 16) as i16))
        };
        self.add(Self(a.0.zip(b.0, dot)))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.add(other.0))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0.sub(other.0))
    }
}

/// The baseline of the target, always there.
#[derive(Clone, Copy, Debug)]
pub struct Scalar(());

impl Simd for Scalar {
    type F32 = Lanes<f32, 4, false>;
    type F64 = Lanes<f64, 2, false>;
    type F64Unfused = Lanes<f64, 2, false>;
    type I16 = Lanes<i16, 8, false>;
    type I32 = Lanes<i32, 4, false>;
    type I64 = Lanes<i64, 2, false>;
    type I128 = Lanes<i128, 1, false>;
    type I16Pairs = PairLanes<4>;

    fn detect() -> Option<Self> {
        Some(Self(()))
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// 128-bit NEON, which every aarch64 CPU has.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

#[cfg(target_arch = "aarch64")]
impl Simd for Neon {
    type F32 = Lanes<f32, 4, true>;
    type F64 = Lanes<f64, 2, true>;
    type F64Unfused = Lanes<f64, 2, false>;
    type I16 = Lanes<i16, 8, false>;
    type I32 = Lanes<i32, 4, false>;
    type I64 = Lanes<i64, 2, false>;
    type I128 = Lanes<i128, 1, false>;
    type I16Pairs = PairLanes<4>;

    fn detect() -> Option<Self> {
        Some(Self(()))
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
}
