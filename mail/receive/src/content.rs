//! DATA and BDAT: content from the client through the framer into the message.

use crate::{
    connection::Connection,
    message::{Finished, Message, received},
    reply::of_refusal,
};
use base_net::NetError;
use mail_restrict::{Facts, Stage};
use proto_address::external;
use proto_dsn::Status;
use proto_smtp::{
    BareLf, BdatFramer, DataFramer, Framer, Piece, Reply,
    command::Chunk,
    server::{Next, Verdict},
};
use std::sync::Arc;

const OK: Status = Status::new(2, 0, 0);

impl Connection {
    /// DATA: asks the restrictions, takes the content in, and tells what became of it.
    pub(crate) async fn data(&mut self) -> Result<Next, NetError> {
        if let Some(reply) = self.restricted(Stage::Data).await {
            return Ok(self.session.answer(Verdict::Refuse(reply)));
        }
        if let Some(reply) = self.filter_refuses_data().await {
            return Ok(self.session.answer(Verdict::Refuse(reply)));
        }
        let Next::Reply(go_ahead) = self.session.answer(Verdict::Accept) else {
            return Err(NetError::Closed);
        };
        self.send(go_ahead).await?;
        self.content_deadline();
        self.content_bytes = Some(0);
        let lf = self.take_data().await?;
        self.content_bytes = None;
        let result = self.complete(lf, false).await;
        Ok(self.session.data_done(result))
    }

    fn content_deadline(&mut self) {
        if self.pressure().per_request_deadline {
            self.stream.begin_request(self.shared.config.min_data_rate);
        }
    }

    /// The data or end-of-data restrictions. `Some`: the refusal.
    async fn restricted(&mut self, stage: Stage) -> Option<Reply> {
        let shared = Arc::clone(&self.shared);
        let only = self.message.as_ref().and_then(|m| m.only_recipient());
        let size = self.message.as_ref().map_or(0, |m| m.size());
        let facts = self.facts(stage);
        let facts = Facts { recipient: only, size: if size > 0 { size } else { facts.size }, ..facts };
        let asked = !shared.restrict.is_silent(stage);
        let outcome = match stage {
            Stage::Data => shared.restrict.data(&facts).await,
            _ => shared.restrict.end_of_data(&facts).await,
        };
        self.act(outcome.actions);
        let refusal = match outcome.refusal {
            None if stage == Stage::Data => self.milter_data().await,
            refusal => refusal.map(of_refusal),
        };
        if refusal.is_some() || asked {
            self.remember_reply(&self.facts(stage), refusal.as_ref());
        }
        refusal
    }

    /// What the filter (`smtpd_proxy_filter`) says against DATA.
    async fn filter_refuses_data(&mut self) -> Option<Reply> {
        self.message.as_mut()?.data().await.err()
    }

    /// Reads up to the end of data. True: there was a bare LF that is not allowed.
    async fn take_data(&mut self) -> Result<bool, NetError> {
        let Some(mut message) = self.message.take() else { return Err(NetError::Closed) };
        if let Some(header) = self.header(&message) {
            message.header(&header).await;
        }
        let mut framer = DataFramer::new(self.bare_lf);
        let result = self.pump(&mut framer, &mut message).await;
        self.content_bytes = Some(message.whole_lines());
        self.message = Some(message);
        result.map(|()| self.bare_lf == BareLf::Reject && framer.bare_lf())
    }

    /// Our Received: header; none where we only stand between another server of ours and its filter.
    fn header(&self, message: &Message) -> Option<String> {
        (message.id().is_some() || self.forwarded.is_none()).then(|| received(self, message))
    }

    async fn pump(&mut self, framer: &mut impl Framer, message: &mut Message) -> Result<(), NetError> {
        loop {
            // An empty rest of a chunk must not wait for input.
            let input = if framer.wants_input() { self.stream.fill_buf().await? } else { b"" };
            let mut at = 0;
            let ended = loop {
                let step = framer.next(input.get(at..).unwrap_or_default());
                at += step.used;
                match step.piece {
                    Some(Piece::Content(c)) => message.content(c).await,
                    Some(Piece::End) => break true,
                    None if step.used == 0 => break false,
                    None => {}
                }
            };
            self.stream.consume(at);
            if ended {
                return Ok(());
            }
        }
    }

    /// All content is in: the last questions, then the queue.
    async fn complete(&mut self, bare_lf: bool, chunked: bool) -> Result<Reply, Reply> {
        if bare_lf {
            return Err(self.bare_lf_refused("END-OF-MESSAGE"));
        }
        if let Some(m) = self.message.as_ref().filter(|m| m.is_too_big()) {
            let id = m.id_text();
            self.warning(format_args!("{id}: queue file size limit exceeded"));
            return Err(Reply::new(552, Status::new(5, 3, 4), "Error: message file too big"));
        }
        if let Some(reply) = self.restricted(Stage::EndOfMessage).await {
            return Err(reply);
        }
        let Some(mut message) = self.message.take() else { return Err(lost_message()) };
        if let Some(milters) = self.milters.clone() {
            message.filters(Arc::new(milters));
        }
        let size = message.size();
        let (id, first) = (message.id(), message.first_recipient().to_owned());
        self.forwarded = None;
        let result = match message.finish().await {
            Ok(Finished::Queued(id)) if chunked => {
                Ok(Reply::new(250, OK, format!("Ok: {size} bytes queued as {id}")))
            }
            Ok(Finished::Queued(id)) => Ok(Reply::new(250, OK, format!("Ok: queued as {id}"))),
            Ok(Finished::Filtered(reply)) => Ok(reply),
            Err(reply) => Err(reply),
        };
        if id.is_none() {
            self.log_filtered(&result, &first);
        }
        match &result {
            Ok(_) => self.transcript.accepted(),
            Err(reply) => {
                let facts =
                    Facts { queue_id: id, recipient: Some(&first), ..self.facts(Stage::EndOfMessage) };
                self.remember_reply(&facts, Some(reply));
            }
        }
        result
    }

    /// The filter's answer to a message.
    fn log_filtered(&self, result: &Result<Reply, Reply>, recipient: &str) {
        let (word, reply) = match result {
            Ok(reply) => ("accept", reply),
            Err(reply) => ("reject", reply),
        };
        let facts = self.facts(Stage::EndOfMessage);
        let sender = facts.sender.map(external).unwrap_or_default();
        let helo = facts.helo.map_or(String::new(), |h| format!(" helo=<{h}>"));
        self.info(format_args!(
            "proxy-{word}: END-OF-MESSAGE: {}; from=<{sender}> to=<{}> proto={}{helo}",
            reply.one_line(),
            external(recipient),
            facts.protocol,
        ));
    }

    /// BDAT: takes the chunk in, or throws it away.
    pub(crate) async fn chunk(&mut self, chunk: Chunk, refused: bool, first: bool) -> Result<Next, NetError> {
        self.content_deadline();
        if refused {
            self.improper_refused_chunk();
            self.skip(chunk.size).await?;
            return Ok(self.session.chunk_done(Ok(None)));
        }
        if first && let Some(reply) = self.restricted(Stage::Data).await {
            self.skip(chunk.size).await?;
            return Ok(self.session.chunk_done(Err(reply)));
        }
        if first && let Some(reply) = self.filter_refuses_data().await {
            self.skip(chunk.size).await?;
            return Ok(self.session.chunk_done(Err(reply)));
        }
        let result = self.take_chunk(chunk, first).await?;
        Ok(self.session.chunk_done(result))
    }

    /// A client that sends a chunk after a refused command did not wait for the answer.
    fn improper_refused_chunk(&mut self) {
        if self.stream.has_buffered() && self.session.must_wait_after(b"BDAT") {
            self.improper("BDAT");
        }
    }

    async fn skip(&mut self, mut left: u64) -> Result<(), NetError> {
        while left > 0 {
            let here = self.stream.fill_buf().await?.len();
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(here);
            self.stream.consume(n);
            left -= n as u64;
        }
        Ok(())
    }

    async fn take_chunk(
        &mut self,
        chunk: Chunk,
        first: bool,
    ) -> Result<Result<Option<Reply>, Reply>, NetError> {
        let Some(mut message) = self.message.take() else { return Ok(Err(lost_message())) };
        if first && let Some(header) = self.header(&message) {
            message.header(&header).await;
        }
        let mut framer = message.bdat.take().unwrap_or_else(|| BdatFramer::new(self.bare_lf));
        framer.chunk(chunk.size);
        let before = self.content_bytes.unwrap_or(0);
        let result = self.pump(&mut framer, &mut message).await;
        self.content_bytes = Some(before + chunk.size - framer.left());
        let bare_lf = self.bare_lf == BareLf::Reject && framer.bare_lf();
        if result.is_ok() && chunk.last {
            message.content(framer.finish()).await;
        } else {
            message.bdat = Some(framer);
        }
        self.message = Some(message);
        result?;
        if !chunk.last {
            return Ok(if bare_lf { Err(self.bare_lf_refused("BDAT content")) } else { Ok(None) });
        }
        self.content_bytes = None;
        Ok(self.complete(bare_lf, true).await.map(Some))
    }
}

/// Cannot happen: a session with recipients has a message.
fn lost_message() -> Reply {
    Reply::new(451, Status::new(4, 3, 0), "Error: internal error")
}
