//! `postfix explain --client …`: a session that did not happen, decided by the server's own evaluator with the real tables and the
//! real DNS. Nothing is sent, and nothing is remembered.

use super::{USAGE, show};
use anyhow::{Context, Result, bail};
use base_conf::{Config, MasterCf, Service};
use base_dns::{Manner, Resolver, TableFilter};
use base_log::{Captured, Log, Source};
use base_nettables::NetTables;
use base_tables::{Maps, Tables, types::MoreTypes};
use mail_restrict::{
    HostStatus, Imagined, Login, Outcome, Peer, Restrict, RestrictConfig, Stage, Step, Tape, Tls, steps,
};
use mail_route::{RouteConfig, Router};
use serde_json::{Value, json};
use std::{ffi::OsString, net::IpAddr, path::Path, sync::Arc};

/// The longest way to a decision that is shown, in bytes.
const TAPE: usize = 1 << 20;

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

/// Answers the question from the configuration in `dir`: whether the recipient would be accepted.
pub async fn answer(dir: &Path, q: &Question) -> Result<bool> {
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
    let (log, lines) = Log::test();
    let (restrict, tape) = (restrict(&view, resolver, log)?, Tape::new(TAPE));
    let source = Source::new(format!("{}/smtpd", view.str("syslog_name")?), std::process::id());
    let outcomes = restrict.imagine(&session, &source, Some(&tape)).await;
    let steps = steps(&tape.take());
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

/// The evaluator of a service.
fn restrict(view: &Config, resolver: Resolver, log: Log) -> Result<Restrict> {
    let more: Arc<dyn MoreTypes> = NetTables::new(view.clone());
    let tables = Tables::new(base_tables::Options { more: Some(more), ..base_tables::Options::default() });
    let route = Router::new(Arc::new(RouteConfig::from_config(view)?), Arc::clone(&tables), &tables);
    let config = Arc::new(RestrictConfig::from_config(view)?);
    let filter = Maps::open(&tables, "smtpd_dns_reply_filter", &view.str("smtpd_dns_reply_filter")?);
    let filter = TableFilter::open(filter, &log, format!("{}/smtpd", view.str("syslog_name")?));
    let resolver = resolver.with(Manner { filter, ..Manner::default() });
    let restrict = Restrict::new(config, tables, Arc::new(route), resolver, log);
    restrict.check_open_relay()?;
    restrict.check_arguments()?;
    Ok(restrict)
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
        show::lines(self.steps, Some(self.config)).iter().for_each(|line| println!("{line}"));
        match self.refusal() {
            Some((stage, reply)) => println!("reply at {}: {reply}", stage.name()),
            None => println!("reply: accepted"),
        }
        log.texts().iter().for_each(|l| println!("log: {l}"));
    }

    fn json(&self, log: &Captured) -> Value {
        let refusal = self.refusal();
        json!({
            "service": self.service,
            "client": self.session.client.namaddr(),
            "helo": self.session.helo,
            "sender": self.session.sender,
            "recipient": self.session.recipient,
            "steps": show::values(self.steps, Some(self.config)),
            "actions": show::actions(self.steps),
            "accepted": refusal.is_none(),
            "stage": refusal.as_ref().map(|(stage, _)| stage.name()),
            "reply": refusal.map(|(_, reply)| reply),
            "log": log.texts(),
        })
    }
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
}
