//! `hikyaku-tools dkim-genkey`: a new key for `dkim_signing_keys` or `arc_signing_key` (an extension), and the DNS record that goes with it.
//!
//! The private key goes to `SELECTOR.DOMAIN.pem`, readable by its owner only; a file that is there is never written over. The
//! record is printed as a line of a zone file. Exit status 0: made, 1: not.

use crate::{getopt, tools::Tool};
use anyhow::{Context, Result, bail};
use base_auth::keys::{NewKey, SigningKey, generate};
use std::{
    ffi::OsString,
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The tool.
pub const TOOL: Tool =
    Tool { name: "dkim-genkey", run, about: "make a key for signing mail, and its DNS record" };

const USAGE: &str =
    "usage: hikyaku-tools dkim-genkey -d domain -s selector [-t rsa|rsa4096|ed25519] [-D directory]";

fn run(args: &[OsString]) -> ExitCode {
    match make(args) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("dkim-genkey: {e:#}");
            ExitCode::from(1)
        }
    }
}

fn make(args: &[OsString]) -> Result<String> {
    let options = getopt::parse("d:s:t:D:", args).map_err(|e| anyhow::anyhow!("{e}\n{USAGE}"))?;
    let value = |c: char| options.value(c).map(|v| v.to_string_lossy().into_owned());
    let (Some(domain), Some(selector)) = (value('d'), value('s')) else { bail!("{USAGE}") };
    for name in [&domain, &selector] {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
            bail!("not a domain name: {name}");
        }
    }
    let kind = match value('t').as_deref().unwrap_or("rsa") {
        "rsa" => NewKey::Rsa2048,
        "rsa4096" => NewKey::Rsa4096,
        "ed25519" => NewKey::Ed25519,
        other => bail!("unknown type of key: {other}\n{USAGE}"),
    };
    let file =
        PathBuf::from(value('D').unwrap_or_else(|| ".".to_owned())).join(format!("{selector}.{domain}.pem"));
    let pem = generate(kind)?;
    let key = SigningKey::from_pem(&domain, &selector, pem.as_bytes())?;
    write(&file, &pem).with_context(|| file.display().to_string())?;
    let shown = std::path::absolute(&file).unwrap_or(file);
    Ok(format!("{}; dkim_signing_keys = {domain}:{selector}:{}\n", zone_line(&key)?, shown.display()))
}

fn write(file: &Path, pem: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(pem.as_bytes())
}

/// A string of a TXT record has at most 255 bytes.
fn zone_line(key: &SigningKey) -> Result<String> {
    let mut out = format!("{}._domainkey.{}. IN TXT (", key.selector, key.domain);
    let record = key.dns_record()?;
    let mut rest = record.as_str();
    while !rest.is_empty() {
        let (part, more) = rest.split_at(rest.len().min(250));
        write!(out, "\n\t\"{part}\"")?;
        rest = more;
    }
    out.push_str(" )\n");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn keys_and_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        for kind in ["rsa", "ed25519"] {
            let text = make(&words(&format!("-d example.com -s {kind} -t {kind} -D {path}"))).unwrap();
            assert!(text.starts_with(&format!("{kind}._domainkey.example.com. IN TXT (")), "{text}");
            assert!(text.lines().all(|l| l.len() < 300), "{text}");
        }
        for bad in ["-d example.com", "-d example.com -s rsa", "-d a/b -s c", "-d a.b -s c -t dsa"] {
            assert!(make(&words(&format!("{bad} -D {path}"))).is_err(), "{bad}");
        }
    }
}
