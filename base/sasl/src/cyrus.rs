//! `smtpd_sasl_type = cyrus`: what the Cyrus SASL library does for Postfix (SASL_README): `smtpd.conf` with `pwcheck_method` saslauthd or
//! auxprop (the database of saslpasswd2(8), or an SQL database).
//!
//! The file is `smtpd_sasl_path`.conf in the folders of `cyrus_sasl_config_path`, else in those of Debian. A change of it
//! counts after a reload; the password database is read for each login. Names without a realm get `smtpd_sasl_local_domain`.

use crate::{
    Backend, Exchange, Failure, Mechanism, Places, Properties, Request, Unavailable,
    auxprop::{Auxprop, GENERIC, Plugin},
    local::{Local, Source, Trouble},
    passwords::DEFAULT_PATH,
    sql::SqlConf,
};
use base_calls::Fut;
use base_net::{connect_unix, os_text};
use proto_sasl::{
    same,
    server::{MECHANISMS, Secret},
};
use proto_wire::saslauthd;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// For saslauthd's answer: PAM may be slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// `smtpd.conf`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpdConf {
    saslauthd: bool,
    auxprop: bool,
    mechanisms: Vec<String>,
    socket: PathBuf,
    plugins: Vec<Plugin>,
}

impl SmtpdConf {
    /// Reads the text; unknown names are for others.
    pub fn parse(text: &str) -> Self {
        let get = |name: &str| {
            let of = |l: &str| {
                let (n, v) = l.split_once(':')?;
                n.trim().eq_ignore_ascii_case(name).then(|| v.trim().to_owned())
            };
            text.lines().filter(|l| !l.trim_start().starts_with('#')).find_map(of)
        };
        let methods = get("pwcheck_method").unwrap_or_else(|| "auxprop".to_owned()).to_ascii_lowercase();
        let has = |name: &str| methods.split_ascii_whitespace().any(|m| m == name);
        let socket = get("saslauthd_path").unwrap_or_else(|| "/var/run/saslauthd/mux".to_owned());
        Self {
            saslauthd: has("saslauthd"),
            auxprop: has("auxprop") || has("auxprop-hashed"),
            mechanisms: get("mech_list")
                .unwrap_or_default()
                .split([' ', '\t', ','])
                .filter(|m| !m.is_empty())
                .map(str::to_ascii_uppercase)
                .collect(),
            // A folder means the socket in it.
            socket: if socket.ends_with("/mux") { socket.into() } else { Path::new(&socket).join("mux") },
            plugins: Self::plugins(&get),
        }
    }

    fn plugins(get: &impl Fn(&str) -> Option<String>) -> Vec<Plugin> {
        let plugin = |name: &str| match name.to_ascii_lowercase().as_str() {
            "sasldb" => Plugin::Sasldb(get("sasldb_path").map_or_else(|| DEFAULT_PATH.into(), PathBuf::from)),
            "sql" => Plugin::Sql(SqlConf::read(get)),
            _ => Plugin::Unknown(name.to_owned()),
        };
        let names = get("auxprop_plugin").unwrap_or_else(|| "sasldb".to_owned());
        names.split([' ', '\t', ',']).filter(|n| !n.is_empty()).map(plugin).collect()
    }

    /// The mechanisms that can work, in the order of `mech_list`: without passwords at hand only those that show them.
    fn able(&self) -> Vec<&'static str> {
        let possible = |m: &&str| self.auxprop || Properties::of_mechanism(m).has(Properties::PLAINTEXT);
        // As the library announces them without a list: the strongest first.
        let usual = ["SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5", "PLAIN", "LOGIN"];
        let known = |m: &&str| MECHANISMS.iter().any(|(n, _)| n == m);
        let named = |w: &String| usual.into_iter().find(|m| m == w);
        let order: Vec<&'static str> = match self.mechanisms.is_empty() {
            true => usual.to_vec(),
            false => self.mechanisms.iter().filter_map(named).collect(),
        };
        order.into_iter().filter(|m| known(m) && possible(m)).collect()
    }
}

/// The implementation.
pub struct Cyrus {
    shared: Arc<Shared>,
}

struct Shared {
    conf: SmtpdConf,
    auxprop: Auxprop,
    places: Places,
}

impl Cyrus {
    /// Reads `smtpd.conf`; without one the library's defaults hold.
    pub fn open(places: &Places) -> Self {
        let name = format!("{}.conf", places.path);
        let folders: Vec<PathBuf> = match places.config_path.as_str() {
            "" => vec![
                places.config_directory.join("sasl"),
                "/etc/sasl2".into(),
                "/usr/lib/sasl2".into(),
                "/etc/sasl".into(),
            ],
            list => list.split(':').filter(|f| !f.is_empty()).map(PathBuf::from).collect(),
        };
        let text = folders.iter().find_map(|f| places.read(&f.join(&name)).ok()).unwrap_or_default();
        let conf = SmtpdConf::parse(&String::from_utf8_lossy(&text));
        let auxprop = Auxprop::new(conf.plugins.clone(), places);
        Self { shared: Arc::new(Shared { conf, auxprop, places: places.clone() }) }
    }
}

impl Backend for Cyrus {
    fn mechanisms(&self) -> Fut<'_, Result<Vec<Mechanism>, Unavailable>> {
        let of = |name: &str| Mechanism { name: name.to_owned(), properties: Properties::of_mechanism(name) };
        let list = self.shared.conf.able().into_iter().map(of).collect();
        Box::pin(std::future::ready(Ok(list)))
    }

    fn unknown_mechanism(&self, name: &str) -> Failure {
        let text = format!("SASL authentication failure: Couldn't find mech {}", name.to_ascii_uppercase());
        Failure { warnings: vec![text], fresh: true, ..Failure::because("no mechanism available") }
    }

    fn start(&self, request: Request) -> Box<dyn Exchange> {
        let source = Checker { shared: Arc::clone(&self.shared), service: request.service };
        let (host, realm) = (&self.shared.places.host, self.shared.realm());
        Box::new(Local::new(Arc::new(source), &request.mechanism, host, &realm))
    }
}

impl Shared {
    /// The realm of names without one.
    fn realm(&self) -> String {
        let domain = &self.places.local_domain;
        if domain.is_empty() { self.places.host.clone() } else { domain.clone() }
    }

    async fn password(&self, user: &str) -> Result<Option<String>, Trouble> {
        match user.rsplit_once('@') {
            Some((name, realm)) => self.auxprop.password(name, realm).await,
            None => self.auxprop.password(user, &self.realm()).await,
        }
    }
}

struct Checker {
    shared: Arc<Shared>,
    service: String,
}

impl Checker {
    async fn ask_saslauthd(&self, user: &str, password: &str) -> Result<bool, Trouble> {
        let (login, realm) = user.rsplit_once('@').unwrap_or((user, &self.shared.places.local_domain));
        let Some(request) = saslauthd::request(login, password, &self.service, realm) else {
            return Ok(false);
        };
        let answer = async {
            let mut socket = connect_unix(&self.shared.conf.socket, PATIENCE).await?;
            socket.write_all(&request).await?;
            let mut count = [0; 2];
            socket.read_exact(&mut count).await?;
            let len = saslauthd::length(count).ok_or(io::ErrorKind::InvalidData)?;
            let mut answer = vec![0; len];
            socket.read_exact(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        };
        let answer = tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match answer {
            Ok(answer) => Ok(saslauthd::is_yes(&answer)),
            Err(e) => Err(Trouble {
                reason: GENERIC,
                warnings: vec![format!(
                    "SASL authentication failure: cannot connect to saslauthd server: {}",
                    os_text(&e)
                )],
            }),
        }
    }

    async fn check(&self, user: &str, password: &str) -> Result<bool, Trouble> {
        let mut trouble = None;
        if self.shared.conf.auxprop {
            match self.shared.password(user).await {
                Ok(Some(known)) if same(known.as_bytes(), password.as_bytes()) => return Ok(true),
                Ok(_) => {}
                Err(t) => trouble = Some(t),
            }
        }
        if self.shared.conf.saslauthd {
            match self.ask_saslauthd(user, password).await {
                Ok(true) => return Ok(true),
                Ok(false) => trouble = None,
                Err(t) => trouble = Some(t),
            }
        }
        match trouble {
            None => Ok(false),
            Some(mut t) => {
                t.warnings.push("SASL authentication failure: Password verification failed".to_owned());
                Err(t)
            }
        }
    }
}

impl Source for Checker {
    fn verify<'a>(&'a self, user: &'a str, password: &'a str) -> Fut<'a, Result<bool, Trouble>> {
        Box::pin(self.check(user, password))
    }

    fn secret<'a>(&'a self, user: &'a str) -> Fut<'a, Result<Option<Secret>, Trouble>> {
        Box::pin(async move { Ok(self.shared.password(user).await?.map(Secret::Password)) })
    }

    fn wrong(&self, mechanism: &str) -> Option<&'static str> {
        match mechanism {
            "PLAIN" => Some("SASL authentication failure: Password verification failed"),
            "CRAM-MD5" => Some("SASL authentication failure: incorrect digest response"),
            _ => None,
        }
    }

    fn foreign(&self) -> Option<&'static str> {
        Some("SASL authentication failure: Requested identity not authenticated identity")
    }

    fn full_name(&self, user: &str) -> String {
        match self.shared.places.local_domain.as_str() {
            "" => user.to_owned(),
            _ if user.contains('@') => user.to_owned(),
            realm => format!("{user}@{realm}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Passwords, Step};
    use base64::{Engine, engine::general_purpose::STANDARD};

    #[test]
    fn configuration_files() {
        let c = SmtpdConf::parse("# x\npwcheck_method: saslauthd\nmech_list: plain login CRAM-MD5\n");
        assert_eq!(
            (c.able(), c.socket.to_string_lossy().as_ref()),
            (vec!["PLAIN", "LOGIN"], "/var/run/saslauthd/mux")
        );
        let c =
            SmtpdConf::parse("pwcheck_method: auxprop\nsasldb_path: /x\nmech_list: DIGEST-MD5 CRAM-MD5\n");
        assert_eq!(
            (c.able(), c.plugins),
            (vec!["DIGEST-MD5", "CRAM-MD5"], vec![Plugin::Sasldb("/x".into())])
        );
        let c = SmtpdConf::parse("auxprop_plugin: sql ldapdb\nsql_select: SELECT 1\n");
        assert!(matches!(c.plugins.as_slice(), [Plugin::Sql(_), Plugin::Unknown(n)] if n == "ldapdb"));
        let c = SmtpdConf::parse("");
        assert!(c.auxprop && !c.saslauthd && c.able().len() == 6);
    }

    async fn plain(places: &Places, text: &str) -> Step {
        let cyrus = Cyrus::open(places);
        let mut e = cyrus.start(Request { mechanism: "PLAIN".into(), ..Request::default() });
        e.step(Some(&STANDARD.encode(text))).await
    }

    #[tokio::test]
    async fn from_the_database() {
        let dir = tempfile::tempdir().expect("folder");
        let db = dir.path().join("db");
        let mut p = Passwords::default();
        p.set("alice", "mail.example.com", "secret");
        p.set("alice", "example.org", "other");
        std::fs::write(&db, p.write()).expect("database");
        std::fs::create_dir(dir.path().join("sasl")).expect("folder");
        let conf = format!("pwcheck_method: auxprop\nsasldb_path: {}\n", db.display());
        std::fs::write(dir.path().join("sasl/smtpd.conf"), conf).expect("smtpd.conf");
        let places = Places {
            path: "smtpd".into(),
            host: "mail.example.com".into(),
            config_directory: dir.path().to_owned(),
            ..Places::default()
        };
        let user = |user: &str| Step::Success { user: user.into() };
        assert_eq!(plain(&places, "\0alice\0secret").await, user("alice"));
        assert_eq!(plain(&places, "\0alice@example.org\0other").await, user("alice@example.org"));
        assert!(matches!(plain(&places, "\0alice\0other").await, Step::Failed(f) if !f.temporary));
        let local = Places { local_domain: "example.org".into(), ..places };
        assert_eq!(plain(&local, "\0alice\0other").await, user("alice@example.org"));
        std::fs::remove_file(&db).expect("gone");
        assert!(
            matches!(plain(&local, "\0alice\0other").await, Step::Failed(f) if f.temporary && f.warnings.len() == 2)
        );
    }

    /// A database with one user, and the server that asks it.
    fn with_sql(dir: &Path, settings: &str) -> Places {
        let db = dir.join("users.db");
        if !db.exists() {
            let rows = "CREATE TABLE t (n, r, userPassword); INSERT INTO t VALUES ('alice', 'example.org', 'secret'),
                ('al''ice', 'example.org', 'odd'), ('two', 'example.org', 'a'), ('two', 'example.org', 'b')";
            rusqlite::Connection::open(&db).and_then(|c| c.execute_batch(rows)).expect("database");
            std::fs::create_dir(dir.join("sasl")).expect("folder");
        }
        let conf = format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sql\nsql_engine: sqlite3\nsql_database: {}\n{settings}\n",
            db.display()
        );
        std::fs::write(dir.join("sasl/smtpd.conf"), conf).expect("smtpd.conf");
        let more = base_nettables::NetTables::new(base_conf::Config::from_text(""));
        Places {
            path: "smtpd".into(),
            local_domain: "example.org".into(),
            config_directory: dir.to_owned(),
            tables: Some(base_tables::Tables::new(base_tables::Options {
                more: Some(more),
                ..Default::default()
            })),
            ..Places::default()
        }
    }

    #[tokio::test]
    async fn from_a_table() {
        let dir = tempfile::tempdir().expect("folder");
        let places = with_sql(dir.path(), "sql_select: SELECT %p FROM t WHERE n = '%u' AND r = '%r'");
        for (text, right) in [
            ("\0alice\0secret", true),
            ("alice\0alice\0secret", true),
            ("two\0alice\0secret", false),
            ("\0alice@example.org\0secret", true),
            ("\0al'ice\0odd", true),
            ("\0alice@example.com\0secret", false),
            ("\0Alice\0secret", false),
            ("\0alice\0odd", false),
            ("\0x' OR '1'='1\0secret", false),
        ] {
            let step = plain(&places, text).await;
            match right {
                true => assert!(matches!(step, Step::Success { .. }), "{text:?}: {step:?}"),
                false => assert!(matches!(&step, Step::Failed(f) if !f.temporary), "{text:?}: {step:?}"),
            }
        }
        for (settings, warning) in [
            ("sql_select: SELECT userPassword FROM t WHERE n = '%u'", "sql plugin: expansion limit exceeded"),
            ("sql_select: SELECT nothing FROM t WHERE n = '%u'", "sql plugin: "),
            ("", "sql plugin: sql_select option missing"),
        ] {
            let step = plain(&with_sql(dir.path(), settings), "\0two\0a").await;
            let Step::Failed(f) = step else { panic!("{settings}") };
            let said = f.warnings.iter().any(|line| line.contains(warning));
            assert!(f.temporary && said, "{settings}: {f:?}");
        }
    }
}
