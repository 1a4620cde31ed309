//! Helper threads for calls of 20 microseconds and more.
//!
//! A caller opens a job, does it, and closes it. A helper that came in time has joined the job meanwhile; one that did not
//! is not waited for, whoever keeps it from its core: what it would have done is done. A helper that has nothing to do
//! looks for the next job for a while ([`SPIN`]), since waking one that sleeps takes as long as a small task, and then
//! sleeps.
#![expect(unsafe_code, reason = "a job is borrowed from its caller's stack while helpers are in it")]

use super::place::Place;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a helper looks for a job before it sleeps: longer than a program needs between two calls.
const SPIN: Duration = Duration::from_micros(80);

/// Looks between two offers of the core to others.
const LOOKS: usize = 32;

/// How long a caller looks whether its helpers are done before it sleeps.
const PATIENCE: Duration = Duration::from_micros(200);

/// What helpers do: on the stack of a caller, who leaves it when no helper is in it.
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    /// Helpers in it.
    active: AtomicUsize,
    /// What a helper's panic said.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// An open job, and how many helpers may still join it.
struct Open {
    job: *const Job,
    places: usize,
    /// The same and those who have joined.
    all: usize,
    /// Which of its first 64 places are taken.
    taken: u64,
}

impl Open {
    /// A place for the helper of that number: the same in each job of that many, if it is free.
    fn place(&mut self, number: usize) -> usize {
        self.places -= 1;
        let own = number % self.all;
        let free = (0..self.all.min(64)).find(|place| self.taken >> place & 1 == 0);
        let place = match free {
            Some(free) if own < 64 && self.taken >> own & 1 == 1 => free,
            _ => own,
        };
        if place < 64 {
            self.taken |= 1 << place;
        }
        place
    }
}

// SAFETY: the job is shared by atomics and a lock; its work is `Sync`.
unsafe impl Send for Open {}

/// What the lock guards.
struct List {
    /// Oldest first.
    jobs: Vec<Open>,
    /// The last one's core is the likeliest to be awake.
    sleeping: Vec<&'static Helper>,
}

/// A thread of the pool.
struct Helper {
    thread: Thread,
    place: Place,
}

/// The helpers of a process. They live as long as it does.
pub(super) struct Pool {
    helpers: usize,
    /// How long they look for a job.
    spin: Duration,
    list: Mutex<List>,
    /// Places in all open jobs.
    places: AtomicUsize,
    spinning: AtomicUsize,
    /// Callers that sleep until their helpers are done.
    waiting: AtomicUsize,
    left: Condvar,
}

impl Pool {
    /// Starts so many helpers, on so many cores.
    pub(super) fn start(helpers: usize, cores: usize) -> &'static Self {
        // Where there is no core for each thread, looking for work takes it from those who have some.
        let spin = if helpers < cores { SPIN } else { Duration::ZERO };
        let pool: &'static Self = Box::leak(Box::new(Self {
            helpers,
            spin,
            list: Mutex::new(List { jobs: Vec::new(), sleeping: Vec::new() }),
            places: AtomicUsize::new(0),
            spinning: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            left: Condvar::new(),
        }));
        for i in 0..helpers {
            let helper = thread::Builder::new().name(format!("ferroconv-{i}"));
            // One that the system does not start is one that never comes in time.
            let _ = helper.spawn(move || pool.help(i));
        }
        pool
    }

    /// The number of helpers.
    pub(super) fn helpers(&self) -> usize {
        self.helpers
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `own` on this thread and `work` on up to `helpers` others meanwhile, each of which is told a place below that
    /// number. Returns when all that began have ended; panics if one of them did.
    pub(super) fn run(&self, helpers: usize, work: &(dyn Fn(usize) + Sync), own: impl FnOnce()) {
        // SAFETY: only the lifetime changes; `Closing` ends all use before the borrow does.
        let work = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(
                work,
            )
        };
        let job = Job { work, active: AtomicUsize::new(0), panic: Mutex::new(None) };
        self.open(&job, helpers);
        let closing = Closing { pool: self, job: &job };
        own();
        drop(closing);
        if let Some(panic) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }

    fn open(&self, job: &Job, helpers: usize) {
        let mut list = self.list();
        list.jobs.push(Open { job, places: helpers, all: helpers, taken: 0 });
        self.places.fetch_add(helpers, Ordering::SeqCst);
        let missing = helpers.saturating_sub(self.spinning.load(Ordering::SeqCst));
        let awake = list.sleeping.len().saturating_sub(missing);
        let woken = list.sleeping.split_off(awake);
        drop(list);
        for helper in woken.into_iter().rev() {
            if self.spin > Duration::ZERO {
                helper.place.elsewhere();
            }
            helper.thread.unpark();
        }
    }

    /// Takes a job off the list and waits for the helpers in it.
    fn close(&self, job: &Job) {
        let mut list = self.list();
        if let Some(i) = list.jobs.iter().position(|open| std::ptr::eq(open.job, job)) {
            self.places.fetch_sub(list.jobs.remove(i).places, Ordering::SeqCst);
        }
        drop(list);
        let done = || job.active.load(Ordering::SeqCst) == 0;
        if look(PATIENCE, done) {
            return;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut list = self.list();
        while !done() {
            list = self.left.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
        drop(list);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Joins a job, at a place of it.
    fn join(&self, list: &mut List, number: usize) -> Option<(*const Job, usize)> {
        let open = list.jobs.first_mut()?;
        let job = open.job;
        // SAFETY: a job on the list is there: its caller takes it off before it leaves it.
        unsafe { &*job }.active.fetch_add(1, Ordering::SeqCst);
        let place = open.place(number);
        self.places.fetch_sub(1, Ordering::SeqCst);
        if open.places == 0 {
            list.jobs.remove(0);
        }
        Some((job, place))
    }

    /// What the helper of that number does all its life.
    fn help(&self, number: usize) {
        let own: &'static Helper =
            Box::leak(Box::new(Helper { thread: thread::current(), place: Place::here() }));
        loop {
            self.spinning.fetch_add(1, Ordering::SeqCst);
            look(self.spin, || self.places.load(Ordering::SeqCst) > 0);
            let mut list = self.list();
            self.spinning.fetch_sub(1, Ordering::SeqCst);
            let (job, place) = loop {
                if let Some(joined) = self.join(&mut list, number) {
                    break joined;
                }
                list.sleeping.push(own);
                drop(list);
                thread::park();
                own.place.anywhere();
                list = self.list();
                // Still among them if no one woke it.
                list.sleeping.retain(|&other| !std::ptr::eq(other, own));
            };
            drop(list);
            // SAFETY: its caller waits until no helper is active in it.
            let (job, work) = unsafe { (&*job, &*(*job).work) };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(place))) {
                *job.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            // The last that is done with the job: its caller may leave it from here on.
            if job.active.fetch_sub(1, Ordering::SeqCst) == 1 && self.waiting.load(Ordering::SeqCst) > 0 {
                // A caller that looked before is asleep when it lets go of the lock.
                drop(self.list());
                self.left.notify_all();
            }
        }
    }
}

/// Closes a job, also if its caller panics.
struct Closing<'j> {
    pool: &'j Pool,
    job: &'j Job,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.pool.close(self.job);
    }
}

/// Looks for so long whether something is so.
fn look(patience: Duration, so: impl Fn() -> bool) -> bool {
    if so() {
        return true;
    }
    let since = Instant::now();
    while since.elapsed() < patience {
        for _ in 0..LOOKS {
            std::hint::spin_loop();
            if so() {
                return true;
            }
        }
        // A helper wakes on its caller's core as often as not: without this the one waited there for the other to give up
        // (110 microseconds for a task of 20).
        thread::yield_now();
    }
    false
}
