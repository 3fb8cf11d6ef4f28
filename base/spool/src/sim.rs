//! A disk in memory that forgets: for tests of what a stop at any moment leaves behind.
//!
//! Every file has its content as the system sees it and the sectors that are not synced yet; every folder its names,
//! and the changes of names that are not synced yet. [`SimDisk::crash`] gives the disk as the next start finds it: after
//! `kill -9` everything that was written is there; after loss of power each unsynced sector and each unsynced change of a
//! name is there or not, at random. The n-th operation, and all after it, can be made to fail.

use crate::disk::{Disk, DiskFile, Mapped};
use base_calls::Content;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

const SECTOR: usize = 512;

/// What to do wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// From this operation on nothing works (the process is dead).
    pub(crate) stop_at: Option<u64>,
    /// This sync fails, and what it should have written stays unsynced for ever.
    pub(crate) fail_sync: Option<u64>,
    /// This write is cut short and fails.
    pub(crate) fail_write: Option<u64>,
    /// Bytes that all files together may take.
    pub(crate) room: Option<u64>,
}

#[derive(Default, Clone)]
struct FileState {
    now: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum NameChange {
    Add(String, u64),
    Remove(String),
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, FileState>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    next_file: u64,
    ops: u64,
    syncs: u64,
    writes: u64,
    faults: Faults,
    /// Losses of power so far.
    boot: u128,
}

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

/// A small random number generator (xorshift), so that a failure can be repeated.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

impl SimDisk {
    pub(crate) fn new(faults: Faults) -> Self {
        let disk = Self::default();
        disk.state().faults = faults;
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Operations so far.
    pub(crate) fn ops(&self) -> u64 {
        self.state().ops
    }

    /// Syncs so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Does this while the disk stands still: whoever needs it waits.
    pub(crate) fn while_still<T>(&self, work: impl FnOnce() -> T) -> T {
        let _still = self.state();
        work()
    }

    /// Writes so far.
    pub(crate) fn writes(&self) -> u64 {
        self.state().writes
    }

    /// Names of files that exist.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// Flips a bit of a file.
    pub(crate) fn damage(&self, name: &str, at: usize) {
        let mut state = self.state();
        let id = state.names[name];
        let file = state.files.get_mut(&id).unwrap();
        if let Some(b) = file.now.get_mut(at) {
            *b ^= 0x10;
        }
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[&state.names[name]].now.clone()
    }

    /// The disk as the next start finds it; `power` is the source of chance when power was lost.
    pub(crate) fn crash(&self, power: Option<&mut Rng>) -> Self {
        let state = self.state();
        let mut next = State { next_file: state.next_file, boot: state.boot, ..State::default() };
        match power {
            None => {
                next.names = state.names.clone();
                for (id, file) in &state.files {
                    next.files.insert(*id, file.clone().settled());
                }
            }
            Some(rng) => {
                next.boot += 1;
                next.names = state.durable_names.clone();
                for change in &state.name_changes {
                    if rng.coin() {
                        apply(&mut next.names, change);
                    }
                }
                for (id, file) in &state.files {
                    next.files.insert(*id, file.after_power_loss(rng));
                }
            }
        }
        next.durable_names = next.names.clone();
        Self(Arc::new(Mutex::new(next)))
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Add(name, id) => drop(names.insert(name.clone(), *id)),
        NameChange::Remove(name) => drop(names.remove(name)),
    }
}

impl FileState {
    fn settled(mut self) -> Self {
        self.durable = self.now.clone();
        self.dirty.clear();
        self
    }

    fn after_power_loss(&self, rng: &mut Rng) -> Self {
        let mut bytes = self.durable.clone();
        for &sector in &self.dirty {
            if rng.coin() {
                let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(self.now.len()));
                if bytes.len() < to {
                    bytes.resize(to, 0);
                }
                bytes[from..to].copy_from_slice(&self.now[from..to]);
            }
        }
        Self { now: bytes.clone(), durable: bytes, dirty: BTreeSet::new() }
    }
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        self.ops += 1;
        match self.faults.stop_at {
            Some(at) if self.ops >= at => Err(io::Error::from_raw_os_error(5)),
            _ => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.files.get(id)).map(|f| f.now.len() as u64).sum()
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _: &str) -> io::Result<()> {
        self.state().step()
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{dir}/");
        Ok(self.state().names.keys().filter_map(|n| n.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.step()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.next_file += 1;
        let id = state.next_file;
        state.files.insert(id, FileState::default());
        state.names.insert(path.to_owned(), id);
        state.name_changes.push(NameChange::Add(path.to_owned(), id));
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn open(&self, path: &str, _: bool) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        let id = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        state.name_changes.push(NameChange::Remove(from.to_owned()));
        state.name_changes.push(NameChange::Add(to.to_owned(), id));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.name_changes.push(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let prefix = format!("{dir}/");
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.name_changes).into_iter().partition(|c| {
                let (NameChange::Add(name, _) | NameChange::Remove(name)) = c;
                name.starts_with(&prefix)
            });
        state.name_changes = later;
        now.iter().for_each(|c| apply(&mut state.durable_names, c));
        Ok(())
    }

    fn map(&self, path: &str, len: usize) -> io::Result<Box<dyn Mapped>> {
        let file = match self.open(path, true) {
            Ok(file) => file,
            Err(_) => self.create(path)?,
        };
        if file.len()? < len as u64 {
            crate::disk::write_all(file.as_ref(), &vec![0; len], 0)?;
        }
        let id = self.state().names[path];
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn boot(&self) -> Option<u128> {
        Some(self.state().boot)
    }

    fn full_path(&self, path: &str) -> PathBuf {
        path.into()
    }
}

impl Mapped for SimFile {
    /// Never fails: what a dead process writes is forgotten.
    fn write(&mut self, at: usize, data: &[u8]) -> bool {
        let mut state = self.disk.state();
        if state.faults.stop_at.is_some_and(|stop| state.ops >= stop) {
            return true;
        }
        let file = state.files.get_mut(&self.id).unwrap();
        let end = at + data.len();
        if file.now.len() < end {
            return false;
        }
        file.now[at..end].copy_from_slice(data);
        file.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
        true
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl DiskFile for SimFile {
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.step()?;
        state.writes += 1;
        let faults = state.faults;
        let failing = faults.fail_write == Some(state.writes);
        let room = faults.room.map(|room| room.saturating_sub(state.used()));
        let file = state.files.get_mut(&self.id).unwrap();
        let at = at as usize;
        let mut end = at + data.len();
        if let Some(room) = room {
            end = end.min(file.now.len().max(at) + room as usize);
            if end <= at {
                return Err(io::Error::from_raw_os_error(28));
            }
        }
        if failing {
            end = at + data.len() / 2;
        }
        if file.now.len() < end {
            file.now.resize(end, 0);
        }
        file.now[at..end].copy_from_slice(&data[..end - at]);
        file.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
        if failing { Err(io::Error::from_raw_os_error(5)) } else { Ok(end - at) }
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let bytes = &state.files[&self.id].now;
        let from = bytes.len().min(at as usize);
        let n = buf.len().min(bytes.len() - from);
        buf[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        state.syncs += 1;
        if state.faults.fail_sync == Some(state.syncs) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let file = state.files.get_mut(&self.id).unwrap();
        file.durable = file.now.clone();
        file.dirty.clear();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[&self.id].now.len() as u64)
    }

    fn content(self: Arc<Self>, offset: u64, len: u64) -> Content {
        let state = self.disk.state();
        let bytes = &state.files[&self.id].now;
        let (from, to) = (offset as usize, (offset + len) as usize);
        Content::Memory(Bytes::copy_from_slice(&bytes[from..to.min(bytes.len())]))
    }
}
