//! Handing a message to `postdrop`: the envelope from options and caller, the pipe, the verdict.

use super::{Caller, Fatal, options::Options};
use crate::{places, say::Say};
use base_calls::{
    Recipient,
    maildrop::{Maildrop, MaildropError, MaildropWriter},
};
use base_conf::Config;
use base_sys::system_text;
use proto_address::{Tree, internal};
use std::{
    io::{self, BufWriter, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

/// At most so many tokens in one argument.
const MAX_TOKENS: usize = 100_000;

/// What the options and the caller say of the envelope.
pub fn envelope(o: &Options, caller: &Caller) -> Result<Maildrop, Fatal> {
    let sender = match &o.sender {
        Some(text) => sender_of(text),
        None => caller.name.clone(),
    };
    let recipients: Vec<Recipient> = o
        .recipients
        .iter()
        .flat_map(|text| addresses(text))
        .map(|address| Recipient { address, notify: o.notify, ..Recipient::default() })
        .collect();
    let smtputf8 = !sender.is_ascii() || recipients.iter().any(|r| !r.address.is_ascii());
    Ok(Maildrop {
        // No name for nobody.
        full_name: if sender.is_empty() { String::new() } else { full_name(o, caller) },
        sender,
        recipients,
        envid: o.envid.clone(),
        ret: o.ret,
        body: o.body,
        smtputf8,
        recipients_from_header: o.from_header,
        verp: String::new(),
        report_delivery: o.report,
        verify_only: o.verify,
    })
}

/// `-XV`: the delimiters, which must be such that are allowed (postconf(5) `verp_delimiter_filter`).
pub fn verp(o: &Options, config: &Config) -> Result<String, Fatal> {
    let setting = |name: &str| config.str(name).map_err(|e| e.to_string());
    let delimiters = match &o.verp {
        None => return Ok(String::new()),
        Some(given) if given.is_empty() => setting("default_verp_delimiters")?,
        Some(given) => given.clone(),
    };
    let allowed = setting("verp_delimiter_filter")?;
    if delimiters.chars().count() != 2 || !delimiters.chars().all(|c| allowed.contains(c)) {
        return Err(format!("-V requires two characters from {allowed}"));
    }
    Ok(delimiters)
}

/// Whether `-f` has more than one address.
pub fn is_malformed(sender: &str) -> bool {
    Tree::parse(sender, MAX_TOKENS).addresses().filter(|a| !a.is_empty()).count() > 1
}

/// `-f`: an address, with or without angle brackets; empty for the null sender.
fn sender_of(text: &str) -> String {
    let first = Tree::parse(text, MAX_TOKENS).addresses().find(|a| !a.is_empty());
    first.unwrap_or_default()
}

/// One argument may hold several addresses; an empty one is the null recipient.
fn addresses(text: &str) -> Vec<String> {
    if text.trim().is_empty() {
        return vec![String::new()];
    }
    let found: Vec<String> = Tree::parse(text, MAX_TOKENS).addresses().collect();
    if found.is_empty() { vec![internal(text).into_owned()] } else { found }
}

/// `-F`, `$NAME`, or the GECOS field up to its first comma, with `&` for the login name.
fn full_name(o: &Options, caller: &Caller) -> String {
    if let Some(name) = &o.full_name {
        return clean(name);
    }
    if let Ok(name) = std::env::var("NAME")
        && !name.is_empty()
    {
        return clean(&name);
    }
    let first = caller.gecos.split([',', ';', '%']).next().unwrap_or_default();
    clean(&first.replace('&', &capitalized(&caller.name)))
}

fn capitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// No control characters in a header to come.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A message on its way to `postdrop`.
pub struct Drop {
    child: Child,
    writer: Option<MaildropWriter<BufWriter<ChildStdin>>>,
    /// The pipe is closed: postdrop has given up, and its exit status is the verdict.
    broken: bool,
    len: u64,
    limit: u64,
    who: String,
}

impl Drop {
    /// Starts `postdrop` and sends the envelope.
    pub fn start(config: &Config, dir: &Path, caller: &Caller, envelope: &Maildrop) -> Result<Self, Fatal> {
        let path = places::command("postdrop");
        let mut command = Command::new(&path);
        command.arg0("postdrop").arg("-r").stdin(Stdio::piped()).stdout(Stdio::null());
        if dir != Path::new("/etc/postfix") {
            command.arg("-c").arg(dir);
        }
        let mut child =
            command.spawn().map_err(|e| format!("execute {}: {}", path.display(), system_text(&e)))?;
        let stdin = child.stdin.take().ok_or("no pipe to postdrop")?;
        let limit = config.int("message_size_limit").ok().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let who = format!("{}({})", envelope.sender, caller.uid);
        let mut drop = Self { child, writer: None, broken: false, len: 0, limit, who };
        match MaildropWriter::new(BufWriter::new(stdin), envelope) {
            Ok(writer) => drop.writer = Some(writer),
            Err(e) => drop.trouble(e)?,
        }
        Ok(drop)
    }

    /// A pipe that postdrop closed is for its exit status to explain.
    fn trouble(&mut self, e: MaildropError) -> Result<(), Fatal> {
        match e {
            MaildropError::Io(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.broken = true;
                Ok(())
            }
            other => Err(other.to_string()),
        }
    }

    /// More content, in wire form.
    pub fn content(&mut self, bytes: &[u8]) -> Result<(), Fatal> {
        self.len += bytes.len() as u64;
        let Some(writer) = self.writer.as_mut().filter(|_| !self.broken) else { return Ok(()) };
        match writer.content(bytes) {
            Ok(()) => Ok(()),
            Err(e) => self.trouble(e),
        }
    }

    /// Waits until it is on disk.
    pub fn finish(mut self, say: &Say) -> Result<(), Fatal> {
        if let Some(writer) = self.writer.take()
            && !self.broken
        {
            let flushed = writer.finish().and_then(|mut out| out.flush().map_err(MaildropError::Io));
            if let Err(e) = flushed {
                self.trouble(e)?;
            }
        }
        let status = self.child.wait().map_err(|e| format!("{}: {}", self.who, system_text(&e)))?;
        if status.success() && !self.broken {
            return Ok(());
        }
        say.warning("mail_stream_cleanup: close error");
        if self.limit > 0 && self.len > self.limit {
            return Err(format!("{}: message file too big", self.who));
        }
        Err(format!("{}: unable to execute postdrop, or it has failed: {status}", self.who))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller { uid: 1000, name: "bob".into(), gecos: "Bob & Test,room 1".into() }
    }

    fn shown(o: &Options) -> String {
        let m = envelope(o, &caller()).unwrap();
        let to: Vec<_> = m.recipients.iter().map(|r| r.address.as_str()).collect();
        format!("{} [{}] {}", m.sender, m.full_name, to.join(" ; "))
    }

    #[test]
    fn envelopes() {
        let to = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        let base = Options { full_name: Some("N".into()), ..Options::default() };
        assert_eq!(shown(&Options { recipients: to(&["alice"]), ..base.clone() }), "bob [N] alice");
        let o = Options { sender: Some(String::new()), recipients: to(&["a, b@c", "<d@e>"]), ..base.clone() };
        assert_eq!(shown(&o), " [] a ; b@c ; d@e");
        let o = Options { sender: Some("<\"a b\"@c>".into()), recipients: to(&[""]), ..base };
        assert_eq!(shown(&o), "a b@c [N] ");
    }

    #[test]
    fn verp_delimiters() {
        let check = |given: Option<&str>, want: Result<&str, &str>| {
            let o = Options { verp: given.map(str::to_owned), ..Options::default() };
            let config = Config::from_text("default_verp_delimiters = -=\n");
            assert_eq!(verp(&o, &config).as_deref().map_err(String::as_str), want);
        };
        check(None, Ok(""));
        check(Some(""), Ok("-="));
        check(Some("++"), Ok("++"));
        for bad in ["+", "xy", "+=-"] {
            check(Some(bad), Err("-V requires two characters from -=+"));
        }
        assert!(is_malformed("a@b, c@d") && !is_malformed("a@b (c)") && !is_malformed(""));
    }

    #[test]
    fn gecos() {
        assert_eq!(
            full_name(&Options { full_name: Some("a\nb".into()), ..Options::default() }, &caller()),
            "a b"
        );
        if std::env::var("NAME").is_err() {
            assert_eq!(full_name(&Options::default(), &caller()), "Bob Bob Test");
        }
    }
}
