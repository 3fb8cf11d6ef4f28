//! Where finished content goes: counted, bounded, and written to the draft in the spool.

use crate::{reply, size::RecordSize};
use base_calls::{Content, SubmitError};
use base_spool::Draft;

/// The content of one message on its way to the spool.
pub(crate) struct Output {
    draft: Option<Draft>,
    size: RecordSize,
    line_length_limit: usize,
    limit: u64,
}

impl Output {
    /// `limit` is `message_size_limit`, 0 for none.
    pub fn new(draft: Draft, line_length_limit: usize, limit: u64) -> Self {
        Self { draft: Some(draft), size: RecordSize::new(line_length_limit), line_length_limit, limit }
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

    /// Counts content that is not kept.
    pub fn count(&mut self, bytes: &[u8]) -> Result<(), SubmitError> {
        self.size.push(bytes);
        if self.limit > 0 && self.size.total() > self.limit { Err(reply::too_big()) } else { Ok(()) }
    }

    /// Throws away what was written, and whatever follows.
    pub fn discard(&mut self) {
        self.draft = None;
    }

    /// Size as Postfix counts it.
    pub fn size(&self) -> u64 {
        self.size.total()
    }

    /// The content so far; empty after a discard.
    pub fn content(&self) -> Content {
        self.draft.as_ref().map_or_else(|| Content::Memory(Default::default()), Draft::content)
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.draft.as_ref().map_or(0, Draft::len)
    }

    /// Puts bytes behind the content that are not part of it yet, for [`Output::restart`].
    pub fn store(&mut self, bytes: &[u8]) -> Result<(), SubmitError> {
        let Some(draft) = &mut self.draft else { return Ok(()) };
        // All that is stored will be content, and what replaces it; twice the limit holds both.
        if self.limit > 0 && draft.len() + bytes.len() as u64 > self.limit.saturating_mul(2) {
            return Err(reply::too_big());
        }
        draft.write(bytes).map_err(|e| reply::spool(&e))
    }

    /// Starts over; what was written and stored stays readable.
    pub fn restart(&mut self) -> Option<Content> {
        self.size = RecordSize::new(self.line_length_limit);
        self.draft.as_mut().map(Draft::restart)
    }

    /// The draft, to commit it; `None` when it was discarded.
    pub fn into_draft(self) -> Option<Draft> {
        self.draft
    }
}
