//! `smtpd_sasl_type = dovecot`: asks a Dovecot auth service (SASL_README, Dovecot's `auth-protocol.txt`).
//!
//! `smtpd_sasl_path` is a UNIX-domain socket (relative to the queue directory) or `inet:host:port`. A connection serves one
//! exchange at a time and is kept for the next; at most [`KEPT`] wait. One that has died in the meantime is replaced
//! without a word. Each answer may take [`PATIENCE`]; a service that dies within an exchange is a temporary failure.

use crate::{Backend, Exchange, Failure, Mechanism, Properties, Request, Step, Unavailable};
use base_calls::Fut;
use base_net::{BoxIo, ConnectOptions, Endpoint, Excess, LineStream, connect, connect_unix, os_text};
use proto_wire::dovecot_auth::{AuthRequest, Fields, FromServer, MAX_LINE, VERSION, continuation, handshake};
use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// For each answer. Dovecot delays failures by some seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Idle connections that are kept.
const KEPT: usize = 8;
/// Mechanisms that are taken note of.
const MECHANISMS: usize = 64;
/// Lines of a greeting.
const GREETING_LINES: usize = 1000;

const LOST: &str = "Connection lost to authentication server";

/// The service.
#[derive(Clone)]
pub struct Dovecot {
    shared: Arc<Shared>,
}

struct Shared {
    /// As in main.cf, for the log.
    path: String,
    queue_directory: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// A connection that has been greeted.
struct Connection {
    stream: LineStream<BoxIo>,
    mechanisms: Arc<[Mechanism]>,
    next_id: u32,
}

impl Dovecot {
    /// The service at `path`. Nothing is connected yet.
    pub fn new(path: &str, queue_directory: impl Into<PathBuf>) -> Self {
        let shared = Shared {
            path: path.to_owned(),
            queue_directory: queue_directory.into(),
            idle: Mutex::new(Vec::new()),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Shared {
    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
    }

    /// A living connection: one that waited, or a new one.
    async fn connection(&self) -> Result<Connection, Unavailable> {
        while let Some(mut kept) = self.take() {
            if kept.is_alive().await {
                return Ok(kept);
            }
        }
        let stream = self.connect().await.map_err(|e| {
            Unavailable(format!(
                "SASL: Connect to Dovecot auth socket '{}' failed: {}",
                self.path,
                os_text(&e)
            ))
        })?;
        Connection::greet(LineStream::new(stream, PATIENCE)).await
    }

    async fn connect(&self) -> io::Result<BoxIo> {
        let Some(inet) = self.path.strip_prefix("inet:") else {
            let path = self.path.strip_prefix("unix:").unwrap_or(&self.path);
            let socket = connect_unix(&self.queue_directory.join(path), PATIENCE).await?;
            return Ok(socket.boxed());
        };
        let endpoint = Endpoint::parse(inet, None).map_err(io::Error::other)?;
        let Endpoint::Inet { host, port } = endpoint else { return Err(io::ErrorKind::InvalidInput.into()) };
        let host = if host.is_empty() { "localhost".to_owned() } else { host };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let addresses = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await??;
        for to in addresses.take(8) {
            match connect(to, &ConnectOptions::within(PATIENCE)).await {
                Ok(socket) => return Ok(socket.boxed()),
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

impl Connection {
    async fn greet(stream: LineStream<BoxIo>) -> Result<Self, Unavailable> {
        let greeted = tokio::time::timeout(PATIENCE, Self::read_greeting(stream)).await;
        greeted
            .unwrap_or_else(|_| Err(Unavailable("SASL: Connection to Dovecot auth service lost".to_owned())))
    }

    async fn read_greeting(mut stream: LineStream<BoxIo>) -> Result<Self, Unavailable> {
        let failed = |_: io::Error| Unavailable("SASL: Connection to Dovecot auth service lost".to_owned());
        let hello = handshake(std::process::id());
        stream.send(hello.as_bytes()).await.map_err(|e| failed(io::Error::other(e)))?;
        let mut mechanisms: Vec<Mechanism> = Vec::new();
        for _ in 0..GREETING_LINES {
            match read(&mut stream).await.map_err(failed)? {
                Some(FromServer::Version(major, _)) if major != VERSION.0 => {
                    return Err(Unavailable(format!(
                        "SASL: Dovecot auth protocol version {major} is not supported"
                    )));
                }
                Some(FromServer::Mech { name, properties }) if mechanisms.len() < MECHANISMS => {
                    let flags =
                        properties.iter().fold(Properties::NONE, |all, p| all.with(Properties::named(p)));
                    mechanisms.push(Mechanism { name, properties: flags });
                }
                Some(FromServer::Done) => {
                    return Ok(Self { stream, mechanisms: mechanisms.into(), next_id: 1 });
                }
                _ => {}
            }
        }
        Err(Unavailable("SASL: the Dovecot auth service does not come to an end".to_owned()))
    }

    /// An idle connection has nothing to say: what arrives is its end, or the answer to somebody else.
    async fn is_alive(&mut self) -> bool {
        tokio::time::timeout(Duration::ZERO, self.stream.fill_more()).await.is_err()
    }

    /// The answer to request `id`, however many lines about others come before it.
    async fn answer(&mut self, id: u32) -> io::Result<FromServer> {
        tokio::time::timeout(PATIENCE, self.find(id)).await?
    }

    async fn find(&mut self, id: u32) -> io::Result<FromServer> {
        loop {
            match read(&mut self.stream).await? {
                Some(m @ FromServer::Cont { id: n, .. }) if n == id => return Ok(m),
                Some(m @ FromServer::Ok { id: n, .. }) if n == id => return Ok(m),
                Some(m @ FromServer::Fail { id: n, .. }) if n == id => return Ok(m),
                _ => {}
            }
        }
    }
}

async fn read(stream: &mut LineStream<BoxIo>) -> io::Result<Option<FromServer>> {
    let line = stream.read_line(MAX_LINE, Excess::Skip).await.map_err(io::Error::other)?;
    Ok(std::str::from_utf8(line.bytes).ok().and_then(FromServer::parse))
}

impl Backend for Dovecot {
    fn mechanisms(&self) -> Fut<'_, Result<Vec<Mechanism>, Unavailable>> {
        Box::pin(async move {
            let connection = self.shared.connection().await?;
            let mechanisms = connection.mechanisms.to_vec();
            self.shared.keep(connection);
            Ok(mechanisms)
        })
    }

    fn start(&self, request: Request) -> Box<dyn Exchange> {
        Box::new(Login { shared: Arc::clone(&self.shared), request, running: None })
    }
}

/// One AUTH command.
struct Login {
    shared: Arc<Shared>,
    request: Request,
    running: Option<(Connection, u32)>,
}

impl Login {
    async fn begin(&mut self, response: Option<&str>) -> Step {
        let mut c = match self.shared.connection().await {
            Ok(c) => c,
            Err(_) => return Step::Failed(Failure::temporary("Can't connect to authentication server")),
        };
        let r = &self.request;
        let fault = if !c.mechanisms.iter().any(|m| m.name.eq_ignore_ascii_case(&r.mechanism)) {
            Some("Invalid authentication mechanism")
        } else {
            response.filter(|r| !is_base64(r)).map(|_| "Invalid base64 data in initial response")
        };
        if let Some(text) = fault {
            self.shared.keep(c);
            return Step::Failed(Failure::because(text));
        }
        let id = c.next_id;
        c.next_id = c.next_id.wrapping_add(1).max(1);
        let line = AuthRequest {
            id,
            mechanism: &r.mechanism,
            service: &r.service,
            local: &r.local,
            remote: &r.remote,
            secured: r.secured,
            response,
        }
        .line();
        self.running = Some((c, id));
        self.ask(line).await
    }

    async fn go_on(&mut self, response: &str) -> Step {
        let Some((_, id)) = &self.running else { return Step::Failed(Failure::temporary(LOST)) };
        if !is_base64(response) {
            // The service still waits for an answer to this request: the connection is of no use any more.
            self.running = None;
            return Step::Failed(Failure::because("Invalid base64 data in continued response"));
        }
        let line = continuation(*id, response);
        self.ask(line).await
    }

    async fn ask(&mut self, line: String) -> Step {
        let Some((mut c, id)) = self.running.take() else { return Step::Failed(Failure::temporary(LOST)) };
        let answer = async {
            c.stream.send(line.as_bytes()).await.map_err(io::Error::other)?;
            c.answer(id).await
        };
        let Ok(answer) = answer.await else { return Step::Failed(Failure::temporary(LOST)) };
        match answer {
            FromServer::Cont { challenge, .. } => {
                self.running = Some((c, id));
                Step::Challenge(challenge)
            }
            FromServer::Ok { fields, .. } => {
                self.shared.keep(c);
                succeeded(&fields)
            }
            FromServer::Fail { fields, .. } => {
                self.shared.keep(c);
                Step::Failed(failure(&fields))
            }
            _ => Step::Failed(Failure::temporary(LOST)),
        }
    }
}

fn succeeded(fields: &Fields) -> Step {
    match fields.get("user").filter(|u| !u.is_empty()) {
        Some(user) => Step::Success { user: user.to_owned() },
        None => Step::Failed(Failure::temporary("Authentication server names no user")),
    }
}

/// `temp` makes no difference: as with Postfix, such a client is told that it failed.
fn failure(fields: &Fields) -> Failure {
    Failure {
        user: fields.get("user").map(str::to_owned),
        reason: fields.get("reason").filter(|r| !r.is_empty()).map(str::to_owned),
        temporary: false,
        warnings: Vec::new(),
        fresh: true,
    }
}

/// The right characters; whether they make sense is for the service to say.
fn is_base64(text: &str) -> bool {
    text.trim_end_matches('=').bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

impl Exchange for Login {
    fn step<'a>(&'a mut self, response: Option<&'a str>) -> Fut<'a, Step> {
        Box::pin(async move {
            match (&self.running, response) {
                (None, first) => self.begin(first).await,
                (Some(_), answer) => self.go_on(answer.unwrap_or_default()).await,
            }
        })
    }
}

#[cfg(test)]
#[path = "dovecot_tests.rs"]
mod tests;
