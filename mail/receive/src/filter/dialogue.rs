//! The conversation with the filter: an SMTP client that passes commands on as they are.

use super::{Context, unavailable};
use base_dns::Hosts;
use base_net::{
    BoxIo, ConnectOptions, Endpoint, Excess, LineStream, NetError, Socket, connect, connect_unix, os_text,
};
use proto_smtp::{
    Features, Keyword, Reply,
    client::{BodyWriter, ReplyReader, ServerReply, Taken},
    xattr::xforward_text,
};
use std::{io, net::SocketAddr};

/// Longest line of a reply; the rest is dropped.
const LINE: usize = 2048;
/// Most lines of an EHLO reply that are looked at.
const OFFERS: usize = 200;
/// Longest XFORWARD command (RFC 5321 4.5.3.1.4).
const COMMAND: usize = 510;

/// The conversation is over; the log knows why.
pub(crate) struct Lost;

/// A connection to the filter after its greeting. Dropping it sends QUIT.
pub(crate) struct Dialogue {
    context: Context,
    /// `None` when it is lost.
    stream: Option<LineStream<BoxIo>>,
    reader: ReplyReader,
    writer: BodyWriter,
    features: Features,
}

impl Dialogue {
    /// Connects, says hello, and tells who the client is.
    pub async fn open(context: &Context) -> Result<Self, Reply> {
        let settings = &context.settings;
        let socket = dial(context).await.map_err(|e| {
            let text = format_args!("connect to proxy filter {}: {}", settings.name, os_text(&e));
            context.log.warning(&context.source, text);
            unavailable()
        })?;
        let mut dialogue = Self {
            stream: Some(LineStream::of_socket(socket, settings.time_limit)),
            context: context.clone(),
            reader: ReplyReader::default(),
            writer: BodyWriter::new(0),
            features: Features::default(),
        };
        let (greeting, _) = dialogue.reply().await.map_err(|_| unavailable())?;
        dialogue.expect(greeting, "connection request", 2).map_err(unwilling)?;
        let hello = format!("EHLO {}", settings.ehlo);
        let (reply, lines) = dialogue.ask(&hello).await.map_err(|_| unavailable())?;
        dialogue.expect(reply, &hello, 2).map_err(unwilling)?;
        dialogue.features = Features::parse(&lines);
        dialogue.introduce().await?;
        Ok(dialogue)
    }

    /// XFORWARD, as far as the filter asks for it.
    async fn introduce(&mut self) -> Result<(), Reply> {
        if !self.features.has(Keyword::Xforward) {
            return Ok(());
        }
        for command in xforward(&self.features.xforward, &self.context.client) {
            let (reply, _) = self.ask(&command).await.map_err(|_| unavailable())?;
            self.expect(reply, &command, 2).map_err(unwilling)?;
        }
        Ok(())
    }

    /// Passes a command on. An error is the client's answer.
    pub async fn pass(&mut self, command: &str) -> Result<(), Reply> {
        let (reply, _) = self.ask(command).await.map_err(|_| unavailable())?;
        self.expect(reply, command, 2).map(drop)
    }

    /// DATA.
    pub async fn data(&mut self) -> Result<(), Reply> {
        let (reply, _) = self.ask("DATA").await.map_err(|_| unavailable())?;
        self.expect(reply, "DATA", 3).map(drop)
    }

    /// Content in wire form.
    pub async fn content(&mut self, chunk: &[u8]) -> Result<(), Lost> {
        let mut parts: Vec<&[u8]> = Vec::new();
        self.writer.push(chunk, |part| parts.push(part));
        let Some(stream) = &mut self.stream else { return Err(Lost) };
        match stream.send_with(&parts).await {
            Ok(()) => Ok(()),
            Err(e) => Err(self.lost(e)),
        }
    }

    /// The end of the content: the filter's answer is the client's.
    pub async fn end(&mut self) -> Result<Reply, Reply> {
        let dot = self.writer.finish();
        let Some(stream) = &mut self.stream else { return Err(unavailable()) };
        stream.output().extend_from_slice(dot);
        let (reply, _) = self.reply().await.map_err(|_| unavailable())?;
        let answer = for_client(&reply);
        if reply.class() == 2 { Ok(answer) } else { Err(answer) }
    }

    async fn ask(&mut self, command: &str) -> Result<(ServerReply, Vec<String>), Lost> {
        let Some(stream) = &mut self.stream else { return Err(Lost) };
        let clean: String =
            command.chars().map(|c| if matches!(c, '\r' | '\n' | '\0') { '?' } else { c }).collect();
        stream.output().extend_from_slice(clean.as_bytes());
        stream.output().extend_from_slice(b"\r\n");
        self.reply().await
    }

    async fn reply(&mut self) -> Result<(ServerReply, Vec<String>), Lost> {
        let mut lines = Vec::new();
        loop {
            let Some(stream) = &mut self.stream else { return Err(Lost) };
            let line = match stream.read_line(LINE, Excess::Skip).await {
                Ok(line) => line.bytes.to_vec(),
                Err(e) => return Err(self.lost(e)),
            };
            if lines.len() < OFFERS {
                lines.push(String::from_utf8_lossy(&line).get(4..).unwrap_or_default().to_owned());
            }
            match self.reader.line(&line) {
                Ok(Taken::Reply(reply)) => return Ok((reply, lines)),
                Ok(Taken::More | Taken::NoReply) => {}
                Err(_) => return Err(self.lost(NetError::Closed)),
            }
        }
    }

    /// A reply that is not of this class is logged and is the client's answer.
    fn expect(&self, reply: ServerReply, command: &str, class: u16) -> Result<ServerReply, Reply> {
        if reply.class() == class {
            return Ok(reply);
        }
        let (name, text) = (&self.context.settings.name, &reply.text);
        let line = format_args!("proxy {name} rejected \"{command}\": \"{text}\"");
        self.context.log.warning(&self.context.source, line);
        Err(for_client(&reply))
    }

    fn lost(&mut self, error: NetError) -> Lost {
        self.stream = None;
        let name = &self.context.settings.name;
        let text = match error {
            NetError::TimedOut => format!("timeout talking to proxy {name}"),
            _ => format!("lost connection with proxy {name}"),
        };
        self.context.log.warning(&self.context.source, text);
        Lost
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        tokio::spawn(async move {
            stream.output().extend_from_slice(b"QUIT\r\n");
            let _ = stream.close().await;
        });
    }
}

/// The filter does not want to talk to us, which is not the client's business; nor is it one for postmaster.
fn unwilling(_: Reply) -> Reply {
    Reply::plain(451, "4.3.0 Error: queue file write error")
}

/// The filter's words. A reply that no client expects here would only confuse it.
fn for_client(reply: &ServerReply) -> Reply {
    match reply.class() {
        2 | 4 | 5 => {
            let code = format!("{}", reply.code);
            let rest = reply.text.strip_prefix(&code).unwrap_or(&reply.text);
            Reply::plain(reply.code, rest.trim_start_matches(['-', ' ']))
        }
        _ => unavailable(),
    }
}

/// The commands that tell what is wanted and known.
fn xforward(wanted: &[String], known: &[(&'static str, String)]) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for (name, value) in known.iter().filter(|(n, _)| wanted.iter().any(|w| w.eq_ignore_ascii_case(n))) {
        let value = if value.is_empty() { "[UNAVAILABLE]".to_owned() } else { xforward_text(value) };
        let word = format!(" {name}={value}");
        match commands.last_mut().filter(|c| c.len() + word.len() <= COMMAND) {
            Some(command) => command.push_str(&word),
            None => commands.push(format!("XFORWARD{word}")),
        }
    }
    commands
}

async fn dial(context: &Context) -> io::Result<Socket> {
    let settings = &context.settings;
    let (host, port) = match &settings.place {
        Endpoint::Unix(path) => {
            return connect_unix(&settings.queue_directory.join(path), settings.time_limit).await;
        }
        Endpoint::Inet { host, port } => (if host.is_empty() { "localhost" } else { host }, *port),
    };
    let found = context.resolver.host(host, true, true, Hosts::Native).await;
    let addresses = found.map_err(|e| io::Error::other(e.text(host, "A")))?.records;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        let to = SocketAddr::new(address, port);
        match connect(to, &ConnectOptions::within(settings.time_limit)).await {
            Ok(socket) => return Ok(socket),
            Err(e) => last = e,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_introductions_are_divided() {
        let wanted: Vec<String> = ["NAME", "HELO", "PORT"].map(String::from).to_vec();
        let known = [
            ("NAME", "a.test".to_owned()),
            ("ADDR", "x".to_owned()),
            ("HELO", "h".repeat(500)),
            ("PORT", String::new()),
        ];
        let commands = xforward(&wanted, &known);
        assert_eq!(commands.len(), 3);
        assert_eq!(commands[0], "XFORWARD NAME=a.test");
        assert_eq!(commands[2], "XFORWARD PORT=[UNAVAILABLE]");
        assert!(xforward(&[], &known).is_empty());
    }

    #[test]
    fn words_for_the_client() {
        let reply = |code, text: &str| ServerReply { code, status: None, text: text.into() };
        assert_eq!(for_client(&reply(550, "550 5.7.1 no")).one_line(), "550 5.7.1 no");
        assert_eq!(for_client(&reply(450, "450-4.7.1 a 450 4.7.1 b")).one_line(), "450 4.7.1 a 450 4.7.1 b");
        assert_eq!(for_client(&reply(354, "354 go")), unavailable());
    }
}
