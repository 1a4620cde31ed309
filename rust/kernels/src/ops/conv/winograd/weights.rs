//! Filters, transformed.

use super::super::pack::{Panel, Piece, pieces, share};
use super::{Filtering, Layer};
use crate::Error;
use crate::alloc::Plain;
use crate::alloc::results::Kept;
use crate::isa::Kernel;
use crate::registry::Schedule;
use crate::simd::{Lane, MAX_LANES, MAX_VECTORS, Simd, Vector};
use crate::view::Floats;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows of a place's weights, of so many channels: with one more, the places of a filter are not all in one
/// set of the caches, and are written twice as quickly.
pub(super) fn rows(channels: usize) -> usize {
    channels + 1
}

/// All filters of a filtering: by group, panel, place, channel and lane.
pub(super) struct Transformed<A: Plain, F> {
    pub(super) numbers: Kept<A>,
    filtering: PhantomData<F>,
}

/// Transforms all filters.
pub(super) fn all<L: Lane<Elem: Floats>, F: Filtering>(
    layer: &Layer<'_, L::Elem, F>,
    schedule: &Schedule<'_>,
) -> Result<Transformed<L::Elem, F>, Error> {
    let pass = layer.pass;
    let panels = layer.panels(0, pass.wide);
    let lanes: usize = panels.iter().map(|panel| panel.vectors * layer.lanes).sum();
    let mut numbers = Kept::new(F::PLACES * pass.groups * rows(pass.deep) * lanes);
    let each = F::PLACES * rows(pass.deep) * layer.lanes;
    let pieces = pieces(&mut numbers, [pass.groups, each], &panels, schedule.workers.threads());
    let tasks = pieces.into_iter().map(|piece| Filters::<L, F> { layer, piece }).collect();
    share(tasks, 4.0 * pass.packing(), schedule)?;
    Ok(Transformed { numbers, filtering: PhantomData })
}

/// Filters to be transformed.
struct Filters<'t, 'p, L: Lane<Elem: Floats>, F> {
    layer: &'t Layer<'p, L::Elem, F>,
    piece: Piece<'t, L::Elem>,
}

impl<L: Lane<Elem: Floats>, F: Filtering> Kernel for Filters<'_, '_, L, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { layer, piece: Piece { group, panels, into } } = self;
        simd.vectorize(
            #[inline(always)]
            || layer.filters::<L::Vector<S>>(group, panels, 0..layer.pass.deep, into),
        );
    }
}

/// Channels whose filters are transformed at once: what panels share is then read while it is near.
pub(super) const ROWS: usize = MAX_LANES;

impl<A: Floats, F: Filtering> Layer<'_, A, F> {
    /// The filters of channels `deep`: by panel, place, channel and lane.
    #[inline(always)]
    pub(super) fn filters<V: Vector<Elem = A>>(
        &self,
        group: usize,
        panels: &[Panel],
        deep: Range<usize>,
        into: &mut [A],
    ) {
        let (pass, taps) = (self.pass, &self.taps);
        // By the offset of a tap's sample: the transpose's taps go backwards.
        let tap = |place: usize| [pass.phases[0][0].taps[place / 3].1, pass.phases[1][0].taps[place % 3].1];
        let mut copies = [[A::default(); ROWS * MAX_VECTORS * MAX_LANES]; 9];
        for channel in deep.clone().step_by(ROWS) {
            let n = ROWS.min(deep.end - channel);
            let mut done = 0;
            for &panel in panels {
                let [first, width] = [panel.start, panel.vectors].map(|n| n * V::LANES);
                let into = &mut into[done..];
                let plane = rows(deep.len()) * width;
                done += F::PLACES * plane;
                let lend = |place| taps.lend(pass, tap(place), group, [first, width], channel);
                let mut rows: [&[A]; 9] = [&[]; 9];
                let mut step = width;
                if lend(0).is_some() {
                    for (place, rows) in rows.iter_mut().enumerate() {
                        (*rows, step) = lend(place).expect("as the first tap's");
                    }
                } else {
                    for (place, (rows, copy)) in rows.iter_mut().zip(&mut copies).enumerate() {
                        let copy = &mut copy[..n * width];
                        taps.bring::<V>(pass, tap(place), group, panel, channel, copy);
                        *rows = copy;
                    }
                }
                let [a, b, c, d, e, f, g, h, i] = rows;
                F::filters::<V>(
                    [[a, b, c], [d, e, f], [g, h, i]],
                    step,
                    [n, width],
                    &mut into[(channel - deep.start) * width..],
                    plane,
                );
            }
        }
    }
}
