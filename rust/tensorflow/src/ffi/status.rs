//! TensorFlow's way to say how a call went.

use super::api::{RawStatus, api};
use crate::op::{Code, Failure};
use std::ffi::{CStr, CString};

/// A `TF_Status` of our own.
pub(super) struct Status(*mut RawStatus);

impl Status {
    /// One that says that all is well.
    pub(super) fn new() -> Self {
        // SAFETY: no precondition.
        Self(unsafe { (api().new_status)() })
    }

    /// One that says what went wrong.
    pub(super) fn of(failure: &Failure) -> Self {
        let status = Self::new();
        let message = text(&failure.message);
        // SAFETY: a live status; the message is copied.
        unsafe { (api().set_status)(status.0, failure.code.0, message.as_ptr()) };
        status
    }

    /// The address that C functions take.
    pub(super) fn raw(&self) -> *mut RawStatus {
        self.0
    }

    /// How the last call that took it went.
    pub(super) fn code(&self) -> Code {
        // SAFETY: a live status.
        Code(unsafe { (api().get_code)(self.0) })
    }

    /// An error if the last call that took it failed.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let code = self.code();
        if code == Code::OK {
            return Ok(());
        }
        // SAFETY: a live status, whose message is a C string that lives as long.
        let message = unsafe { CStr::from_ptr((api().message)(self.0)) };
        Err(Failure { code, message: message.to_string_lossy().into_owned() })
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { (api().delete_status)(self.0) };
    }
}

/// A C string; one that holds a zero ends there.
pub(super) fn text(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).expect("no zero in it")
}
