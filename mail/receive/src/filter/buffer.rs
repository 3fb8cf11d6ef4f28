//! Content that waits until it is complete: a little in memory, more in a file that has no name.

use super::FilterSettings;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
};

/// What is kept in memory.
const IN_MEMORY: usize = 256 * 1024;
/// What is read back at once.
const CHUNK: usize = 64 * 1024;
/// open(2): a file without a name. The same number on all Linux architectures that Rust calls tier 1 and 2.
const O_TMPFILE: i32 = 0o20_200_000;

/// Content so far.
#[derive(Default)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    /// All of it, once there is much.
    file: Option<File>,
    len: u64,
}

impl Buffer {
    /// Appends. An error means that the disk is full or broken.
    pub fn push(&mut self, chunk: &[u8], settings: &FilterSettings) -> io::Result<()> {
        self.len += chunk.len() as u64;
        if let Some(file) = &mut self.file {
            return file.write_all(chunk);
        }
        self.memory.extend_from_slice(chunk);
        if self.memory.len() > IN_MEMORY {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .mode(0o600)
                .custom_flags(O_TMPFILE)
                .open(&settings.data_directory)?;
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        Ok(())
    }

    /// What is at `at`; empty at the end. Blocks for at most 64 KiB from the page cache.
    pub fn chunk(&self, at: u64) -> io::Result<Vec<u8>> {
        let Some(file) = &self.file else {
            let rest = usize::try_from(at).ok().and_then(|at| self.memory.get(at..)).unwrap_or_default();
            return Ok(rest.iter().take(CHUNK).copied().collect());
        };
        let want = usize::try_from(self.len.saturating_sub(at)).unwrap_or(CHUNK).min(CHUNK);
        let mut bytes = vec![0; want];
        file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_conf::Config;

    #[test]
    fn small_and_large() {
        let dir = tempfile::tempdir().expect("folder");
        let main = format!("smtpd_proxy_filter = 1:2\ndata_directory = {}", dir.path().display());
        let main = main.replace("1:2", "127.0.0.1:10025");
        let settings = FilterSettings::new(&Config::from_text(&main)).expect("config").expect("a filter");
        for size in [0, 10, IN_MEMORY + 5, 3 * IN_MEMORY] {
            let all: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut buffer = Buffer::default();
            for part in all.chunks(10_007) {
                buffer.push(part, &settings).expect("room");
            }
            let mut back = Vec::new();
            loop {
                let chunk = buffer.chunk(back.len() as u64).expect("readable");
                if chunk.is_empty() {
                    break;
                }
                back.extend(chunk);
            }
            assert_eq!(back, all, "{size}");
        }
    }
}
