//! The few things the store asks of a disk, as a trait, so that tests can stop, fail or forget each of them.
//!
//! Paths are relative to the spool's folder. [`RealDisk`] is the operating system's; folders are 0700, files 0600.
//! Errors are the system's, unchanged; the callers decide what they mean.

use base_calls::Content;
use base_sys::mapping::Mapping;
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::PathBuf,
    sync::Arc,
};

/// A folder tree.
pub(crate) trait Disk: Send + Sync {
    /// Makes a folder if it is missing.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Names in a folder; none when it is missing.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes a new file; an existing one is an error.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file.
    fn open(&self, path: &str, write: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// A file of `len` bytes, made if it is missing, as memory.
    fn map(&self, path: &str, len: usize) -> io::Result<Box<dyn Mapped>>;
    /// Which start of the machine this is; `None` when nobody knows.
    fn boot(&self) -> Option<u128>;
    /// Where a path is, for messages to the administrator.
    fn full_path(&self, path: &str) -> PathBuf;
}

/// An open file; all access is positional.
pub(crate) trait DiskFile: Send + Sync {
    /// Writes some of `data`.
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<usize>;
    /// Reads some bytes; 0 at the end.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Makes the content, and the size when it grew, durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// A range of it as message content.
    fn content(self: Arc<Self>, offset: u64, len: u64) -> Content;
}

/// A file as memory: what is written outlives the process, not the machine.
pub(crate) trait Mapped: Send {
    /// Writes at an offset; `false` when it does not fit.
    fn write(&mut self, at: usize, data: &[u8]) -> bool;
}

/// Writes all of `data`.
pub(crate) fn write_all(file: &dyn DiskFile, mut data: &[u8], mut at: u64) -> io::Result<()> {
    while !data.is_empty() {
        match file.write_at(data, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                data = data.get(n..).unwrap_or_default();
                at += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Reads until `buf` is full or the file ends; the number of bytes read.
pub(crate) fn read_up_to(file: &dyn DiskFile, buf: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..)
        && !rest.is_empty()
    {
        match file.read_at(rest, at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// `len` bytes at `at`, or fewer at the end of the file.
pub(crate) fn read_range(file: &dyn DiskFile, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let n = read_up_to(file, &mut buf, at)?;
    buf.truncate(n);
    Ok(buf)
}

/// The operating system's disk.
pub(crate) struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Below `root`, which is made if it is missing.
    pub(crate) fn new(root: PathBuf, make: bool) -> io::Result<Self> {
        if make {
            DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        }
        Ok(Self { root })
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(self.full_path(dir)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.full_path(dir)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        entries.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Arc::new(RealFile(Arc::new(options.open(self.full_path(path))?))))
    }

    fn open(&self, path: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(write).open(self.full_path(path))?;
        Ok(Arc::new(RealFile(Arc::new(file))))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.full_path(from), self.full_path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        std::fs::remove_file(self.full_path(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.full_path(dir))?.sync_all()
    }

    fn map(&self, path: &str, len: usize) -> io::Result<Box<dyn Mapped>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.full_path(path))?;
        if file.metadata()?.len() < len as u64 {
            // Not a hole: memory without room on the disk ends the process.
            file.write_all_at(&vec![0; len], 0)?;
        }
        Ok(Box::new(Mapping::of(&file, len)?))
    }

    fn boot(&self) -> Option<u128> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
    }

    fn full_path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

impl Mapped for Mapping {
    fn write(&mut self, at: usize, data: &[u8]) -> bool {
        Self::write(self, at, data)
    }
}

struct RealFile(Arc<File>);

impl DiskFile for RealFile {
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<usize> {
        self.0.write_at(data, at)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buf, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn content(self: Arc<Self>, offset: u64, len: u64) -> Content {
        Content::File { file: self.0.clone(), offset, len }
    }
}
