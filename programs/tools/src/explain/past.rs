//! `postfix explain QUEUE-ID | ADDRESS | IP`: the last decisions of the server about a message, a mail address, a client (by address
//! or name) or a login, oldest first. A server that has stopped in order has left them in `$data_directory/decisions`.

use super::{USAGE, show};
use crate::control::Control;
use anyhow::{Context, Result, anyhow, bail};
use base_calls::{
    Timestamp,
    control::{ControlReply, ControlRequest},
};
use base_conf::Config;
use mail_restrict::{Bounds, Decision, Decisions, history_file};
use serde_json::{Value, json};
use std::{ffi::OsString, path::Path};

/// How many decisions are shown when nobody says.
const LAST: u32 = 10;
/// What is read of a file.
const ALL: Bounds = Bounds { count: 1_000_000, bytes: 1 << 30 };

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    what: String,
    last: u32,
    json: bool,
}

impl Question {
    /// `None`: it is not about the past.
    pub fn parse(args: &[OsString]) -> Result<Option<Self>> {
        let mut q = Self { what: String::new(), last: LAST, json: false };
        let mut args = args.iter().map(|a| a.to_string_lossy());
        while let Some(arg) = args.next() {
            match arg.as_ref() {
                "-j" => q.json = true,
                "--last" => {
                    let number = args.next().with_context(|| format!("--last needs a number; {USAGE}"))?;
                    q.last = number.parse().context("--last is a number")?;
                }
                option if option.starts_with("--") => return Ok(None),
                _ if !q.what.is_empty() => bail!("{USAGE}"),
                what => q.what = what.to_owned(),
            }
        }
        if q.what.is_empty() { Ok(None) } else { Ok(Some(q)) }
    }
}

/// Shows what is known; false: nothing.
pub fn answer(dir: &Path, q: &Question) -> Result<bool> {
    let config = Config::load(dir)?;
    let frames = frames(&config, q)?;
    let decisions: Vec<Decision<'_>> = frames.iter().filter_map(|frame| Decision::decode(frame)).collect();
    for decision in &decisions {
        match q.json {
            true => println!("{}", value(decision)),
            false => text(decision).iter().for_each(|line| println!("{line}")),
        }
    }
    if decisions.is_empty() {
        eprintln!("postfix: explain: nothing is known of {}", q.what);
    }
    Ok(!decisions.is_empty())
}

/// From the server, or from what it has left.
fn frames(config: &Config, q: &Question) -> Result<Vec<Vec<u8>>> {
    let queue = config.str("queue_directory")?;
    let failed = |e: crate::console::Fatal| anyhow!("{e}");
    let Some(mut control) = Control::connect(Path::new(&queue)).map_err(failed)? else {
        let kept = Decisions::new(ALL);
        let file = history_file(config)?;
        kept.load(&file).with_context(|| format!("the server does not run, and {}", file.display()))?;
        return Ok(kept.about(&q.what, usize::try_from(q.last).unwrap_or(usize::MAX)));
    };
    let mut frames = Vec::new();
    let each = |reply| {
        if let ControlReply::Decision(frame) = reply {
            frames.push(frame);
        }
        Ok(())
    };
    control.ask(&ControlRequest::Explain(q.last, q.what.clone()), each).map_err(failed)?;
    Ok(frames)
}

fn text(d: &Decision<'_>) -> Vec<String> {
    let known = |what: &str, text: &str| match text {
        "" => String::new(),
        text => format!(", {what} {text}"),
    };
    let first = format!(
        "{} {}{}: {} client {}[{}]{}{}{}{}",
        Timestamp(d.time).log_date(),
        d.service,
        if d.id.is_empty() { String::new() } else { format!(" {}", d.id) },
        d.stage,
        d.name,
        d.addr,
        known("helo", d.helo),
        known("login", d.login),
        known("from", d.sender),
        known("to", d.recipient),
    );
    let reply = if d.reply.is_empty() { "accepted" } else { d.reply };
    std::iter::once(first).chain(show::lines(&d.steps(), None)).chain([format!("reply: {reply}")]).collect()
}

fn value(d: &Decision<'_>) -> Value {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let steps = d.steps();
    json!({
        "time": d.time / 1_000_000,
        "service": d.service,
        "id": known(d.id),
        "stage": d.stage,
        "client": format!("{}[{}]", d.name, d.addr),
        "helo": known(d.helo),
        "login": known(d.login),
        "sender": known(d.sender),
        "recipient": known(d.recipient),
        "steps": show::values(&steps, None),
        "actions": show::actions(&steps),
        "accepted": d.reply.is_empty(),
        "reply": known(d.reply),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        let parse =
            |line: &str| Question::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        let q = |what: &str, last, json| Some(Question { what: what.to_owned(), last, json });
        assert_eq!(parse("4ABC").unwrap(), q("4ABC", 10, false));
        assert_eq!(parse("-j --last 3 a@b").unwrap(), q("a@b", 3, true));
        assert_eq!(parse("<>").unwrap(), q("<>", 10, false));
        for other in ["", "--client 192.0.2.7 --to a", "--from x -j"] {
            assert_eq!(parse(other).unwrap(), None, "{other}");
        }
        for bad in ["a b", "--last x a", "a --last"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown() {
        let d = Decision {
            service: "smtp",
            stage: "RCPT",
            name: "c",
            addr: "192.0.2.7",
            recipient: "<a@b>",
            tape: b"D",
            ..Decision::default()
        };
        let lines = text(&d);
        assert!(lines[0].ends_with(" smtp: RCPT client c[192.0.2.7], to <a@b>"), "{lines:?}");
        assert_eq!(lines[1..], ["    does not decide", "reply: accepted"]);
        assert_eq!(value(&d)["accepted"], true);
    }
}
