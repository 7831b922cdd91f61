//! Files beside a plan, as the disk has them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::plan::limits::MAX_BESIDE_BYTES;

/// A file's bytes; of one that is longer than a plan takes, one more than that. What is no file is not opened: it might not end, or
/// not even begin.
///
/// # Errors
/// It is not there, it is no file, or it cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BESIDE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
