//! The walk down a tile that every row-wise filter shares: source rows are brought in, a few result
//! rows are computed from them, and the result is written out.
//!
//! ```text
//! for each component of the result, for each run of columns (left edge, interior, right edge):
//!     for result rows in blocks of R:
//!         bring in the source rows that are new to the block   (border, dtype and stride end here)
//!         inner.block(rows, R result rows)
//!         write them out                                       (rounding and dtype begin here)
//! ```
//!
//! A row that is stored as the loop's numbers already, and needs no border, is lent and not copied:
//! that is the interior of a wide floating-point image. Any other is brought into a ring of scratch
//! rows, which holds the window's rows and no more, whatever the image's size.
//!
//! With a vertical dilation the rows of a block are not neighbours but `step` apart, so that they
//! share source rows just as densely; with a horizontal stride a scratch row is stored phase by
//! phase, so that the samples of one tap are neighbours. The inner loops know of neither.

use super::correlate::{Correlate, Source};
use super::rows::{self, Line, Place};
use crate::dtype::Accumulator;
use crate::isa::{Isa, Kernel};
use crate::registry::{Schedule, single};
use crate::simd::{Ahead, Lane, MAX_ROWS, Simd, Vector, most_lanes};
use crate::view::{Dst, Plane, Rows, Src, Tile, Tiles};
use crate::{Error, alloc, dispatch_arithmetic};
use std::ops::Range;

/// Bytes of source rows that one strip keeps warm: half of the smallest L2 of the CPUs at
/// hand (512 KiB).
const WARM: usize = 256 << 10;

/// The source rows of a block of result rows.
pub(super) struct Window<'r, A> {
    /// Rows of the first source, then of the next; result row `r` of the block reads the rows
    /// `r * advance ..` of each source.
    pub(super) rows: &'r [&'r [A]],
    /// Results in a row, rounded up to whole vectors.
    pub(super) width: usize,
    /// Samples at the beginning of a row, and from where on, that are no samples of the image but the
    /// constant.
    pub(super) inside: Range<usize>,
    /// What the next block reads and writes, to be brought while this one is computed.
    pub(super) ahead: &'r Ahead,
}

/// The arithmetic between rows brought in and rows written out.
pub(super) trait Inner: 'static {
    /// What is made of the weights once for all blocks.
    type Prepared<A: Accumulator>: Sync;

    /// Whether rows hold whole vectors, what they hold beyond one sample a result included.
    const WHOLE: bool = false;

    /// Whether it sums products of small integers ([`Kernel::PRODUCTS`]).
    const PRODUCTS: bool = false;

    /// Result rows of a block under a window of several rows, where its neighbours share all but one.
    fn height(taps: usize) -> usize {
        height(taps)
    }

    /// Makes it, for one component of the result.
    fn prepare<A: Accumulator>(
        problem: &Correlate,
        sources: &[Source],
        geometry: &Geometry,
    ) -> Self::Prepared<A>;

    /// Makes of a row of samples what the loop reads; such rows are never lent.
    fn brought<S: Simd, A: Accumulator>(_: S, _: &Self::Prepared<A>, _: &mut [A]) {}

    /// Whether a second source says which samples of the first are left out.
    const JOINED: bool = false;

    /// Makes of a row of samples, and of one that is not 0 where a mask marks them (any, where there is no mask), what
    /// the loop reads.
    fn joined<S: Simd, A: Accumulator>(_: S, _: &Self::Prepared<A>, _: [&mut [A]; 2]) {}

    /// Accumulators of scratch that a block of `width` columns needs.
    fn scratch<A: Accumulator>(_: &Self::Prepared<A>, _: &Geometry, _width: usize) -> usize {
        0
    }

    /// Computes `R` result rows. `out` rows may be shorter than `window.width`.
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        simd: S,
        prepared: &Self::Prepared<V::Elem>,
        window: &Window<'_, V::Elem>,
        scratch: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    );
}

/// No more result rows than the window has, so that they share most of what they read.
pub(super) fn height(taps: usize) -> usize {
    taps.min(MAX_ROWS)
}

/// A block of `I`, compiled once for an instruction set, an arithmetic and a number of rows, whatever asks for it.
#[inline(never)]
pub(super) fn sums<I: Inner, S: Simd, V: Vector<Elem: Rows>, const R: usize>(
    simd: S,
    prepared: &I::Prepared<V::Elem>,
    window: &Window<'_, V::Elem>,
    scratch: &mut [V::Elem],
    out: [&mut [V::Elem]; R],
) {
    // Here the code of an instruction set begins: all below is inlined.
    simd.vectorize(
        #[inline(always)]
        || I::block::<S, V, R>(simd, prepared, window, scratch, out),
    );
}

/// Where rows and taps stand: fixed for a problem and a tile width.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    /// Distance between the result rows of a block: `dilation / gcd(stride, dilation)`.
    step: usize,
    /// Rows of the window.
    pub(super) taps: usize,
    /// Source rows, `dilation` apart, from one result row to the next.
    pub(super) advance: usize,
    /// Result rows of a block ([`Inner::height`]); 1 where a stride makes them share less. Under a window of one row they
    /// share nothing but the block's overhead.
    pub(super) height: usize,
    /// Where each horizontal tap reads.
    pub(super) offsets: Vec<usize>,
    /// Phases of a scratch row, and the length of one.
    phases: usize,
    phase_len: usize,
    /// Samples that a phase holds beyond one a result, and how many of them the window reads.
    pub(super) reach: usize,
    read: usize,
}

impl Geometry {
    /// For tiles of at most `width` columns, in vectors of `lanes` at most.
    fn new<I: Inner>(problem: &Correlate, width: usize, lanes: usize) -> Self {
        let [rows, cols] = &problem.axes;
        let common = gcd(rows.stride, rows.dilation);
        let advance = rows.stride / common;
        let place = |tap: usize| (tap * cols.dilation % cols.stride, tap * cols.dilation / cols.stride);
        let read = place(cols.taps - 1).1;
        let reach = if I::WHOLE { read.next_multiple_of(lanes) } else { read };
        // A whole number of cache lines, odd, so that the rows of a ring meet in all sets of a cache.
        let lines = (width.next_multiple_of(lanes) + reach).div_ceil(lanes);
        let phase_len = (lines | 1) * lanes;
        let offset = |tap| place(tap).0 * phase_len + place(tap).1;
        Self {
            step: rows.dilation / common,
            taps: rows.taps,
            advance,
            height: match (advance, rows.taps) {
                (1, 1) => MAX_ROWS,
                (1, taps) => I::height(taps),
                _ => 1,
            },
            offsets: (0..cols.taps).map(offset).collect(),
            phases: cols.stride.min(cols.span()),
            phase_len,
            reach,
            read,
        }
    }

    /// Accumulators of a scratch row.
    fn row_len(&self) -> usize {
        self.phases * self.phase_len
    }

    /// Source rows that a block of `height` result rows reads.
    fn rows_for(&self, height: usize) -> usize {
        (height - 1) * self.advance + self.taps
    }
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A component of the result.
struct Component<A, P> {
    /// What it is the sum of.
    sources: Vec<Source>,
    /// What continues each of them under a constant border.
    outside: Vec<A>,
    /// What was made of the weights.
    prepared: P,
}

/// An empty list in the memory of another.
pub(super) fn emptied<'r, A>(mut list: Vec<&[A]>) -> Vec<&'r [A]> {
    list.clear();
    list.into_iter().map(|_| -> &'r [A] { &[] }).collect()
}

/// A problem with its typed weights, ready to be run tile by tile.
pub(super) struct Job<'p, A: Accumulator, I: Inner> {
    problem: &'p Correlate,
    src: &'p Src<'p>,
    mask: Option<&'p Src<'p>>,
    /// Whether samples and results are so many that they come from memory.
    far: bool,
    geometry: Geometry,
    components: Vec<Component<A, I::Prepared<A>>>,
}

/// Runs a problem tile by tile in its arithmetic, with the loop of `I` between rows in and rows out.
pub(super) fn run<I: Inner>(
    problem: &Correlate,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    dispatch_arithmetic!(problem.arithmetic, |L| run_in::<L, I>(problem, srcs, dsts, schedule))
}

/// The same in an arithmetic of the implementation's own.
pub(super) fn run_in<L: Lane<Elem: Rows>, I: Inner>(
    problem: &Correlate,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let (src, mask) = srcs.split_first().expect("an image is read");
    let (_, dst) = single(std::slice::from_ref(src), dsts);
    let planes = src.planes();
    let workers = schedule.workers.worth(problem.nanoseconds() * planes as f64);
    let size = schedule.tile.unwrap_or_else(|| blocking(problem, planes, workers.threads()));
    let tiles = Tiles::new(dst, size);
    let workers = workers.at_most(tiles.count());
    let job = Job::<L::Elem, I> { mask: mask.first(), ..Job::new(problem, src, size[1]) };
    workers.drain(|| tiles.take(), |mut tile| job.compute::<L>(schedule.isa, &mut tile))
}

/// Bytes of a row below which lending a part of it costs more than copying all: an interior of its own makes three
/// strips of one (49 against 30 microseconds for 3 x 3 taps over 200 x 200 samples; 0.47 against 0.39 ms over 2048 x 2048
/// bytes).
const NARROW: usize = 4 << 10;

/// Nanoseconds of work in a tile, at most: how long an interrupt waits.
const PATIENCE: f64 = 20e6;

/// Rows and columns of a tile: wide enough to amortise its edges, few enough bytes to stay in L2,
/// and at least four tiles a thread, so that they end together.
pub(super) fn blocking(problem: &Correlate, planes: usize, threads: usize) -> [usize; 2] {
    let [rows, cols] = &problem.axes;
    let row_bytes = WARM / (rows.taps + MAX_ROWS);
    let width = (row_bytes / problem.arithmetic.size() / 64 * 64).clamp(256, 4096);
    let columns = cols.dst.div_ceil(width).max(1);
    // Equal columns rather than a narrow last one.
    let width = cols.dst.div_ceil(columns).next_multiple_of(64);
    let wanted = (4 * threads).div_ceil(planes.max(1) * columns).max(1);
    // A strip brings in `taps` rows before its first result: make it several times as high.
    let least = (4 * rows.taps).max(8 * MAX_ROWS);
    let height = if threads == 1 { rows.dst } else { rows.dst.div_ceil(wanted) };
    // Between two tiles the caller may be interrupted.
    let patience = PATIENCE * columns as f64 / (problem.nanoseconds() / rows.dst.max(1) as f64);
    let height = height.min(patience as usize).max(least);
    [height.next_multiple_of(self::height(rows.taps)), width]
}

/// A tile as a computation to be compiled for each instruction set.
struct TileKernel<'k, 'p, 't, L: Lane, I: Inner> {
    job: &'k Job<'p, L::Elem, I>,
    tile: &'k mut Tile<'t>,
}

impl<L: Lane<Elem: Rows>, I: Inner> Kernel for TileKernel<'_, '_, '_, L, I> {
    type Output = ();

    const PRODUCTS: bool = I::PRODUCTS;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.job.tile::<S, L::Vector<S>>(simd, self.tile);
    }
}

impl<'p, A: Rows, I: Inner> Job<'p, A, I> {
    /// For tiles of at most `width` columns.
    pub(super) fn new(problem: &'p Correlate, src: &'p Src<'p>, width: usize) -> Self {
        let width = width.min(problem.axes[1].dst.max(1));
        let geometry = Geometry::new::<I>(problem, width, most_lanes::<A>());
        let components = (problem.components().into_iter())
            .map(|sources| {
                let prepared = I::prepare::<A>(problem, &sources, &geometry);
                let outside = sources.iter().map(|source| problem.outside(source.component)).collect();
                Component { sources, outside, prepared }
            })
            .collect();
        let far = problem.is_far(src.planes());
        Self { problem, src, mask: None, far, geometry, components }
    }

    /// Computes a tile of at most the width that the job was made for.
    pub(super) fn compute<L: Lane<Elem = A>>(&self, isa: Isa, tile: &mut Tile<'_>) {
        isa.dispatch(TileKernel::<'_, '_, '_, L, I> { job: self, tile });
    }

    /// Computes one tile.
    fn tile<S: Simd, V: Vector<Elem = A>>(&self, simd: S, tile: &mut Tile<'_>) {
        for (component, Component { sources, .. }) in self.components.iter().enumerate() {
            if sources.is_empty() {
                self.clear(component, tile);
                continue;
            }
            let plane = |source: &Source| match self.mask {
                Some(mask) if source.component == 1 => mask.plane(tile.plane, 0),
                _ if I::JOINED => self.src.plane(tile.plane, 0),
                _ => self.src.plane(tile.plane, source.component),
            };
            let planes: Vec<_> = sources.iter().map(plane).collect();
            let interior = self.interior::<V>(&planes, &tile.cols);
            let edges = [
                (tile.cols.start..interior.start, false),
                (interior.clone(), true),
                (interior.end..tile.cols.end, false),
            ];
            for (cols, lent) in edges {
                if !cols.is_empty() && !tile.rows.is_empty() {
                    self.strip::<S, V>(simd, component, &planes, tile, cols, lent);
                }
            }
        }
    }

    /// Writes a component that is the sum of nothing: the imaginary one of a real image under real taps.
    fn clear(&self, component: usize, tile: &mut Tile<'_>) {
        alloc::scratch([tile.cols.len()], |[row]: [&mut [A]; 1]| {
            row.fill(A::default());
            for y in tile.rows.clone() {
                tile.write(component, y, tile.cols.start, row, self.problem.finish);
            }
        });
    }

    /// The columns whose windows lie inside rows that can be lent, in whole vectors.
    fn interior<V: Vector<Elem = A>>(&self, planes: &[Plane<'_>], cols: &Range<usize>) -> Range<usize> {
        let axis = &self.problem.axes[1];
        let none = cols.end..cols.end;
        let rows = self.geometry.rows_for(self.geometry.height) * planes.len();
        if I::JOINED || axis.stride != 1 || !planes.iter().all(|p| p.lends::<A>() && !p.crowds(rows)) {
            return none;
        }
        let first = axis.before.max(0) as usize;
        let end = axis.src as isize + axis.before - self.geometry.reach as isize;
        let start = cols.start.max(first);
        let end = cols.end.min(end.max(0) as usize);
        let end = start + end.saturating_sub(start) / V::LANES * V::LANES;
        let whole = [start, end] == [cols.start, cols.end];
        if whole || end - start >= NARROW / size_of::<A>() { start..end } else { none }
    }

    fn strip<S: Simd, V: Vector<Elem = A>>(
        &self,
        simd: S,
        component: usize,
        planes: &[Plane<'_>],
        tile: &mut Tile<'_>,
        cols: Range<usize>,
        lent: bool,
    ) {
        let geometry = &self.geometry;
        let axis = &self.problem.axes[0];
        let width = cols.len().next_multiple_of(V::LANES);
        let slots = geometry.rows_for(geometry.height);
        let row_len = geometry.row_len();
        let ring_len = if lent { 0 } else { slots * row_len };
        // A lent strip needs a row of the constant at most.
        let outside_len = if lent { row_len } else { 0 };
        let Component { outside: values, prepared, .. } = &self.components[component];
        let start = (cols.start * self.problem.axes[1].stride) as isize - self.problem.axes[1].before;
        let end = self.problem.axes[1].src as isize - start;
        let inside = (-start).max(0) as usize..end.max(0) as usize;
        let lines: Vec<Vec<Line<A>>> = match lent {
            true => Vec::new(),
            false => values.iter().map(|&outside| self.lines(&cols, outside)).collect(),
        };
        let direct = tile.lends::<A>();
        let out_len = if direct { 0 } else { width };
        alloc::scratch(
            [
                ring_len * planes.len(),
                outside_len * planes.len(),
                out_len * geometry.height,
                I::scratch(prepared, geometry, width),
            ],
            |[ring, outside, out, scratch]| {
                for (row, &value) in outside.chunks_exact_mut(row_len).zip(values) {
                    row.fill(value);
                }
                let outside = &*outside;
                let mut list = Vec::with_capacity(slots * planes.len());
                let mut ahead = Ahead::default();
                let stride = self.problem.axes[1].stride;
                let read = cols.start * stride..cols.end * stride;
                for phase in 0..geometry.step.min(tile.rows.len()) {
                    let first = tile.rows.start + phase;
                    let count = (tile.rows.len() - phase).div_ceil(geometry.step);
                    let base = (first * axis.stride) as isize - axis.before;
                    let mut filled = 0;
                    let mut done = 0;
                    while done < count {
                        let rows = geometry.height.min(count - done);
                        let (from, per_source) = (done * geometry.advance, geometry.rows_for(rows));
                        let source_row = |unit: usize| {
                            self.problem.border[0].index(base + (unit * axis.dilation) as isize, axis.src)
                        };
                        let y = first + done * geometry.step;
                        let next = if self.far { geometry.height.min(count - done - rows) } else { 0 };
                        ahead.clear();
                        let further = from + rows * geometry.advance;
                        let end = if next > 0 { further + geometry.rows_for(next) } else { 0 };
                        for unit in further.max(from + per_source)..end {
                            // Without a mask, what is left out is seen in the samples themselves.
                            let read_apart = if I::JOINED && self.mask.is_none() { 1 } else { planes.len() };
                            for plane in &planes[..read_apart] {
                                if let Some(y) = source_row(unit) {
                                    plane.ahead(y, &read, &mut ahead);
                                }
                            }
                        }
                        if !direct {
                            for r in 0..next {
                                tile.ahead(y + (rows + r) * geometry.step, &cols, &mut ahead);
                            }
                        }
                        if !lent {
                            for unit in filled.max(from)..from + per_source {
                                for (s, plane) in planes.iter().enumerate() {
                                    let slot = &mut ring[(s * slots + unit % slots) * row_len..][..row_len];
                                    if !I::JOINED || s == 0 || self.mask.is_some() {
                                        self.bring(
                                            simd,
                                            plane,
                                            source_row(unit),
                                            cols.clone(),
                                            &lines[s],
                                            slot,
                                        );
                                    }
                                    I::brought(simd, prepared, slot);
                                }
                                if I::JOINED {
                                    let (first, second) = ring.split_at_mut(slots * row_len);
                                    let rows = [first, second]
                                        .map(|ring| &mut ring[unit % slots * row_len..][..row_len]);
                                    I::joined(simd, prepared, rows);
                                }
                            }
                            filled = from + per_source;
                        }
                        let ring = &*ring;
                        let lend = |s: usize, unit: usize| -> &[A] {
                            if !lent {
                                return &ring[(s * slots + unit % slots) * row_len..][..row_len];
                            }
                            let start = (cols.start as isize - self.problem.axes[1].before) as usize;
                            let reach = width + geometry.reach;
                            source_row(unit)
                                .and_then(|y| planes[s].lend(y, start..start + reach))
                                .unwrap_or(&outside[s * row_len..][..row_len])
                        };
                        let mut rows_in = emptied(list);
                        for s in 0..planes.len() {
                            rows_in.extend((from..from + per_source).map(|unit| lend(s, unit)));
                        }
                        let window = Window { rows: &rows_in, width, inside: inside.clone(), ahead: &ahead };
                        macro_rules! heights {
                            ($($height:literal)*) => {
                                match rows {
                                    $($height => self.block::<S, V, $height>(
                                        simd, component, &window, tile, y, cols.clone(), out, scratch,
                                    ),)*
                                    _ => unreachable!("a block has at most {MAX_ROWS} rows"),
                                }
                            };
                        }
                        heights!(6 5 4 3 2 1);
                        list = emptied(rows_in);
                        done += rows;
                    }
                }
            },
        );
    }

    /// Computes and writes the result rows `y, y + step, ...`.
    #[expect(clippy::too_many_arguments, reason = "the state of the walk, which lives nowhere else")]
    fn block<S: Simd, V: Vector<Elem = A>, const R: usize>(
        &self,
        simd: S,
        component: usize,
        window: &Window<'_, A>,
        tile: &mut Tile<'_>,
        y: usize,
        cols: Range<usize>,
        out: &mut [A],
        scratch: &mut [A],
    ) {
        let (step, Component { prepared, .. }) = (self.geometry.step, &self.components[component]);
        let lent = tile.lend_rows::<A, R>(y, step, cols.clone());
        let stored = lent.is_some();
        let mut chunks = out.chunks_exact_mut(window.width);
        let rows: [&mut [A]; R] =
            lent.unwrap_or_else(|| std::array::from_fn(|_| chunks.next().expect("a scratch row for each")));
        sums::<I, S, V, R>(simd, prepared, window, scratch, rows);
        window.ahead.rest();
        if stored {
            return;
        }
        for (r, row) in out.chunks_exact_mut(window.width).take(R).enumerate() {
            let row = &mut row[..cols.len()];
            rows::narrow(simd, row, tile, component, [y + r * step, cols.start], self.problem.finish);
        }
    }

    /// The samples of a scratch row, phase by phase, that result columns `cols` read.
    fn lines(&self, cols: &Range<usize>, outside: A) -> Vec<Line<A>> {
        let axis = &self.problem.axes[1];
        let (step, border, channels) = (axis.stride, self.problem.border[1], self.problem.channels);
        let start = (cols.start * axis.stride) as isize - axis.before;
        let place = |phase: usize| Place { start: start + phase as isize, step, border, channels, outside };
        let len = cols.len() + self.geometry.read;
        (0..self.geometry.phases).map(|phase| Line::new(place(phase), axis.src, len)).collect()
    }

    /// Brings the samples that result columns `cols` read from source row `y` into `slot`.
    fn bring<S: Simd>(
        &self,
        simd: S,
        plane: &Plane<'_>,
        y: Option<usize>,
        cols: Range<usize>,
        lines: &[Line<A>],
        slot: &mut [A],
    ) {
        let Geometry { phase_len, read, .. } = self.geometry;
        for (line, into) in lines.iter().zip(slot.chunks_exact_mut(phase_len)) {
            match y {
                Some(y) => line.widen(simd, plane, y, &mut into[..cols.len() + read]),
                None => line.fill(into),
            }
        }
    }
}
