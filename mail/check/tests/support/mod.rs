//! A configuration in a temporary folder, and its findings with that folder shown as /etc/postfix.
#![allow(dead_code, reason = "each test uses a part")]

use base_conf::{Config, computed::Machine};
use base_tables::Tables;
use mail_check::{Finding, Severity, Site, Surroundings};
use mail_route::{RouteConfig, Router};
use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The services of every mail system.
pub const MASTER: &str = include_str!("../good/master.cf");
const PLACE: &str = "/etc/postfix";
const CERTS: [&str; 3] = ["/usr/local/certs", "/etc/ssl/certs", "/etc/ssl/private"];

fn surroundings() -> Surroundings {
    Surroundings {
        services: "smtp 25/tcp mail\nsubmission 587/tcp\nsubmissions 465/tcp ssmtp smtps urd\nqmqp 628/tcp\nsmtp 25/udp\n".into(),
        // 2026-01-01, so that ages in documents stay.
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600),
        machine: Machine::example(),
        user: |name| ["root", "nobody", "postfix", "vmail"].iter().position(|u| *u == name).and_then(|n| n.try_into().ok()),
        group: |name| ["postdrop", "maildrop", "postfix"].contains(&name),
        // Folders for tests are in the hands of everybody.
        unreadable: |_, path| {
            let closed = std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o777 == 0);
            closed.then(|| std::io::ErrorKind::PermissionDenied.into())
        },
        route: Arc::new(|cfg: &Config, tables: &Arc<Tables>| {
            let config = RouteConfig::from_config(cfg).ok()?;
            Some(Arc::new(Router::new(Arc::new(config), Arc::clone(tables), tables)))
        }),
        tables: base_tables::Options::default(),
    }
}

/// A certificate and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["mail.example.com".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A key with a certificate for this time: years, months and days.
fn dated(from: (i32, u8, u8), to: (i32, u8, u8)) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["mail.example.com".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
    format!("{}{}", key.serialize_pem(), params.self_signed(&key).unwrap().pem())
}

/// Writes files below `dir`. `NAME mode=NNN` sets the mode, `NAME changed later` the time; `@certificate` and `@key` make
/// content.
pub fn write(dir: &Path, files: &[(&str, &str)]) {
    let shown = dir.display().to_string();
    for (name, text) in files {
        let (name, more) = name.split_once(' ').unwrap_or((name, ""));
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut text = match *text {
            "@a certificate" => certificate().0,
            "@the key of another" => certificate().1,
            "@an old key with its certificate" => dated((2019, 1, 1), (2020, 1, 1)),
            "@a key with ten days left" => dated((2025, 10, 13), (2026, 1, 11)),
            "@a key for six days" => dated((2025, 12, 30), (2026, 1, 5)),
            text => text.replace(PLACE, &shown),
        };
        for certs in CERTS {
            text = text.replace(certs, &format!("{shown}/certs"));
        }
        fs::write(&path, text).unwrap();
        if let Some(mode) = more.strip_prefix("mode=") {
            let mode = u32::from_str_radix(mode, 8).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let shift = if more == "changed later" { 60 } else { 0 };
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(100 - shift)).unwrap();
    }
}

/// A site made of these files; a master.cf is added when there is none.
pub fn with_site<T>(files: &[(&str, &str)], ask: impl FnOnce(&Site, &str) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    if !files.iter().any(|(name, _)| *name == "master.cf") {
        write(dir.path(), &[("master.cf", MASTER)]);
    }
    if !files.iter().any(|(name, _)| *name == "main.cf") {
        write(dir.path(), &[("main.cf", "compatibility_level = 3.6\n")]);
    }
    let (cert, key) = certificate();
    let certs = [("certs/server.crt", cert.as_str()), ("certs/server.key mode=600", &key)];
    write(dir.path(), &certs);
    let debian =
        [("certs/ssl-cert-snakeoil.pem", cert.as_str()), ("certs/ssl-cert-snakeoil.key mode=600", &key)];
    write(dir.path(), &debian);
    write(dir.path(), files);
    let site = Site::load(dir.path(), surroundings());
    ask(&site, &dir.path().display().to_string())
}

/// Findings as lines, notes left out unless asked for.
pub fn lines(found: &[Finding], dir: &str, notes: bool) -> Vec<String> {
    let wanted = found.iter().filter(|f| notes || f.severity > Severity::Note).cloned().collect::<Vec<_>>();
    mail_check::classic(&wanted).iter().map(|l| l.replace(dir, PLACE)).collect()
}

/// Everything that the check says about these files, notes left out.
pub fn check(files: &[(&str, &str)]) -> Vec<String> {
    with_site(files, |site, dir| lines(&mail_check::check(site), dir, false))
}
