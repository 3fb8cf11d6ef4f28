//! STARTTLS and wrapper mode: the handshake, and what follows from it (RFC 3207, TLS_README).
//!
//! Nothing that was read before the handshake survives it. A failed handshake ends the connection, as the peers no longer
//! agree on where they are. Certificates that are not as demanded are told in words, and then the connection ends.

use crate::{anvil::Event, connection::Connection};
use base_net::{BoxIo, LineStream, NetError};
use base_tls::{Failure, Ready, Server, Session};
use mail_restrict::{ClientCert, Tls};
use proto_dsn::Status;
use proto_smtp::{
    Reply,
    server::{Next, Verdict},
};
use std::{
    io::Cursor,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::io::AsyncReadExt;

/// A stream that begins with bytes that were read from it already.
fn behind(head: Vec<u8>, io: BoxIo) -> BoxIo {
    let (read, write) = tokio::io::split(io);
    Box::new(tokio::io::join(Cursor::new(head).chain(read), write))
}

/// A handshake on what is behind `stream`, whose time limit is `limit` from then on. Bytes that were read already come first: in
/// wrapper mode they may have come with the header of a proxy. `None`: the connection is gone.
pub(crate) async fn encrypt(
    server: &Server,
    ready: &Ready,
    stream: &mut LineStream,
    limit: Duration,
    time_limit: Duration,
) -> Result<Session, Option<Failure>> {
    let head = stream.buffered().to_vec();
    stream.consume(usize::MAX);
    let nothing = LineStream::new(Box::new(tokio::io::empty()) as _, limit);
    let Ok(io) = std::mem::replace(stream, nothing).into_inner() else { return Err(None) };
    let io = if head.is_empty() { io } else { behind(head, io) };
    let (io, session) = server.accept(ready, io, time_limit).await?;
    *stream = LineStream::new(io, limit);
    Ok(session)
}

const OFF: Status = Status::new(4, 7, 0);

impl Connection {
    /// STARTTLS.
    pub(crate) async fn starttls(&mut self) -> Result<Next, NetError> {
        if self.refuses_new_tls() {
            let (from, service) = (self.peer.namaddr(), self.shared.service.clone());
            self.warning(format_args!("Refusing STARTTLS request from {from} for service {service}"));
            let text = format!("Error: too many new TLS sessions from {from}");
            return Ok(self.session.answer(Verdict::Refuse(Reply::new(454, OFF, text))));
        }
        let Some(ready) = self.tls_ready() else {
            self.transcript.local_trouble();
            let reply = Reply::new(454, OFF, "TLS not available due to local problem");
            return Ok(self.session.answer(Verdict::Refuse(reply)));
        };
        self.send(Reply::new(220, Status::new(2, 0, 0), "Ready to start TLS")).await?;
        self.stream.flush().await?;
        // Nothing that was read before the handshake is believed (RFC 3207 4.2).
        self.stream.consume(usize::MAX);
        self.handshake(&ready).await?;
        if let Some(reply) = self.too_many_new_tls() {
            return Ok(Next::Close { reply, too_many_errors: None });
        }
        let esmtp = self.session.protocol() == "ESMTP";
        self.begin_anew().await?;
        let settings = self.session.settings().clone();
        let next = self.session.tls_started(settings);
        // What the log calls the protocol stays.
        self.session.assume(None, Some(esmtp));
        Ok(self.certificate_fault().map_or(next, |reply| Next::Close { reply, too_many_errors: None }))
    }

    /// `smtpd_tls_wrappermode`: the handshake comes before the first word. `Some`: this one, and the end.
    pub(crate) async fn wrapper_handshake(&mut self) -> Result<Option<Reply>, NetError> {
        let Some(ready) = self.tls_ready() else {
            let (from, service) = (self.peer.namaddr(), self.shared.service.clone());
            self.warning(format_args!(
                "Wrapper-mode request dropped from {from} for service {service}. TLS context initialization failed. \
                 For details see earlier warnings in your logs."
            ));
            self.quiet_loss = true;
            return Err(NetError::Closed);
        };
        self.handshake(&ready).await?;
        Ok(self.too_many_new_tls().or_else(|| self.certificate_fault()))
    }

    /// What RFC 3207 4.2 wants forgotten.
    async fn begin_anew(&mut self) -> Result<(), NetError> {
        self.login = None;
        self.message = None;
        self.forwarded = None;
        self.settle().await
    }

    fn tls_ready(&self) -> Option<Arc<Ready>> {
        let tls = self.shared.tls.as_ref()?;
        let (ready, complaints) = tls.server.ready();
        complaints.iter().for_each(|line| self.warning(format_args!("{line}")));
        ready
            .inspect_err(|problem| problem.lines.iter().for_each(|line| self.warning(format_args!("{line}"))))
            .ok()
    }

    async fn handshake(&mut self, ready: &Ready) -> Result<(), NetError> {
        let shared = Arc::clone(&self.shared);
        let Some(tls) = &shared.tls else { return Err(NetError::Closed) };
        let (limit, handshake) = (self.pressure().timeout, self.pressure().starttls);
        match encrypt(&tls.server, ready, &mut self.stream, limit, handshake).await {
            Ok(session) => {
                self.established(session);
                Ok(())
            }
            Err(Some(failure)) => Err(self.no_handshake(failure)),
            Err(None) => Err(NetError::Closed),
        }
    }

    fn no_handshake(&mut self, failure: Failure) -> NetError {
        if let Some(counted) = &self.counted {
            counted.event(Event::NewTls, Instant::now());
        }
        self.shared.deps.log.metrics().tls.server_failed.add_one();
        let from = self.peer.namaddr();
        self.info(format_args!("SSL_accept error from {from}: {}", failure.words()));
        match failure {
            Failure::Library(text) => self.warning(format_args!("{text}")),
            Failure::LostConnection | Failure::TimedOut => {}
        }
        NetError::Closed
    }

    fn established(&mut self, session: Session) {
        self.shared.deps.log.metrics().tls.accepted(session.protocol);
        let (from, config) = (self.peer.namaddr(), &self.shared.config.tls);
        let who = match &session.peer {
            None => "Anonymous",
            Some(p) if p.trust.is_trusted() => "Trusted",
            Some(_) => "Untrusted",
        };
        if session.sni_unmatched {
            self.info(format_args!("TLS SNI {} from {from} not matched, using default chain", session.sni));
        }
        if config.log_level >= 1 {
            self.info(format_args!("{who} TLS connection established from {from}: {}", session.summary()));
        }
        if let Some(peer) = session.peer.as_ref().filter(|_| config.log_level >= 2) {
            self.info(format_args!("{from}: {}", peer.log_text(config.digest)));
        }
        self.tls = Some(self.tls_facts(&session));
        self.tls_session = Some(Box::new(session));
    }

    fn tls_facts(&self, s: &Session) -> Tls {
        let digest = self.shared.config.tls.digest;
        Tls {
            protocol: s.protocol.to_owned(),
            cipher: s.cipher.to_owned(),
            keysize: s.bits,
            sni: s.sni.clone(),
            client: s.peer.as_ref().map(|p| ClientCert {
                trusted: p.trust.is_trusted(),
                subject: p.certificate.subject_cn.clone(),
                issuer: p.certificate.issuer_cn.clone(),
                fingerprint: p.certificate.fingerprint(digest),
                pubkey_fingerprint: p.certificate.key_fingerprint(digest),
            }),
        }
    }

    // Rates.

    fn refuses_new_tls(&self) -> bool {
        let limit = self.shared.config.client_limits.new_tls_rate;
        let counted = self.counted.as_ref().filter(|_| self.limited && limit > 0);
        counted.is_some_and(|c| c.rate(Event::NewTls, Instant::now()) > limit)
    }

    fn too_many_new_tls(&mut self) -> Option<Reply> {
        let limit = self.shared.config.client_limits.new_tls_rate;
        if self.tls_session.as_ref().is_some_and(|s| s.resumed) {
            return None;
        }
        let value = self.counted.as_ref()?.event(Event::NewTls, Instant::now());
        if limit == 0 || !self.limited || value <= limit {
            return None;
        }
        self.over_limit("New TLS session rate", value);
        let text =
            format!("{} Error: too many new TLS sessions from {}", self.hostname(), self.peer.namaddr());
        Some(Reply::new(421, OFF, text))
    }

    // Certificates.

    /// `smtpd_tls_req_ccert`.
    fn certificate_fault(&mut self) -> Option<Reply> {
        if !self.shared.config.tls.require_certificate {
            return None;
        }
        let from = self.peer.namaddr();
        let what = match self.tls_session.as_ref().and_then(|s| s.peer.as_ref()) {
            None => "No client certificate presented",
            Some(p) => match &p.trust {
                base_tls::Trust::Trusted => return None,
                trust @ base_tls::Trust::Untrusted(why) => {
                    let whose = if trust.is_fault_of_peer() { "client certificate" } else { "certificate" };
                    self.info(format_args!("{whose} verification failed for {from}: {why}"));
                    "Client certificate not trusted"
                }
            },
        };
        self.info(format_args!("NOQUEUE: abort: TLS from {from}: {what}"));
        let text = format!("{} Error: {what}", self.hostname());
        Some(Reply::new(421, Status::new(4, 7, 1), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn what_was_read_comes_first() {
        let (ours, mut theirs) = tokio::io::duplex(100);
        let mut io = behind(b"Client".to_vec(), Box::new(ours));
        theirs.write_all(b"Hello").await.expect("room");
        let mut got = [0; 11];
        io.read_exact(&mut got).await.expect("all of it");
        assert_eq!(&got, b"ClientHello");
        io.write_all(b"back").await.expect("room");
        io.flush().await.expect("sent");
        let mut got = [0; 4];
        theirs.read_exact(&mut got).await.expect("answer");
        assert_eq!(&got, b"back");
    }
}
