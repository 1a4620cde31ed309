//! The loops over rows: every one is a plain loop over slices, which the compiler turns into vectors of
//! whatever the fold's numbers are.

use super::fold::Step;
use crate::simd::{Ahead, Simd};
use std::ops::Range;

/// Bytes of results after which what is to come ahead comes a little nearer.
pub(super) const PART: usize = 1 << 10;

/// A loop over `n` results, in parts between which `ahead` comes nearer.
#[inline(always)]
fn in_parts<P: Step>(n: usize, ahead: &Ahead, mut part: impl FnMut(Range<usize>)) {
    if ahead.is_done() {
        return part(0..n);
    }
    let step = PART / size_of::<P::To>();
    let mut start = 0;
    while start < n {
        let end = n.min(start + step);
        part(start..end);
        ahead.step();
        start = end;
    }
}

// Rows are arguments of their own, not an array of them: so the compiler knows them apart from `out`.
macro_rules! joins {
    ($($name:ident, $kept:ident: $first:ident $(, $row:ident)*;)*) => {$(
        #[inline(always)]
        fn $name<P: Step>($first: &[P::From], $($row: &[P::From],)* out: &mut [P::To]) {
            let n = out.len();
            let $first = &$first[..n];
            $(let $row = &$row[..n];)*
            for x in 0..n {
                let joined = P::raise($first[x]);
                $(let joined = P::join(joined, P::raise($row[x]));)*
                out[x] = joined;
            }
        }
        #[inline(always)]
        fn $kept<P: Step>($first: &[P::From], $($row: &[P::From],)* out: &mut [P::To]) {
            let n = out.len();
            let $first = &$first[..n];
            $(let $row = &$row[..n];)*
            for x in 0..n {
                let joined = P::join(out[x], P::raise($first[x]));
                $(let joined = P::join(joined, P::raise($row[x]));)*
                out[x] = joined;
            }
        }
    )*};
}
joins! {
    join1, keep1: a;
    join2, keep2: a, b;
    join3, keep3: a, b, c;
    join4, keep4: a, b, c, d;
}

/// Joins any number of rows, the `t`-th being `row(t)`, in order; `out` may be shorter than they are.
#[inline(always)]
pub(super) fn join_all<'r, S: Simd, P: Step>(
    simd: S,
    count: usize,
    row: impl Fn(usize) -> &'r [P::From],
    ahead: &Ahead,
    out: &mut [P::To],
) {
    let mut done = 0;
    while done < count {
        let now = (count - done).min(4);
        let mut rows: [&[P::From]; 4] = [&[]; 4];
        for (r, slot) in rows[..now].iter_mut().enumerate() {
            *slot = row(done + r);
        }
        join_rows::<S, P>(simd, &rows[..now], done > 0, ahead, out);
        done += now;
    }
}

/// Joins up to three rows to what stands in `out`.
#[inline(always)]
pub(super) fn keep_all<'r, S: Simd, P: Step>(
    simd: S,
    count: usize,
    row: impl Fn(usize) -> &'r [P::From],
    ahead: &Ahead,
    out: &mut [P::To],
) {
    let mut rows: [&[P::From]; 3] = [&[]; 3];
    for (r, slot) in rows[..count].iter_mut().enumerate() {
        *slot = row(r);
    }
    join_rows::<S, P>(simd, &rows[..count], true, ahead, out);
}

fn join_rows<S: Simd, P: Step>(simd: S, rows: &[&[P::From]], keep: bool, ahead: &Ahead, out: &mut [P::To]) {
    simd.vectorize(
        #[inline(always)]
        || {
            macro_rules! joined {
                ($name:ident: $($row:ident),*) => {
                    in_parts::<P>(
                        out.len(),
                        ahead,
                        #[inline(always)]
                        |part| $name::<P>($(&$row[part.clone()],)* &mut out[part]),
                    )
                };
            }
            match (rows, keep) {
                (&[a], false) => joined!(join1: a),
                (&[a, b], false) => joined!(join2: a, b),
                (&[a, b, c], false) => joined!(join3: a, b, c),
                (&[a, b, c, d], false) => joined!(join4: a, b, c, d),
                (&[a], true) => joined!(keep1: a),
                (&[a, b], true) => joined!(keep2: a, b),
                (&[a, b, c], true) => joined!(keep3: a, b, c),
                (&[a, b, c, d], true) => joined!(keep4: a, b, c, d),
                _ => unreachable!("one to four rows"),
            }
        },
    );
}

/// `out = row + below`: a suffix of a block grows by the row above it.
pub(super) fn grow<S: Simd, P: Step>(simd: S, row: &[P::From], below: &[P::To], out: &mut [P::To]) {
    #[inline(always)]
    fn rows<P: Step>(row: &[P::From], below: &[P::To], out: &mut [P::To]) {
        let n = out.len();
        let (row, below) = (&row[..n], &below[..n]);
        for x in 0..n {
            out[x] = P::join(P::raise(row[x]), below[x]);
        }
    }
    simd.vectorize(
        #[inline(always)]
        || rows::<P>(row, below, out),
    );
}

/// `prefix = prefix + row; out = suffix + prefix`; the prefix begins with `row` where `first`.
pub(super) fn advance<S: Simd, P: Step>(
    simd: S,
    first: bool,
    row: &[P::From],
    suffix: &[P::To],
    ahead: &Ahead,
    prefix: &mut [P::To],
    out: &mut [P::To],
) {
    #[inline(always)]
    fn rows<P: Step, const FIRST: bool>(
        row: &[P::From],
        suffix: &[P::To],
        prefix: &mut [P::To],
        out: &mut [P::To],
    ) {
        let n = out.len();
        let (row, suffix, prefix) = (&row[..n], &suffix[..n], &mut prefix[..n]);
        for x in 0..n {
            let row = P::raise(row[x]);
            let sum = if FIRST { row } else { P::join(prefix[x], row) };
            prefix[x] = sum;
            out[x] = P::join(suffix[x], sum);
        }
    }
    simd.vectorize(
        #[inline(always)]
        || {
            in_parts::<P>(
                out.len(),
                ahead,
                #[inline(always)]
                |part| {
                    let (row, suffix) = (&row[part.clone()], &suffix[part.clone()]);
                    let (prefix, out) = (&mut prefix[part.clone()], &mut out[part]);
                    if first {
                        rows::<P, true>(row, suffix, prefix, out);
                    } else {
                        rows::<P, false>(row, suffix, prefix, out);
                    }
                },
            );
        },
    );
}

/// `column = column - old + new`.
pub(super) fn replace<S: Simd, P: Step>(
    simd: S,
    old: &[P::From],
    new: &[P::From],
    ahead: &Ahead,
    column: &mut [P::To],
) {
    #[inline(always)]
    fn rows<P: Step>(old: &[P::From], new: &[P::From], column: &mut [P::To]) {
        let n = column.len();
        let (old, new) = (&old[..n], &new[..n]);
        for x in 0..n {
            column[x] = P::replace(column[x], old[x], new[x]);
        }
    }
    simd.vectorize(
        #[inline(always)]
        || {
            in_parts::<P>(
                column.len(),
                ahead,
                #[inline(always)]
                |part| rows::<P>(&old[part.clone()], &new[part.clone()], &mut column[part]),
            );
        },
    );
}
