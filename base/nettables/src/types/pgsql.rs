//! `pgsql:/file`: a query to a PostgreSQL server. pgsql_table(5).
//!
//! Simple queries over one connection a thread, in UTF-8 whatever `encoding` says: keys and results are UTF-8. A host may be
//! `host:port`, `unix:/folder`, or a URI with settings of its own (`sslmode`, `sslrootcert` …).

use super::NetType;
use crate::NetOpen;
use crate::common::{Common, Values};
use crate::database::{Asker, Database, Engine, Failure, QUERY_TIME};
use crate::hosts::{Address, Hosts};
use crate::pg_tls::{self, Connector};
use crate::settings::Settings;
use crate::sql::{Dialect, Query};
use base_sys::opener::Opener;
use base_tables::remote::{Client, Remote, Settings as Bounds};
use base_tables::{OpenError, Table};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, Error, SimpleQueryMessage};

pub(super) const TYPE: NetType = NetType { name: "pgsql", open };

const PORT: u16 = 5432;

struct PgSql;

struct Host {
    name: String,
    config: Config,
    tls: Connector,
}

struct Connection {
    client: tokio_postgres::Client,
    /// Moves the bytes; ends when the client is dropped and the server was told.
    task: JoinHandle<()>,
    /// `standard_conforming_strings` is off.
    escapes: bool,
}

fn open(net: &NetOpen<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let settings = Settings::read(net)?;
    let retry = settings.time("retry_interval", 60)?;
    let idle = settings.time("idle_interval", 60)?.max(Duration::from_secs(1));
    let base = Login::read(net, &settings)?;
    let words = settings.or("hosts", "localhost");
    let words = base_conf::list::split(&words).into_iter();
    let hosts: Result<Vec<_>, OpenError> = words.map(|word| base.host(&settings.name, word)).collect();
    let database = Arc::new(Database {
        hosts: Hosts::new(hosts?, retry),
        query: Query::read(&settings, Dialect::PgSql)?,
        common: Common::read(net, &settings)?,
        timeout: settings.time("timeout", QUERY_TIME)?,
        engine: PgSql,
    });
    let make = move || Box::new(Asker::new(Arc::clone(&database))) as Box<dyn Client>;
    Ok(Arc::new(Remote::open(net.open, Bounds { idle, ..Bounds::default() }, Box::new(make))))
}

/// What the settings say about every host.
struct Login {
    user: String,
    password: String,
    dbname: String,
    opener: Arc<dyn Opener>,
}

impl Login {
    fn read(net: &NetOpen<'_>, settings: &Settings) -> Result<Login, OpenError> {
        Ok(Login {
            user: settings.or("user", ""),
            password: settings.or("password", ""),
            dbname: settings.required("dbname")?,
            opener: net.open.tables.options().opener.clone(),
        })
    }

    /// A host as written, and whether it is a local socket.
    fn host(&self, table: &str, word: &str) -> Result<(Host, bool), OpenError> {
        if word.starts_with("postgresql://") || word.starts_with("postgres://") {
            return self.host_of_uri(table, word);
        }
        let mut config = Config::new();
        config.ssl_mode(SslMode::Prefer);
        let address = Address::parse(word);
        match &address {
            Address::Unix(path) => {
                let (folder, port) = path.rsplit_once("/.s.PGSQL.").unwrap_or((path, ""));
                config.host_path(folder).port(port.parse().unwrap_or(PORT));
            }
            Address::Tcp(name, port) => {
                config.host(name).port(port.unwrap_or(PORT));
            }
        }
        self.fill(&mut config);
        let name = word.strip_prefix("inet:").unwrap_or(word).to_owned();
        let tls = pg_tls::unverified(&self.opener).map_err(OpenError::new)?;
        Ok((Host { name, config, tls }, matches!(address, Address::Unix(_))))
    }

    fn host_of_uri(&self, table: &str, word: &str) -> Result<(Host, bool), OpenError> {
        let bad = |why: String| OpenError::new(format!("{table}: bad URI in hosts: {why}"));
        let (uri, tls) = pg_tls::from_uri(word, &self.opener).map_err(&bad)?;
        let mut config: Config = uri.parse().map_err(|e: Error| bad(e.to_string()))?;
        self.fill(&mut config);
        let local = matches!(config.get_hosts().first(), Some(tokio_postgres::config::Host::Unix(_)));
        // The password stays out of messages.
        let name = match (word.split_once("://"), word.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
            _ => word.to_owned(),
        };
        Ok((Host { name, config, tls }, local))
    }

    /// Adds what a URI left open.
    fn fill(&self, config: &mut Config) {
        if config.get_user().is_none() {
            config.user(if self.user.is_empty() { system_user() } else { self.user.clone() });
        }
        if config.get_password().is_none() && !self.password.is_empty() {
            config.password(self.password.as_bytes());
        }
        if config.get_dbname().is_none() {
            config.dbname(self.dbname.as_str());
        }
        config.application_name("postfix");
    }
}

fn system_user() -> String {
    let user = base_sys::User::by_id(base_sys::privilege::effective_uid());
    user.ok().flatten().map_or_else(|| "postfix".to_owned(), |user| user.name)
}

impl Engine for PgSql {
    type Connection = Connection;
    type Host = Host;

    async fn connect(&self, host: &Host) -> Result<Connection, String> {
        let opened = host.config.connect(host.tls.clone()).await;
        let (client, connection) = opened.map_err(|e| connect_reason(host, &e))?;
        let task = tokio::spawn(async move {
            let _ = connection.await;
        });
        let rows = client.simple_query("SHOW standard_conforming_strings").await;
        let rows = rows.map_err(|e| reason(&e))?;
        let escapes =
            rows.iter().any(|m| matches!(m, SimpleQueryMessage::Row(row) if row.get(0) == Some("off")));
        Ok(Connection { client, task, escapes })
    }

    fn escapes(&self, connection: &Connection) -> bool {
        connection.escapes
    }

    async fn run(
        &self,
        connection: &mut Connection,
        sql: &str,
        values: &mut Values<'_>,
    ) -> Result<(), Failure> {
        let messages =
            connection.client.simple_query(sql).await.map_err(|error| match error.as_db_error() {
                Some(_) if !connection.client.is_closed() => Failure::Query(reason(&error)),
                _ => Failure::Lost(reason(&error)),
            })?;
        // Of several statements the last one's rows count.
        let last = messages.iter().rposition(|m| matches!(m, SimpleQueryMessage::RowDescription(_)));
        for message in messages.into_iter().skip(last.unwrap_or(0)) {
            let SimpleQueryMessage::Row(row) = message else { continue };
            for column in 0..row.len() {
                let text = row.try_get(column).map_err(|e| Failure::Query(reason(&e)))?;
                values.add(text.unwrap_or_default().as_bytes()).map_err(Failure::Limit)?;
            }
        }
        Ok(())
    }

    async fn close(&self, connection: Connection) {
        drop(connection.client);
        let _ = connection.task.await;
    }

    fn name(&self, host: &Host) -> String {
        host.name.clone()
    }

    fn connect_failed(&self, host: &str, reason: &str) -> String {
        format!("connect to pgsql server {host}: {reason}")
    }

    fn query_failed(&self, host: &str, reason: &str) -> String {
        format!("pgsql query failed: fatal error from host {host}: {reason}")
    }
}

/// The words of libpq for a failed connection.
fn connect_reason(host: &Host, error: &Error) -> String {
    let port = host.config.get_ports().first().copied().unwrap_or(PORT);
    let place = match host.config.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(name)) => format!("at \"{name}\", port {port}"),
        Some(tokio_postgres::config::Host::Unix(path)) => {
            format!("on socket \"{}/.s.PGSQL.{port}\"", path.display())
        }
        None => "failed".to_owned(),
    };
    format!("connection to server {place} failed: {}", reason(error))
}

fn reason(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{}:  {}", db.severity(), db.message());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(io) => base_sys::system_text(io),
        None => cause.to_string(),
    }
}
