//! A message on its way into the spool: its id and the content so far, in memory up to a threshold, beyond it in a
//! file of its own. Dropping a draft gives its slot back and deletes the file.

use crate::SpoolError;
use base_calls::{Content, QueueId};
use bytes::Bytes;
use std::sync::Arc;

/// What a draft asks of the store that made it.
pub(crate) trait DraftStore: Send + Sync {
    /// Content up to this many bytes stays in memory.
    fn threshold(&self) -> usize;
    /// Opens the file of a large message.
    fn open_large(&self, id: QueueId) -> Result<Box<dyn LargeFile>, SpoolError>;
    /// Gives up the slot of a draft that was never committed.
    fn discard(&self, id: QueueId);
}

/// The file of a large message that is being written.
pub(crate) trait LargeFile: Send {
    /// Appends.
    fn append(&mut self, data: &[u8]) -> Result<(), SpoolError>;
    /// Bytes so far.
    fn len(&self) -> u64;
    /// Makes content and name durable. Blocks. The file outlives the draft from here on.
    fn sync(&mut self) -> Result<(), SpoolError>;
    /// Checksum of the bytes so far.
    fn checksum(&self) -> u32;
    /// The bytes so far, readable.
    fn content(&self) -> Content;
    /// Deletes the file.
    fn delete(&mut self);
}

/// A message being written; see the module.
pub struct Draft {
    id: QueueId,
    store: Arc<dyn DraftStore>,
    buffer: Vec<u8>,
    large: Option<Box<dyn LargeFile>>,
    done: bool,
}

/// A draft's content when it is handed to the store.
pub(crate) enum Finished {
    Small(Bytes),
    Large(Box<dyn LargeFile>),
}

impl Draft {
    pub(crate) fn new(id: QueueId, store: Arc<dyn DraftStore>) -> Self {
        Self { id, store, buffer: Vec::new(), large: None, done: false }
    }

    /// One whose content is there already.
    pub(crate) fn of(id: QueueId, store: Arc<dyn DraftStore>, content: Finished) -> Self {
        let (buffer, large) = match content {
            Finished::Small(bytes) => (bytes.into(), None),
            Finished::Large(file) => (Vec::new(), Some(file)),
        };
        Self { id, store, buffer, large, done: false }
    }

    /// The message's name.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Appends content. An error leaves the draft as it was before the call, or unusable for a commit; drop it then.
    pub fn write(&mut self, data: &[u8]) -> Result<(), SpoolError> {
        if let Some(large) = &mut self.large {
            return large.append(data);
        }
        if self.buffer.len().saturating_add(data.len()) <= self.store.threshold() {
            self.buffer.extend_from_slice(data);
            return Ok(());
        }
        let mut large = self.store.open_large(self.id)?;
        if let Err(e) = large.append(&self.buffer).and_then(|()| large.append(data)) {
            large.delete();
            return Err(e);
        }
        self.buffer = Vec::new();
        self.large = Some(large);
        Ok(())
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.large.as_ref().map_or(self.buffer.len() as u64, |l| l.len())
    }

    /// Nothing written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content so far, for those who must read it before the commit (milters, filters). Copies a small one.
    pub fn content(&self) -> Content {
        match &self.large {
            Some(large) => large.content(),
            None => Content::Memory(Bytes::copy_from_slice(&self.buffer)),
        }
    }

    /// Starts over under the same id: what was written so far stays readable in what is returned.
    pub fn restart(&mut self) -> Content {
        match self.large.take() {
            Some(mut large) => {
                let old = large.content();
                large.delete();
                old
            }
            None => Content::Memory(std::mem::take(&mut self.buffer).into()),
        }
    }

    /// Takes the content out; the store owns slot and file from here on.
    pub(crate) fn finish(mut self) -> Finished {
        self.done = true;
        match self.large.take() {
            Some(large) => Finished::Large(large),
            None => Finished::Small(std::mem::take(&mut self.buffer).into()),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Some(large) = &mut self.large {
            large.delete();
        }
        self.store.discard(self.id);
    }
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({}, {} bytes)", self.id, self.len())
    }
}
