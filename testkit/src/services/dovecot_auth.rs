//! A Dovecot auth service with two or three users (Dovecot's `auth-protocol.txt`): lines `NAME PASSWORD` are its users.
//!
//! Options: `mechs=PLAIN,LOGIN`. PLAIN and LOGIN work, other mechanisms fail. The requests are part of the result. A real
//! Dovecot is tested too; this one says the same words in every run.

use super::{Kind, Service, Start};
use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// The record.
pub const KIND: Kind = Kind {
    name: "dovecot-auth",
    start: Start::Own(|address, options, body| {
        let mechs = options.iter().find(|(k, _)| *k == "mechs").map_or("PLAIN,LOGIN", |(_, v)| v);
        let users =
            body.iter().filter_map(|l| l.split_once(' ')).map(|(u, p)| (u.into(), p.into())).collect();
        let shared = Arc::new(Shared { users, mechs: mechs.to_owned(), heard: Mutex::default() });
        let listener = TcpListener::bind(address)?;
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Box::new(Auth { address: address.to_owned(), shared }))
    }),
};

struct Auth {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    users: HashMap<String, String>,
    mechs: String,
    heard: Mutex<Vec<String>>,
}

impl Service for Auth {
    fn address(&self) -> String {
        format!("dovecot-auth {}", self.address)
    }

    fn received(&self) -> Vec<String> {
        self.shared.heard.lock().map(|h| h.clone()).unwrap_or_default()
    }
}

/// What a client has said so far.
enum Dialogue {
    Plain,
    LoginName,
    LoginPassword(String),
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut out = stream.try_clone()?;
        let mut greeting = "VERSION\t1\t2\n".to_owned();
        for mech in self.mechs.split(',') {
            let plain = if matches!(mech, "PLAIN" | "LOGIN") { "\tplaintext" } else { "" };
            greeting.push_str(&format!("MECH\t{mech}{plain}\n"));
        }
        greeting.push_str("SPID\t42\nCUID\t1\nCOOKIE\t00\nDONE\n");
        out.write_all(greeting.as_bytes())?;
        let mut open: HashMap<String, Dialogue> = HashMap::new();
        for line in BufReader::new(stream).lines() {
            let line = line?;
            let mut words = line.split('\t');
            let (kind, id) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
            let answer = match kind {
                "AUTH" => {
                    let mut heard: Vec<&str> = line.split('\t').collect();
                    heard.remove(1);
                    if let Ok(mut all) = self.heard.lock() {
                        all.push(format!("{}\n", heard.join(" ")));
                    }
                    let mech = words.next().unwrap_or_default().to_owned();
                    let response = line.split_once("\tresp=").map(|(_, r)| r.to_owned());
                    self.begin(&id, &mech, response, &mut open)
                }
                "CONT" => {
                    let response = words.next().unwrap_or_default().to_owned();
                    match open.remove(&id) {
                        Some(state) => self.go_on(&id, state, &response, &mut open),
                        None => continue,
                    }
                }
                _ => continue,
            };
            out.write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    fn begin(
        &self,
        id: &str,
        mech: &str,
        response: Option<String>,
        open: &mut HashMap<String, Dialogue>,
    ) -> String {
        let state = match mech {
            "PLAIN" => Dialogue::Plain,
            "LOGIN" => Dialogue::LoginName,
            _ => return format!("FAIL\t{id}\treason=unsupported\n"),
        };
        match (response, mech) {
            (Some(response), _) => self.go_on(id, state, &response, open),
            (None, mech) => {
                open.insert(id.to_owned(), state);
                let prompt = if mech == "LOGIN" { "VXNlcm5hbWU6" } else { "" };
                format!("CONT\t{id}\t{prompt}\n")
            }
        }
    }

    fn go_on(
        &self,
        id: &str,
        state: Dialogue,
        response: &str,
        open: &mut HashMap<String, Dialogue>,
    ) -> String {
        let text = decode(response);
        match state {
            Dialogue::Plain => {
                let parts: Vec<&str> = text.split('\0').collect();
                match parts[..] {
                    [_, user, password] => self.verdict(id, user, password),
                    _ => format!("FAIL\t{id}\treason=invalid input\n"),
                }
            }
            Dialogue::LoginName => {
                open.insert(id.to_owned(), Dialogue::LoginPassword(text));
                format!("CONT\t{id}\tUGFzc3dvcmQ6\n")
            }
            Dialogue::LoginPassword(user) => self.verdict(id, &user, &text),
        }
    }

    fn verdict(&self, id: &str, user: &str, password: &str) -> String {
        match self.users.get(user) {
            _ if user == "temp" => format!("FAIL\t{id}\tuser={user}\ttemp\n"),
            Some(p) if p == password => format!("OK\t{id}\tuser={user}\n"),
            _ => format!("FAIL\t{id}\tuser={user}\n"),
        }
    }
}

fn decode(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    String::from_utf8_lossy(&STANDARD.decode(text).unwrap_or_default()).into_owned()
}
