//! The instruction sets: one list, best first.
//!
//! A row of `isa_list!` gives an instruction set its name, the vector token that kernels are instantiated
//! with, that of kernels which sum products of small integers, and the type whose `detect` tells whether this
//! CPU has it. Where sets differ in such products alone, all other kernels are compiled once for both. An
//! [`Isa`] can only come from detection, so it proves that its instructions may be executed.
//! `FERROCONV_ISA` caps the choice.

use crate::simd::{self, Simd};
use std::sync::OnceLock;

/// A computation that is compiled once for each instruction set.
pub trait Kernel {
    /// What it gives back.
    type Output;
    /// Whether it sums products of small integers, for which some instruction sets have vectors of their own.
    const PRODUCTS: bool = false;
    /// The computation, generic over the vector token. Implementations are `#[inline(always)]`, so
    /// that they are compiled with the instruction set's features.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

macro_rules! isa_list {
    ($($(#[$cfg:meta])* $variant:ident, $name:literal, $token:path, $products:path, $proof:path;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        enum Level { $($(#[$cfg])* $variant,)* }

        impl Isa {
            /// Every instruction set that this build has kernels for, best first.
            pub const NAMES: &'static [&'static str] = &[$($(#[$cfg])* $name,)*];

            /// The name, one of [`Isa::NAMES`].
            pub const fn name(self) -> &'static str {
                match self.0 { $($(#[$cfg])* Level::$variant => $name,)* }
            }

            /// Those that this CPU has, best first. The last, `scalar`, is always there.
            pub fn detected() -> &'static [Self] {
                static DETECTED: OnceLock<Vec<Isa>> = OnceLock::new();
                DETECTED.get_or_init(|| {
                    let mut found = Vec::new();
                    $($(#[$cfg])* if <$proof>::detect().is_some() { found.push(Self(Level::$variant)); })*
                    found
                })
            }

            /// Runs `kernel` compiled for this instruction set.
            pub fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
                match self.0 {
                    $($(#[$cfg])* Level::$variant => if K::PRODUCTS {
                        let token = <$products>::detect().expect("an Isa is made by detection alone");
                        token.vectorize(#[inline(always)] || kernel.run(token))
                    } else {
                        let token = <$token>::detect().expect("an Isa is made by detection alone");
                        token.vectorize(#[inline(always)] || kernel.run(token))
                    })*
                }
            }
        }
    };
}

/// An instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Isa(Level);

isa_list! {
    #[cfg(target_arch = "x86_64")] Amx, "amx", simd::V4, simd::V4Vnni, simd::Tiles;
    #[cfg(target_arch = "x86_64")] V4Vnni, "x86-64-v4-vnni", simd::V4, simd::V4Vnni, simd::V4Vnni;
    #[cfg(target_arch = "x86_64")] V4, "x86-64-v4", simd::V4, simd::V4, simd::V4;
    #[cfg(target_arch = "x86_64")] V3, "x86-64-v3", simd::V3, simd::V3, simd::V3;
    #[cfg(target_arch = "aarch64")] Neon, "neon", simd::Neon, simd::Neon, simd::Neon;
    Scalar, "scalar", simd::Scalar, simd::Scalar, simd::Scalar;
}

impl Isa {
    /// The matrix unit, if this instruction set has it.
    pub fn tiles(self) -> Option<simd::Tiles> {
        if self.name() == "amx" { simd::Tiles::detect() } else { None }
    }

    /// Those that may be used: what the CPU has, capped by the environment variable
    /// `FERROCONV_ISA`, best first.
    ///
    /// # Errors
    /// The variable's value, if it names no instruction set of this build.
    pub fn allowed() -> Result<&'static [Self], &'static str> {
        static ALLOWED: OnceLock<Result<&'static [Isa], String>> = OnceLock::new();
        let allowed = ALLOWED.get_or_init(|| {
            let all = Self::detected();
            let Ok(cap) = std::env::var("FERROCONV_ISA") else { return Ok(all) };
            let Some(rank) = Self::NAMES.iter().position(|&n| n == cap) else {
                return Err(format!(
                    "FERROCONV_ISA must be one of {}. Received: {cap:?}.",
                    Self::NAMES.join(", ")
                ));
            };
            let first =
                all.iter().position(|isa| Self::NAMES.iter().position(|&n| n == isa.name()) >= Some(rank));
            Ok(&all[first.expect("scalar is the last of both lists")..])
        });
        allowed.as_ref().copied().map_err(String::as_str)
    }

    /// The best that may be used.
    ///
    /// # Errors
    /// As [`Isa::allowed`].
    pub fn best() -> Result<Self, crate::Error> {
        Self::allowed().map(|isas| isas[0]).map_err(|e| crate::Error::Value(e.to_owned()))
    }
}
