//! Where a helper wakes: on another core than its caller's.
//!
//! A scheduler may wake a thread on the core of the one that wakes it although others are idle: to let cores sleep, or
//! because a virtual machine's idle core looks taken. There it waits until its caller has done all the work. Who wakes a
//! helper therefore first takes the core on which it runs itself from those on which the helper may, which the helper,
//! awake, takes back.
#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "asks the system for threads' cores"))]

#[cfg(target_os = "linux")]
pub(super) use linux::Place;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Place;

#[cfg(target_os = "linux")]
mod linux {
    use std::mem::zeroed;
    use std::sync::{Mutex, PoisonError};

    /// The cores of one thread.
    pub(in crate::parallel) struct Place {
        thread: libc::pid_t,
        /// Those that it may run on, while one of them is kept from it.
        own: Mutex<Option<libc::cpu_set_t>>,
    }

    impl Place {
        /// Of the calling thread.
        pub(in crate::parallel) fn here() -> Self {
            // SAFETY: takes nothing, and never fails.
            Self { thread: unsafe { libc::gettid() }, own: Mutex::new(None) }
        }

        /// Keeps the thread, which sleeps, from the core on which the caller runs. Without effect where it has no other, or
        /// where the system refuses.
        pub(in crate::parallel) fn elsewhere(&self) {
            // SAFETY: takes nothing; negative if it fails.
            let core = usize::try_from(unsafe { libc::sched_getcpu() }).ok();
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            // What is read is what is given back, also if a container has fewer cores only for now: whoever has set the
            // thread's cores by themselves looks the same.
            let (Some(core), Some(cores)) = (core, own.or_else(|| cores(self.thread))) else { return };
            let mut others = cores;
            if core < 8 * size_of::<libc::cpu_set_t>() {
                // SAFETY: the set has a bit for this core.
                unsafe { libc::CPU_CLR(core, &mut others) };
            }
            if set_cores(self.thread, &others) {
                *own = Some(cores);
            }
        }

        /// Gives the thread, which has woken, its cores back: its caller may move to the one that it woke on.
        pub(in crate::parallel) fn anywhere(&self) {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(cores) = own.take() {
                set_cores(self.thread, &cores);
            }
        }
    }

    fn none() -> libc::cpu_set_t {
        // SAFETY: a set of bits, of which none is set.
        unsafe { zeroed() }
    }

    /// The cores that a thread may run on, if the system tells.
    fn cores(thread: libc::pid_t) -> Option<libc::cpu_set_t> {
        let mut cores = none();
        // SAFETY: the set is as large as it says.
        let got = unsafe { libc::sched_getaffinity(thread, size_of::<libc::cpu_set_t>(), &raw mut cores) };
        (got == 0).then_some(cores)
    }

    /// Whether the system lets a thread run on those cores alone.
    fn set_cores(thread: libc::pid_t, cores: &libc::cpu_set_t) -> bool {
        // SAFETY: the set is as large as it says.
        unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const *cores) == 0 }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_thread_is_kept_from_its_callers_core_until_it_wakes() {
            let (tell, told) = std::sync::mpsc::channel();
            let (end, ended) = std::sync::mpsc::channel::<()>();
            let helper = std::thread::spawn(move || {
                tell.send(Place::here()).unwrap();
                let _ = ended.recv();
            });
            let place = told.recv().unwrap();
            let all = cores(place.thread).unwrap();
            let count = |cores| {
                // SAFETY: reads a set.
                unsafe { libc::CPU_COUNT(&cores) }
            };
            // Twice, as by two callers before it wakes.
            (0..2).for_each(|_| place.elsewhere());
            let left = cores(place.thread).unwrap();
            assert_eq!(count(left), (count(all) - 1).max(1));
            place.anywhere();
            // SAFETY: reads sets.
            assert!(unsafe { libc::CPU_EQUAL(&cores(place.thread).unwrap(), &all) });
            drop(end);
            helper.join().unwrap();
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    /// The cores of one thread, which this system doesn't let choose.
    pub(in crate::parallel) struct Place;

    impl Place {
        pub(in crate::parallel) fn here() -> Self {
            Self
        }

        pub(in crate::parallel) fn elsewhere(&self) {}

        pub(in crate::parallel) fn anywhere(&self) {}
    }
}
