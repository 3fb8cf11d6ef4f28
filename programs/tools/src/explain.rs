//! `postfix explain`: what the server would say to a client, and why: each list, restriction, table lookup and verdict. The
//! decisions are those of the server's own evaluator with the real tables and the real DNS.
//!
//! Usage: `postfix explain --client IP --from SENDER --to RECIPIENT [--name NAME] [--reverse NAME] [--helo NAME] [--user LOGIN]
//! [--tls] [--size N] [--service NAME] [-j]`. Nothing is sent, and nothing is remembered. Exit status 0 when the recipient would be
//! accepted, 1 when not, 2 when the question cannot be answered.

use anyhow::{Context, Result, bail};
use base_conf::{Config, MasterCf, Service, main_cf::logical_lines};
use base_dns::Resolver;
use base_log::{Captured, Log, Source};
use base_nettables::NetTables;
use base_tables::{Tables, Usage, block_on, types::MoreTypes};
use mail_restrict::{HostStatus, Imagined, Login, Outcome, Peer, Restrict, RestrictConfig, Stage, Step, Tls};
use mail_route::{RouteConfig, Router};
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    net::IpAddr,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    client: Option<IpAddr>,
    name: Option<String>,
    reverse: Option<String>,
    helo: Option<String>,
    from: String,
    to: Option<String>,
    user: Option<String>,
    tls: bool,
    size: u64,
    service: Option<String>,
    json: bool,
}

/// How it is called.
const USAGE: &str = "usage: postfix explain --client IP --from SENDER --to RECIPIENT [--name NAME] [--reverse NAME] [--helo NAME] \
                     [--user LOGIN] [--tls] [--size N] [--service NAME] [-j]";

impl Question {
    /// Reads what follows `explain`.
    pub fn parse(args: &[OsString]) -> Result<Self> {
        let mut q = Self::default();
        let mut args = args.iter().map(|a| a.to_string_lossy().into_owned());
        while let Some(option) = args.next() {
            let mut value = || args.next().with_context(|| format!("{option} needs a value; {USAGE}"));
            match option.as_str() {
                "--client" => q.client = Some(value()?.parse().context("--client is an IP address")?),
                "--name" => q.name = Some(value()?),
                "--reverse" => q.reverse = Some(value()?),
                "--helo" => q.helo = Some(value()?),
                "--from" => q.from = bare(&value()?),
                "--to" => q.to = Some(bare(&value()?)),
                "--user" => q.user = Some(value()?),
                "--size" => q.size = value()?.parse().context("--size is a number of bytes")?,
                "--service" => q.service = Some(value()?),
                "--tls" => q.tls = true,
                "-j" => q.json = true,
                _ => bail!("unknown option {option}; {USAGE}"),
            }
        }
        if q.client.is_none() || q.to.is_none() {
            bail!("{USAGE}");
        }
        Ok(q)
    }
}

/// `<a@b>` is `a@b`.
fn bare(address: &str) -> String {
    address.trim().trim_start_matches('<').trim_end_matches('>').to_owned()
}

/// Answers the question from the configuration in `dir`.
pub fn run(dir: &Path, args: &[OsString]) -> ExitCode {
    let answered = Question::parse(args).and_then(|q| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(answer(dir, &q))
    });
    match answered {
        Ok(accepted) => ExitCode::from(u8::from(!accepted)),
        Err(e) => {
            eprintln!("postfix: explain: {e:#}");
            ExitCode::from(2)
        }
    }
}

async fn answer(dir: &Path, q: &Question) -> Result<bool> {
    let config = Config::load(dir)?;
    let master = MasterCf::load(dir)?;
    let service = service(&master, q)?;
    let view = config.service(&service.name, &service.overrides).process("smtpd");
    let resolver = Resolver::new(base_dns::Options::default());
    let session = Imagined {
        client: client(q, &resolver).await?,
        helo: q.helo.clone(),
        sender: q.from.clone(),
        recipient: q.to.clone().unwrap_or_default(),
        login: q.user.clone().map(|username| Login { method: "PLAIN".into(), username }),
        tls: q.tls.then(Tls::default),
        size: q.size,
    };
    let steps: Arc<Mutex<Vec<Step>>> = Arc::default();
    let (log, lines) = Log::test();
    let restrict = restrict(&view, resolver, log, &steps)?;
    let source = Source::new(format!("{}/smtpd", view.str("syslog_name")?), std::process::id());
    let outcomes = restrict.imagine(&session, &source).await;
    let steps = std::mem::take(&mut *steps.lock().unwrap_or_else(PoisonError::into_inner));
    let report = Report {
        service: &service.name,
        session: &session,
        steps: &steps,
        outcomes: &outcomes,
        config: &config,
    };
    if q.json {
        println!("{}", report.json(&lines));
    } else {
        report.print(&lines);
    }
    Ok(report.refusal().is_none())
}

/// The evaluator of a service, telling its steps.
fn restrict(view: &Config, resolver: Resolver, log: Log, steps: &Arc<Mutex<Vec<Step>>>) -> Result<Restrict> {
    let more: Arc<dyn MoreTypes> = NetTables::new(view.clone());
    let tables = Tables::new(base_tables::Options { more: Some(more), ..base_tables::Options::default() });
    let route = Router::new(Arc::new(RouteConfig::from_config(view)?), Arc::clone(&tables), &tables);
    let config = Arc::new(RestrictConfig::from_config(view)?);
    let restrict = Restrict::new(config, tables, Arc::new(route), resolver, log);
    restrict.check_open_relay()?;
    restrict.check_arguments()?;
    let to = Arc::clone(steps);
    Ok(restrict.tracing(Arc::new(move |step| to.lock().unwrap_or_else(PoisonError::into_inner).push(step))))
}

fn service<'a>(master: &'a MasterCf, q: &Question) -> Result<&'a Service> {
    let mut servers = master.services.iter().filter(|s| s.command == "smtpd");
    match &q.service {
        Some(name) => servers
            .find(|s| s.name == *name)
            .with_context(|| format!("master.cf has no SMTP server \"{name}\"")),
        None => servers.next().context("master.cf has no SMTP server"),
    }
}

/// The client, with its names looked up where they are not given.
async fn client(q: &Question, resolver: &Resolver) -> Result<Peer> {
    let ip = q.client.context("a client is needed")?;
    let unknown = "unknown".to_owned();
    let mut reverse = q.reverse.clone().or_else(|| q.name.clone());
    if reverse.is_none() {
        reverse = resolver.ptr(ip, true).await.ok().and_then(|a| a.records.into_iter().next());
    }
    let mut name = q.name.clone();
    if let (None, Some(r)) = (&name, &reverse) {
        let back = resolver.addresses(r, ip.is_ipv4(), ip.is_ipv6()).await;
        name = back.is_ok_and(|a| a.records.contains(&ip)).then(|| r.clone());
    }
    let status = |found: &Option<String>| {
        if found.as_deref().is_some_and(|n| n != "unknown") { HostStatus::Ok } else { HostStatus::Unknown }
    };
    Ok(Peer {
        name_status: status(&name),
        reverse_status: status(&reverse),
        name: name.unwrap_or_else(|| unknown.clone()),
        reverse_name: reverse.unwrap_or(unknown),
        addr: ip.to_string(),
        ip: Some(ip),
        server_ip: None,
        port_shown: String::new(),
    })
}

/// What came out.
struct Report<'a> {
    service: &'a str,
    session: &'a Imagined,
    steps: &'a [Step],
    outcomes: &'a [(Stage, Outcome)],
    config: &'a Config,
}

impl Report<'_> {
    fn refusal(&self) -> Option<(Stage, String)> {
        self.outcomes.iter().find_map(|(stage, o)| {
            o.refusal.as_ref().map(|r| (*stage, format!("{} {} {}", r.code, r.status, r.text)))
        })
    }

    fn actions(&self) -> Vec<String> {
        self.outcomes.iter().flat_map(|(_, o)| &o.actions).map(|a| format!("{a:?}")).collect()
    }

    fn print(&self, log: &Captured) {
        let s = self.session;
        println!(
            "service {}: client {}, helo {}, from <{}>, to <{}>",
            self.service,
            s.client.namaddr(),
            s.helo.as_deref().unwrap_or("none"),
            s.sender,
            s.recipient
        );
        for step in self.steps {
            match step {
                Step::List(name) => println!("{name}{}", self.place(name)),
                Step::Class(name) => println!("  {name}: a class{}", self.place(name)),
                Step::Asked(name, argument) if argument.is_empty() => println!("  {name}"),
                Step::Asked(name, argument) => println!("  {name} {argument}"),
                Step::Lookup(table, key, answer) => println!("    {key}: {}", found(table, key, answer)),
                Step::Said(text) => println!("    {text}"),
            }
        }
        self.actions().iter().for_each(|a| println!("action: {a}"));
        match self.refusal() {
            Some((stage, reply)) => println!("reply at {}: {reply}", stage.name()),
            None => println!("reply: accepted"),
        }
        log.texts().iter().for_each(|l| println!("log: {l}"));
    }

    fn json(&self, log: &Captured) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(|s| self.step(s)).collect();
        let refusal = self.refusal();
        json!({
            "service": self.service,
            "client": self.session.client.namaddr(),
            "helo": self.session.helo,
            "sender": self.session.sender,
            "recipient": self.session.recipient,
            "steps": steps,
            "actions": self.actions(),
            "accepted": refusal.is_none(),
            "stage": refusal.as_ref().map(|(stage, _)| stage.name()),
            "reply": refusal.map(|(_, reply)| reply),
            "log": log.texts(),
        })
    }

    fn step(&self, step: &Step) -> Value {
        match step {
            Step::List(name) => json!({"list": name, "line": self.line(name)}),
            Step::Class(name) => json!({"class": name, "line": self.line(name)}),
            Step::Asked(name, argument) => json!({"restriction": name, "argument": argument}),
            Step::Lookup(table, key, answer) => json!({
                "table": table,
                "key": key,
                "found": answer.as_ref().ok().and_then(Option::as_ref),
                "failed": answer.is_err(),
                "line": answer.as_ref().ok().and_then(Option::as_ref).and_then(|a| line_of(table, key, a)).map(|(_, line)| line),
            }),
            Step::Said(text) => json!({"verdict": text}),
        }
    }

    fn line(&self, name: &str) -> Option<u32> {
        self.config.main_cf().get(name).map(|e| e.line)
    }

    fn place(&self, name: &str) -> String {
        self.line(name).map(|l| format!(" (main.cf, line {l})")).unwrap_or_default()
    }
}

fn found(table: &str, key: &str, answer: &Result<Option<String>, ()>) -> String {
    match answer {
        Err(()) => "the table cannot be asked".to_owned(),
        Ok(None) => "not there".to_owned(),
        Ok(Some(value)) => match line_of(table, key, value) {
            Some((file, line)) => format!("\"{value}\" ({file}, line {line})"),
            None => format!("\"{value}\""),
        },
    }
}

/// Longest text that is searched.
const MAX_TEXT: u64 = 16 << 20;

/// The file and the line of a table's text that gives the answer.
fn line_of(table: &str, key: &str, value: &str) -> Option<(String, u32)> {
    let (kind, file) = table.trim_start_matches("proxy:").split_once(':')?;
    let size = std::fs::metadata(file).ok().filter(|m| m.is_file()).map(|m| m.len())?;
    if size > MAX_TEXT {
        return None;
    }
    let text = String::from_utf8_lossy(&std::fs::read(file).ok()?).into_owned();
    let patterns = matches!(kind, "regexp" | "pcre" | "cidr");
    let line = logical_lines(&text).into_iter().find(|l| match patterns {
        true => alone(kind, &l.text, key).is_some_and(|answer| answer == value),
        false => l
            .text
            .split_once(char::is_whitespace)
            .is_some_and(|(k, v)| k.eq_ignore_ascii_case(key) && v.trim() == value),
    })?;
    Some((file.to_owned(), line.line))
}

/// What a line of a pattern table gives when it is alone.
fn alone(kind: &str, line: &str, key: &str) -> Option<String> {
    let tables = Tables::new(base_tables::Options::default());
    let table = tables.try_open(&format!("{kind}:{{{{{line}}}}}"), Usage::LOOKUP).ok()?;
    let value = block_on(table.lookup(key.as_bytes())).ok()??;
    Some(String::from_utf8_lossy(&value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Question> {
        Question::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn questions() {
        let q = parse("--client 192.0.2.7 --from <a@b> --to c@d --tls --user u -j").unwrap();
        assert_eq!((q.from.as_str(), q.to.as_deref(), q.user.as_deref()), ("a@b", Some("c@d"), Some("u")));
        assert!(q.tls && q.json);
        for bad in ["", "--client x --to a", "--client 192.0.2.7", "--client", "--other"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_that_answer() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t");
        let spec = |kind: &str| format!("{kind}:{}", file.display());
        std::fs::write(&file, "# c\na.example OK\n192.0.2.7 REJECT go\n  away\n").unwrap();
        let line = |kind: &str, key: &str, value: &str| line_of(&spec(kind), key, value).map(|(_, l)| l);
        assert_eq!(line("hash", "192.0.2.7", "REJECT go  away"), Some(3));
        assert_eq!(line("hash", "192.0.2.8", "OK"), None);
        std::fs::write(&file, "/^x/ OK\n/^(.)@b/ REJECT $1 no\n").unwrap();
        assert_eq!(line("pcre", "a@b", "REJECT a no"), Some(2));
        std::fs::write(&file, "10.0.0.0/8 OK\n192.0.2.0/24 REJECT\n").unwrap();
        assert_eq!(line("cidr", "192.0.2.7", "REJECT"), Some(2));
    }
}
