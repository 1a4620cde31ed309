//! A window over any axes of an array, as walks over two axes at a time.

use super::{Reduction, Sliding, Spec, greatest};
use crate::Error;
use crate::border::Border;
use crate::dtype::{DType, Finish, Overflow, Rounding};
use crate::ops::correlate::Constant;
use crate::shape::{Axis, Extent};

/// The window along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The array's axis.
    pub axis: usize,
    /// Taps.
    pub size: usize,
    /// Displacement.
    pub origin: isize,
    /// How the axis continues.
    pub border: Border,
}

/// What becomes of a window over several axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The least sample.
    Minimum,
    /// The greatest sample.
    Maximum,
    /// The mean.
    Mean,
}

/// A filter of an array.
#[derive(Clone, Debug)]
pub struct Filter {
    /// What becomes of a window.
    pub kind: Kind,
    /// The array's dtype.
    pub src: DType,
    /// The result's dtype.
    pub dst: DType,
    /// The array's shape.
    pub shape: Vec<usize>,
    /// The window, axis by axis, in the order in which SciPy takes them.
    pub windows: Vec<Window>,
    /// Which positions are computed.
    pub extent: Extent,
    /// The constant border's value.
    pub cval: Constant,
    /// How results become integers. Truncating ones are SciPy's: stored after every axis.
    pub finish: Finish,
}

/// One walk.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The problem.
    pub problem: Sliding,
    /// Which axes of the array are rows, columns and channels; None is an axis of one position.
    pub axes: [Option<usize>; 3],
    /// The shape of the array that it gives.
    pub shape: Vec<usize>,
}

impl Filter {
    /// The walks, each of which reads what the one before it gives.
    ///
    /// # Errors
    /// As [`Sliding::new`]; [`Error::Unsupported`] for exact means of 64-bit integers over more than two axes.
    pub fn passes(&self) -> Result<Vec<Pass>, Error> {
        // SciPy's integers depend on the order of the axes.
        let by_axis = self.finish.rounding == Rounding::Truncate && greatest(self.dst).is_some();
        let mut windows: Vec<Window> = self.windows.iter().copied().filter(|w| w.size != 1).collect();
        if !(by_axis && self.kind == Kind::Mean) {
            windows.sort_by_key(|w| w.axis);
        }
        // Refused before any pass has run, and never for an absurd size alone.
        for window in &self.windows {
            let n = self.shape[window.axis];
            Axis::correlation(n, window.size, self.extent, window.origin, 1, 1)?;
        }
        let mut groups: Vec<Vec<Window>> = Vec::new();
        let mut rest = &windows[..];
        // From the last axis back, two at a time.
        while let Some((&last, before)) = rest.split_last() {
            match before.split_last() {
                Some((&first, before)) if first.axis < last.axis && self.fuses(&[first, last]) => {
                    groups.push(vec![first, last]);
                    rest = before;
                }
                _ => {
                    groups.push(vec![last]);
                    rest = before;
                }
            }
        }
        groups.reverse();
        if groups.is_empty() {
            groups.push(Vec::new());
        }
        self.chain(&groups, by_axis)
    }

    fn fuses(&self, windows: &[Window]) -> bool {
        let spec =
            self.spec(windows, self.reduction(true, 1), self.src, self.dst, &self.shape, self.cval, None);
        Sliding::fuses(&spec.0)
    }

    fn reduction(&self, by_axis: bool, divisor: u64) -> Reduction {
        match self.kind {
            Kind::Minimum => Reduction::Minimum,
            Kind::Maximum => Reduction::Maximum,
            Kind::Mean if by_axis => Reduction::MeanByAxis,
            Kind::Mean => Reduction::Mean { divisor },
        }
    }

    /// What stands between two walks: SciPy's integers, the image's elements, or sums that hold every bit.
    fn between(&self, by_axis: bool, taps: u128) -> Result<DType, Error> {
        if by_axis {
            return Ok(self.dst);
        }
        if self.kind != Kind::Mean {
            return Ok(self.src);
        }
        let constant = self.windows.iter().any(|w| w.border == Border::Constant);
        match (greatest(self.src), greatest(self.dst)) {
            (Some(most), Some(_)) if !constant || self.cval.integer.is_some() => {
                let most = most.max(self.cval.integer.unwrap_or(0).saturating_abs()) as u128;
                if most.saturating_mul(taps) >= 1 << 63 {
                    return Err(Error::Unsupported(format!(
                        "means of {} over more than two axes are not supported yet; \
                         convert the image to float64, or filter fewer axes.",
                        self.src.name()
                    )));
                }
                Ok(DType::I64)
            }
            (None, None) if self.src.fits_f32() && self.dst.fits_f32() => Ok(DType::F32),
            _ => Ok(DType::F64),
        }
    }

    fn chain(&self, groups: &[Vec<Window>], by_axis: bool) -> Result<Vec<Pass>, Error> {
        let size = |group: &Vec<Window>| group.iter().map(|w| w.size as u128).product::<u128>();
        let taps: u128 = groups.iter().map(size).product();
        let divisor = u64::try_from(taps).map_err(|_| {
            Error::Value(format!("the window must have fewer than 2^64 taps. Received: {taps}."))
        })?;
        let mut shape = self.shape.clone();
        let mut src = self.src;
        let mut done: u128 = 1;
        let mut passes = Vec::new();
        for (i, group) in groups.iter().enumerate() {
            let last = i + 1 == groups.len();
            let dst = if last { self.dst } else { self.between(by_axis, taps)? };
            let divisor = if last { divisor } else { 1 };
            // A sum of constants so far.
            let mean = self.kind == Kind::Mean && !by_axis;
            let cval = match (mean, self.cval.integer) {
                (false, _) => self.cval,
                (true, Some(integer)) => {
                    let scaled = integer.saturating_mul(done as i128);
                    Constant { integer: Some(scaled), ..Constant::from(scaled as f64) }
                }
                (true, None) => Constant::from(self.cval.value.re * done as f64),
            };
            let most = (mean && i > 0).then(|| greatest(self.src)).flatten();
            let most = most.map(|most| {
                most.max(self.cval.integer.unwrap_or(0).saturating_abs()).saturating_mul(done as i128)
            });
            let (spec, axes) =
                self.spec(group, self.reduction(by_axis, divisor), src, dst, &shape, cval, most);
            let problem = Sliding::new(spec)?;
            for (axis, n) in axes.iter().zip(problem.output()) {
                if let Some(axis) = axis {
                    shape[*axis] = n;
                }
            }
            passes.push(Pass { problem, axes, shape: shape.clone() });
            (src, done) = (dst, done.saturating_mul(size(group)));
        }
        Ok(passes)
    }

    /// The problem of one or two windows (or none) over an array of that shape.
    #[expect(clippy::too_many_arguments, reason = "what differs from one pass to the next")]
    fn spec(
        &self,
        windows: &[Window],
        reduction: Reduction,
        src: DType,
        dst: DType,
        shape: &[usize],
        cval: Constant,
        most: Option<i128>,
    ) -> (Spec, [Option<usize>; 3]) {
        let n = shape.len();
        let none = Window { axis: 0, size: 1, origin: 0, border: Border::Nearest };
        let last = n.checked_sub(1);
        let (axes, windows) = match *windows {
            [rows, cols] => {
                ([Some(rows.axis), Some(cols.axis), last.filter(|&l| l != cols.axis)], [rows, cols])
            }
            [one] if Some(one.axis) == last => ([one.axis.checked_sub(1), last, None], [none, one]),
            [one] if one.axis + 2 < n => ([Some(one.axis), Some(n - 2), last], [one, none]),
            [one] => ([Some(one.axis), last, None], [one, none]),
            _ => ([last.and_then(|l| l.checked_sub(1)), last, None], [none, none]),
        };
        let at = |axis: Option<usize>| axis.map_or(1, |a| shape[a]);
        let (mut extent, picture) = (self.extent, axes.map(at));
        if windows.iter().all(|w| w.size == 1) {
            extent = Extent::Same;
        }
        let area: usize = picture.iter().product();
        let spec = Spec {
            reduction,
            src,
            dst,
            pictures: shape.iter().product::<usize>().checked_div(area).unwrap_or(0),
            image: picture,
            window: windows.map(|w| w.size),
            extent,
            origin: windows.map(|w| w.origin),
            border: windows.map(|w| w.border),
            cval,
            most,
            finish: Finish {
                // Sums between walks are whole; what saturates at the end does so once.
                overflow: if dst == self.dst { self.finish.overflow } else { Overflow::Saturate },
                ..self.finish
            },
        };
        (spec, axes)
    }
}
