//! Writes a data set for `cargo xtask data`: documents, one a line. Arguments: how many, about how
//! many bytes each, the file.

use std::error::Error;
use std::path::{Path, PathBuf};

use base::io::{Disk as _, Open, RealDisk, write_all_at};
use benches::documents::Documents;

/// Fixed, so that every machine measures on the same bytes.
const SEED: u64 = 1;
/// Lines are gathered up to this before they are written.
const BUFFER_BYTES: usize = 1024 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or("usage: make-documents COUNT BYTES FILE");
    let (count, bytes, file) = (next()?.parse()?, next()?.parse()?, PathBuf::from(next()?));
    write(count, bytes, &file)
}

/// Writes beside the file and renames, so that an interrupted run leaves no half data set.
fn write(count: usize, bytes: usize, path: &Path) -> Result<(), Box<dyn Error>> {
    let parent = path.parent().ok_or("the file needs a directory")?;
    if RealDisk.stat(parent)?.is_none() {
        RealDisk.create_dir(parent)?;
    }
    let unfinished = path.with_extension("unfinished");
    if RealDisk.stat(&unfinished)?.is_some() {
        RealDisk.remove_file(&unfinished)?;
    }
    let file = RealDisk.open(&unfinished, Open::CreateNew)?;
    let (mut buffer, mut written) = (Vec::new(), 0);
    for document in Documents::new(SEED, bytes).take(count) {
        buffer.extend_from_slice(document.as_bytes());
        buffer.push(b'\n');
        if buffer.len() >= BUFFER_BYTES {
            write_all_at(&*file, &buffer, written)?;
            written += buffer.len() as u64;
            buffer.clear();
        }
    }
    write_all_at(&*file, &buffer, written)?;
    RealDisk.rename(&unfinished, path)?;
    Ok(())
}
