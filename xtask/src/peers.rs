//! The Debian packages that the tests run against, and how they are installed without starting anything.

use crate::run::{check, has_program, is_root, output};
use anyhow::{Context, Result, bail};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

/// A package and a program that shows it is there.
pub struct Peer {
    /// Debian's name.
    pub package: &'static str,
    /// A file or program of it.
    pub shows: &'static str,
}

/// All peers, by package.
pub const PEERS: &[Peer] = &[
    Peer { package: "amavisd-new", shows: "amavisd" },
    Peer { package: "clamav-daemon", shows: "clamd" },
    Peer { package: "clamav-milter", shows: "clamav-milter" },
    Peer { package: "curl", shows: "curl" },
    Peer { package: "dovecot-imapd", shows: "/usr/lib/dovecot/imap" },
    Peer { package: "dovecot-lmtpd", shows: "/usr/lib/dovecot/lmtp" },
    Peer { package: "dovecot-pop3d", shows: "/usr/lib/dovecot/pop3" },
    Peer { package: "iproute2", shows: "ip" },
    Peer { package: "ldap-utils", shows: "ldapsearch" },
    Peer { package: "maildrop", shows: "maildrop" },
    Peer { package: "mariadb-server", shows: "mariadbd" },
    Peer { package: "memcached", shows: "memcached" },
    Peer { package: "nkf", shows: "nkf" },
    Peer { package: "node-nodemailer", shows: "/usr/share/nodejs/nodemailer" },
    Peer { package: "nodejs", shows: "node" },
    Peer { package: "opendkim", shows: "opendkim" },
    Peer { package: "opendkim-tools", shows: "opendkim-genkey" },
    Peer { package: "opendmarc", shows: "opendmarc" },
    Peer { package: "pebble", shows: "/usr/bin/pebble" },
    Peer { package: "postfix", shows: "smtp-source" },
    Peer { package: "postfix-cdb", shows: "/usr/lib/postfix/postfix-cdb.so" },
    Peer { package: "postfix-ldap", shows: "/usr/lib/postfix/postfix-ldap.so" },
    Peer { package: "postfix-lmdb", shows: "/usr/lib/postfix/postfix-lmdb.so" },
    Peer { package: "postfix-mysql", shows: "/usr/lib/postfix/postfix-mysql.so" },
    Peer { package: "postfix-pcre", shows: "/usr/lib/postfix/postfix-pcre.so" },
    Peer { package: "postfix-pgsql", shows: "/usr/lib/postfix/postfix-pgsql.so" },
    Peer { package: "postfix-sqlite", shows: "/usr/lib/postfix/postfix-sqlite.so" },
    Peer { package: "postgresql", shows: "/usr/lib/postgresql" },
    Peer { package: "procmail", shows: "procmail" },
    Peer { package: "redis-server", shows: "redis-server" },
    Peer { package: "rspamd", shows: "rspamd" },
    Peer { package: "sasl2-bin", shows: "/usr/sbin/saslauthd" },
    Peer { package: "slapd", shows: "slapd" },
    Peer { package: "spamassassin", shows: "/usr/share/spamassassin" },
    Peer { package: "sqlite3", shows: "sqlite3" },
    Peer { package: "swaks", shows: "swaks" },
    Peer { package: "tinycdb", shows: "cdb" },
];

impl Peer {
    /// Whether it is installed.
    pub fn present(&self) -> bool {
        if self.shows.starts_with('/') { Path::new(self.shows).exists() } else { has_program(self.shows) }
    }
}

/// Packages that are not installed.
pub fn missing() -> Vec<&'static str> {
    PEERS.iter().filter(|p| !p.present()).map(|p| p.package).collect()
}

/// Installs what is missing. A policy-rc.d keeps every service of the packages from starting, and an existing mail
/// system of the machine from being replaced: when another package provides the MTA, nothing is installed.
pub fn install() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        bail!("--install-peers needs root; missing packages: {}", missing.join(" "));
    }
    if let Some(other) = other_mail_server()? {
        bail!("this machine's mail is served by {other}; installing postfix would replace it");
    }
    let policy = PolicyRcD::put()?;
    let apt = |args: &[&str]| {
        check(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y"]).args(args))
    };
    apt(&["update"])?;
    preseed("postfix postfix/main_mailer_type select No configuration\n")?;
    let mut args = vec!["install", "--no-install-recommends"];
    args.extend(&missing);
    let result = apt(&args);
    drop(policy);
    result
}

/// An installed mail server package other than Postfix.
fn other_mail_server() -> Result<Option<String>> {
    let format = "-f=${Package}\t${db:Status-Status}\t${Provides}\n";
    let listed = output(Command::new("dpkg-query").args(["-W", format]))?;
    let other = listed.lines().map(|l| l.split('\t').collect::<Vec<_>>()).find(|f| {
        matches!(f[..], [name, "installed", provides] if name != "postfix" && provides.contains("mail-transport-agent"))
    });
    Ok(other.map(|f| f[0].to_owned()))
}

/// Answers a package's question in advance.
fn preseed(text: &str) -> Result<()> {
    use std::io::Write;
    let mut child = Command::new("debconf-set-selections").stdin(std::process::Stdio::piped()).spawn()?;
    child.stdin.take().context("no standard input")?.write_all(text.as_bytes())?;
    child.wait()?;
    Ok(())
}

/// A `/usr/sbin/policy-rc.d` that forbids service starts; removed again if this made it.
struct PolicyRcD(bool);

impl PolicyRcD {
    const PATH: &'static str = "/usr/sbin/policy-rc.d";

    fn put() -> Result<Self> {
        if Path::new(Self::PATH).exists() {
            return Ok(Self(false));
        }
        fs::write(Self::PATH, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(Self::PATH, fs::Permissions::from_mode(0o755))?;
        Ok(Self(true))
    }
}

impl Drop for PolicyRcD {
    fn drop(&mut self) {
        if self.0 {
            let _ = fs::remove_file(Self::PATH);
        }
    }
}
