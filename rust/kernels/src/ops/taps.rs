//! The window of a correlation, and the outer products that it is a sum of.

use crate::registry::Reject;
use num_complex::Complex;

/// An outer product: `w[i, j] = column[i] * row[j]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Down the rows of the window.
    pub column: Vec<f64>,
    /// Along a row of it.
    pub row: Vec<f64>,
}

/// Outer products that a window may be taken apart into. With more the passes would cost what they
/// save at most sizes.
pub(super) const MOST_TERMS: usize = 3;

/// Taps of a window that is looked into: beyond, looking takes longer than it is worth.
const MOST_TAPS: usize = 1 << 20;

/// The window's values.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    shape: [usize; 2],
    re: Vec<f64>,
    im: Option<Vec<f64>>,
    /// The same values exactly, where every one is an integer.
    integers: Option<Vec<i128>>,
    /// The outer products whose sum they are, where they were made so.
    terms: Option<Vec<Term>>,
}

impl Taps {
    /// Real taps in C order.
    ///
    /// # Panics
    /// If there is not one value a tap.
    pub fn from_f64(shape: [usize; 2], values: &[f64]) -> Self {
        assert_eq!(values.len(), shape[0] * shape[1], "one value a tap");
        // 2^63 stays far from i128's bounds, and a larger float is an integer by size alone.
        let whole = |w: f64| (w.fract() == 0.0 && w.abs() < 9.3e18).then_some(w as i128);
        Self {
            shape,
            re: values.to_vec(),
            im: None,
            integers: values.iter().map(|&w| whole(w)).collect(),
            terms: None,
        }
    }

    /// Integer taps in C order.
    ///
    /// # Panics
    /// If there is not one value a tap.
    pub fn from_integers(shape: [usize; 2], values: &[i128]) -> Self {
        assert_eq!(values.len(), shape[0] * shape[1], "one value a tap");
        Self {
            shape,
            re: values.iter().map(|&w| w as f64).collect(),
            im: None,
            integers: Some(values.to_vec()),
            terms: None,
        }
    }

    /// Complex taps in C order.
    ///
    /// # Panics
    /// If there is not one value a tap.
    pub fn from_complex(shape: [usize; 2], values: &[Complex<f64>]) -> Self {
        assert_eq!(values.len(), shape[0] * shape[1], "one value a tap");
        Self {
            shape,
            re: values.iter().map(|w| w.re).collect(),
            im: Some(values.iter().map(|w| w.im).collect()),
            integers: None,
            terms: None,
        }
    }

    /// The sum of outer products.
    ///
    /// # Panics
    /// If there is no term, or their sizes differ.
    pub fn from_terms(terms: Vec<Term>) -> Self {
        let shape = [terms[0].column.len(), terms[0].row.len()];
        let mut values = vec![0.0; shape[0] * shape[1]];
        for Term { column, row } in &terms {
            assert_eq!([column.len(), row.len()], shape, "terms of one size");
            for (line, c) in values.chunks_exact_mut(row.len()).zip(column) {
                line.iter_mut().zip(row).for_each(|(w, r)| *w += c * r);
            }
        }
        Self { terms: Some(terms), ..Self::from_f64(shape, &values) }
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Whether they are the same values to the bit, and made of the same outer products.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let bits = |a: &[f64], b: &[f64]| a.iter().map(|w| w.to_bits()).eq(b.iter().map(|w| w.to_bits()));
        let made = |a: &[Term], b: &[Term]| {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| bits(&a.column, &b.column) && bits(&a.row, &b.row))
        };
        self.shape == other.shape
            && self.integers == other.integers
            && made(self.terms().unwrap_or_default(), other.terms().unwrap_or_default())
            && bits(&self.re, &other.re)
            && bits(self.im().unwrap_or_default(), other.im().unwrap_or_default())
            && self.is_complex() == other.is_complex()
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        let numbers = self.re.len() + self.im.as_ref().map_or(0, Vec::len);
        numbers * size_of::<f64>() + self.integers.as_ref().map_or(0, |w| size_of_val(w.as_slice()))
    }

    /// Whether the taps are complex.
    pub fn is_complex(&self) -> bool {
        self.im.is_some()
    }

    /// The window turned by half a turn: correlating with it is convolving with this one.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.re.reverse();
        if let Some(im) = &mut self.im {
            im.reverse();
        }
        if let Some(integers) = &mut self.integers {
            integers.reverse();
        }
        for term in self.terms.iter_mut().flatten() {
            term.column.reverse();
            term.row.reverse();
        }
        self
    }

    /// The complex conjugate.
    #[must_use]
    pub fn conjugated(mut self) -> Self {
        if let Some(im) = &mut self.im {
            im.iter_mut().for_each(|w| *w = -*w);
        }
        self
    }

    /// Real parts.
    pub fn re(&self) -> &[f64] {
        &self.re
    }

    /// Imaginary parts of complex taps.
    pub fn im(&self) -> Option<&[f64]> {
        self.im.as_deref()
    }

    /// The number of taps.
    #[expect(clippy::len_without_is_empty, reason = "a window has one tap at least")]
    pub fn len(&self) -> usize {
        self.re.len()
    }

    /// Whether tap `i` is not zero.
    pub(super) fn is_tap(&self, i: usize) -> bool {
        self.re[i] != 0.0 || self.im.as_ref().is_some_and(|im| im[i] != 0.0)
    }

    /// Whether taps stand so far apart, no more than 100 of them and most of the window zeros, that they are best summed
    /// one by one.
    pub fn are_few(&self) -> bool {
        let taps = (0..self.len()).filter(|&i| self.is_tap(i)).count();
        taps <= 100 && 2 * taps < self.len()
    }

    /// The values exactly, where every one is an integer.
    pub fn integers(&self) -> Option<&[i128]> {
        self.integers.as_deref()
    }

    /// The outer products that the window was made of.
    pub fn terms(&self) -> Option<&[Term]> {
        self.terms.as_deref()
    }

    /// Leaves out what `scipy.ndimage.correlate` leaves out of its footprint: taps of at most 2^-52.
    pub(super) fn drop_negligible(&mut self) {
        self.re.iter_mut().filter(|w| w.abs() <= f64::EPSILON).for_each(|w| *w = 0.0);
    }

    /// Outer products whose sum serves as well as the window, found by elimination with full pivots.
    ///
    /// A sum by passes errs by `(kh + kw + 2 + r) u sum_t |c_t r_t x|` and by what the products leave of
    /// the window; both have to stay within `bound` times `|w x|` for every tap, so that the result's
    /// bound is the direct sum's, whatever the image. A `bound` of 0 asks for integers.
    ///
    /// # Errors
    /// The reason why there are none.
    pub(super) fn factored(&self, roundoff: f64, bound: f64) -> Result<Vec<Term>, Reject> {
        let [rows, cols] = self.shape;
        if rows == 1 || cols == 1 || self.len() > MOST_TAPS {
            return Err(Reject("looks for outer products in windows of 2 x 2 to 2^20 taps"));
        }
        if let Some(term) = self.integer_factors() {
            return Ok(vec![term]);
        }
        if bound == 0.0 {
            return Err(Reject("the window is no outer product of integers, and the result is exact"));
        }
        let mut rest = self.re.clone();
        let mut sizes = vec![0.0; rest.len()];
        let mut terms = Vec::new();
        while terms.len() < MOST_TERMS {
            let (pivot, _) = largest(&rest);
            if rest[pivot] == 0.0 {
                break;
            }
            let (p, q) = (pivot / cols, pivot % cols);
            // A power of two halves the exponent between the two factors and rounds nothing.
            let scale = 2_f64.powi((rest[pivot].abs().log2() / 2.0) as i32);
            let column: Vec<f64> = (0..rows).map(|i| rest[i * cols + q] / scale).collect();
            let row: Vec<f64> = (0..cols).map(|j| rest[p * cols + j] / rest[pivot] * scale).collect();
            for i in 0..rows {
                for j in 0..cols {
                    let product = column[i] * row[j];
                    rest[i * cols + j] -= product;
                    sizes[i * cols + j] += product.abs();
                }
            }
            terms.push(Term { column, row });
            let error = (rows + cols + 2 + terms.len()) as f64 * roundoff;
            let serves =
                |((w, rest), size): ((&f64, &f64), &f64)| error * size + rest.abs() <= bound * w.abs();
            if self.re.iter().zip(&rest).zip(&sizes).all(serves) {
                return Ok(terms);
            }
        }
        Err(Reject("the window is no sum of three outer products or fewer within the error bound"))
    }

    /// The window as an outer product of integers: for integers of rank 1 there always is one.
    fn integer_factors(&self) -> Option<Term> {
        let [_, cols] = self.shape;
        let integers = self.integers.as_deref()?;
        let pivot = integers.iter().position(|&w| w != 0)?;
        let (p, q) = (pivot / cols, pivot % cols);
        let column: Vec<i128> = integers.iter().skip(q).step_by(cols).copied().collect();
        let divisor = column.iter().fold(0, |a, &b| gcd(a, b.abs()));
        let column: Vec<i128> = column.iter().map(|w| w / divisor).collect();
        let divisor = column[p];
        let row = integers[p * cols..][..cols].iter();
        let row: Vec<i128> = row.map(|w| (w % divisor == 0).then_some(w / divisor)).collect::<Option<_>>()?;
        let products = column.iter().flat_map(|c| row.iter().map(move |r| c * r));
        // As f64 the factors are whole only up to 2^53.
        let exact = column.iter().chain(&row).all(|w| w.unsigned_abs() < 1 << 53);
        let floats = |values: &[i128]| values.iter().map(|&w| w as f64).collect();
        (exact && products.eq(integers.iter().copied()))
            .then(|| Term { column: floats(&column), row: floats(&row) })
    }

    /// Sum of the absolute values.
    pub(super) fn magnitude(&self) -> f64 {
        let im: f64 = self.im.iter().flatten().map(|w| w.abs()).sum();
        self.re.iter().map(|w| w.abs()).sum::<f64>() + im
    }
}

/// Where the value of the largest magnitude stands, and that magnitude.
fn largest(values: &[f64]) -> (usize, f64) {
    let larger =
        |best: (usize, f64), (i, w): (usize, &f64)| if w.abs() > best.1 { (i, w.abs()) } else { best };
    values.iter().enumerate().fold((0, 0.0), larger)
}

const fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F32: f64 = f32::EPSILON as f64 / 2.0;

    fn outer(column: &[f64], row: &[f64]) -> Vec<f64> {
        column.iter().flat_map(|c| row.iter().map(move |r| c * r)).collect()
    }

    #[test]
    fn an_outer_product_is_found_whatever_its_scale() {
        let column: Vec<f64> = (0..9).map(|i| (-0.2 * f64::from(i - 4).powi(2)).exp() * 1e20).collect();
        let row: Vec<f64> = (0..7).map(|i| f64::from(i - 3) + 0.1).collect();
        let taps = Taps::from_f64([9, 7], &outer(&column, &row));
        let terms = taps.factored(F32, 64.0 * F32).unwrap();
        assert_eq!(terms.len(), 1);
        for (w, product) in taps.re().iter().zip(outer(&terms[0].column, &terms[0].row)) {
            assert!((w - product).abs() <= 4.0 * f64::EPSILON * w.abs());
        }
    }

    #[test]
    fn integers_are_taken_apart_into_integers() {
        let taps = Taps::from_integers([3, 3], &[-2, -4, -2, 0, 0, 0, 2, 4, 2]);
        let terms = taps.factored(0.0, 0.0).unwrap();
        assert_eq!(terms, [Term { column: vec![-1.0, 0.0, 1.0], row: vec![2.0, 4.0, 2.0] }]);
        let taps = Taps::from_integers([2, 2], &[1, 2, 3, 4]);
        assert!(taps.factored(0.0, 0.0).is_err(), "of rank 2");
    }

    #[test]
    fn what_would_break_the_bound_is_refused() {
        let (a, b) = (outer(&[1.0, 0.5, 0.3], &[0.7, 1.0, 0.1]), outer(&[0.2, -0.9, 1.0], &[1.0, 0.3, -0.6]));
        let sum: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let taps = Taps::from_f64([3, 3], &sum);
        assert_eq!(taps.factored(F32, 1e-4).unwrap().len(), 2);
        // Taps of 0 where the terms cancel: any error is infinitely many times |w x|.
        let laplace = [0.0, 0.1, 0.0, 0.1, -0.4, 0.1, 0.0, 0.1, 0.0];
        assert!(Taps::from_f64([3, 3], &laplace).factored(F32, 10.0 * F32).is_err());
    }
}
