//! Where finished content goes: counted, bounded, and written to the draft in the spool.

use crate::{reply, size::RecordSize};
use base_calls::SubmitError;
use base_spool::Draft;

/// The content of one message on its way to the spool.
pub(crate) struct Output {
    draft: Option<Draft>,
    size: RecordSize,
    limit: u64,
}

impl Output {
    /// `limit` is `message_size_limit`, 0 for none.
    pub fn new(draft: Draft, line_length_limit: usize, limit: u64) -> Self {
        Self { draft: Some(draft), size: RecordSize::new(line_length_limit), limit }
    }

    /// Appends content in wire form. After an error, or [`Output::discard`], nothing is written any more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SubmitError> {
        let Some(draft) = &mut self.draft else { return Ok(()) };
        self.size.push(bytes);
        if self.limit > 0 && self.size.total() > self.limit {
            return Err(reply::too_big());
        }
        draft.write(bytes).map_err(|e| reply::spool(&e))
    }

    /// Throws away what was written, and whatever follows.
    pub fn discard(&mut self) {
        self.draft = None;
    }

    /// Size as Postfix counts it.
    pub fn size(&self) -> u64 {
        self.size.total()
    }

    /// The draft, to commit it; `None` when it was discarded.
    pub fn into_draft(self) -> Option<Draft> {
        self.draft
    }
}
