//! `postfix doctor`: looks at what no configuration file shows: how others see this server, and what it stands on.
//!
//! Usage: `postfix doctor [-jv] [--address IP] [CHECK …]`. Each check is one file in `checks` with a time limit of its own; all run at
//! the same time, and are reported in the order of the registry. `-v` also tells of what is well, `-j` prints a line of JSON for each
//! finding. Questions go to the name servers of this machine, to its outbound port 25 and to NTP; nothing is changed. Exit
//! status 0 when there is no problem, 1 when there is one, 2 when the question cannot be understood.

mod checks;
mod ground;

use crate::getopt;
use anyhow::{Result, bail};
use ground::Ground;
use serde_json::json;
use std::{
    ffi::OsString, future::Future, net::IpAddr, path::Path, pin::Pin, process::ExitCode, time::Duration,
};

/// How good or bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It could not be found out.
    Unknown,
    /// Works, but not as well as it could.
    Warning,
    /// Mail is lost, refused or late because of it, or soon will be.
    Problem,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What a check found: how bad, and a sentence.
pub type Finding = (Level, String);

/// The findings of a check, when it has made them.
pub type Looking<'a> = Pin<Box<dyn Future<Output = Vec<Finding>> + 'a>>;

/// One check.
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What it looks at.
    pub about: &'static str,
    /// After this time it is given up.
    pub limit: Duration,
    /// Looks.
    pub look: for<'a> fn(&'a Ground) -> Looking<'a>,
}

/// All checks, in the order of the report.
pub use checks::ALL;

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    json: bool,
    all: bool,
    address: Option<IpAddr>,
    only: Vec<String>,
}

impl Options {
    fn parse(args: &[OsString]) -> Result<Self> {
        let mut options = Self::default();
        let mut short = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg != "--address" {
                short.push(arg.clone());
                continue;
            }
            let address = args.next().and_then(|a| a.to_str()).and_then(|a| a.parse().ok());
            let Some(address) = address else { bail!("--address needs an IP address") };
            options.address = Some(address);
        }
        let parsed = getopt::parse("jv", &short).map_err(anyhow::Error::msg)?;
        (options.json, options.all) = (parsed.has('j'), parsed.has('v'));
        for name in &parsed.operands {
            let name = name.to_string_lossy().into_owned();
            if !ALL.iter().any(|c| c.name == name) {
                let known: Vec<&str> = ALL.iter().map(|c| c.name).collect();
                bail!("unknown check \"{name}\", known are: {}", known.join(" "));
            }
            options.only.push(name);
        }
        Ok(options)
    }

    fn wants(&self, check: &Check) -> bool {
        self.only.is_empty() || self.only.iter().any(|n| n == check.name)
    }
}

/// Looks, and reports to standard output.
pub fn run(dir: &Path, args: &[OsString]) -> ExitCode {
    let looked = Options::parse(args).and_then(|options| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ground = Ground::new(dir, options.address)?;
        let found = runtime.block_on(look(&ground, &options));
        // What was given up may still wait for a file.
        runtime.shutdown_background();
        Ok((options, found))
    });
    match looked {
        Ok((options, found)) => report(&options, &found),
        Err(e) => {
            eprintln!("postfix: doctor: {e:#}");
            ExitCode::from(2)
        }
    }
}

/// All checks at the same time.
async fn look(ground: &Ground, options: &Options) -> Vec<(&'static str, Finding)> {
    let wanted: Vec<&'static Check> = ALL.iter().copied().filter(|c| options.wants(c)).collect();
    let mut running: Vec<Looking<'_>> = wanted.iter().map(|check| within(check, ground)).collect();
    let mut done: Vec<Option<Vec<Finding>>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (looking, done) in running.iter_mut().zip(&mut done).filter(|(_, d)| d.is_none()) {
            if let std::task::Poll::Ready(found) = looking.as_mut().poll(cx) {
                *done = Some(found);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    let found = wanted.iter().zip(done);
    found.flat_map(|(check, found)| found.into_iter().flatten().map(|f| (check.name, f))).collect()
}

/// A check that is given up in time.
fn within<'a>(check: &'static Check, ground: &'a Ground) -> Looking<'a> {
    Box::pin(async move {
        let late = || vec![(Level::Unknown, format!("no result within {} seconds", check.limit.as_secs()))];
        tokio::time::timeout(check.limit, (check.look)(ground)).await.unwrap_or_else(|_| late())
    })
}

fn report(options: &Options, found: &[(&str, Finding)]) -> ExitCode {
    for (check, (level, text)) in found {
        if options.json {
            println!("{}", json!({ "check": check, "level": level.word(), "text": text }));
        } else if options.all || *level > Level::Ok {
            println!("{}: {check}: {text}", level.word());
        }
    }
    let worst = found.iter().map(|(_, (level, _))| *level).max().unwrap_or(Level::Ok);
    if worst == Level::Ok && !options.json && !options.all {
        println!("ok: {} checks, nothing to worry about", ALL.iter().filter(|c| options.wants(c)).count());
    }
    ExitCode::from(u8::from(worst == Level::Problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        let args: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
        Options::parse(&args).map_err(|e| e.to_string())
    }

    #[test]
    fn options() {
        assert_eq!(parse(""), Ok(Options::default()));
        let found = parse("-j --address 192.0.2.1 disk queue").unwrap();
        assert!(found.json && !found.all && found.only == ["disk", "queue"]);
        assert_eq!(found.address, Some([192, 0, 2, 1].into()));
        assert!(
            parse("nothing").unwrap_err().starts_with("unknown check \"nothing\", known are: certificates")
        );
        assert!(parse("--address x").is_err() && parse("-x").is_err());
    }

    #[test]
    fn registry() {
        assert!(ALL.windows(2).all(|w| w[0].name < w[1].name));
        assert!(ALL.iter().all(|c| !c.about.is_empty() && c.limit <= Duration::from_secs(30)));
    }

    /// A folder with a configuration; nobody answers its questions.
    fn ground(main_cf: &str) -> (Ground, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let queue = dir.path().join("queue");
        std::fs::create_dir(&queue).unwrap();
        let text = format!(
            "queue_directory = {0}\ndata_directory = {0}\nmaillog_file = {0}/log\n{main_cf}",
            queue.display()
        );
        std::fs::write(dir.path().join("main.cf"), text).unwrap();
        std::fs::write(dir.path().join("master.cf"), "").unwrap();
        (Ground::new(dir.path(), Some([127, 0, 0, 1].into())).unwrap(), dir)
    }

    async fn found(name: &str, main_cf: &str) -> Vec<Finding> {
        let (ground, _dir) = ground(main_cf);
        let check = ALL.iter().find(|c| c.name == name).unwrap();
        (check.look)(&ground).await
    }

    #[tokio::test]
    async fn what_needs_no_network() {
        for (check, main_cf, level, words) in [
            ("certificates", "", Level::Ok, "no mistake"),
            (
                "certificates",
                "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /nonexistent.pem",
                Level::Problem,
                "/nonexistent.pem",
            ),
            (
                "outbound",
                "default_transport = error:no\nrelay_transport = error:no",
                Level::Ok,
                "no mail leaves",
            ),
            ("queue", "", Level::Unknown, "does not run"),
        ] {
            let all = found(check, main_cf).await;
            let hit = all.iter().any(|(l, text)| *l == level && text.contains(words));
            assert!(hit, "{check}: {main_cf}: {all:?}");
        }
        // How much there is depends on the machine; its judgement has a test of its own.
        let all = found("disk", "queue_minfree = 1\nmessage_size_limit = 1000").await;
        assert!(all.iter().any(|(_, text)| text.contains("free")), "{all:?}");
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_given_up() {
        const HANGS: Check = Check {
            name: "hangs",
            about: "nothing",
            limit: Duration::from_millis(10),
            look: |_| Box::pin(std::future::pending()),
        };
        let (ground, _dir) = ground("");
        assert_eq!(within(&HANGS, &ground).await, [(Level::Unknown, "no result within 0 seconds".into())]);
    }

    #[test]
    fn the_queue_is_judged() {
        let page = |fresh: u64, old: u64, oldest: u64| {
            format!(
                "hikyaku_queue_messages_by_age{{state=\"deferred\",age=\"5m\"}} {fresh}\n\
                 hikyaku_queue_messages_by_age{{state=\"deferred\",age=\"1d\"}} {old}\n\
                 hikyaku_queue_oldest_seconds{{state=\"deferred\"}} {oldest}\n"
            )
        };
        let level = |page: String| {
            checks::queue::judge(&page, Duration::from_secs(432_000)).iter().map(|f| f.0).max()
        };
        assert_eq!(level(page(0, 3, 100)), Some(Level::Ok));
        assert_eq!(level(page(2000, 10, 100)), Some(Level::Problem));
        assert_eq!(level(page(10, 2000, 100)), Some(Level::Warning));
        assert_eq!(level(page(0, 1, 400_000)), Some(Level::Warning));
        assert!(
            crate::server::series(&page(7, 0, 0), "hikyaku_queue_oldest_seconds", "state=\"deferred\"")
                .is_some()
        );
    }
}
