//! Threads: how many, whose, and how work is shared among them. The only file that names the pool.
//!
//! The calling thread takes part. Helpers come from a pool that belongs to this process id: after a
//! `fork` the child finds that its pool is another process's and makes one of its own. Work is a
//! queue of tasks that each thread draws from until it is empty, its own part first, so the answer
//! can't depend on who drew what.
#![expect(unsafe_code, reason = "keeps the pool behind an atomic pointer, which a fork can't leave locked")]

mod place;
mod pool;

use crate::Error;
use pool::Pool;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The largest number of threads that may be asked for.
const MOST: usize = 1024;

/// 0: not set, ask the environment and the affinity.
static PROCESS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(0) };
    /// Which of how many threads this one is, in the work that it is doing.
    static RANK: Cell<[usize; 2]> = const { Cell::new([0, 1]) };
}

fn checked(threads: usize) -> Result<usize, Error> {
    if (1..=MOST).contains(&threads) {
        Ok(threads)
    } else {
        Err(Error::Value(format!(
            "the number of threads must be 1 to {MOST}, or -1 for every core. Received: {threads}."
        )))
    }
}

/// Threads that this process may run at once: its affinity, and what a container allows, as they
/// were at the first call (asking takes 40 microseconds, ten times a small image's filter).
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// `FERROCONV_NUM_THREADS` if it is a number from 1 to 1024, else every core.
fn default_threads() -> usize {
    static DEFAULT: OnceLock<usize> = OnceLock::new();
    *DEFAULT.get_or_init(|| {
        let set = std::env::var("FERROCONV_NUM_THREADS").ok();
        set.and_then(|n| n.trim().parse().ok()).filter(|n| (1..=MOST).contains(n)).unwrap_or_else(cores)
    })
}

/// Threads that a call uses when it names no number: the calling thread's override, then the
/// process's setting, then `FERROCONV_NUM_THREADS`, then the affinity.
pub fn num_threads() -> usize {
    match (THREAD.get(), PROCESS.load(Ordering::Relaxed)) {
        (0, 0) => default_threads(),
        (0, process) => process,
        (thread, _) => thread,
    }
}

/// Sets the process's number of threads.
///
/// # Errors
/// [`Error::Value`] outside 1 to 1024.
pub fn set_num_threads(threads: usize) -> Result<(), Error> {
    PROCESS.store(checked(threads)?, Ordering::Relaxed);
    Ok(())
}

/// Overrides the number for calls from this thread (`None` ends that). Gives back the override
/// that was in force.
///
/// # Errors
/// [`Error::Value`] outside 1 to 1024.
pub fn override_num_threads(threads: Option<usize>) -> Result<Option<usize>, Error> {
    let threads = threads.map(checked).transpose()?;
    let before = THREAD.replace(threads.unwrap_or(0));
    Ok((before > 0).then_some(before))
}

/// The threads of one call.
#[derive(Clone, Copy)]
pub struct Workers<'a> {
    threads: usize,
    interrupted: Option<&'a (dyn Fn() -> bool + Sync + 'a)>,
}

impl std::fmt::Debug for Workers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl<'a> Workers<'a> {
    /// So many threads (`None`: [`num_threads`]).
    ///
    /// # Errors
    /// [`Error::Value`] outside 1 to 1024.
    pub fn new(threads: Option<usize>) -> Result<Self, Error> {
        let threads = threads.map_or_else(|| Ok(num_threads()), checked)?;
        Ok(Self { threads, interrupted: None })
    }

    /// The calling thread alone, whom no one interrupts.
    pub fn alone() -> Self {
        Self { threads: 1, interrupted: None }
    }

    /// Asks `interrupted` now and then, on the calling thread, whether to give up.
    #[must_use]
    pub fn with_interrupt(self, interrupted: &'a (dyn Fn() -> bool + Sync + 'a)) -> Self {
        Self { interrupted: Some(interrupted), ..self }
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// No more than `most` threads (but one at least).
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        Self { threads: self.threads.min(most).max(1), ..self }
    }

    /// As many threads as so many nanoseconds of work are worth.
    #[must_use]
    pub fn worth(self, nanoseconds: f64) -> Self {
        // Measured: 20 microseconds of work are done in 11 by two threads that are awake. A helper that wakes too late
        // costs its caller no more than the call that wakes it: nobody waits for one that has not begun.
        const GRAIN: f64 = 10_000.0;
        self.at_most((nanoseconds / GRAIN) as usize)
    }

    /// Runs `work` on every task that `next` yields until it yields none. A [`Queue`] knows by it whose part is which.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the caller asked to give up; tasks not begun are left undone.
    pub fn drain<T>(
        &self,
        next: impl Fn() -> Option<T> + Sync,
        work: impl Fn(T) + Sync,
    ) -> Result<(), Error> {
        let stop = AtomicBool::new(false);
        let helper = |helper: usize| {
            let _ranked = Ranked::new([1 + helper, self.threads]);
            while !stop.load(Ordering::Relaxed)
                && let Some(task) = next()
            {
                work(task);
            }
        };
        let caller = || {
            // The clock is read where someone may interrupt: that takes as long as a tiny task.
            let mut asked = self.interrupted.map(|interrupted| (interrupted, Instant::now()));
            while let Some(task) = next() {
                work(task);
                if let Some((interrupted, since)) = &mut asked
                    && since.elapsed() > POLL
                {
                    if interrupted() {
                        stop.store(true, Ordering::Relaxed);
                        return;
                    }
                    *since = Instant::now();
                }
            }
        };
        let _ranked = Ranked::new([0, self.threads]);
        if self.threads == 1 {
            caller();
        } else {
            pool(self.threads - 1).run(self.threads - 1, &helper, caller);
        }
        if stop.into_inner() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// The numbers below a count, each of which is handed out once.
///
/// Each thread is given those of its own part first, in their order, and then what others have left: in the next call on the
/// same arrays it meets what it left in its caches in this one. Where caches are slow to hand samples on, two threads that
/// shared one counter pooled 1x28x28x512 by 2x2 (`nn.max_pool2d`, with indices) in 44 microseconds, and in 22 with halves of
/// their own. Which part is whose is settled by [`Workers::drain`]; outside of it a thread is the only one, and is given all numbers in order.
#[derive(Debug)]
pub struct Queue {
    count: usize,
    /// Parts, 0 before the first number is asked for: as many as threads, whose number is known then.
    parts: AtomicUsize,
    /// How many numbers of each part were asked for.
    asked: [AtomicUsize; MOST_PARTS],
}

/// Parts of a queue, at most: of more threads some share one.
const MOST_PARTS: usize = 64;

impl Queue {
    /// The numbers below `count`.
    pub fn new(count: usize) -> Self {
        Self { count, parts: AtomicUsize::new(0), asked: [const { AtomicUsize::new(0) }; MOST_PARTS] }
    }

    /// The next number for this thread.
    pub fn take(&self) -> Option<usize> {
        let [rank, threads] = RANK.get();
        // Those who ask later, in whatever work, find the parts that the first one made.
        let made = threads.min(MOST_PARTS);
        let parts = match self.parts.compare_exchange(0, made, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => made,
            Err(parts) => parts,
        };
        let begin = |part: usize| part * self.count / parts;
        let own = rank % parts;
        (own..parts).chain(0..own).find_map(|part| {
            let (start, end) = (begin(part), begin(part + 1));
            let asked = &self.asked[part];
            // Most parts are empty when the last numbers are looked for.
            let left = start + asked.load(Ordering::Relaxed) < end;
            left.then(|| start + asked.fetch_add(1, Ordering::Relaxed)).filter(|&number| number < end)
        })
    }
}

/// Makes this thread one of several while it lives.
struct Ranked([usize; 2]);

impl Ranked {
    fn new(rank: [usize; 2]) -> Self {
        Self(RANK.replace(rank))
    }
}

impl Drop for Ranked {
    fn drop(&mut self) {
        RANK.set(self.0);
    }
}

/// How long the calling thread works between two looks at whether it was interrupted.
const POLL: Duration = Duration::from_millis(50);

/// The pool of a process.
struct Own {
    process: u32,
    pool: &'static Pool,
}

/// This process's pool, with `helpers` threads at least.
///
/// A pool that is too small, or a parent process's, is replaced and left as it is: other callers may still
/// be inside it. That happens once a fork and once each time a larger number is asked for.
fn pool(helpers: usize) -> &'static Pool {
    static POOL: AtomicPtr<Own> = AtomicPtr::new(std::ptr::null_mut());
    let process = std::process::id();
    loop {
        let current = POOL.load(Ordering::Acquire);
        // SAFETY: null, or what was leaked below and so lives for ever.
        if let Some(own) = unsafe { current.as_ref() }
            && own.process == process
            && own.pool.helpers() >= helpers
        {
            return own.pool;
        }
        // Several threads may start one at once; the pools of those who are late have nothing to do.
        let made = Box::into_raw(Box::new(Own { process, pool: Pool::start(helpers, cores()) }));
        if POOL.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: made just above and shown to no one.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_whatever_the_number_of_threads() {
        for threads in [1, 2, 3, 7] {
            let next = AtomicUsize::new(0);
            let done: Vec<_> = (0..100).map(|_| AtomicUsize::new(0)).collect();
            let workers = Workers::new(Some(threads)).unwrap();
            workers
                .drain(
                    || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < 100),
                    |i| {
                        done[i].fetch_add(1, Ordering::Relaxed);
                    },
                )
                .unwrap();
            assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn a_queue_gives_each_number_once_and_each_thread_its_own_first() {
        for (count, threads) in [0, 1, 5, 16, 17, 100].into_iter().flat_map(|n| [1, 2, 3, 40].map(|t| (n, t)))
        {
            let queue = Queue::new(count);
            let mut given = vec![0; count];
            for rank in (0..threads).rev() {
                RANK.set([rank, threads]);
                queue.take().into_iter().for_each(|number| given[number] += 1);
            }
            std::iter::from_fn(|| queue.take()).for_each(|number| given[number] += 1);
            assert!(given.iter().all(|&times| times == 1), "{count} numbers, {threads} threads");
        }
        RANK.set([0, 1]);
        let own = |threads| {
            let queue = Queue::new(12);
            let own = |rank| {
                let _ranked = Ranked::new([rank, threads]);
                queue.take()
            };
            (0..threads).map(|rank| own(rank).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!([own(2), own(3), own(4)], [vec![0, 6], vec![0, 4, 8], vec![0, 3, 6, 9]]);
        assert_eq!(RANK.get(), [0, 1], "as it was");
    }

    #[test]
    fn several_callers_share_the_helpers() {
        let sums: Vec<usize> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..200)
                            .map(|_| {
                                let (next, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
                                let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < 20);
                                let add = |i| {
                                    sum.fetch_add(i, Ordering::Relaxed);
                                };
                                Workers::new(Some(3)).unwrap().drain(take, add).unwrap();
                                sum.into_inner()
                            })
                            .sum()
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        assert_eq!(sums, [200 * 190; 4]);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_pool_whole() {
        for own in [true, false] {
            let caller = std::thread::current().id();
            let next = AtomicUsize::new(0);
            let outcome = std::panic::catch_unwind(|| {
                Workers::new(Some(2)).unwrap().drain(
                    || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < 1000),
                    |_| {
                        std::thread::sleep(Duration::from_micros(200));
                        assert!((std::thread::current().id() == caller) != own, "as it was asked for");
                    },
                )
            });
            assert!(outcome.is_err());
        }
        every_task_is_done_once_whatever_the_number_of_threads();
    }

    #[test]
    fn an_interrupt_ends_the_work() {
        let workers = Workers::new(Some(1)).unwrap().with_interrupt(&|| true);
        let result = workers.drain(|| Some(()), |()| std::thread::sleep(Duration::from_millis(5)));
        assert_eq!(result, Err(Error::Interrupted));
    }
}
