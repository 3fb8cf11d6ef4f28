//! posttls-finger(1): connects to a server as the SMTP client would, and tells what its TLS is. The work is `mail_deliver::finger`; here
//! are the options, which become parameters.
//!
//! Always exits with 0 but for bad usage, as the original does. `-g`, `-m`, `-r`, `-v` and `-X` are accepted and have no effect:
//! rustls has no grades, and sessions are not resumed.

use crate::{getopt, tools::Tool};
use base_conf::{Config, MasterCf};
use base_sys::opener::Plain;
use base_tables::Tables;
use mail_deliver::{Deps, FingerRequest};
use std::{ffi::OsString, path::PathBuf, process::ExitCode, sync::Arc};

/// The record.
pub const TOOL: Tool = Tool { name: "posttls-finger", run, about: "probe the TLS of a mail server" };

/// Options whose value is the value of a parameter.
const PARAMETERS: &[(char, &[&str])] = &[
    ('a', &["address_preference"]),
    ('d', &["tls_fingerprint_digest"]),
    ('F', &["tls_CAfile"]),
    ('f', &["tls_force_insecure_host_tlsa_lookup"]),
    ('h', &["host_lookup"]),
    ('P', &["tls_CApath"]),
    ('p', &["tls_protocols", "tls_mandatory_protocols"]),
    ('s', &["tls_servername"]),
    ('t', &["connect_timeout"]),
    ('T', &["helo_timeout"]),
];

fn run(args: &[OsString]) -> ExitCode {
    let usage = |why: &str| {
        eprintln!("posttls-finger: {why}");
        eprintln!("usage: posttls-finger [options] [inet:]domain[:port] [match ...]");
        ExitCode::FAILURE
    };
    let parsed = match getopt::parse("a:A:cCd:fF:g:h:H:k:K:l:L:m:M:o:p:P:r:s:St:T:vwX", args) {
        Ok(parsed) => parsed,
        Err(e) => return usage(&e),
    };
    let operands: Vec<String> = parsed.operands.iter().map(|o| o.to_string_lossy().into_owned()).collect();
    let Some((destination, matches)) = operands.split_first() else { return usage("no destination") };
    match probe(&parsed, destination, matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("posttls-finger: fatal: {e}");
            ExitCode::FAILURE
        }
    }
}

fn probe(parsed: &getopt::Parsed, destination: &str, matches: &[String]) -> anyhow::Result<()> {
    let dir = std::env::var("MAIL_CONFIG").unwrap_or_else(|_| "/etc/postfix".into());
    let cfg = Config::load(&PathBuf::from(dir))?.process("posttls-finger");
    let lmtp = parsed.has('S');
    let cfg = cfg.with(settings(parsed, matches, if lmtp { "lmtp" } else { "smtp" })?);
    let master = MasterCf::parse("finger unix - - n - - smtp")?;
    let service = master.services.first().ok_or_else(|| anyhow::anyhow!("no service"))?;
    let deps = Deps::for_command(Tables::new(base_tables::Options::default()), Arc::new(Plain));
    let shown = parsed.value('L').map(|v| v.to_string_lossy().to_ascii_lowercase());
    let shows =
        |words: &[&str]| shown.as_deref().is_none_or(|s| s.split(',').any(|w| words.contains(&w.trim())));
    let request = FingerRequest {
        destination,
        lmtp,
        wrapper: parsed.has('w'),
        chat: !parsed.has('c'),
        summary: shows(&["1", "2", "3", "4", "routine", "summary", "debug"]),
        matches: shows(&["2", "3", "4", "certmatch", "debug", "verbose"]),
        chain: parsed.has('C'),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A server's words must not reach the terminal as commands.
    let say = |line: &str| println!("posttls-finger: {}", base_log::mask(line));
    let print = |text: &str| text.lines().for_each(|line| println!("{}", base_log::mask(line)));
    runtime.block_on(mail_deliver::finger(request, (service, &cfg, &deps), &say, &print))?;
    Ok(())
}

/// Parameters that the options stand for.
fn settings(
    parsed: &getopt::Parsed,
    matches: &[String],
    prefix: &str,
) -> anyhow::Result<Vec<(String, String)>> {
    let text = |c| parsed.value(c).map(|v| v.to_string_lossy().into_owned());
    let all = |c| {
        let of = parsed.options.iter().filter(move |(o, _)| *o == c);
        of.filter_map(|(_, v)| Some(v.as_ref()?.to_string_lossy().into_owned()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let own = |name: &str, value: String| (format!("{prefix}_{name}"), value);
    // The command has no authorities and tables but its own (posttls-finger(1)).
    let nothing =
        ["tls_CAfile", "tls_CApath", "tls_policy_maps", "tls_per_site", "tls_servername", "tls_loglevel"];
    let mut out: Vec<_> = nothing.iter().map(|name| own(name, String::new())).collect();
    out.push(own("tls_security_level", text('l').unwrap_or_else(|| "dane".to_owned())));
    out.push(own("dns_support_level", "dnssec".to_owned()));
    out.push(own("host_lookup", "dns".to_owned()));
    out.push(own("connect_timeout", "30".to_owned()));
    out.push(own("helo_timeout", "30".to_owned()));
    out.push(("smtp_mta_sts".to_owned(), "no".to_owned()));
    for (option, names) in PARAMETERS {
        let value = if *option == 'f' { parsed.has('f').then(|| "yes".to_owned()) } else { text(*option) };
        out.extend(value.into_iter().flat_map(|v| names.iter().map(move |n| own(n, v.clone()))));
    }
    out.push(own("tls_trust_anchor_file", all('A')));
    out.push(own("tls_chain_files", all('H')));
    let (cert, key) = (text('k').or_else(|| text('K')), text('K').or_else(|| text('k')));
    out.push(own("tls_cert_file", cert.unwrap_or_default()));
    out.push(own("tls_key_file", key.unwrap_or_default()));
    out.extend(text('M').map(|v| ("smtp_tls_dane_insecure_mx_policy".to_owned(), v)));
    if !matches.is_empty() {
        let list = matches.join(", ");
        for name in ["tls_fingerprint_cert_match", "tls_verify_cert_match", "tls_secure_cert_match"] {
            out.push(own(name, list.clone()));
        }
    }
    for setting in parsed.options.iter().filter(|(o, _)| *o == 'o') {
        let value = setting.1.as_ref().map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
        let (name, value) =
            value.split_once('=').ok_or_else(|| anyhow::anyhow!("-o {value}: name=value expected"))?;
        out.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(out)
}
