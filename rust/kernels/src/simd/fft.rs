//! Complex Fourier transforms of columns, a vector of columns at a time.
//!
//! ```text
//! forward:   X[k] = sum over n of  x[n] exp(-2 pi i n k / N),     in the order of the passes
//! inverse:   N x[n] = sum over k of  X[k] exp(+2 pi i n k / N),   from that order
//! ```
//!
//! Lanes are columns that know nothing of each other, so that there is not one shuffle: real and
//! imaginary parts stand in planes of their own and a twiddle factor is the same for all lanes. Rows are
//! transformed as columns of transposed squares ([`Vector::transpose`]), in a buffer that stays in L1.
//!
//! Passes are of radix four, decimated in frequency on the way out and in time on the way back: a
//! spectrum in the order that the passes leave it in is multiplied by another in that order, so nothing is
//! ever put into natural order. A length that is no power of four ends in one pass of radix two. The last
//! pass out, the product and the first pass back are one ([`convolve_rows`]).
#![expect(unsafe_code, reason = "the bounds of a whole transform are checked once, at its head")]

use super::Vector;
use crate::dtype::Accumulator;

/// The twiddle factors of transforms of one length, a power of two.
#[derive(Clone, Debug)]
pub struct Twiddles<A> {
    length: usize,
    /// For each pass but the last, for each butterfly `j` of it: the real and imaginary parts of `w^j`,
    /// `w^2j` and `w^3j`, where `w = exp(-2 pi i / L)` and `L` is the pass's length.
    factors: Vec<[A; 6]>,
}

impl<A: Accumulator> Twiddles<A> {
    /// For transforms of `length` points.
    ///
    /// # Panics
    /// If `length` is not a power of two of 4 or more.
    pub fn new(length: usize) -> Self {
        assert!(length >= 4 && length.is_power_of_two(), "a power of two");
        let mut factors = Vec::new();
        let mut span = length;
        while span > 4 {
            for j in 0..span / 4 {
                let mut row = [A::default(); 6];
                for m in 1..4 {
                    let angle = std::f64::consts::TAU * ((m * j) % span) as f64 / span as f64;
                    row[2 * m - 2] = A::from_f64(angle.cos());
                    row[2 * m - 1] = A::from_f64(-angle.sin());
                }
                factors.push(row);
            }
            span /= 4;
        }
        Self { length, factors }
    }

    /// Points of a transform.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// A vector of complex numbers.
#[derive(Clone, Copy)]
struct Complex<V> {
    re: V,
    im: V,
}

impl<V: Vector> Complex<V> {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self { re: self.re.add(other.re), im: self.im.add(other.im) }
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Self { re: self.re.sub(other.re), im: self.im.sub(other.im) }
    }
    /// `self - i other`
    #[inline(always)]
    fn minus_i(self, other: Self) -> Self {
        Self { re: self.re.add(other.im), im: self.im.sub(other.re) }
    }
    /// `self + i other`
    #[inline(always)]
    fn plus_i(self, other: Self) -> Self {
        Self { re: self.re.sub(other.im), im: self.im.add(other.re) }
    }
    #[inline(always)]
    fn times(self, w: Self) -> Self {
        let zero = V::splat(V::Elem::default());
        Self {
            re: zero.mul_add(self.re, w.re).mul_sub(self.im, w.im),
            im: zero.mul_add(self.re, w.im).mul_add(self.im, w.re),
        }
    }
    /// `self` times the conjugate of `w`.
    #[inline(always)]
    fn times_conjugate(self, w: Self) -> Self {
        let zero = V::splat(V::Elem::default());
        Self {
            re: zero.mul_add(self.re, w.re).mul_add(self.im, w.im),
            im: zero.mul_add(self.im, w.re).mul_sub(self.re, w.im),
        }
    }
}

/// A column of vectors: real and imaginary parts, `step` elements from one row to the next.
#[derive(Clone, Copy)]
struct Column<A> {
    re: *mut A,
    im: *mut A,
    step: usize,
}

impl<A: Accumulator> Column<A> {
    /// # Safety
    /// Row `row` exists.
    #[inline(always)]
    unsafe fn get<V: Vector<Elem = A>>(self, row: usize) -> Complex<V> {
        // SAFETY: the caller's promise.
        unsafe {
            Complex { re: V::load(self.re.add(row * self.step)), im: V::load(self.im.add(row * self.step)) }
        }
    }
    /// # Safety
    /// Row `row` exists.
    #[inline(always)]
    unsafe fn put<V: Vector<Elem = A>>(self, row: usize, value: Complex<V>) {
        // SAFETY: the caller's promise.
        unsafe {
            value.re.store(self.re.add(row * self.step));
            value.im.store(self.im.add(row * self.step));
        }
    }
    /// # Safety
    /// Rows `row`, `row + q`, `row + 2 q` and `row + 3 q` exist.
    #[inline(always)]
    unsafe fn get4<V: Vector<Elem = A>>(self, row: usize, q: usize) -> [Complex<V>; 4] {
        // SAFETY: the caller's promise.
        unsafe { [self.get(row), self.get(row + q), self.get(row + 2 * q), self.get(row + 3 * q)] }
    }
    /// # Safety
    /// Rows `row`, `row + q`, `row + 2 q` and `row + 3 q` exist.
    #[inline(always)]
    unsafe fn put4<V: Vector<Elem = A>>(self, row: usize, q: usize, [a, b, c, d]: [Complex<V>; 4]) {
        // SAFETY: the caller's promise.
        unsafe {
            self.put(row, a);
            self.put(row + q, b);
            self.put(row + 2 * q, c);
            self.put(row + 3 * q, d);
        }
    }
}

#[inline(always)]
fn butterfly<V: Vector>([a, b, c, d]: [Complex<V>; 4]) -> [Complex<V>; 4] {
    let (s, t, u, v) = (a.plus(c), a.minus(c), b.plus(d), b.minus(d));
    [s.plus(u), t.minus_i(v), s.minus(u), t.plus_i(v)]
}

#[inline(always)]
fn butterfly_back<V: Vector>([a, b, c, d]: [Complex<V>; 4]) -> [Complex<V>; 4] {
    let (s, t, u, v) = (a.plus(c), a.minus(c), b.plus(d), b.minus(d));
    [s.plus(u), t.plus_i(v), s.minus(u), t.minus_i(v)]
}

#[inline(always)]
fn splat3<V: Vector>(w: &[V::Elem; 6]) -> [Complex<V>; 3] {
    let at = |m: usize| Complex { re: V::splat(w[2 * m]), im: V::splat(w[2 * m + 1]) };
    [at(0), at(1), at(2)]
}

/// The passes with twiddle factors, from the whole length down. Gives back the length that is left: 4 or 2.
///
/// # Safety
/// The column has as many rows as the transform has points.
#[inline(always)]
unsafe fn passes<V: Vector>(twiddles: &Twiddles<V::Elem>, column: Column<V::Elem>) -> usize {
    let n = twiddles.length;
    let mut factors = twiddles.factors.as_slice();
    let mut span = n;
    while span > 4 {
        let q = span / 4;
        for j in 0..q {
            let [w1, w2, w3] = splat3::<V>(&factors[j]);
            let mut row = j;
            while row < n {
                // SAFETY: row + 3 q < n.
                unsafe {
                    let [a, b, c, d] = butterfly::<V>(column.get4(row, q));
                    column.put4(row, q, [a, b.times(w1), c.times(w2), d.times(w3)]);
                }
                row += span;
            }
        }
        factors = &factors[q..];
        span = q;
    }
    span
}

/// [`passes`] undone, from the length that is left up.
///
/// # Safety
/// The column has as many rows as the transform has points.
#[inline(always)]
unsafe fn passes_back<V: Vector>(twiddles: &Twiddles<V::Elem>, column: Column<V::Elem>, left: usize) {
    let n = twiddles.length;
    let mut end = twiddles.factors.len();
    let mut q = left;
    while q < n {
        let span = 4 * q;
        let factors = &twiddles.factors[end - q..end];
        for j in 0..q {
            let [w1, w2, w3] = splat3::<V>(&factors[j]);
            let mut row = j;
            while row < n {
                // SAFETY: row + 3 q < n.
                unsafe {
                    let [a, b, c, d] = column.get4::<V>(row, q);
                    let back = [a, b.times_conjugate(w1), c.times_conjugate(w2), d.times_conjugate(w3)];
                    column.put4(row, q, butterfly_back(back));
                }
                row += span;
            }
        }
        end -= q;
        q = span;
    }
}

/// The last pass out, which has no twiddle factors.
///
/// # Safety
/// The column has `n` rows, a multiple of `left`, which is 4 or 2.
#[inline(always)]
unsafe fn last<V: Vector>(column: Column<V::Elem>, n: usize, left: usize) {
    let mut row = 0;
    while row < n {
        // SAFETY: row + left <= n.
        unsafe {
            if left == 4 {
                column.put4(row, 1, butterfly::<V>(column.get4(row, 1)));
            } else {
                let (a, b) = (column.get::<V>(row), column.get::<V>(row + 1));
                column.put(row, a.plus(b));
                column.put(row + 1, a.minus(b));
            }
        }
        row += left;
    }
}

/// The first pass back: [`last`] undone.
///
/// # Safety
/// As [`last`].
#[inline(always)]
unsafe fn first_back<V: Vector>(column: Column<V::Elem>, n: usize, left: usize) {
    if left == 2 {
        // Its own inverse.
        // SAFETY: the caller's promise.
        return unsafe { last::<V>(column, n, 2) };
    }
    let mut row = 0;
    while row < n {
        // SAFETY: row + 4 <= n.
        unsafe { column.put4(row, 1, butterfly_back::<V>(column.get4(row, 1))) }
        row += 4;
    }
}

/// A plane of complex numbers: rows `step` elements apart.
#[derive(Debug)]
pub struct Plane<'p, A> {
    /// Real parts.
    pub re: &'p mut [A],
    /// Imaginary parts.
    pub im: &'p mut [A],
    /// Elements from one row to the next.
    pub step: usize,
}

impl<A: Accumulator> Plane<'_, A> {
    fn check(&self, rows: usize, cols: usize) {
        let reach = (rows - 1) * self.step + cols;
        assert!(
            cols <= self.step && self.re.len() >= reach && self.im.len() >= reach,
            "the plane holds the transform"
        );
    }

    fn column(&mut self, x: usize) -> Column<A> {
        Column { re: self.re[x..].as_mut_ptr(), im: self.im[x..].as_mut_ptr(), step: self.step }
    }
}

/// Transforms the first `cols` columns, a whole number of vectors.
///
/// # Panics
/// If the plane is too small or `cols` no whole number of vectors.
#[inline(always)]
pub fn forward_columns<V: Vector>(twiddles: &Twiddles<V::Elem>, plane: &mut Plane<'_, V::Elem>, cols: usize) {
    assert!(cols.is_multiple_of(V::LANES), "whole vectors");
    plane.check(twiddles.length, cols);
    for x in (0..cols).step_by(V::LANES) {
        let column = plane.column(x);
        // SAFETY: just checked.
        unsafe {
            let left = passes::<V>(twiddles, column);
            last::<V>(column, twiddles.length, left);
        }
    }
}

/// Transforms the first `cols` columns, a whole number of vectors, back (times their length).
///
/// # Panics
/// If the plane is too small or `cols` no whole number of vectors.
#[inline(always)]
pub fn inverse_columns<V: Vector>(twiddles: &Twiddles<V::Elem>, plane: &mut Plane<'_, V::Elem>, cols: usize) {
    assert!(cols.is_multiple_of(V::LANES), "whole vectors");
    plane.check(twiddles.length, cols);
    let left = if twiddles.length.trailing_zeros().is_multiple_of(2) { 4 } else { 2 };
    for x in (0..cols).step_by(V::LANES) {
        let column = plane.column(x);
        // SAFETY: just checked.
        unsafe {
            first_back::<V>(column, twiddles.length, left);
            passes_back::<V>(twiddles, column, left);
        }
    }
}

/// Elements of each of the two parts of a buffer for rows of `length` points.
pub const fn row_buffer(length: usize) -> usize {
    length * super::MAX_LANES
}

/// Transforms `rows` rows, a whole number of vectors, of `twiddles.length()` points each, and leaves each
/// group of `LANES` rows in `spectrum`, one after the other: for each point, the group's lanes.
///
/// # Panics
/// If the plane, the buffer's or the spectrum's parts are too small.
#[inline(always)]
pub fn forward_rows<V: Vector>(
    twiddles: &Twiddles<V::Elem>,
    plane: &mut Plane<'_, V::Elem>,
    rows: usize,
    spectrum: [&mut [V::Elem]; 2],
) {
    let n = twiddles.length;
    plane.check(rows, n);
    let [re, im] = spectrum;
    assert!(rows.is_multiple_of(V::LANES) && n.is_multiple_of(V::LANES), "whole vectors");
    assert!(re.len() >= rows * n && im.len() >= rows * n, "room for the spectrum");
    for (group, (re, im)) in
        re.chunks_exact_mut(n * V::LANES).zip(im.chunks_exact_mut(n * V::LANES)).enumerate()
    {
        // SAFETY: the group's rows are in the plane; the chunks hold n vectors.
        unsafe {
            let column = transposed_in::<V>(plane, group * V::LANES, n, re, im);
            let left = passes::<V>(twiddles, column);
            last::<V>(column, n, left);
        }
    }
}

/// Convolves rows with a spectrum that [`forward_rows`] gave: out, times the spectrum, and back.
///
/// # Panics
/// If the plane, the buffer's or the spectrum's parts are too small.
#[inline(always)]
pub fn convolve_rows<V: Vector>(
    twiddles: &Twiddles<V::Elem>,
    plane: &mut Plane<'_, V::Elem>,
    rows: usize,
    spectrum: [&[V::Elem]; 2],
    buffer: [&mut [V::Elem]; 2],
) {
    let n = twiddles.length;
    plane.check(rows, n);
    let [re, im] = buffer;
    assert!(rows.is_multiple_of(V::LANES) && n.is_multiple_of(V::LANES), "whole vectors");
    assert!(re.len() >= n * V::LANES && im.len() >= n * V::LANES, "room for a group of rows");
    assert!(spectrum.iter().all(|part| part.len() >= rows * n), "a spectrum of all rows");
    for row in (0..rows).step_by(V::LANES) {
        // SAFETY: the group's rows are in the plane; the buffer holds n vectors, the spectrum rows * n elements.
        unsafe {
            let column = transposed_in::<V>(plane, row, n, re, im);
            let left = passes::<V>(twiddles, column);
            let factor = Column {
                re: spectrum[0].as_ptr().add(row * n).cast_mut(),
                im: spectrum[1].as_ptr().add(row * n).cast_mut(),
                step: V::LANES,
            };
            middle::<V>(column, factor, n, left);
            passes_back::<V>(twiddles, column, left);
            transposed_out::<V>(plane, row, n, column);
        }
    }
}

/// # Safety
/// Rows `row .. row + LANES` of the plane have `n` elements; `re` and `im` hold `n` vectors.
#[inline(always)]
unsafe fn transposed_in<V: Vector>(
    plane: &Plane<'_, V::Elem>,
    row: usize,
    n: usize,
    re: &mut [V::Elem],
    im: &mut [V::Elem],
) -> Column<V::Elem> {
    let column = Column { re: re.as_mut_ptr(), im: im.as_mut_ptr(), step: V::LANES };
    let from = row * plane.step;
    for x in (0..n).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            V::transpose(
                plane.re.as_ptr().add(from + x),
                plane.step,
                column.re.add(x * V::LANES),
                V::LANES,
                [V::LANES; 2],
            );
            V::transpose(
                plane.im.as_ptr().add(from + x),
                plane.step,
                column.im.add(x * V::LANES),
                V::LANES,
                [V::LANES; 2],
            );
        }
    }
    column
}

/// # Safety
/// Rows `row .. row + LANES` of the plane have `n` elements; `column` has `n` rows.
#[inline(always)]
unsafe fn transposed_out<V: Vector>(
    plane: &mut Plane<'_, V::Elem>,
    row: usize,
    n: usize,
    column: Column<V::Elem>,
) {
    let to = row * plane.step;
    for x in (0..n).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            V::transpose(
                column.re.add(x * V::LANES),
                V::LANES,
                plane.re.as_mut_ptr().add(to + x),
                plane.step,
                [V::LANES; 2],
            );
            V::transpose(
                column.im.add(x * V::LANES),
                V::LANES,
                plane.im.as_mut_ptr().add(to + x),
                plane.step,
                [V::LANES; 2],
            );
        }
    }
}

/// The last pass out, the product with `factor`, and the first pass back.
///
/// # Safety
/// Both columns have `n` rows, a multiple of `left`, which is 4 or 2; `factor` is only read.
#[inline(always)]
unsafe fn middle<V: Vector>(column: Column<V::Elem>, factor: Column<V::Elem>, n: usize, left: usize) {
    let mut row = 0;
    while row < n {
        // SAFETY: row + left <= n.
        unsafe {
            if left == 4 {
                let [a, b, c, d] = butterfly::<V>(column.get4(row, 1));
                let a = a.times(factor.get(row));
                let b = b.times(factor.get(row + 1));
                let c = c.times(factor.get(row + 2));
                let d = d.times(factor.get(row + 3));
                column.put4(row, 1, butterfly_back([a, b, c, d]));
            } else {
                let (a, b) = (column.get::<V>(row), column.get::<V>(row + 1));
                let (s, t) = (a.plus(b).times(factor.get(row)), a.minus(b).times(factor.get(row + 1)));
                column.put(row, s.plus(t));
                column.put(row + 1, s.minus(t));
            }
        }
        row += left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Isa, Kernel};
    use crate::simd::{Lane, Simd, lane};
    use std::f64::consts::TAU;

    const ROWS: usize = 32;

    /// Circular convolution of a plane with another, by the functions of this file.
    struct Circular<'a> {
        n: [usize; 2],
        planes: [&'a [(f64, f64)]; 2],
    }

    impl Kernel for Circular<'_> {
        type Output = Vec<(f64, f64)>;

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> Vec<(f64, f64)> {
            type V<S> = <lane::F64 as Lane>::Vector<S>;
            let [rows, cols] = self.n;
            let step = cols + 16;
            let [ty, tx] = [Twiddles::<f64>::new(rows), Twiddles::new(cols)];
            let part = |plane: &[(f64, f64)], im: bool| -> Vec<f64> {
                let mut out = vec![f64::NAN; rows * step];
                for y in 0..rows {
                    for x in 0..cols {
                        let (a, b) = plane[y * cols + x];
                        out[y * step + x] = if im { b } else { a };
                    }
                }
                out
            };
            let [mut fr, mut fi] = [part(self.planes[1], false), part(self.planes[1], true)];
            let mut plane = Plane { re: &mut fr, im: &mut fi, step };
            forward_columns::<V<S>>(&ty, &mut plane, cols);
            let [mut sr, mut si] = [vec![0.0; rows * cols], vec![0.0; rows * cols]];
            forward_rows::<V<S>>(&tx, &mut plane, rows, [&mut sr, &mut si]);
            let [mut re, mut im] = [part(self.planes[0], false), part(self.planes[0], true)];
            let mut plane = Plane { re: &mut re, im: &mut im, step };
            forward_columns::<V<S>>(&ty, &mut plane, cols);
            let [mut br, mut bi] = [vec![0.0; row_buffer(cols)], vec![0.0; row_buffer(cols)]];
            convolve_rows::<V<S>>(&tx, &mut plane, rows, [&sr, &si], [&mut br, &mut bi]);
            inverse_columns::<V<S>>(&ty, &mut plane, cols);
            let scale = (rows * cols) as f64;
            (0..rows * cols)
                .map(|i| (re[i / cols * step + i % cols] / scale, im[i / cols * step + i % cols] / scale))
                .collect()
        }
    }

    #[test]
    fn circular_convolution_is_its_definition() {
        for n in [[16, 16], [16, 32], [32, 16], [64, 16], [16, 128]] {
            let [rows, cols] = n;
            let paint = |seed: usize| -> Vec<(f64, f64)> {
                let value = |i: usize| ((i * 7919 + seed) % 251) as f64 / 251.0 - 0.4;
                (0..rows * cols).map(|i| (value(i), value(3 * i + 1))).collect()
            };
            // A few points of the second plane, so that the definition is quick.
            let (a, mut b) = (paint(5), paint(77));
            for (i, z) in b.iter_mut().enumerate() {
                if i % 17 != 3 {
                    *z = (0.0, 0.0);
                }
            }
            let mut expected = vec![(0.0, 0.0); rows * cols];
            for (i, &(c, d)) in b.iter().enumerate().filter(|(_, z)| **z != (0.0, 0.0)) {
                for (j, &(x, y)) in a.iter().enumerate() {
                    let (row, col) = ((i / cols + j / cols) % rows, (i + j) % cols);
                    let col = if i % cols + j % cols >= cols { (i % cols + j % cols) % cols } else { col };
                    let sum: &mut (f64, f64) = &mut expected[row * cols + col];
                    sum.0 += x * c - y * d;
                    sum.1 += x * d + y * c;
                }
            }
            for isa in Isa::detected() {
                let found = isa.dispatch(Circular { n, planes: [&a, &b] });
                for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let error = (found.0 - expected.0).abs().max((found.1 - expected.1).abs());
                    assert!(error < 1e-12, "{n:?} on {}, point {i}: {found:?}, not {expected:?}", isa.name());
                }
            }
        }
    }

    /// The spectrum holds every frequency once: that of a wave is one point of the length's size.
    #[test]
    fn a_wave_is_one_point() {
        for k in 0..ROWS {
            let twiddles = Twiddles::<f64>::new(ROWS);
            let wave = |f: fn(f64) -> f64| -> Vec<f64> {
                (0..ROWS * 2).map(|i| f(TAU * (k * (i / 2)) as f64 / ROWS as f64)).collect()
            };
            let (mut re, mut im) = (wave(f64::cos), wave(f64::sin));
            let mut plane = Plane { re: &mut re, im: &mut im, step: 2 };
            forward_columns::<crate::simd::Lanes<f64, 2, false>>(&twiddles, &mut plane, 2);
            let large = |x: &&f64| x.abs() > 1e-9;
            assert_eq!(re.iter().filter(large).count(), 2, "{k}");
            assert_eq!(im.iter().filter(large).count(), 0, "{k}");
            assert!((re.iter().sum::<f64>() - 2.0 * ROWS as f64).abs() < 1e-9, "{k}");
        }
    }
}
