//! A file as memory: what is written there is the file's at once, without a system call, also when the process is killed in the next
//! instant. It is on disk only when the kernel gets to it.

use crate::explain;
use nix::sys::statfs::{EXT4_SUPER_MAGIC, FsType, TMPFS_MAGIC, XFS_SUPER_MAGIC};
use std::{fs::File, io, os::fd::AsRawFd, ptr::NonNull};

/// File systems that change blocks where they are.
const IN_PLACE: [FsType; 3] = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, TMPFS_MAGIC];

/// The first bytes of a file, shared with it.
pub struct Mapping {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to this value alone, and writing needs it mutably.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of a file that is open for reading and writing. The file must be that long, have its room
    /// on the disk (no holes), and never become shorter: whoever touches memory without a file behind it gets a signal. For the same reason
    /// only file systems are taken that write changes where the data is (ext2 to 4, xfs, tmpfs): elsewhere a full disk would be one.
    pub fn of(file: &File, len: usize) -> io::Result<Self> {
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if len == 0 || size < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !IN_PLACE.contains(&nix::sys::statfs::fstatfs(file)?.filesystem_type()) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: a new mapping, where the kernel likes; it is unmapped when the value is dropped.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, file.as_raw_fd(), 0) };
        match NonNull::new(at.cast::<u8>()).filter(|_| at != libc::MAP_FAILED) {
            Some(at) => Ok(Self { at, len }),
            None => Err(explain("mmap", io::Error::last_os_error())),
        }
    }

    /// Writes `data` at an offset; `false`, and nothing is written, when it does not fit.
    pub fn write(&mut self, offset: usize, data: &[u8]) -> bool {
        if offset.checked_add(data.len()).is_none_or(|end| end > self.len) {
            return false;
        }
        // SAFETY: the range is inside the mapping, as was just checked, and `data` is not.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.at.as_ptr().add(offset), data.len()) };
        true
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this length, and nobody else has the address.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_written_is_the_files() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(Mapping::of(&file, 10).is_err());
        file.write_all(&[0; 100]).unwrap();
        let mut mapping = Mapping::of(&file, 100).unwrap();
        assert!(mapping.write(98, b"xy") && mapping.write(0, b"a"));
        assert!(!mapping.write(99, b"xy") && !mapping.write(usize::MAX, b"x"));
        let mut read = [0; 100];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut read, 0).unwrap();
        assert_eq!((read[0], &read[1..98], &read[98..]), (b'a', &[0; 97][..], &b"xy"[..]));
    }
}
