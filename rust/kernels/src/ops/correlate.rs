//! The problem of 2-D correlation: what is to be computed, checked, and in which arithmetic.
//!
//! ```text
//! dst[y, x] = finish( sum over i, j of  w[i, j] * src[y * sh + i * dh - top, x * sw + j * dw - left] )
//! ```
//!
//! with `src` continued past its edges by the border mode of each axis. Convolution is correlation
//! with the window reversed in both axes ([`Taps::reversed`]).

use crate::Error;
use crate::border::Border;
use crate::dtype::{Accumulator, Arithmetic, DType, Finish, Kind, Overflow};
use crate::isa::Isa;
use crate::kept::Recent;
use crate::registry::{Choice, Operation, Reject};
use crate::shape::Axis;
use crate::simd::is_far;
use num_complex::Complex;
use std::sync::{Arc, OnceLock};

use super::pairs::{FixedPoint, Scaled};
pub use super::spec::{Constant, LeftOut, Spec, Summation, Zeros};
pub use super::taps::{Taps, Term};

/// A checked correlation problem.
#[derive(Clone, Debug)]
pub struct Correlate {
    /// The image's dtype.
    pub src: DType,
    /// The result's dtype.
    pub dst: DType,
    /// The window over rows and over columns; these are counted in samples, of which a pixel has one for each channel.
    pub axes: [Axis; 2],
    /// Channels of a pixel, side by side in a row.
    pub channels: usize,
    /// How each axis continues.
    pub border: [Border; 2],
    /// The constant border's value.
    pub cval: Constant,
    /// The window's values.
    pub taps: Taps,
    /// The second window's, if the result is a magnitude.
    pub magnitude: Option<Taps>,
    /// What zeros among them are.
    pub zeros: Zeros,
    /// Which samples are left out.
    pub left_out: Option<LeftOut>,
    /// Order of summation; [`Summation::Any`] wherever the arithmetic makes every order equal.
    pub summation: Summation,
    /// How sums become integers.
    pub finish: Finish,
    /// What sums are made in.
    pub arithmetic: Arithmetic,
    /// Whether the window stands for two correlations, one after the other ([`Summation::Folded`]).
    pub passes: bool,
    /// The window as a sum of few outer products, once someone asked.
    terms: OnceLock<Result<Vec<Term>, Reject>>,
    /// Its values as integers of 16 bits, once someone asked.
    fixed_point: OnceLock<Result<FixedPoint, Reject>>,
    /// Its outer product as such integers, likewise.
    scaled: OnceLock<Result<Scaled, Reject>>,
    /// The implementation that was chosen, likewise.
    chosen: OnceLock<Choice<Self>>,
}

/// Problems that were met lately, and taps that one of them has at most.
static KEPT: Recent<Spec, Correlate> = Recent::new(32);
const LARGE: usize = 1 << 14;

/// Gives up the problems that are kept; says how many bytes their windows took.
pub(crate) fn clear() -> usize {
    KEPT.clear(|spec, problem| spec.taps.bytes() + problem.taps.bytes())
}

/// Nanoseconds for reading and writing a sample whose neighbours in its row are of other channels.
const SCATTERED: f64 = 2.0;

/// Results of a tile's row, about.
const WIDE: usize = 2048;

/// Sums up to here are exact in `i16`.
const I16_EXACT: f64 = 32_767.0;

/// Sums up to here are exact in `f32`.
const F32_EXACT: f64 = 16_777_216.0;

/// The largest error of a sum, in levels of an integer result, that `f32` or taps of 16 bits may bring
/// in. Beyond it sums are made in `f64`.
pub(crate) const LEVELS: f64 = 1.0 / 64.0;

impl Correlate {
    /// As [`Correlate::new`], with what was found out about the problem when it was met before.
    ///
    /// # Errors
    /// Those of [`Correlate::new`].
    pub fn kept(spec: Spec) -> Result<Arc<Self>, Error> {
        if let Some(problem) = KEPT.find(|known| known.same(&spec)) {
            return Ok(problem);
        }
        if spec.taps.len() > LARGE {
            return Self::new(spec).map(Arc::new);
        }
        let problem = Arc::new(Self::new(spec.clone())?);
        KEPT.keep(spec, &problem);
        Ok(problem)
    }

    /// The problem of pixels whose channels are side by side: of all channels at once or, where that is estimated to
    /// be quicker, of one of them, for each in its turn.
    ///
    /// # Errors
    /// Those of [`Correlate::new`].
    pub fn of_pixels(spec: Spec, isa: Isa) -> Result<Arc<Self>, Error> {
        let nanoseconds = |problem: &Self| {
            let cost = problem.chosen(isa).ok().and_then(|chosen| chosen.cost(problem).ok());
            cost.unwrap_or(f64::INFINITY)
        };
        let apart = Self::kept(Spec { channels: 1, ..spec.clone() })?;
        let Ok(together) = Self::kept(spec) else { return Ok(apart) };
        let [rows, cols] = together.output();
        let planes = together.channels as f64 * nanoseconds(&apart) + (rows * cols) as f64 * SCATTERED;
        // What a row of a tile reads beyond its results is brought in, and summed down, for each of them.
        let beyond = (together.axes[1].span() - 1) as f64 / cols.clamp(1, WIDE) as f64;
        Ok(if nanoseconds(&together) * (1.0 + beyond) <= planes { together } else { apart })
    }

    /// Where the choice of an implementation is remembered.
    pub(crate) fn memory(&self) -> &OnceLock<Choice<Self>> {
        &self.chosen
    }

    /// Checks a problem and settles its arithmetic.
    ///
    /// # Errors
    /// [`Error::Value`] for impossible sizes, [`Error::Type`] for a complex value that a real result
    /// can't hold, or a magnitude of complex numbers.
    pub fn new(spec: Spec) -> Result<Self, Error> {
        let Spec { src, dst, cval, taps, border, finish, .. } = spec;
        let axis = |i: usize| {
            Axis::correlation(
                spec.image[i],
                taps.shape()[i],
                spec.extent,
                spec.origin[i],
                spec.stride[i],
                spec.dilation[i],
            )
        };
        let channels = spec.channels;
        let [rows, cols] = [axis(0)?, axis(1)?];
        let cols = cols.interleaved(channels).filter(|_| channels > 0).ok_or_else(|| {
            Error::Value(format!(
                "channels side by side need a stride of 1 along columns, and rows no longer than arrays can be. \
                 Received: {channels} channels, a stride of {}.",
                spec.stride[1]
            ))
        })?;
        let spec_taps = taps.shape();
        let complex = src.is_complex() || taps.is_complex();
        if complex && !dst.is_complex() {
            return Err(Error::Type(format!(
                "a complex image or complex weights give a complex result. Received: dtype={}.",
                dst.name()
            )));
        }
        if cval.value.im != 0.0 && !src.is_complex() {
            return Err(Error::Type(format!(
                "a real image is continued by a real cval. Received: cval={} for {}.",
                cval.value,
                src.name()
            )));
        }
        if spec.left_out.is_some() && (complex || spec.magnitude.is_some() || dst.kind() != Kind::Float) {
            return Err(Error::Type(format!(
                "samples are left out of one real sum, whose result can hold a NaN. Received: {} to {}.",
                src.name(),
                dst.name()
            )));
        }
        let magnitude = spec.magnitude;
        if magnitude.is_some() && (complex || dst.is_complex()) {
            return Err(Error::Type(format!(
                "the magnitude is that of a real image. Received: {} to {}.",
                src.name(),
                dst.name()
            )));
        }
        if magnitude.as_ref().is_some_and(|second| second.shape() != spec_taps || second.is_complex()) {
            return Err(Error::Value("a magnitude has two real windows of one size.".into()));
        }
        let mut problem = Self {
            src,
            dst,
            axes: [rows, cols],
            channels,
            border,
            cval,
            magnitude,
            zeros: match spec.zeros {
                Zeros::NothingAmongFew if taps.are_few() => Zeros::Nothing,
                Zeros::NothingAmongFew => Zeros::Taps,
                zeros => zeros,
            },
            left_out: spec.left_out,
            taps,
            summation: spec.summation,
            finish,
            arithmetic: Arithmetic::F64,
            passes: spec.summation == Summation::Folded && spec_taps.iter().all(|&taps| taps > 1),
            terms: OnceLock::new(),
            fixed_point: OnceLock::new(),
            scaled: OnceLock::new(),
            chosen: OnceLock::new(),
        };
        if problem.passes && problem.taps.terms().is_none_or(|terms| terms.len() != 1) {
            return Err(Error::Value("two passes have a window for each axis.".into()));
        }
        (problem.arithmetic, problem.summation) = problem.settle();
        if problem.summation == Summation::TapOrder {
            // scipy.ndimage.correlate's footprint: where |w| > DBL_EPSILON.
            problem.taps.drop_negligible();
        }
        Ok(problem)
    }

    /// The arithmetic that the dtypes, the taps and the order of summation call for.
    fn settle(&self) -> (Arithmetic, Summation) {
        use Summation::Any;
        if let Some(second) = &self.magnitude {
            return (self.settle_magnitude(second), Any);
        }
        let Kind::Integer(..) = self.dst.kind() else {
            let single = self.src.fits_f32() && self.dst.fits_f32();
            return (if single { Arithmetic::F32 } else { Arithmetic::F64 }, Any);
        };
        let most = match self.src.kind() {
            Kind::Integer(least, most) => (least.unsigned_abs().max(most.unsigned_abs())) as f64,
            _ => f64::INFINITY,
        };
        let outside = if self.border.contains(&Border::Constant) { self.cval.value.re.abs() } else { 0.0 };
        let whole = most.is_finite()
            && self.taps.integers().is_some()
            && (outside == 0.0 || self.cval.integer.is_some());
        let sum = self.taps.magnitude() * most.max(outside);
        let narrow = self.dst.size() <= 4;
        if whole && (self.summation == Any || self.c_cast_is_modular(sum)) {
            // Every order gives the exact sum, or one congruent to it.
            let modular = self.finish.overflow == Overflow::Wrap;
            let arithmetic = match sum {
                s if s <= I16_EXACT => Arithmetic::I16,
                _ if modular && self.dst.size() <= 2 => Arithmetic::I16,
                s if s <= F32_EXACT => Arithmetic::F32,
                _ if modular && narrow => Arithmetic::I32,
                _ if modular => Arithmetic::I64,
                s if s < 2_f64.powi(31) => Arithmetic::I32,
                s if s < 2_f64.powi(63) => Arithmetic::I64,
                _ => Arithmetic::I128,
            };
            return (arithmetic, Any);
        }
        match self.summation {
            Any => {
                // A window that is one outer product is summed in two passes, with as many roundings.
                let roundings = match self.taps.terms() {
                    Some([_]) => self.taps.shape().iter().sum::<usize>() + 3,
                    _ => self.taps.len(),
                };
                let error = roundings as f64 * Arithmetic::F32.unit_roundoff() * sum;
                let single = self.src.fits_f32() && (error <= LEVELS || !most.is_finite());
                (if single { Arithmetic::F32 } else { Arithmetic::F64 }, Any)
            }
            ordered => (Arithmetic::F64Unfused, ordered),
        }
    }

    /// `f32` for what fits it, if an integer result's squares are exact or nearly so.
    fn settle_magnitude(&self, second: &Taps) -> Arithmetic {
        let single = self.src.fits_f32() && self.dst.fits_f32();
        let Kind::Integer(..) = self.dst.kind() else {
            return if single { Arithmetic::F32 } else { Arithmetic::F64 };
        };
        let most = match self.src.kind() {
            Kind::Integer(least, most) => least.unsigned_abs().max(most.unsigned_abs()) as f64,
            _ => return if single { Arithmetic::F32 } else { Arithmetic::F64 },
        };
        let outside = if self.border.contains(&Border::Constant) { self.cval.value.re.abs() } else { 0.0 };
        let sum = self.taps.magnitude().max(second.magnitude()) * most.max(outside);
        let error = (self.taps.len() + 3) as f64 * Arithmetic::F32.unit_roundoff() * sum;
        if single && error <= LEVELS { Arithmetic::F32 } else { Arithmetic::F64 }
    }

    /// The problem of the second window of a magnitude.
    pub(crate) fn second(&self) -> Option<Self> {
        let taps = self.magnitude.clone()?;
        let (terms, fixed_point, scaled, chosen) = Default::default();
        Some(Self { taps, magnitude: None, terms, fixed_point, scaled, chosen, ..self.clone() })
    }

    /// Whether a loop in `f64` that ends in C's cast gives the exact integer sum modulo the
    /// result's width. `sum` bounds the sum's magnitude. (For 64-bit images it does not, beyond
    /// 2^53; there the exact sum is what we want: a listed difference from SciPy.)
    fn c_cast_is_modular(&self, sum: f64) -> bool {
        if self.src.size() == 8 {
            return self.dst.size() == 8;
        }
        match self.dst {
            DType::U32 | DType::I64 | DType::U64 => sum < 2_f64.powi(53),
            _ => sum < 2_f64.powi(31),
        }
    }

    /// The result's rows, and samples of a row.
    pub fn output(&self) -> [usize; 2] {
        [self.axes[0].dst, self.axes[1].dst]
    }

    /// The result's rows and columns of pixels.
    pub fn pixels(&self) -> [usize; 2] {
        [self.axes[0].dst, self.axes[1].dst / self.channels]
    }

    /// Multiplications for one image.
    pub fn products(&self) -> f64 {
        let [h, w] = self.output();
        let both = |complex: bool| if complex { 2 } else { 1 };
        let sources =
            both(self.src.is_complex()) * both(self.taps.is_complex()) * both(self.magnitude.is_some());
        h as f64 * w as f64 * self.taps.len() as f64 * sources as f64
    }

    /// Estimated nanoseconds of the direct loop on one thread, for one image: a vector of 32 bytes
    /// a nanosecond or so, and one nanosecond a result. Good to a factor of two or three, which is
    /// what choosing the number of threads needs.
    pub(crate) fn nanoseconds(&self) -> f64 {
        let [h, w] = self.output();
        self.products() * self.arithmetic.size() as f64 / 100.0 + h as f64 * w as f64
    }

    /// Whether samples and results of so many planes come from memory.
    pub(crate) fn is_far(&self, planes: usize) -> bool {
        let area = |shape: [usize; 2], dtype: DType| shape[0] * shape[1] * dtype.size();
        let bytes = area(self.axes.map(|axis| axis.src), self.src) + area(self.output(), self.dst);
        is_far(bytes.saturating_mul(planes))
    }

    /// Whether what a direct loop keeps stays within reason: scratch rows as long as the window is
    /// wide, and the weights once for each number of rows in a block, 1 to 8.
    pub(crate) fn scratch_fits(&self) -> Result<(), Reject> {
        const MOST: usize = 8 << 30;
        const COPIES: usize = 36;
        let [rows, cols] = &self.axes;
        let phases = cols.stride.min(cols.span());
        let length = cols.span() / cols.stride + cols.dst.min(8192);
        let bytes = (rows.taps.saturating_add(8))
            .saturating_mul(phases)
            .saturating_mul(length)
            .saturating_add(self.taps.len().saturating_mul(COPIES))
            .saturating_mul(self.arithmetic.size());
        if bytes <= MOST { Ok(()) } else { Err(Reject("a window this large needs scratch beyond 8 GiB")) }
    }

    /// The error bound of a floating-point result as a multiple of `sum |w * x|`: `n` products and
    /// additions, each rounded, and taps rounded to the arithmetic: `(n + 1) u / (1 - (n + 1) u)`.
    /// 0 where sums are exact.
    pub fn error_bound(&self) -> f64 {
        let exact = matches!(self.dst.kind(), Kind::Integer(..)) && self.taps.integers().is_some();
        if exact && self.magnitude.is_none() && self.summation == Summation::Any {
            return 0.0;
        }
        let complex = if self.taps.is_complex() { 2.0 } else { 1.0 };
        let terms = (self.taps.len() as f64 * complex + 1.0) * self.arithmetic.unit_roundoff();
        terms / (1.0 - terms)
    }

    /// The window as a sum of outer products that serve as well as the window itself: those that it
    /// was made of, or those that elimination finds.
    ///
    /// # Errors
    /// The reason why there are none.
    pub(crate) fn terms(&self) -> Result<&[Term], Reject> {
        let found = self.terms.get_or_init(|| match self.taps.terms() {
            Some(terms) => Ok(terms.to_vec()),
            None => self.taps.factored(self.arithmetic.unit_roundoff(), self.error_bound()),
        });
        found.as_deref().map_err(Clone::clone)
    }

    /// The window's values as integers of 16 bits that serve as well.
    ///
    /// # Errors
    /// The reason why there are none.
    pub(crate) fn fixed_point(&self) -> Result<&FixedPoint, Reject> {
        self.fixed_point.get_or_init(|| FixedPoint::new(self)).as_ref().map_err(Clone::clone)
    }

    /// The window's outer product as integers of 16 bits that serve as well.
    ///
    /// # Errors
    /// The reason why there is none.
    pub(crate) fn scaled(&self) -> Result<&Scaled, Reject> {
        self.scaled.get_or_init(|| Scaled::new(self)).as_ref().map_err(Clone::clone)
    }

    /// Whether one sum over the whole window, zeros included, gives what is asked for.
    pub(crate) fn one_sum(&self) -> Result<(), Reject> {
        self.reads_zeros()?;
        self.in_one_pass()
    }

    /// Whether there is one window.
    pub(crate) fn one_window(&self) -> Result<(), Reject> {
        match (&self.magnitude, self.left_out) {
            (None, None) => Ok(()),
            (Some(_), _) => Err(Reject("sums over one window; a magnitude has two")),
            _ => Err(Reject("reads every sample; some are left out")),
        }
    }

    /// Whether what lies under zeros may be read.
    pub(crate) fn reads_zeros(&self) -> Result<(), Reject> {
        let finite = matches!(self.src.kind(), Kind::Integer(..));
        if self.zeros == Zeros::Nothing && !finite && !(0..self.taps.len()).all(|i| self.taps.is_tap(i)) {
            return Err(Reject("reads under zeros, which are no taps here"));
        }
        Ok(())
    }

    /// Whether the result is that of one sum, not of a pass after another.
    pub(crate) fn in_one_pass(&self) -> Result<(), Reject> {
        if self.summation == Summation::Folded {
            return Err(Reject("sums over the whole window; the order of two passes was asked for"));
        }
        if self.passes && self.border[1] == Border::Constant && self.cval.value != Complex::ZERO {
            return Err(Reject("continues the image by a constant, not what a first pass made of it"));
        }
        Ok(())
    }

    /// Every component of the result as a sum of real correlations: a complex product is four.
    pub(crate) fn components(&self) -> Vec<Vec<Source>> {
        let source = |component, part| Source { component, part };
        let complex = self.taps.is_complex();
        let mut real = vec![source(0, Part::Re)];
        let mut imaginary = Vec::new();
        if self.left_out.is_some() {
            // Which samples are there, as ones and zeros.
            real.push(source(1, Part::Re));
        }
        if self.src.is_complex() {
            real.extend(complex.then_some(source(1, Part::MinusIm)));
            imaginary.push(source(1, Part::Re));
        }
        imaginary.extend(complex.then_some(source(0, Part::Im)));
        if !self.dst.is_complex() {
            return vec![real];
        }
        vec![real, imaginary]
    }

    /// The weights of one real correlation, in C order.
    pub(crate) fn weights<A: Accumulator>(&self, part: Part) -> Vec<A> {
        let im = || self.taps.im().expect("complex taps have imaginary parts").iter();
        match (part, self.taps.integers()) {
            (Part::Re, Some(integers)) if self.arithmetic.unit_roundoff() == 0.0 => {
                integers.iter().map(|&w| A::from_i128(w)).collect()
            }
            (Part::Re, _) => self.taps.re().iter().map(|&w| A::from_f64(w)).collect(),
            (Part::Im, _) => im().map(|&w| A::from_f64(w)).collect(),
            (Part::MinusIm, _) => im().map(|&w| A::from_f64(-w)).collect(),
        }
    }

    /// The constant border's value for one component of the image.
    pub(crate) fn outside<A: Accumulator>(&self, component: usize) -> A {
        match (component, self.cval.integer) {
            (0, Some(integer)) => A::from_i128(integer),
            (0, None) => A::from_f64(self.cval.value.re),
            _ => A::from_f64(self.cval.value.im),
        }
    }
}

/// Which part of the taps a real correlation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Re,
    Im,
    MinusIm,
}

/// One real correlation: a component of the image with a part of the taps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// 0, or 1 for the imaginary part.
    pub(crate) component: usize,
    /// Of the taps.
    pub(crate) part: Part,
}
