//! DATA and BDAT: may content come, and what became of it. RFC 5321 4.1.1.4, RFC 3030.

use super::{
    Ask, BdatState, Next, Note, Session,
    session::{OK, Pending, Refused, SEQUENCE, sequence},
};
use crate::{Command, Keyword, Reply, Syntax, Verb, command::Chunk};
use proto_dsn::Status;

impl Session {
    // Content.

    pub(super) fn data(&mut self, rest: &str) -> Refused {
        if self.bdat != BdatState::None {
            return Err(sequence("Error: DATA after BDAT"));
        }
        match self.transaction.as_deref() {
            None => return Err(need_rcpt()),
            Some(t) if t.recipients == 0 => return Err(no_recipients()),
            Some(_) => {}
        }
        Command::with_arguments(Verb::Data, rest).map_err(Syntax::reply)?;
        Ok(self.ask(Pending::Data, Ask::Data))
    }

    /// The content of DATA is in, and this became of it. The transaction is over.
    pub fn data_done(&mut self, result: Result<Reply, Reply>) -> Next {
        self.reset();
        match result {
            Ok(reply) => {
                self.counters.forgive();
                self.accept(reply)
            }
            Err(reply) => self.refuse(reply),
        }
    }

    pub(super) fn bdat(&mut self, rest: &str, line: &str) -> Refused {
        if self.settings.discarded.has(Keyword::Chunking) {
            return Err(Reply::new(521, SEQUENCE, "Error: command not implemented"));
        }
        let chunk = match Command::with_arguments(Verb::Bdat, rest) {
            Ok(Command::Bdat(chunk)) => chunk,
            _ => {
                self.notes.push(Note::BadChunk(line.to_owned()));
                return Err(Syntax::Arguments(Verb::Bdat).reply());
            }
        };
        let refused = self.chunk_refused(chunk);
        let first = refused.is_none() && self.bdat == BdatState::None;
        self.bdat = if refused.is_some() { BdatState::Failed } else { BdatState::Open };
        self.pending = Pending::Chunk(chunk, refused.clone());
        Ok(Next::Chunk { chunk, refused, first })
    }

    fn chunk_refused(&mut self, chunk: Chunk) -> Option<Reply> {
        if chunk.size == 0 && !chunk.last {
            self.notes.push(Note::NullChunk);
            return Some(Reply::new(551, Status::new(5, 7, 1), "Null BDAT request"));
        }
        if self.bdat == BdatState::Failed {
            let text = format!("Discarded {} bytes after earlier error", chunk.size);
            return Some(Reply::new(551, Status::new(5, 0, 0), text));
        }
        match self.transaction.as_deref() {
            None => return Some(need_rcpt()),
            Some(t) if t.recipients == 0 => return Some(no_recipients()),
            Some(_) => {}
        }
        let limit = self.settings.size_limit;
        if limit > 0 && chunk.size > limit {
            self.notes.push(Note::LargeChunk);
            return Some(Reply::new(552, Status::new(5, 3, 4), "Chunk exceeds message size limit"));
        }
        None
    }

    /// The chunk of [`Next::Chunk`] is in (or thrown away). `result`: `Ok(Some)` is the answer to the message as a whole
    /// after the last chunk, `Ok(None)` more is to come, `Err` it failed now.
    pub fn chunk_done(&mut self, result: Result<Option<Reply>, Reply>) -> Next {
        let Pending::Chunk(chunk, refused) = std::mem::take(&mut self.pending) else {
            return self.refuse(need_rcpt());
        };
        let result = refused.map_or(result, Err);
        if result.is_err() {
            self.bdat = BdatState::Failed;
        }
        if chunk.last {
            self.reset();
        }
        match result {
            Err(reply) => self.refuse(reply),
            Ok(None) => self.accept(Reply::new(250, OK, format!("Ok: {} bytes", chunk.size))),
            Ok(Some(reply)) => {
                self.counters.forgive();
                self.accept(reply)
            }
        }
    }

    pub(super) fn reset(&mut self) {
        self.transaction = None;
        self.bdat = BdatState::None;
    }
}

fn need_rcpt() -> Reply {
    sequence("Error: need RCPT command")
}

fn no_recipients() -> Reply {
    Reply::new(554, SEQUENCE, "Error: no valid recipients")
}
