//! Where a helper wakes: on another core than its caller's.
//!
//! A scheduler may wake a thread on the core of the one that wakes it although others are idle: to let cores sleep, or
//! because a virtual machine's idle core looks taken. There it waits until its caller has done all the work. Who wakes a
//! helper therefore first takes the core on which it runs itself from those on which the helper may.
#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "asks the system for threads' cores"))]

#[cfg(target_os = "linux")]
pub(super) use linux::Place;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Place;

#[cfg(target_os = "linux")]
mod linux {
    use std::mem::{size_of, zeroed};
    use std::sync::{Mutex, PoisonError};

    /// The cores of one thread.
    pub(in crate::parallel) struct Place {
        thread: libc::pid_t,
        state: Mutex<State>,
    }

    struct State {
        /// Those that it may run on but for the core that it avoids.
        allowed: libc::cpu_set_t,
        /// What was set last.
        set: libc::cpu_set_t,
        avoided: Option<usize>,
    }

    impl Place {
        /// Of the calling thread.
        pub(in crate::parallel) fn here() -> Self {
            // SAFETY: takes nothing, and never fails.
            let thread = unsafe { libc::gettid() };
            let cores = cores(thread).unwrap_or_else(none);
            Self { thread, state: Mutex::new(State { allowed: cores, set: cores, avoided: None }) }
        }

        /// Keeps the thread from the core on which the caller runs. Without effect where it has no other, or where the
        /// system refuses.
        pub(in crate::parallel) fn elsewhere(&self) {
            // SAFETY: takes nothing; negative if it fails.
            let Ok(core) = usize::try_from(unsafe { libc::sched_getcpu() }) else { return };
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.avoided == Some(core) {
                return;
            }
            // Whoever else has set its cores since is obeyed.
            let Some(now) = cores(self.thread) else { return };
            // SAFETY: reads sets.
            if unsafe { !libc::CPU_EQUAL(&now, &state.set) } {
                state.allowed = now;
            }
            let mut others = state.allowed;
            if core < 8 * size_of::<libc::cpu_set_t>() {
                // SAFETY: the set has a bit for this core.
                unsafe { libc::CPU_CLR(core, &mut others) };
            }
            // SAFETY: the set is as large as it says.
            let set = unsafe {
                libc::sched_setaffinity(self.thread, size_of::<libc::cpu_set_t>(), &raw const others)
            };
            state.set = if set == 0 { others } else { now };
            state.avoided = Some(core);
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

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_thread_is_kept_from_its_callers_core() {
            let (tell, told) = std::sync::mpsc::channel();
            let (end, ended) = std::sync::mpsc::channel::<()>();
            let helper = std::thread::spawn(move || {
                tell.send(Place::here()).unwrap();
                let _ = ended.recv();
            });
            let place = told.recv().unwrap();
            let all = cores(place.thread).unwrap();
            // SAFETY: reads a set.
            let count = unsafe { libc::CPU_COUNT(&all) };
            place.elsewhere();
            let left = cores(place.thread).unwrap();
            let avoided = place.state.lock().unwrap().avoided.unwrap();
            // SAFETY: reads sets, within their sizes.
            let (others, kept) = unsafe { (libc::CPU_COUNT(&left), libc::CPU_ISSET(avoided, &left)) };
            assert_eq!((others, kept), if count > 1 { (count - 1, false) } else { (1, true) });
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
    }
}
