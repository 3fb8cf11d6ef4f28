//! A scripted SMTP or LMTP server on 127.0.0.1 for tests.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// `BANNER`, a command prefix or `.`, and the reply: text (lines joined by `|`), `!close`, `!sleep`.
type Rule = (&'static str, &'static str);

pub(crate) struct Peer {
    pub addr: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
}

const DEFAULT: &[Rule] = &[
    ("BANNER", "220 peer ESMTP"),
    ("EHLO", "250-peer|250-PIPELINING|250-SIZE|250-8BITMIME|250-ENHANCEDSTATUSCODES|250 DSN"),
    ("LHLO", "250-peer|250 PIPELINING"),
    ("DATA", "354 go"),
    ("QUIT", "221 bye"),
    (".", "250 2.0.0 Ok: queued"),
    ("", "250 2.1.0 Ok"),
];

impl Peer {
    /// Starts a server; the first rule whose prefix fits answers, then the default ones.
    pub async fn start(rules: &[Rule]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let rules: Vec<Rule> = rules.iter().chain(DEFAULT).copied().collect();
        let (log, rules) = (lines.clone(), Arc::new(rules));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                log.lock().unwrap().push("--".to_owned());
                tokio::spawn(serve(stream, rules.clone(), log.clone()));
            }
        });
        Self { addr, lines }
    }

    /// `[127.0.0.1]:port`.
    pub fn hop(&self) -> String {
        format!("[127.0.0.1]:{}", self.addr.port())
    }

    /// What came, sessions divided by `--`.
    pub fn transcript(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// The transcript once `QUIT` or the end of the connection came `n` times.
    pub async fn ended(&self, n: usize) -> String {
        loop {
            let text = self.transcript();
            if text.lines().filter(|l| *l == "<EOF>").count() >= n {
                return text.replace("\n<EOF>", "");
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn serve(stream: TcpStream, rules: Arc<Vec<Rule>>, log: Arc<Mutex<Vec<String>>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut accepted = 0;
    let mut lmtp = false;
    let mut command = "BANNER".to_owned();
    loop {
        let reply = rules.iter().find(|(p, _)| command.starts_with(p)).map_or("", |r| r.1);
        match reply {
            "!close" => break,
            "!sleep" => std::future::pending::<()>().await,
            _ => {}
        }
        match command.get(..4) {
            Some("LHLO") => lmtp = true,
            Some("MAIL") => accepted = 0,
            Some("RCPT") if reply.starts_with('2') => accepted += 1,
            _ => {}
        }
        let data = command == "DATA" && reply.starts_with('3');
        let times = if command == "." && lmtp { accepted } else { 1 };
        let text = format!("{}\r\n", reply.replace('|', "\r\n")).repeat(times);
        if write.write_all(text.as_bytes()).await.is_err() || command == "QUIT" {
            break;
        }
        command = loop {
            let Ok(Some(line)) = lines.next_line().await else {
                log.lock().unwrap().push("<EOF>".to_owned());
                return;
            };
            log.lock().unwrap().push(if data && line != "." { format!("| {line}") } else { line.clone() });
            if !data || line == "." {
                break line;
            }
        };
    }
    log.lock().unwrap().push("<EOF>".to_owned());
}
