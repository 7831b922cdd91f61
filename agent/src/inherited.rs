//! What this process was given by whoever started it, and what it does not pass on.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

/// Descriptors beside the three standard ones are closed to programs that are started from now on. Those that we open ourselves are
/// so from the beginning; a parent may have left us others: a log, a socket of its own, a file with a key.
pub(crate) fn keep_from_programs() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(number) = number.filter(|number| *number > 2) {
            close_on_exec(number)?;
        }
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a number is all that is known of a descriptor that somebody else opened")]
fn close_on_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: it is used for two calls that read and set a flag of whatever has this number; nothing is read, written or closed.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    match fcntl_getfd(descriptor).and_then(|flags| fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC)) {
        // the folder's own, which is closed by now
        Err(Errno::BADF) => Ok(()),
        done => Ok(done?),
    }
}
