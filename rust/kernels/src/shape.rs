//! Window arithmetic for one axis: which samples an output position reads, and how many there are.
//!
//! Output `o`, tap `t` of an axis read source position
//!
//! ```text
//! o * stride + t * dilation - before        0 <= o < dst,  0 <= t < taps
//! ```
//!
//! Extents (scipy.signal's full, same, valid), origins, even kernels and padding all come down to
//! the pair `(before, dst)`; nothing past this file knows which of them was asked for.

use crate::Error;

/// Which part of the full correlation is returned: scipy.signal's `mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every position where window and image overlap at all.
    Full,
    /// As many positions as the image has.
    Same,
    /// The positions where the window lies inside the image.
    Valid,
}

impl Extent {
    /// Every extent with its name.
    pub const ALL: [(&'static str, Self); 3] =
        [("full", Self::Full), ("same", Self::Same), ("valid", Self::Valid)];

    /// Reads `"full"`, `"same"` or `"valid"`.
    ///
    /// # Errors
    /// [`Error::Value`] for another word.
    pub fn parse(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find_map(|(n, e)| (n == name).then_some(e)).ok_or_else(|| {
            Error::Value(format!("extent must be 'full', 'same' or 'valid'. Received: {name:?}."))
        })
    }
}

/// How many samples a layer's window adds outside the image: TensorFlow's and torch's `padding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// None.
    Valid,
    /// TensorFlow's SAME: `ceil(src / stride)` outputs, the odd sample going after.
    Same,
    /// So many before and after.
    Explicit(usize, usize),
}

/// The window of one axis over an image axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Samples of the source.
    pub src: usize,
    /// Positions of the result.
    pub dst: usize,
    /// Taps of the window.
    pub taps: usize,
    /// Distance between neighbouring results, in samples.
    pub stride: usize,
    /// Distance between neighbouring taps, in samples; 1 is a dense window.
    pub dilation: usize,
    /// How far before position 0 the first window begins; negative where it begins inside.
    pub before: isize,
    /// Padding after the last sample, which a mean may count; 0 for a correlation.
    pub after: usize,
}

/// The greatest size, reach or step that an axis may have: whatever is computed from a few of them
/// stays far inside `isize`.
const LIMIT: usize = isize::MAX as usize / 8;

fn checked(what: &str, value: usize, least: usize) -> Result<usize, Error> {
    if (least..=LIMIT).contains(&value) {
        Ok(value)
    } else {
        Err(Error::Value(format!("{what} must be at least {least} and at most {LIMIT}. Received: {value}.")))
    }
}

impl Axis {
    fn new(src: usize, taps: usize, stride: usize, dilation: usize) -> Result<Self, Error> {
        let axis = Self {
            src: checked("an image axis", src, 0)?,
            dst: 0,
            taps: checked("a window axis", taps, 1)?,
            stride: checked("a stride", stride, 1)?,
            dilation: checked("a dilation", dilation, 1)?,
            before: 0,
            after: 0,
        };
        axis.taps.checked_mul(axis.dilation).filter(|&reach| reach <= LIMIT).map(|_| axis).ok_or_else(|| {
            Error::Value(format!(
                "the window reaches further than an array can be long. \
                     Received: {taps} taps at dilation {dilation}."
            ))
        })
    }

    /// Samples that the window spans: `(taps - 1) * dilation + 1`.
    pub const fn span(&self) -> usize {
        (self.taps - 1) * self.dilation + 1
    }

    /// The axis where each of its samples is `channels` side by side, of which a window meets one: positions are counted
    /// in those. `None` where results are not side by side, or the axis would be longer than an array.
    pub(crate) fn interleaved(self, channels: usize) -> Option<Self> {
        let Self { src, dst, taps, stride, dilation, before, after } = self;
        let scaled = |n: usize| n.checked_mul(channels).filter(|&n| n <= LIMIT);
        let reach = scaled(taps.checked_mul(dilation)?)?;
        (channels == 1 || stride == 1).then_some(Self {
            src: scaled(src)?,
            dst: scaled(dst)?,
            dilation: reach / taps,
            before: before * channels as isize,
            after: scaled(after)?,
            ..self
        })
    }

    /// The axis of a correlation. The centre of a window of `k` taps is tap `k / 2`, as in
    /// scipy.ndimage; a positive `origin` moves the window towards lower positions. Only
    /// [`Extent::Same`] takes an origin.
    ///
    /// # Errors
    /// [`Error::Value`] where a size is zero or absurd, the origin leaves the window, or a valid
    /// extent has no position at all while the image has some.
    pub fn correlation(
        src: usize,
        taps: usize,
        extent: Extent,
        origin: isize,
        stride: usize,
        dilation: usize,
    ) -> Result<Self, Error> {
        let mut axis = Self::new(src, taps, stride, dilation)?;
        let span = axis.span();
        let centre = (taps / 2 * dilation) as isize;
        let (least, most) = (-centre, ((taps - 1) / 2 * dilation) as isize);
        if !(least..=most).contains(&origin) || (origin != 0 && extent != Extent::Same) {
            return Err(Error::Value(format!(
                "origin must lie within the window, {least} to {most} for {taps} taps at dilation \
                 {dilation}, and be 0 unless extent is 'same'. Received: {origin}."
            )));
        }
        let dense;
        (dense, axis.before) = match extent {
            Extent::Full => (if src == 0 { 0 } else { src + span - 1 }, span as isize - 1),
            Extent::Same => (src, centre + origin),
            Extent::Valid => ((src + 1).saturating_sub(span), 0),
        };
        axis.dst = dense.div_ceil(stride);
        Ok(axis)
    }

    /// Samples added before and after.
    const fn padding(&self, padding: Padding) -> (usize, usize) {
        match padding {
            Padding::Valid => (0, 0),
            Padding::Same => {
                let dst = self.src.div_ceil(self.stride);
                let total = (dst.saturating_sub(1) * self.stride + self.span()).saturating_sub(self.src);
                (total / 2, total - total / 2)
            }
            Padding::Explicit(before, after) => (before, after),
        }
    }

    /// Sets padding and results. `ceil` keeps a last window that hangs over the end by less than a
    /// stride.
    fn padded(mut self, (before, after): (usize, usize), ceil: bool) -> Result<Self, Error> {
        let (before, after) = (checked("padding", before, 0)?, checked("padding", after, 0)?);
        let (span, padded) = (self.span(), self.src + before + after);
        (self.before, self.after) = (before as isize, after);
        let reach = if ceil { padded + self.stride - 1 } else { padded };
        if self.src > 0 && reach < span {
            return Err(Error::Value(format!(
                "the window must fit into the padded image. \
                 Received: a window spanning {span} samples, an image of {} padded to {padded}.",
                self.src
            )));
        }
        if self.src > 0 {
            self.dst = (reach - span) / self.stride + 1;
        }
        Ok(self)
    }

    /// The axis of a pooling window. `ceil` keeps a last window that hangs over the end, so long as
    /// it begins inside the image or the padding before it (torch's `ceil_mode`).
    ///
    /// # Errors
    /// [`Error::Value`] where a size is zero or absurd, padding exceeds half the window, or no
    /// window fits.
    pub fn pooling(
        src: usize,
        taps: usize,
        stride: usize,
        dilation: usize,
        padding: Padding,
        ceil: bool,
    ) -> Result<Self, Error> {
        let axis = Self::new(src, taps, stride, dilation)?;
        let (before, after) = axis.padding(padding);
        let half = axis.span() / 2;
        if matches!(padding, Padding::Explicit(..)) && (before > half || after > half) {
            return Err(Error::Value(format!(
                "padding must be at most half the window, {half} here, so that every window \
                 holds a sample of the image. Received: {before} before, {after} after."
            )));
        }
        let mut axis = axis.padded((before, after), ceil)?;
        // A window that would begin after the image holds none of it.
        if ceil && axis.dst > 0 && (axis.dst - 1) * stride >= src + before {
            axis.dst -= 1;
        }
        Ok(axis)
    }

    /// The axis of a convolution layer, whose window reads zeros in the padding.
    ///
    /// # Errors
    /// [`Error::Value`] where a size is zero or absurd, or no window fits.
    pub fn convolution(
        src: usize,
        taps: usize,
        stride: usize,
        dilation: usize,
        padding: Padding,
    ) -> Result<Self, Error> {
        let axis = Self::new(src, taps, stride, dilation)?;
        axis.padded(axis.padding(padding), false)
    }

    /// The axis of the convolution layer whose transpose takes `dst` samples to the axis's `src`.
    /// The sizes are Keras': by default `dst * stride + max(span - stride, 0)` without padding and
    /// `dst * stride` with [`Padding::Same`]; with `extra` (Keras' `output_padding`, less than the
    /// stride), and for explicit padding, `(dst - 1) * stride + span - padding + extra`.
    ///
    /// # Errors
    /// [`Error::Value`] where a size is zero or absurd, `extra` is a stride or more, or the padding
    /// leaves nothing.
    pub fn transposed(
        dst: usize,
        taps: usize,
        stride: usize,
        dilation: usize,
        padding: Padding,
        extra: Option<usize>,
    ) -> Result<Self, Error> {
        let mut axis = Self::new(dst, taps, stride, dilation)?;
        let span = axis.span();
        if extra.is_some_and(|extra| extra >= stride) {
            return Err(Error::Value(format!(
                "output_padding must be less than the stride. Received: {} for a stride of {stride}.",
                extra.unwrap_or(0)
            )));
        }
        let full = dst
            .checked_sub(1)
            .map_or(Some(0), |last| last.checked_mul(stride)?.checked_add(span + stride))
            .filter(|&n| n <= LIMIT)
            .ok_or_else(|| {
                Error::Value(format!(
                    "the result would be longer than an array can be. \
                     Received: {dst} samples at stride {stride}."
                ))
            })?;
        let reach = if dst == 0 { 0 } else { full - stride };
        let (src, before) = match (padding, extra) {
            (Padding::Valid, None) => (reach + if dst == 0 { 0 } else { stride.saturating_sub(span) }, 0),
            (Padding::Valid, Some(extra)) => (reach + extra, 0),
            (Padding::Same, None) => (dst * stride, span.saturating_sub(stride) / 2),
            (Padding::Same, Some(extra)) => {
                // Keras gives the size, and TensorFlow's rule for that size the padding.
                let total = span / 2 * 2;
                ((reach + extra).saturating_sub(total), total.saturating_sub(extra) / 2)
            }
            (Padding::Explicit(before, after), _) => {
                let (before, after) = (checked("padding", before, 0)?, checked("padding", after, 0)?);
                let src =
                    (reach + extra.unwrap_or(0)).checked_sub(before + after).filter(|&n| n > 0 || dst == 0);
                let src = src.ok_or_else(|| {
                    Error::Value(format!(
                        "the padding must leave a sample of the result. \
                         Received: {before} before and {after} after of {reach}."
                    ))
                })?;
                (src, before)
            }
        };
        axis.src = src;
        axis.dst = dst;
        axis.before = before as isize;
        axis.after = (dst.saturating_sub(1) * stride + span).saturating_sub(src + before);
        Ok(axis)
    }

    /// The axis of adaptive pooling's parent image: `dst` windows of varying size. Only the bounds
    /// of each window are fixed, `floor(o * src / dst) .. ceil((o + 1) * src / dst)`.
    pub const fn adaptive_window(src: usize, dst: usize, o: usize) -> (usize, usize) {
        // u128: o * src may exceed usize for absurd sizes.
        let (n, m, i) = (src as u128, dst as u128, o as u128);
        ((i * n / m) as usize, ((i + 1) * n).div_ceil(m) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correlation(src: usize, taps: usize, extent: Extent) -> (usize, isize) {
        let axis = Axis::correlation(src, taps, extent, 0, 1, 1).unwrap();
        (axis.dst, axis.before)
    }

    #[test]
    fn extents_have_scipys_sizes() {
        assert_eq!(correlation(10, 3, Extent::Full), (12, 2));
        assert_eq!(correlation(10, 3, Extent::Same), (10, 1));
        assert_eq!(correlation(10, 4, Extent::Same), (10, 2));
        assert_eq!(correlation(10, 3, Extent::Valid), (8, 0));
        assert_eq!(correlation(2, 3, Extent::Valid), (0, 0));
    }

    #[test]
    fn same_padding_puts_the_odd_sample_after() {
        let axis = Axis::pooling(4, 3, 2, 1, Padding::Same, false).unwrap();
        assert_eq!((axis.dst, axis.before), (2, 0));
    }

    #[test]
    fn ceil_mode_drops_a_window_that_begins_after_the_image() {
        // torch: max_pool1d(5 samples, kernel 2, stride 2, padding 1, ceil_mode) gives 3, not 4.
        let axis = Axis::pooling(4, 2, 3, 1, Padding::Explicit(1, 1), true).unwrap();
        assert_eq!(axis.dst, 2);
        assert_eq!(Axis::pooling(5, 2, 2, 1, Padding::Valid, true).unwrap().dst, 3);
    }

    #[test]
    fn ceil_mode_lets_the_only_window_hang_over() {
        // torch: floor((2 - 3 + 1) / 2) + 1 = 1.
        assert_eq!(Axis::pooling(2, 3, 2, 1, Padding::Valid, true).unwrap().dst, 1);
        assert!(Axis::pooling(2, 4, 2, 1, Padding::Valid, true).is_err());
    }

    #[test]
    fn absurd_sizes_are_refused_and_do_not_overflow() {
        for (src, taps, stride, dilation) in [
            (usize::MAX, 3, 1, 1),
            (8, usize::MAX, 1, 1),
            (8, 3, usize::MAX, 1),
            (8, 3, 1, usize::MAX / 2),
            (8, 0, 1, 1),
            (8, 3, 0, 1),
            (8, 3, 1, 0),
        ] {
            let error = Axis::correlation(src, taps, Extent::Full, 0, stride, dilation);
            assert!(matches!(error, Err(Error::Value(_))), "{src} {taps} {stride} {dilation}");
        }
    }
}
