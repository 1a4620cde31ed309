//! Ordered lists of implementations, one an operation: everything that chooses, explains, tests or
//! times an implementation walks its list.

use crate::Error;
use crate::isa::Isa;
use crate::ops;
use crate::parallel::Workers;
use crate::view::{Dst, Src};
use std::sync::OnceLock;

/// Why an implementation can't take a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject(pub &'static str);

/// How a plan is carried out; never what it computes.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    /// The instruction set.
    pub isa: Isa,
    /// The threads.
    pub workers: Workers<'a>,
    /// Rows and columns of a tile, where the implementation's own choice is not wanted (tests).
    pub tile: Option<[usize; 2]>,
    /// Where a layer's filters stay packed, for a caller that gives the same ones again.
    pub filters: Option<&'a ops::conv::Packed>,
}

impl<'a> Schedule<'a> {
    /// An instruction set and threads; the rest is the implementation's choice, and nothing stays.
    pub fn new(isa: Isa, workers: Workers<'a>) -> Self {
        Self { isa, workers, tile: None, filters: None }
    }
}

/// One way to solve the problems of one operation.
pub trait Implementation<P>: Sync {
    /// The name, as in `correlate/direct/f32/x86-64-v3`.
    fn name(&self) -> &'static str;
    /// What it computes in, where that is not the problem's arithmetic.
    fn arithmetic(&self) -> Option<&'static str> {
        None
    }
    /// How far a result of it may be from the exact one, in words, where that is not what the operation says.
    fn bound(&self, _problem: &P) -> Option<String> {
        None
    }
    /// Whether an instruction set has what it needs.
    ///
    /// # Errors
    /// What is missing.
    fn supports(&self, _isa: Isa) -> Result<(), Reject> {
        Ok(())
    }
    /// A name that implementations share whose results are the same to the bit, on every instruction set.
    fn results(&self, _problem: &P) -> &'static str {
        self.name()
    }
    /// Whether only some instruction sets can have it: what a result is must not depend on that.
    fn is_rare(&self) -> bool {
        false
    }
    /// Estimated nanoseconds on one thread, for choosing among those that accept.
    ///
    /// # Errors
    /// The reason why it can't take the problem.
    fn cost(&self, problem: &P) -> Result<f64, Reject>;
    /// Solves the problem: from the arrays that it reads to those that it writes, in the order that
    /// the problem's documentation gives.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the caller asked to give up.
    ///
    /// # Panics
    /// If there are more or fewer arrays.
    fn run(
        &self,
        problem: &P,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error>;
}

/// The array that is read and the one that is written.
///
/// # Panics
/// If there are more or fewer.
pub fn single<'s, 'd, 'a, 'b>(
    srcs: &'s [Src<'a>],
    dsts: &'d mut [Dst<'b>],
) -> (&'s Src<'a>, &'d mut Dst<'b>) {
    match (srcs, dsts) {
        ([src], [dst]) => (src, dst),
        _ => panic!("one array is read and one is written"),
    }
}

/// The choice of an implementation, in words.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The problem.
    pub problem: String,
    /// The id of the implementation that runs.
    pub chosen: String,
    /// Threads, at most.
    pub threads: usize,
    /// How far a result may be from the exact one.
    pub bound: String,
    /// Every implementation: its id, and its estimated nanoseconds or the reason of its refusal.
    pub candidates: Vec<(String, Option<f64>, String)>,
}

/// An implementation and its cost.
type Cost<P> = (&'static dyn Implementation<P>, f64);

/// The implementation that an instruction set's calls run.
#[derive(Clone, Copy)]
pub struct Choice<P: 'static> {
    isa: Isa,
    implementation: &'static dyn Implementation<P>,
}

impl<P> std::fmt::Debug for Choice<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.implementation.name(), self.isa.name())
    }
}

/// An operation: its name and its implementations.
pub trait Operation: Sized + 'static {
    /// The name, first part of an implementation's id.
    const NAME: &'static str;
    /// The implementations.
    const IMPLEMENTATIONS: &'static [&'static dyn Implementation<Self>];

    /// The problem in a line: shapes, dtypes, window.
    fn describe(&self) -> String;

    /// How far a result may be from the exact one, in words.
    fn bound(&self) -> String;

    /// What the id says between the implementation's and the instruction set's name.
    fn arithmetic(&self) -> &'static str;

    /// Whether every implementation gives the same results, to the bit.
    fn is_exact(&self) -> bool {
        false
    }

    /// Where the choice is remembered, if the problem may be asked again.
    fn remembered(&self) -> Option<&OnceLock<Choice<Self>>> {
        None
    }

    /// What [`select`](Operation::select) chooses, from memory if it was asked before.
    ///
    /// # Errors
    /// As there.
    fn chosen(&self, isa: Isa) -> Result<&'static dyn Implementation<Self>, Error> {
        let Some(memory) = self.remembered() else { return self.select(isa) };
        match memory.get() {
            Some(choice) if choice.isa == isa => Ok(choice.implementation),
            _ => {
                let implementation = self.select(isa)?;
                // Another thread may have been first, with the same.
                let _ = memory.set(Choice { isa, implementation });
                Ok(implementation)
            }
        }
    }

    /// Every implementation with its cost or its refusal.
    fn candidates(&self, isa: Isa) -> Vec<(&'static dyn Implementation<Self>, Result<f64, Reject>)> {
        (Self::IMPLEMENTATIONS.iter()).map(|&i| (i, i.supports(isa).and_then(|()| i.cost(self)))).collect()
    }

    /// The cheapest implementation that accepts. One that only some instruction sets have is chosen in the place of
    /// one that gives the same results, to the bit: what a result is does not depend on the CPU's matrix unit.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if none does, with every reason.
    fn select(&self, isa: Isa) -> Result<&'static dyn Implementation<Self>, Error> {
        let cheapest = |best: Option<Cost<Self>>, candidate: &'static dyn Implementation<Self>| {
            let cost = candidate.supports(isa).and_then(|()| candidate.cost(self));
            match (best, cost) {
                (Some(best), Ok(cost)) if best.1 <= cost => Some(best),
                (_, Ok(cost)) => Some((candidate, cost)),
                (best, Err(_)) => best,
            }
        };
        let all = || Self::IMPLEMENTATIONS.iter().copied();
        let common = all().filter(|i| !i.is_rare()).fold(None, cheapest);
        let results = common.map(|(chosen, _)| chosen.results(self));
        let same = |i: &&'static dyn Implementation<Self>| {
            i.is_rare() && (self.is_exact() || results == Some(i.results(self)))
        };
        let best = all().filter(same).fold(common, cheapest);
        best.map(|(chosen, _)| chosen).ok_or_else(|| {
            let reasons: Vec<_> = (self.candidates(isa).into_iter())
                .filter_map(|(i, cost)| Some(format!("{}: {}", i.name(), cost.err()?.0)))
                .collect();
            Error::Unsupported(format!("no implementation takes this problem. {}.", reasons.join("; ")))
        })
    }

    /// What would be run, and why nothing else.
    fn explain(&self, schedule: &Schedule<'_>) -> Explanation {
        let id = |i: &dyn Implementation<Self>| self.id(i, schedule.isa);
        Explanation {
            problem: self.describe(),
            chosen: self.select(schedule.isa).map_or_else(|e| e.to_string(), id),
            threads: schedule.workers.threads(),
            bound: (self.select(schedule.isa).ok().and_then(|i| i.bound(self)))
                .unwrap_or_else(|| self.bound()),
            candidates: (self.candidates(schedule.isa).into_iter())
                .map(|(i, cost)| match cost {
                    Ok(nanoseconds) => (id(i), Some(nanoseconds), String::new()),
                    Err(Reject(reason)) => (id(i), None, reason.to_owned()),
                })
                .collect(),
        }
    }

    /// The id of an implementation: `operation/implementation/arithmetic/isa`.
    fn id(&self, implementation: &dyn Implementation<Self>, isa: Isa) -> String {
        let arithmetic = implementation.arithmetic().unwrap_or_else(|| self.arithmetic());
        format!("{}/{}/{arithmetic}/{}", Self::NAME, implementation.name(), isa.name())
    }
}

impl Operation for ops::correlate::Correlate {
    const NAME: &'static str = "correlate";
    const IMPLEMENTATIONS: &'static [&'static dyn Implementation<Self>] = &[
        &ops::folded::Folded,
        &ops::guessed::Guessed,
        &ops::separable::Separable,
        &ops::pairs::PairPasses,
        &ops::pairs::Pairs,
        &ops::pairs::Toeplitz,
        &ops::direct::Direct,
        &ops::bytes::ByteTaps,
        &ops::sparse::Sparse,
        &ops::fft::Fft,
    ];

    fn describe(&self) -> String {
        let [[ih, iw], [kh, kw]] = [self.axes.map(|a| a.src), self.taps.shape()];
        let [rows, cols] = self.border.map(crate::border::Border::name);
        let [oh, ow] = self.output();
        let pixels = |samples: usize| match self.channels {
            1 => samples.to_string(),
            n => format!("{}x{n}", samples / n),
        };
        let [iw, ow] = [iw, ow].map(pixels);
        format!(
            "{kh}x{kw} window over {ih}x{iw} {} to {oh}x{ow} {}, border {rows}/{cols}",
            self.src.name(),
            self.dst.name()
        )
    }

    fn bound(&self) -> String {
        let bound = self.error_bound();
        if bound == 0.0 {
            return "exact".into();
        }
        format!("within {bound:.2e} x sum |w x| of the exact sum, before rounding to the dtype")
    }

    fn arithmetic(&self) -> &'static str {
        self.arithmetic.name()
    }

    fn is_exact(&self) -> bool {
        self.error_bound() == 0.0
    }

    fn remembered(&self) -> Option<&OnceLock<Choice<Self>>> {
        Some(self.memory())
    }
}

impl Operation for ops::pool::Pool {
    const NAME: &'static str = "pool";
    const IMPLEMENTATIONS: &'static [&'static dyn Implementation<Self>] = &[
        &ops::pool::Whole,
        &ops::pool::Beside,
        &ops::pool::Abreast,
        &ops::pool::Channels,
        &ops::pool::Separable,
        &ops::pool::Indexed,
    ];

    fn describe(&self) -> String {
        self.to_string()
    }

    fn bound(&self) -> String {
        match self.error_bound() {
            0.0 => "exact".into(),
            bound => format!("within {bound:.2e} x the mean of |x|, before rounding to the dtype"),
        }
    }

    fn arithmetic(&self) -> &'static str {
        self.arithmetic_name()
    }
}

impl Operation for ops::pool::MaxGrad {
    const NAME: &'static str = "max-gradient";
    const IMPLEMENTATIONS: &'static [&'static dyn Implementation<Self>] = &[
        &ops::pool::Beside,
        &ops::pool::Apart,
        &ops::pool::Numbered,
        &ops::pool::Scattered,
        &ops::pool::Gathered,
    ];

    fn describe(&self) -> String {
        self.to_string()
    }

    fn bound(&self) -> String {
        match self.error_bound() {
            0.0 => "exact".into(),
            bound => {
                format!("within {bound:.2e} x sum |grad| of the exact sum, before rounding to the dtype")
            }
        }
    }

    fn arithmetic(&self) -> &'static str {
        self.arithmetic().name()
    }
}

impl Operation for ops::pool::MeanGrad {
    const NAME: &'static str = "mean-gradient";
    const IMPLEMENTATIONS: &'static [&'static dyn Implementation<Self>] =
        &[&ops::pool::Whole, &ops::pool::Beside, &ops::pool::Spread];

    fn describe(&self) -> String {
        self.to_string()
    }

    fn bound(&self) -> String {
        let bound = self.error_bound();
        format!("within {bound:.2e} x sum |grad / divisor| of the exact sum, before rounding to the dtype")
    }

    fn arithmetic(&self) -> &'static str {
        self.pool.arithmetic.name()
    }
}

impl Operation for ops::sliding::Sliding {
    const NAME: &'static str = "sliding";
    const IMPLEMENTATIONS: &'static [&'static dyn Implementation<Self>] =
        &[&ops::sliding::ByteMeans, &ops::sliding::Walk];

    fn describe(&self) -> String {
        self.to_string()
    }

    fn bound(&self) -> String {
        match self.error_bound() {
            0.0 => "exact".into(),
            bound => format!("within {bound:.2e} x the mean of |x|, before rounding to the dtype"),
        }
    }

    fn arithmetic(&self) -> &'static str {
        self.numbers.name()
    }
}

impl Operation for ops::sliding::footprint::Footprint {
    const NAME: &'static str = "footprint";
    const IMPLEMENTATIONS: &'static [&'static dyn Implementation<Self>] = &[&ops::sliding::footprint::Taps];

    fn describe(&self) -> String {
        format!(
            "{} over {} taps{} of {:?} {} to {}, border {}",
            if self.maximum { "maximum" } else { "minimum" },
            self.taps.len(),
            if self.addends.is_some() { " with addends" } else { "" },
            self.shape,
            self.src.name(),
            self.dst.name(),
            self.border.name()
        )
    }

    fn bound(&self) -> String {
        "exact".into()
    }

    fn arithmetic(&self) -> &'static str {
        if self.addends.is_some() { "f64" } else { "own" }
    }
}

/// The three problems of a convolution layer.
macro_rules! convolution {
    ($($problem:ident, $name:literal, $terms:literal, [$($implementation:ident),*];)*) => {$(
        impl Operation for ops::conv::$problem {
            const NAME: &'static str = $name;
            const IMPLEMENTATIONS: &'static [&'static dyn Implementation<Self>] =
                &[$(&ops::conv::$implementation),*];

            fn describe(&self) -> String {
                self.conv.to_string()
            }

            fn bound(&self) -> String {
                let bound = self.error_bound();
                format!(concat!("within {:.2e} x ", $terms, " of the exact sum, before rounding to the dtype"), bound)
            }

            fn arithmetic(&self) -> &'static str {
                self.conv.arithmetic().name()
            }
        }
    )*};
}
convolution! {
    Forward, "conv2d", "sum |x w|", [Depthwise, Split, Winograd, Winograd4, Gather];
    GradInput, "conv2d-grad-input", "sum |grad w|", [Depthwise, Split, Winograd, Winograd4, Gather];
    GradFilters, "conv2d-grad-filters", "sum |x grad|", [Dots, Pictures, Depthwise, WinogradFilters, Outer];
}
