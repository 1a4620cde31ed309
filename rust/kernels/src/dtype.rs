//! The element types: the one list, and how each is widened for arithmetic and narrowed for storage.
//!
//! An *element* is what an array stores. An *accumulator* is what sums are made in. A row is
//! widened from elements to accumulators when it is brought in and narrowed when it is written out,
//! so that the inner loops know nothing but the accumulator.

use crate::Error;
use crate::alloc::Plain;
use half::{bf16, f16};

/// NumPy's one-byte boolean. A byte other than 0 and 1 may occur in an array and counts as true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bool(pub u8);

/// Calls the macro in brackets with the arguments given, in parentheses, and then the list of real element types,
/// `Variant, storage type, name` a row. This is the only list: enums, conversions, parsers, stubs and
/// tests are derived from it.
#[macro_export]
macro_rules! for_each_dtype {
    ([$($then:tt)*] $(, $arg:tt)*) => {
        $($then)*! {
            ($($arg),*)
            Bool, $crate::dtype::Bool, "bool";
            U8, u8, "uint8";
            I8, i8, "int8";
            U16, u16, "uint16";
            I16, i16, "int16";
            U32, u32, "uint32";
            I32, i32, "int32";
            U64, u64, "uint64";
            I64, i64, "int64";
            F16, ::half::f16, "float16";
            Bf16, ::half::bf16, "bfloat16";
            F32, f32, "float32";
            F64, f64, "float64";
        }
    };
}

macro_rules! define_dtype {
    (() $($variant:ident, $storage:ty, $name:literal;)*) => {
        /// The type of an array's elements.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DType {
            $(#[doc = concat!("`", $name, "`.")] $variant,)*
            /// Two `float32`: real, imaginary.
            C64,
            /// Two `float64`: real, imaginary.
            C128,
        }

        impl DType {
            /// Every type, the complex ones last.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)* Self::C64, Self::C128];

            /// NumPy's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::C64 => "complex64",
                    Self::C128 => "complex128",
                }
            }

            /// Bytes of one element.
            pub const fn size(self) -> usize {
                match self {
                    $(Self::$variant => size_of::<$storage>(),)*
                    Self::C64 => 8,
                    Self::C128 => 16,
                }
            }
        }

        $(impl Element for $storage { const DTYPE: DType = DType::$variant; })*
    };
}

/// What an array may store (a complex array stores two of them an element).
pub trait Element: Plain {
    /// Its name in the list.
    const DTYPE: DType;
}

for_each_dtype!([define_dtype]);

/// Runs `$body` with `$T` standing for the storage type of the real dtype `$dtype`.
#[macro_export]
macro_rules! dispatch_dtype {
    ($dtype:expr, |$T:ident| $body:block) => {
        $crate::for_each_dtype!([$crate::dispatch_dtype_arms], ($dtype), $T, $body)
    };
}

/// Runs `$body` with `$T` standing for the storage type of the real floating-point dtype `$dtype`: fewer
/// copies of the body to compile where no other comes.
#[macro_export]
macro_rules! dispatch_float {
    ($dtype:expr, |$T:ident| $body:block) => {
        $crate::dispatch_float!(@ ($dtype) $T $body: F16 ::half::f16, Bf16 ::half::bf16, F32 f32, F64 f64)
    };
    (@ ($dtype:expr) $T:ident $body:block: $($variant:ident $storage:ty),*) => {
        match $dtype {
            $($crate::dtype::DType::$variant => { type $T = $storage; $body })*
            _ => unreachable!("a floating-point dtype"),
        }
    };
}

/// The arms of [`dispatch_dtype!`].
#[doc(hidden)]
#[macro_export]
macro_rules! dispatch_dtype_arms {
    ((($dtype:expr), $T:ident, $body:block) $($variant:ident, $storage:ty, $name:literal;)*) => {
        match $dtype {
            $($crate::dtype::DType::$variant => { type $T = $storage; $body })*
            $crate::dtype::DType::C64 | $crate::dtype::DType::C128 => {
                unreachable!("a complex array is handled as two real ones")
            }
        }
    };
}

/// What kind of number a type holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer (or boolean) with these bounds.
    Integer(i128, i128),
    /// A real floating-point number.
    Float,
    /// A complex floating-point number.
    Complex,
}

impl DType {
    /// Finds a type by NumPy's name.
    ///
    /// # Errors
    /// [`Error::Type`] for a type that is not in the list; the message lists those that are.
    pub fn parse(name: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|d| d.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|d| d.name()).collect();
            Error::Type(format!("the array's dtype must be one of {}. Received: {name}.", known.join(", ")))
        })
    }

    /// The kind of number, with an integer's bounds.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Bool => Kind::Integer(0, 1),
            Self::U8 => Kind::Integer(0, u8::MAX as i128),
            Self::I8 => Kind::Integer(i8::MIN as i128, i8::MAX as i128),
            Self::U16 => Kind::Integer(0, u16::MAX as i128),
            Self::I16 => Kind::Integer(i16::MIN as i128, i16::MAX as i128),
            Self::U32 => Kind::Integer(0, u32::MAX as i128),
            Self::I32 => Kind::Integer(i32::MIN as i128, i32::MAX as i128),
            Self::U64 => Kind::Integer(0, u64::MAX as i128),
            Self::I64 => Kind::Integer(i64::MIN as i128, i64::MAX as i128),
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 => Kind::Float,
            Self::C64 | Self::C128 => Kind::Complex,
        }
    }

    /// Whether it is complex.
    pub const fn is_complex(self) -> bool {
        matches!(self.kind(), Kind::Complex)
    }

    /// The type of one component: itself, or the real type that a complex one is made of.
    pub const fn component(self) -> Self {
        match self {
            Self::C64 => Self::F32,
            Self::C128 => Self::F64,
            real => real,
        }
    }

    /// Components an element: 1, or 2 for a complex type.
    pub const fn components(self) -> usize {
        if self.is_complex() { 2 } else { 1 }
    }

    /// Whether every value of the type is a `float32`.
    pub const fn fits_f32(self) -> bool {
        !matches!(self.component(), Self::U32 | Self::I32 | Self::U64 | Self::I64 | Self::F64)
    }
}

/// What sums are made in.
pub trait Accumulator: Plain + PartialOrd + Default {
    /// The dtype whose elements are stored exactly so, if there is one.
    const STORED_AS: Option<DType>;
    /// The nearest value (towards zero for an integer accumulator).
    fn from_f64(x: f64) -> Self;
    /// The value modulo the accumulator's width; of a float, the nearest.
    fn from_i128(x: i128) -> Self;
    /// The nearest `f64`.
    fn into_f64(self) -> f64;
    /// The integer that it is (of a float, towards zero).
    fn into_i128(self) -> i128;
    /// Rounds to an integer, ties to even.
    fn round_half_even(self) -> Self;
    /// Rounds to an integer towards zero.
    fn truncate(self) -> Self;
    /// The sum (modulo an integer's width).
    fn plus(self, other: Self) -> Self;
    /// `sqrt(self^2 + other^2)`, of floats alone.
    fn norm(self, other: Self) -> Self;
    /// `self * (whole / part)`, of floats alone.
    fn made_up(self, whole: Self, part: Self) -> Self;
    /// Rows as such of `i16`, if they are.
    fn halves<'l, 'r>(_: &'l [&'r [Self]]) -> Option<&'l [&'r [i16]]> {
        None
    }
    /// A row likewise, to be written.
    fn halves_mut(_: &mut [Self]) -> Option<&mut [i16]> {
        None
    }
    /// Rows as such of bytes, if they are.
    fn bytes<'l, 'r>(_: &'l [&'r [Self]]) -> Option<&'l [&'r [u8]]> {
        None
    }
    /// A row likewise, to be written.
    fn bytes_mut(_: &mut [Self]) -> Option<&mut [u8]> {
        None
    }
}

macro_rules! float_accumulator {
    ($($t:ty, $stored:expr);*) => {$(
        impl Accumulator for $t {
            const STORED_AS: Option<DType> = $stored;
            #[inline(always)]
            fn from_f64(x: f64) -> Self { x as Self }
            #[inline(always)]
            fn from_i128(x: i128) -> Self { x as Self }
            #[inline(always)]
            fn into_f64(self) -> f64 { self as f64 }
            #[inline(always)]
            fn into_i128(self) -> i128 { self as i128 }
            #[inline(always)]
            fn round_half_even(self) -> Self { self.round_ties_even() }
            #[inline(always)]
            fn truncate(self) -> Self { self.trunc() }
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self + other }
            #[inline(always)]
            fn norm(self, other: Self) -> Self { (self * self + other * other).sqrt() }
            #[inline(always)]
            fn made_up(self, whole: Self, part: Self) -> Self { self * (whole / part) }
        }
    )*};
}
float_accumulator!(f32, Some(DType::F32); f64, Some(DType::F64));

macro_rules! integer_accumulator {
    ($($t:ty, $stored:expr $(, $row:item $row_mut:item)?);*) => {$(
        impl Accumulator for $t {
            const STORED_AS: Option<DType> = $stored;
            $($row $row_mut)?
            #[inline(always)]
            fn from_f64(x: f64) -> Self { x as Self }
            #[inline(always)]
            fn from_i128(x: i128) -> Self { x as Self }
            #[inline(always)]
            fn into_f64(self) -> f64 { self as f64 }
            #[inline(always)]
            fn into_i128(self) -> i128 { self as i128 }
            #[inline(always)]
            fn round_half_even(self) -> Self { self }
            #[inline(always)]
            fn truncate(self) -> Self { self }
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            #[inline(always)]
            fn norm(self, _: Self) -> Self { unreachable!("magnitudes are made in floating point") }
            #[inline(always)]
            fn made_up(self, _: Self, _: Self) -> Self { unreachable!("samples are left out in floating point") }
        }
    )*};
}
integer_accumulator!(
    u8, Some(DType::U8),
    #[inline(always)]
    fn bytes<'l, 'r>(rows: &'l [&'r [Self]]) -> Option<&'l [&'r [u8]]> { Some(rows) }
    #[inline(always)]
    fn bytes_mut(row: &mut [Self]) -> Option<&mut [u8]> { Some(row) };
    i16, Some(DType::I16),
    #[inline(always)]
    fn halves<'l, 'r>(rows: &'l [&'r [Self]]) -> Option<&'l [&'r [i16]]> { Some(rows) }
    #[inline(always)]
    fn halves_mut(row: &mut [Self]) -> Option<&mut [i16]> { Some(row) };
    i32, Some(DType::I32); i64, Some(DType::I64); i128, None);

/// Conversions between an element and an accumulator.
pub trait Convert<A>: Element {
    /// Whether [`Convert::saturate`] rounds as well, ties to even.
    const ROUNDS: bool = false;
    /// The element's value as an accumulator (modulo its width where that is narrower).
    fn widen(self) -> A;
    /// The nearest element; a NaN becomes 0 in an integer type. Unless it rounds, an integer expects a
    /// whole number.
    fn saturate(a: A) -> Self;
    /// The element congruent to `a`. From a float this is C's conversion as x86 performs it, which
    /// is what SciPy's results are made by: exact modulo the width where the whole number fits the
    /// converting instruction, otherwise that instruction's "indefinite" value.
    fn wrap(a: A) -> Self;
}

/// A whole number within 2^22 of zero as an integer: the low bits of `x + 1.5 * 2^23`. Unlike a cast,
/// which the compiler makes one element at a time, it is two vector operations.
#[inline(always)]
const fn whole_f32(x: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits()) as i32
}

/// The same within 2^51 of zero: the low bits of `x + 1.5 * 2^52`.
#[inline(always)]
const fn whole_f64(x: f64) -> i64 {
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    (x + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits()) as i64
}

/// C's conversion of a whole double to an integer, as `cvttsd2si` does it.
macro_rules! c_convert {
    ($a:expr, i32) => {{
        const LIMIT: f64 = 2_147_483_648.0;
        let a = $a;
        whole_f64(if (-LIMIT..LIMIT).contains(&a) { a } else { -LIMIT }) as i32
    }};
    ($a:expr, i64) => {{
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        let a = $a;
        if (-LIMIT..LIMIT).contains(&a) { a as i64 } else { i64::MIN }
    }};
}

/// The nearest value of an integer type (with `cast`, to a whole number); 0 for NaN.
macro_rules! nearest {
    ($a:expr, $float:ty, $t:ty, $whole:ident) => {{
        const LEAST: $float = <$t>::MIN as $float;
        const MOST: $float = <$t>::MAX as $float;
        let a = <$float>::from($a);
        // Selections, which vectorise; `clamp` is compiled to branches.
        let within = if a > LEAST { a } else { LEAST };
        let within = if within < MOST { within } else { MOST };
        $whole(if a.is_nan() { 0.0 } else { within }) as $t
    }};
    // The addition in `whole_f32` and `whole_f64` rounds.
    (@rounds cast) => {
        false
    };
    (@rounds $float:ident) => {
        true
    };
    ($a:expr, $t:ty, f32) => {
        nearest!($a, f32, $t, whole_f32)
    };
    ($a:expr, $t:ty, f64) => {
        nearest!($a, f64, $t, whole_f64)
    };
    ($a:expr, $t:ty, cast) => {
        $a as $t
    };
}

macro_rules! convert_float_to_integers {
    ($a:ty: $($t:ty, $via:tt, $nearest:tt;)*) => {$(
        impl Convert<$a> for $t {
            const ROUNDS: bool = nearest!(@rounds $nearest);
            #[inline(always)]
            fn widen(self) -> $a { self as $a }
            #[inline(always)]
            fn saturate(a: $a) -> Self { nearest!(a, $t, $nearest) }
            #[inline(always)]
            fn wrap(a: $a) -> Self { c_convert!(f64::from(a), $via) as Self }
        }
    )*};
}
convert_float_to_integers!(f32: u8, i32, f32; i8, i32, f32; u16, i32, f32; i16, i32, f32; i32, i32, f64; u32, i64, f64; i64, i64, cast;);
convert_float_to_integers!(f64: u8, i32, f64; i8, i32, f64; u16, i32, f64; i16, i32, f64; i32, i32, f64; u32, i64, f64; i64, i64, cast;);
macro_rules! convert_floats {
    ($($a:ty),*) => {$(
        impl Convert<$a> for u64 {
            #[inline(always)]
            fn widen(self) -> $a { self as $a }
            #[inline(always)]
            fn saturate(a: $a) -> Self { a as Self }
            #[inline(always)]
            fn wrap(a: $a) -> Self {
                const HALF: f64 = 9_223_372_036_854_775_808.0;
                let a = f64::from(a);
                if a >= HALF { c_convert!(a - HALF, i64) as Self ^ (1 << 63) } else { c_convert!(a, i64) as Self }
            }
        }
        impl Convert<$a> for f32 {
            #[inline(always)]
            fn widen(self) -> $a { self as $a }
            #[inline(always)]
            fn saturate(a: $a) -> Self { a as Self }
            #[inline(always)]
            fn wrap(a: $a) -> Self { a as Self }
        }
        impl Convert<$a> for f64 {
            #[inline(always)]
            fn widen(self) -> $a { self as $a }
            #[inline(always)]
            fn saturate(a: $a) -> Self { a as Self }
            #[inline(always)]
            fn wrap(a: $a) -> Self { a as Self }
        }
    )*};
}
convert_floats!(f32, f64);

macro_rules! convert_integers {
    ($a:ty: $($t:ty),*) => {$(
        impl Convert<$a> for $t {
            #[inline(always)]
            fn widen(self) -> $a { self as $a }
            #[inline(always)]
            fn saturate(a: $a) -> Self {
                // Where the type's bounds are accumulators too, the clamp is two vector operations.
                const NARROW: bool = size_of::<$t>() < size_of::<$a>();
                if NARROW {
                    a.clamp(<$t>::MIN as $a, <$t>::MAX as $a) as $t
                } else {
                    (a as i128).clamp(<$t>::MIN as i128, <$t>::MAX as i128) as $t
                }
            }
            #[inline(always)]
            fn wrap(a: $a) -> Self { a as Self }
        }
    )*};
}
convert_integers!(i16: u8, i8, u16, i16, u32, i32, u64, i64);
convert_integers!(i32: u8, i8, u16, i16, u32, i32, u64, i64);
convert_integers!(i64: u8, i8, u16, i16, u32, i32, u64, i64);
convert_integers!(i128: u8, i8, u16, i16, u32, i32, u64, i64);

/// The 16-bit floats and the boolean go through the types that their conversions are defined in.
macro_rules! convert_indirectly {
    ($($a:ty),*) => {$(
        convert_indirectly!(@half $a: f16, bf16);
        impl Convert<$a> for Bool {
            #[inline(always)]
            fn widen(self) -> $a { u8::from(self.0 != 0) as $a }
            #[inline(always)]
            fn saturate(a: $a) -> Self { Self(u8::from(a != <$a>::default())) }
            // C's conversion to the byte that NumPy keeps a boolean in: 256 is false.
            #[inline(always)]
            fn wrap(a: $a) -> Self { Self(u8::from(<u8 as Convert<$a>>::wrap(a) != 0)) }
        }
    )*};
    (@half $a:ty: $($t:ty),*) => {$(
        impl Convert<$a> for $t {
            #[inline(always)]
            fn widen(self) -> $a { self.to_f32() as $a }
            #[inline(always)]
            fn saturate(a: $a) -> Self { Self::from_f64(a as f64) }
            #[inline(always)]
            fn wrap(a: $a) -> Self { Self::from_f64(a as f64) }
        }
    )*};
}
convert_indirectly!(f32, f64, i16, i32, i64, i128);

/// Floats meet an integer accumulator only because a row's dtype is known at run time; no plan
/// pairs them.
macro_rules! convert_floats_to_integer_accumulators {
    ($($a:ty: $($t:ty),*;)*) => {$($(
        impl Convert<$a> for $t {
            #[inline(always)]
            fn widen(self) -> $a { self as $a }
            #[inline(always)]
            fn saturate(a: $a) -> Self { a as Self }
            #[inline(always)]
            fn wrap(a: $a) -> Self { a as Self }
        }
    )*)*};
}
convert_floats_to_integer_accumulators!(i16: f32, f64; i32: f32, f64; i64: f32, f64; i128: f32, f64;);

/// What happens to the fraction when a sum is stored in an integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest integer, ties to even.
    HalfEven,
    /// Towards zero, as C's cast and therefore scipy.ndimage does.
    Truncate,
}

/// What happens to a sum that an integer type can't hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The nearest value that it can hold.
    Saturate,
    /// The value modulo the type's width (from a float: C's conversion, see [`Convert::wrap`]).
    Wrap,
}

impl Overflow {
    /// Reads `"saturate"` or `"wrap"`.
    ///
    /// # Errors
    /// [`Error::Value`] for another word.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "saturate" => Ok(Self::Saturate),
            "wrap" => Ok(Self::Wrap),
            _ => Err(Error::Value(format!("overflow must be 'saturate' or 'wrap'. Received: {name:?}."))),
        }
    }
}

/// How a sum becomes an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// The fraction's fate; of no meaning for floating-point results.
    pub rounding: Rounding,
    /// The excess's fate; of no meaning for floating-point results.
    pub overflow: Overflow,
}

/// What sums are made in, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `f32`, fused multiply-add where the instruction set has it.
    F32,
    /// `f64`, likewise.
    F64,
    /// `f64`, the product rounded before it is added: the order and the roundings of a plain C loop.
    F64Unfused,
    /// `i16`, modulo 2^16.
    I16,
    /// `i32`, modulo 2^32.
    I32,
    /// `i64`, modulo 2^64.
    I64,
    /// `i128`, modulo 2^128.
    I128,
}

impl Arithmetic {
    /// The name that implementation ids carry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::F64Unfused => "f64-unfused",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::I128 => "i128",
        }
    }

    /// Bytes of an accumulator.
    pub const fn size(self) -> usize {
        match self {
            Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::F64Unfused | Self::I64 => 8,
            Self::I128 => 16,
        }
    }

    /// Half the distance between 1 and the next number, 0 for integers: the largest relative error
    /// of one operation.
    pub const fn unit_roundoff(self) -> f64 {
        match self {
            Self::F32 => f32::EPSILON as f64 / 2.0,
            Self::F64 | Self::F64Unfused => f64::EPSILON / 2.0,
            Self::I16 | Self::I32 | Self::I64 | Self::I128 => 0.0,
        }
    }
}
