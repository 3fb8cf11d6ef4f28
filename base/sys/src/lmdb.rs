//! Reading an LMDB file that another program made (`lmdb:` tables of Debian's postmap).
//!
//! The file is mapped only while it is read, under the shared lock that Postfix's writers respect; a file that is
//! shorter than its own page count is refused before it is mapped.

use heed::types::Bytes;
use heed::{Database, EnvFlags, EnvOpenOptions};
use std::fs::File;
use std::io::{self, Seek};
use std::os::{fd::AsRawFd, unix::fs::FileExt};
use std::path::{Path, PathBuf};

const MAGIC: u32 = 0xBEEF_C0DE;

/// Calls `each` for every entry of the file's main database, in key order. `file` is what is at `path`; when it was opened
/// by somebody with more rights (the library opens by name), a private copy is read.
pub fn read_all(file: &File, path: &Path, each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    crate::locks::lock_shared_briefly(file)?;
    check(file)?;
    match File::open(path) {
        Ok(_) => read_at(path, each),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            let copy = Copy::of(file)?;
            read_at(&copy.name, each)
        }
        Err(e) => Err(e),
    }
}

/// A copy in memory, which the library finds by the name of its descriptor.
struct Copy {
    _memory: File,
    name: PathBuf,
}

impl Copy {
    fn of(mut file: &File) -> io::Result<Copy> {
        let mut memory = crate::fds::memory_file(&[])?;
        file.rewind()?;
        io::copy(&mut file, &mut memory)?;
        let name = format!("/proc/self/fd/{}", memory.as_raw_fd()).into();
        Ok(Copy { _memory: memory, name })
    }
}

fn read_at(path: &Path, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    let mut options = EnvOpenOptions::new();
    // SAFETY (flags): NO_LOCK is safe for one reader that holds the file lock which writers take.
    unsafe { options.flags(EnvFlags::NO_SUB_DIR | EnvFlags::READ_ONLY | EnvFlags::NO_LOCK) };
    // SAFETY: the mapping lives for this call only; writers are kept out by the lock, and the size was checked.
    let env = unsafe { options.open(path) }.map_err(failed)?;
    let read = || -> heed::Result<()> {
        let txn = env.read_txn()?;
        let Some(db): Option<Database<Bytes, Bytes>> = env.open_database(&txn, None)? else { return Ok(()) };
        for entry in db.iter(&txn)? {
            let (key, value) = entry?;
            each(key, value);
        }
        Ok(())
    };
    let mut read = read;
    let done = read().map_err(failed);
    env.prepare_for_closing().wait();
    done
}

fn failed(error: heed::Error) -> io::Error {
    match error {
        heed::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// The newer of the two meta pages says how many pages there are; all of them must be in the file.
fn check(file: &File) -> io::Result<()> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "Invalid argument");
    let mut meta = [0u8; 152];
    file.read_exact_at(&mut meta, 0).map_err(|_| bad())?;
    let page_size = u64::from(u32_at(&meta, 40));
    if u32_at(&meta, 16) != MAGIC || !(512..=65536).contains(&page_size) {
        return Err(bad());
    }
    let mut other = [0u8; 152];
    file.read_exact_at(&mut other, page_size).map_err(|_| bad())?;
    let newer = if u64_at(&other, 144) > u64_at(&meta, 144) { other } else { meta };
    let pages = u64_at(&newer, 136).checked_add(1).ok_or_else(bad)?;
    match pages.checked_mul(page_size).is_some_and(|size| file.metadata().is_ok_and(|m| m.len() >= size)) {
        true => Ok(()),
        false => Err(bad()),
    }
}

fn u32_at(bytes: &[u8; 152], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8; 152], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn make(path: &Path) {
        let mut options = EnvOpenOptions::new();
        // SAFETY (flags): NO_LOCK is safe for a file that nobody else knows.
        unsafe { options.flags(EnvFlags::NO_SUB_DIR | EnvFlags::NO_LOCK) };
        // SAFETY: nobody else changes the file while it is mapped.
        let env = unsafe { options.open(path) }.unwrap();
        let mut txn = env.write_txn().unwrap();
        let db: Database<Bytes, Bytes> = env.create_database(&mut txn, None).unwrap();
        db.put(&mut txn, b"key", b"value").unwrap();
        txn.commit().unwrap();
        env.prepare_for_closing().wait();
    }

    fn entries(file: &File, path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut all = Vec::new();
        read_all(file, path, |key, value| all.push((key.to_vec(), value.to_vec())))?;
        Ok(all)
    }

    /// As the worker does with a file that master opened: the thread has the file and may not open it. Needs root.
    #[test]
    fn a_file_for_root_only_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lmdb");
        make(&path);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let file = File::open(&path).unwrap();
        let want = vec![(b"key".to_vec(), b"value".to_vec())];
        assert_eq!(entries(&file, &path).unwrap(), want);
        if !crate::privilege::is_root() {
            return;
        }
        // A thread of its own: the identity for files is a thread's.
        let other = std::thread::spawn(move || {
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
            let refused = File::open(&path).map_err(|e| e.kind());
            assert_eq!(refused.err(), Some(io::ErrorKind::PermissionDenied));
            let all = entries(&file, &path);
            let left = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
            let ours = format!("hikyaku-{}-", std::process::id());
            (all, left.filter(|f| f.file_name().to_string_lossy().starts_with(&ours)).count())
        });
        let (all, left) = other.join().unwrap();
        assert_eq!((all.unwrap(), left), (want, 0));
    }

    #[test]
    fn damaged_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lmdb");
        for bytes in [Vec::new(), vec![0; 100], vec![0xff; 10_000]] {
            std::fs::write(&path, &bytes).unwrap();
            assert!(read_all(&File::open(&path).unwrap(), &path, |_, _| ()).is_err());
        }
    }
}
