//! pipe(8): mail to external commands, as `user=` of the master.cf entry.
//!
//! The command line is the administrator's; only values of macros come from outside, each inside the one argument it
//! stands in, and no shell is involved. Attributes: flags, user, argv, directory, eol, null_sender, size. An entry
//! that is wrong, or would run as root or as the mail system, delivers nothing: its mail waits.

use super::{Agent, AgentKind, World, refused};
use crate::{
    job::{Action, CommandJob, Copying, Job},
    plan::{Plan, Step, TargetPlan, Work},
    prefix::{Delivered, Prefix},
    status::by_class,
};
use base_calls::{
    Content, Timestamp,
    courier::{CourierRequest, Verdict},
};
use base_conf::{Config, Error, Service};
use base_sys::{Group, User, privilege::Identity};
use proto_address::{external, split_domain, split_extension};
use proto_dsn::Status;
use std::time::Duration;

/// The record of this agent.
pub const KIND: AgentKind = AgentKind { command: "pipe", make };

#[derive(Debug)]
struct Pipe {
    service: String,
    flags: String,
    who: Identity,
    argv: Vec<String>,
    directory: String,
    eol: Vec<u8>,
    null_sender: String,
    size: u64,
    time_limit: Duration,
    delimiters: String,
    env: Vec<(String, String)>,
    /// What is wrong with the entry in the light of other parameters.
    warning: Option<String>,
    config_file: String,
}

fn make(service: &Service, config: &Config, _: &World) -> Result<Box<dyn Agent>, Error> {
    Ok(Box::new(Pipe::new(service, config)?))
}

/// Names and values, and the command line.
type Attributes<'a> = (Vec<(&'a str, &'a str)>, Vec<String>);

/// The words after the command name: `name=value`, until `argv=`.
fn attributes(service: &Service) -> Result<Attributes<'_>, Error> {
    let mut list = Vec::new();
    for (at, word) in service.args.iter().enumerate() {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| Error::new(format!("missing '=' after attribute name: \"{word}\"")))?;
        if name == "argv" {
            let rest = service.args.get(at + 1..).unwrap_or_default();
            return Ok((list, std::iter::once(value.to_owned()).chain(rest.iter().cloned()).collect()));
        }
        list.push((name, value));
    }
    Err(Error::new("missing argv= command-line attribute"))
}

impl Pipe {
    fn new(service: &Service, config: &Config) -> Result<Self, Error> {
        let (list, argv) = attributes(service)?;
        let mut pipe = Self {
            service: service.name.clone(),
            flags: String::new(),
            who: Identity::new(0, 0),
            argv,
            directory: config.str("queue_directory")?,
            eol: b"\n".to_vec(),
            null_sender: "MAILER-DAEMON".into(),
            size: 0,
            time_limit: config.transport_time(&service.name, "time_limit")?,
            delimiters: config.str("recipient_delimiter")?,
            env: super::environment::exported(config)?,
            warning: None,
            config_file: config.dir().join("master.cf").display().to_string(),
        };
        let mut user = None;
        for (name, value) in list {
            match name {
                "flags" => pipe.flags = checked_flags(value)?,
                "user" => user = Some(identity(value, &config.str("mail_owner")?)?),
                "directory" => pipe.directory = value.to_owned(),
                "eol" => pipe.eol = escapes(value),
                "null_sender" => pipe.null_sender = value.to_owned(),
                "size" => {
                    pipe.size = value.parse().map_err(|_| Error::new(format!("bad size= value: {value}")))?
                }
                other => return Err(Error::new(format!("unknown attribute name: \"{other}\""))),
            }
        }
        pipe.who = user.ok_or_else(|| Error::new("missing user= command-line attribute"))?;
        pipe.warning = pipe.single_recipient_flag(config)?;
        Ok(pipe)
    }

    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// Flags D and O make sense for one recipient only.
    fn single_recipient_flag(&self, config: &Config) -> Result<Option<String>, Error> {
        if config.transport_int(&self.service, "destination_recipient_limit")? == 1 {
            return Ok(None);
        }
        let flag = ['D', 'O'].into_iter().find(|f| self.has(*f));
        Ok(flag.map(|f| format!("pipe flag `{f}' requires {}_destination_recipient_limit = 1", self.service)))
    }
}

fn checked_flags(value: &str) -> Result<String, Error> {
    match value.chars().find(|c| !"BDFORXhqu.>n".contains(*c)) {
        Some(bad) => Err(Error::new(format!("unknown flag: {bad} (ignored)"))),
        None => Ok(value.to_owned()),
    }
}

/// `user` or `user:group`.
fn identity(value: &str, mail_owner: &str) -> Result<Identity, Error> {
    let (user, group) = value.split_once(':').map_or((value, None), |(u, g)| (u, Some(g)));
    let unknown = |what: &str, name: &str| Error::new(format!("unknown {what}name: {name}"));
    let lookup = |e: std::io::Error| Error::new(e.to_string());
    let entry = User::by_name(user).map_err(lookup)?.ok_or_else(|| unknown("user", user))?;
    let gid = match group {
        None => entry.gid,
        Some(g) => Group::by_name(g).map_err(lookup)?.ok_or_else(|| unknown("group", g))?.gid,
    };
    if entry.uid == 0 {
        return Err(Error::new("user= command-line attribute specifies root privileges"));
    }
    if user == mail_owner {
        return Err(Error::new("user= command-line attribute specifies mail system owner"));
    }
    if gid == 0 {
        return Err(Error::new("user= command-line attribute specifies privileged group id"));
    }
    Ok(Identity::new(entry.uid, gid))
}

/// `\r`, `\n`, `\t` … in eol=.
fn escapes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let real = match c {
            '\\' => match chars.next() {
                Some('r') => '\r',
                Some('n') => '\n',
                Some('t') => '\t',
                Some(other) => other,
                None => '\\',
            },
            c => c,
        };
        out.extend_from_slice(real.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out
}

impl Agent for Pipe {
    fn plan(&self, request: &CourierRequest, content: &Content) -> Plan {
        if let Some(warning) = &self.warning {
            return refused(request, warning.clone());
        }
        let all = |verdict: Verdict| Plan {
            targets: request
                .targets
                .iter()
                .map(|t| TargetPlan::say(t.index, &t.address, verdict.clone()))
                .collect(),
            warnings: Vec::new(),
        };
        if self.size > 0 && content.len() > self.size {
            return all(by_class(Status::new(5, 2, 3), "message too large".into()));
        }
        if self.has('D')
            && let Some(t) = request.targets.first()
            && Delivered::scan(content).is_ok_and(|seen| seen.has(&t.address))
        {
            return all(by_class(Status::new(5, 4, 6), format!("mail forwarding loop for {}", t.address)));
        }
        match self.argv(request) {
            Err(name) => {
                let text = format!(
                    "file {}: service {}: unknown macro name: \"{name}\"",
                    self.config_file, self.service
                );
                refused(request, text)
            }
            Ok(argv) => self.run(request, argv),
        }
    }
}

impl Pipe {
    fn run(&self, request: &CourierRequest, argv: Vec<String>) -> Plan {
        let first = request.targets.first();
        let original = request.envelope.recipients.first().map(|r| r.original.as_str());
        let prefix = Prefix {
            from_line: self.has('F').then(Timestamp::now),
            null_sender: Some(&self.null_sender),
            return_path: self.has('R'),
            sender: &request.envelope.sender,
            original_to: original.filter(|_| self.has('O')),
            delivered_to: first.filter(|_| self.has('D')).map(|t| t.address.as_str()),
        };
        let copying = Copying {
            prefix: prefix.lines(&self.eol),
            eol: self.eol.clone(),
            quote_from: self.has('>'),
            quote_dot: self.has('.'),
            blank_end: self.has('B'),
        };
        let command = CommandJob {
            name: argv.first().cloned().unwrap_or_default(),
            argv: argv.into_iter().map(Into::into).collect(),
            env: self.env.clone(),
            directory: self.directory.clone().into(),
            time_limit: self.time_limit,
            success: format!("delivered via {} service", self.service),
            complaint: "pipe: fatal: pipe_command: execvp".to_owned(),
            tells_output: true,
        };
        let work = Work {
            address: first.map(|t| t.address.clone()).unwrap_or_default(),
            member: None,
            preview: format!("delivers to command: {}", command.name),
            who: self.who.clone(),
            make_first: None,
            job: Job { copying, action: Action::Command(command) },
        };
        let indexes = request.targets.iter().map(|t| (t.index, t.address.clone())).collect();
        Plan {
            targets: vec![TargetPlan { indexes, steps: vec![Step::Do(Box::new(work))], expanded: false }],
            warnings: Vec::new(),
        }
    }

    /// The command line: an argument that names a recipient stands there once for each.
    fn argv(&self, request: &CourierRequest) -> Result<Vec<String>, String> {
        let mut out = Vec::new();
        for word in &self.argv {
            let names_recipient = RECIPIENT_MACROS.iter().any(|m| mentions(word, m));
            let recipients = if names_recipient { request.targets.len() } else { 1 };
            for n in 0..recipients {
                out.push(expand(word, &|name| self.value(request, n, name))?);
            }
        }
        Ok(out)
    }

    fn value(&self, request: &CourierRequest, n: usize, name: &str) -> Option<String> {
        let e = &request.envelope;
        let target = request.targets.get(n).map(|t| t.address.as_str()).unwrap_or_default();
        let original = e.recipients.get(n).map(|r| r.original.as_str()).unwrap_or_default();
        let address = self.folded(target);
        let (local, domain) = split_domain(&address);
        let (user, extension) = split_extension(local, &self.delimiters, true);
        Some(match name {
            "sender" if e.sender.is_empty() => self.null_sender.clone(),
            "sender" => self.quoted(&e.sender),
            "recipient" => self.quoted(&address),
            "original_recipient" => self.quoted(&self.folded(original)),
            "mailbox" => local.to_owned(),
            "user" => user.to_owned(),
            "extension" => extension.and_then(|x| x.get(1..)).unwrap_or_default().to_owned(),
            "domain" => domain.unwrap_or_default().to_owned(),
            "nexthop" => request.nexthop.clone(),
            "queue_id" => request.queue_id.clone(),
            "size" => e.size.to_string(),
            "client_address" => e.client.addr.clone(),
            "client_hostname" => e.client.name.clone(),
            "client_helo" => e.client.helo.clone(),
            "client_port" => e.client.port.to_string(),
            "client_protocol" => e.client.protocol.clone(),
            "sasl_method" => e.client.sasl_method.clone(),
            "sasl_username" => e.client.sasl_username.clone(),
            "sasl_sender" => e.client.sasl_sender.clone(),
            "envid" => e.envid.clone(),
            _ => return None,
        })
    }

    /// Flags h and u: domain and local part in lower case.
    fn folded(&self, address: &str) -> String {
        let (local, domain) = split_domain(address);
        let fold =
            |text: &str, flag: char| if self.has(flag) { text.to_lowercase() } else { text.to_owned() };
        proto_address::join(&fold(local, 'u'), domain.map(|d| fold(d, 'h')).as_deref())
    }

    /// Flag q: local parts quoted where they must be.
    fn quoted(&self, address: &str) -> String {
        if self.has('q') { external(address).into_owned() } else { address.to_owned() }
    }
}

/// Macros whose value differs between recipients.
const RECIPIENT_MACROS: [&str; 6] =
    ["recipient", "original_recipient", "mailbox", "user", "extension", "domain"];

fn mentions(word: &str, name: &str) -> bool {
    let found = std::cell::Cell::new(false);
    let _ = expand(word, &|n| {
        found.set(found.get() || n == name);
        Some("x".into())
    });
    found.get()
}

/// Replaces `$name`, `${name}`, `$(name)`, `${name?text}`, `${name:text}`; `$$` is a dollar. The error is a name
/// without a value.
fn expand(word: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (inside, after) = take_macro(rest);
        rest = after;
        if inside.is_empty() {
            out.push('$');
            continue;
        }
        out.push_str(&replace(inside, value)?);
    }
    out.push_str(rest);
    Ok(out)
}

/// The inside of the macro that `rest` starts with, and what follows.
fn take_macro(rest: &str) -> (&str, &str) {
    for (open, close) in [('{', '}'), ('(', ')')] {
        if let Some((inside, after)) = rest.strip_prefix(open).and_then(|r| r.split_once(close)) {
            return (inside, after);
        }
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.split_at(end)
}

fn replace(inside: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let at = inside.find(['?', ':']);
    let (name, text) = at.map_or((inside, None), |n| {
        let (name, text) = inside.split_at(n);
        (name, Some(text))
    });
    let found = value(name).ok_or_else(|| name.to_owned())?;
    match text.map(|t| t.split_at(1)) {
        Some(("?", text)) => {
            if found.is_empty() {
                Ok(String::new())
            } else {
                expand(text, value)
            }
        }
        Some((_, text)) => {
            if found.is_empty() {
                expand(text, value)
            } else {
                Ok(String::new())
            }
        }
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_calls::{Envelope, Recipient, Target, courier::ContentPlace};
    use base_conf::MasterCf;
    use bytes::Bytes;

    fn request(sender: &str, addresses: &[&str]) -> CourierRequest {
        let recipient =
            |a: &&str| Recipient { address: (*a).into(), original: (*a).into(), ..Recipient::default() };
        CourierRequest {
            service: "p".into(),
            nexthop: "nh".into(),
            queue_id: "Q1".into(),
            envelope: Envelope {
                sender: sender.into(),
                size: 7,
                recipients: addresses.iter().map(recipient).collect(),
                ..Envelope::default()
            },
            targets: (0..).zip(addresses).map(|(index, a)| Target { index, address: (*a).into() }).collect(),
            done: Vec::new(),
            content: ContentPlace::Inline { len: 0 },
        }
    }

    fn made(args: &str) -> Result<Pipe, String> {
        let master = MasterCf::parse(&format!("p unix - n n - - pipe {args}")).unwrap();
        let config = Config::from_text("recipient_delimiter = +\np_destination_recipient_limit = 1\n");
        Pipe::new(&master.services[0], &config).map_err(|e| e.text)
    }

    fn argv(flags: &str, argv: &str, addresses: &[&str]) -> String {
        let pipe = made(&format!("flags={flags} user=nobody argv={argv}")).unwrap();
        pipe.argv(&request("a b@example.net", addresses))
            .map_or_else(|e| format!("unknown {e}"), |v| v.join("|"))
    }

    #[test]
    fn macros() {
        let one = ["Us Er+ex@T.example"];
        assert_eq!(
            argv("", "/x ${user} $extension $(domain) x${mailbox}y", &one),
            "/x|Us Er|ex|T.example|xUs Er+exy"
        );
        assert_eq!(argv("hu", "/x $recipient", &one), "/x|us er+ex@t.example");
        assert_eq!(argv("q", "/x $recipient $sender", &one), "/x|\"Us Er+ex\"@T.example|\"a b\"@example.net");
        assert_eq!(
            argv("", "/x -f $sender -- $recipient", &["a@x", "b@x"]),
            "/x|-f|a b@example.net|--|a@x|b@x"
        );
        assert_eq!(argv("", "/x $size $queue_id $nexthop $$ $", &one), "/x|7|Q1|nh|$|$");
        assert_eq!(argv("", "/x ${extension?has-$extension} ${sasl_method:none}", &one), "/x|has-ex|none");
        assert_eq!(argv("", "/x $nosuch", &one), "unknown nosuch");
    }

    #[test]
    fn bad_entries() {
        let check = |args: &str, expect: &str| assert_eq!(made(args).unwrap_err(), expect);
        check("user=root argv=/x", "user= command-line attribute specifies root privileges");
        check("user=nosuchuser argv=/x", "unknown username: nosuchuser");
        check("argv=/x", "missing user= command-line attribute");
        check("user=nobody", "missing argv= command-line attribute");
        check("user=nobody colour=red argv=/x", "unknown attribute name: \"colour\"");
    }

    #[test]
    fn size_and_loops_are_answered_without_running_anything() {
        let text = |args: &str, content: &'static str| {
            let plan = made(args)
                .unwrap()
                .plan(&request("", &["a@x"]), &Content::Memory(Bytes::from_static(content.as_bytes())));
            match plan.targets.first().and_then(|t| t.steps.first()) {
                Some(Step::Say { verdict: Verdict::Failed(d), .. }) => format!("{} {}", d.status, d.reason),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(text("user=nobody size=3 argv=/x", "abcdef\r\n"), "5.2.3 message too large");
        assert_eq!(
            text("flags=D user=nobody argv=/x", "Delivered-To: A@x\r\n\r\n"),
            "5.4.6 mail forwarding loop for a@x"
        );
        assert!(text("user=nobody argv=/x", "abc\r\n").contains("Do("));
    }
}
