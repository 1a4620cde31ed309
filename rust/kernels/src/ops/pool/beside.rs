//! Pooling of small pictures of one channel: some of them are put side by side in scratch, as the channels of one
//! picture, pooled there, and put back.
//!
//! ```text
//! side[y, x, c] = src[c, y, x]        dst[c, y, x] = pooled[y, x, c]
//! ```
//!
//! A row of a small picture is shorter than a vector, and a window at its edge is not like its neighbours; of pictures
//! side by side all lanes do the same. Numbers are moved in squares of a vector's lanes.

use super::{MaxGrad, MeanGrad, Pool, any_layout};
use crate::Error;
use crate::alloc::{self, Plain};
use crate::dtype::DType;
use crate::isa::{Isa, Kernel};
use crate::parallel::Workers;
use crate::registry::{Implementation, Operation, Reject, Schedule};
use crate::simd::{Lane, Simd, Vector, lane, transpose};
use crate::view::{Block, BlockRows, Blocks, Dst, Src};

/// The implementation `beside`.
#[derive(Debug)]
pub struct Beside;

/// Arrays that are read and written: their dtypes, each with whether it has the image's rows and columns, or the results'.
type Arrays = (Vec<Array>, Vec<Array>);
type Array = (DType, bool);

/// A problem of pooling.
trait Pooling: Operation + Sync {
    /// The forward problem.
    fn pool(&self) -> &Pool;
    /// The same of another forward problem.
    fn of(&self, pool: Pool) -> Self;
    /// Its arrays.
    fn arrays(&self) -> Arrays;
    /// # Errors
    /// Why its pictures can't be moved.
    fn moves(&self) -> Result<(), Reject> {
        Ok(())
    }
}

impl Pooling for Pool {
    fn pool(&self) -> &Pool {
        self
    }

    fn of(&self, pool: Pool) -> Self {
        pool
    }

    fn arrays(&self) -> Arrays {
        let positions = self.indices().then_some((DType::I64, false));
        (vec![(self.dtype, true)], [(self.dtype, false)].into_iter().chain(positions).collect())
    }
}

impl Pooling for MaxGrad {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn of(&self, pool: Pool) -> Self {
        Self { pool, ..*self }
    }

    fn arrays(&self) -> Arrays {
        (vec![(self.pool.dtype, true), (self.pool.dtype, false)], vec![(self.pool.dtype, true)])
    }

    fn moves(&self) -> Result<(), Reject> {
        if self.indices {
            Err(Reject("searches the image; positions are scattered where they are"))
        } else {
            Ok(())
        }
    }
}

impl Pooling for MeanGrad {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn of(&self, pool: Pool) -> Self {
        Self { pool }
    }

    fn arrays(&self) -> Arrays {
        (vec![(self.pool.dtype, false)], vec![(self.pool.dtype, true)])
    }
}

/// Bytes of the pictures that are side by side, at most. They need not stay in the second-level cache: 64 pictures of
/// 28 x 28 took 94 microseconds, in groups of 16 that stayed there 163.
const ROOM: usize = 1 << 20;

/// Pictures that are put side by side, at least and at most.
const LEAST: usize = 16;
const MOST: usize = 256;

/// Groups, at least, where there are pictures enough: for threads to share.
const GROUPS: usize = 8;

/// Bytes that are moved in a nanosecond.
const MOVED: f64 = 40.0;

/// Nanoseconds that a group takes besides.
const GROUP: f64 = 1500.0;

/// The shape of the image's pictures, or of the results'.
fn shape(pool: &Pool, image: bool) -> [usize; 3] {
    let [rows, cols] = pool.windows.map(|w| if image { w.src() } else { w.dst() });
    [rows, cols, pool.channels]
}

/// Bytes of a picture in all arrays.
fn bytes(problem: &impl Pooling) -> usize {
    let (srcs, dsts) = problem.arrays();
    let each =
        |&(dtype, image): &Array| dtype.size() * shape(problem.pool(), image).iter().product::<usize>();
    srcs.iter().chain(&dsts).map(each).sum()
}

/// The problem of so many pictures side by side.
fn beside<P: Pooling>(problem: &P, pictures: usize) -> P {
    problem.of(Pool { pictures: 1, channels: pictures, ..problem.pool().clone() })
}

/// Pictures that are put side by side.
fn group<P: Pooling>(problem: &P) -> usize {
    let pictures = problem.pool().pictures;
    let shared = (pictures / GROUPS).max(LEAST.min(pictures));
    let fit = ROOM / bytes(problem).max(1);
    fit.min(MOST).min(shared) / LEAST * LEAST
}

impl<P: Pooling> Implementation<P> for Beside {
    fn name(&self) -> &'static str {
        "beside"
    }

    fn cost(&self, problem: &P) -> Result<f64, Reject> {
        let pool = problem.pool();
        if pool.channels != 1 {
            return Err(Reject("needs pictures of one channel"));
        }
        if !matches!(pool.dtype.size(), 4 | 8) {
            return Err(Reject("moves numbers of 4 or 8 bytes"));
        }
        problem.moves()?;
        let group = group(problem);
        if group == 0 {
            return Err(Reject("needs many small pictures"));
        }
        let one = beside(problem, group);
        let costs = P::IMPLEMENTATIONS.iter().filter_map(|other| other.cost(&one).ok());
        let pooled = costs.min_by(f64::total_cmp).ok_or(Reject("nothing takes the pictures side by side"))?;
        let moved = (group * bytes(problem)) as f64 / MOVED;
        Ok((pooled + moved + GROUP) * pool.pictures as f64 / group as f64)
    }

    fn run(
        &self,
        problem: &P,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        if !(srcs.iter().all(Src::is_run) && dsts.iter().all(Dst::is_run)) {
            return any_layout(problem).run(problem, srcs, dsts, schedule);
        }
        let pool = problem.pool();
        let (group, (_, writes)) = (group(problem), problem.arrays());
        let height = shape(pool, writes[0].1)[0];
        let tall: Option<Vec<_>> = dsts.iter_mut().map(Dst::stacked).collect();
        let mut tall = tall.expect("a run is one tall picture");
        let blocks = Blocks::new(&mut tall, [height * group, usize::MAX, 1]);
        let workers = schedule.workers.worth(self.cost(problem).unwrap_or(0.0)).at_most(blocks.count());
        workers.drain(|| blocks.take(), |block| solve(problem, srcs, block, height, schedule.isa))
    }
}

/// Pools the pictures of a block, whose result has so many rows a picture.
fn solve<P: Pooling>(problem: &P, srcs: &[Src<'_>], mut block: Block<'_>, height: usize, isa: Isa) {
    let (reads, writes) = problem.arrays();
    let first = block.rows.start / height;
    let count = block.rows.len() / height;
    let one = beside(problem, count);
    let arrays: Vec<_> =
        reads.iter().chain(&writes).map(|&(dtype, image)| (dtype, shape(one.pool(), image))).collect();
    let room = |size: usize| {
        std::array::from_fn(|i| match arrays.get(i) {
            Some((dtype, shape)) if dtype.size() == size => shape.iter().product(),
            _ => 0,
        })
    };
    alloc::scratch_of_three(
        (room(4), room(8), []),
        |fours: [&mut [f32]; MOST_ARRAYS], eights: [&mut [f64]; MOST_ARRAYS], []: [&mut [u8]; 0]| {
            let sides = arrays.iter().zip(fours.into_iter().zip(eights));
            let mut sides: Vec<_> = sides
                .map(|(&(dtype, shape), (four, eight))| {
                    let numbers = if dtype.size() == 4 { Numbers::Four(four) } else { Numbers::Eight(eight) };
                    Side { numbers, dtype, shape }
                })
                .collect();
            let (from, into) = sides.split_at_mut(reads.len());
            for (side, src) in from.iter_mut().zip(srcs) {
                side.bring(isa, src, first);
            }
            let srcs: Vec<_> = from.iter().map(Side::src).collect();
            let mut dsts: Vec<_> = into.iter_mut().map(Side::dst).collect();
            let schedule = Schedule::new(isa, Workers::alone());
            let solved = one.select(isa).and_then(|chosen| chosen.run(&one, &srcs, &mut dsts, &schedule));
            solved.expect("a problem that some implementation takes, and no one interrupts");
            match into {
                [side] => block.parts::<1>().iter_mut().for_each(|to| side.put(isa, to)),
                [..] => block.parts::<2>().iter_mut().zip(into).for_each(|(to, side)| side.put(isa, to)),
            }
        },
    );
}

/// Arrays of a problem, at most.
const MOST_ARRAYS: usize = 3;

/// An array of pictures side by side.
struct Side<'s> {
    numbers: Numbers<'s>,
    dtype: DType,
    shape: [usize; 3],
}

enum Numbers<'s> {
    Four(&'s mut [f32]),
    Eight(&'s mut [f64]),
}

impl Side<'_> {
    /// Brings the pictures of `src` from the `first` on.
    fn bring(&mut self, isa: Isa, src: &Src<'_>, first: usize) {
        let [rows, cols, count] = self.shape;
        let place = first * rows * cols..(first + count) * rows * cols;
        match &mut self.numbers {
            Numbers::Four(into) => turn::<lane::F32>(isa, &run(src)[place], count, into),
            Numbers::Eight(into) => turn::<lane::F64>(isa, &run(src)[place], count, into),
        }
    }

    /// Puts the pictures where they belong.
    fn put(&self, isa: Isa, to: &mut BlockRows<'_>) {
        let rows = self.shape[0] * self.shape[1];
        match &self.numbers {
            Numbers::Four(from) => turn::<lane::F32>(isa, from, rows, to.lend_bits().expect(RUN)),
            Numbers::Eight(from) => turn::<lane::F64>(isa, from, rows, to.lend_bits().expect(RUN)),
        }
    }

    fn src(&self) -> Src<'_> {
        match &self.numbers {
            Numbers::Four(numbers) => Src::of_bits(numbers, self.dtype, &self.shape),
            Numbers::Eight(numbers) => Src::of_bits(numbers, self.dtype, &self.shape),
        }
    }

    fn dst(&mut self) -> Dst<'_> {
        match &mut self.numbers {
            Numbers::Four(numbers) => Dst::of_bits(numbers, self.dtype, &self.shape),
            Numbers::Eight(numbers) => Dst::of_bits(numbers, self.dtype, &self.shape),
        }
    }
}

/// What was looked at before.
const RUN: &str = "an array that is a run";

fn run<'a, T: Plain>(src: &Src<'a>) -> &'a [T] {
    src.lend_bits().expect(RUN)
}

/// Writes the transpose of `rows` rows, one after the other, likewise.
fn turn<L: Lane>(isa: Isa, from: &[L::Elem], rows: usize, into: &mut [L::Elem]) {
    isa.dispatch(Turn::<L> { from, rows, into });
}

struct Turn<'t, L: Lane> {
    from: &'t [L::Elem],
    rows: usize,
    into: &'t mut [L::Elem],
}

impl<L: Lane> Kernel for Turn<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        simd.vectorize(
            #[inline(always)]
            || turned::<L::Vector<S>>(self.from, self.rows, self.into),
        );
    }
}

#[inline(always)]
fn turned<V: Vector>(from: &[V::Elem], rows: usize, into: &mut [V::Elem]) {
    if from.is_empty() {
        return;
    }
    let cols = from.len() / rows;
    if rows < V::LANES || cols < V::LANES {
        for (i, row) in from.chunks_exact(cols).enumerate() {
            for (j, &number) in row.iter().enumerate() {
                into[j * rows + i] = number;
            }
        }
        return;
    }
    // The last square of a line overlaps the one before.
    for i in (0..rows).step_by(V::LANES).map(|i| i.min(rows - V::LANES)) {
        for j in (0..cols).step_by(V::LANES).map(|j| j.min(cols - V::LANES)) {
            transpose::<V>(&from[i * cols + j..], cols, &mut into[j * rows + i..], rows, [V::LANES; 2]);
        }
    }
}
