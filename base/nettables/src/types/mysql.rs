//! `mysql:/file`: a query to a MySQL or MariaDB server. mysql_table(5).
//!
//! The text protocol over one connection a thread, in `utf8mb4` unless `charset` says otherwise; backslash escapes are
//! switched on for the session, since quoting relies on them. Character sets in which a byte of a letter may be
//! a quote or a backslash are refused.

use super::NetType;
use crate::NetOpen;
use crate::common::{Common, Values};
use crate::database::{Asker, Database, Engine, Failure, QUERY_TIME};
use crate::hosts::{Address, Hosts};
use crate::my_cnf::{self, Group};
use crate::settings::Settings;
use crate::sql::{Dialect, Query};
use base_tables::remote::{Client, Remote, Settings as Bounds};
use base_tables::{OpenError, Table};
use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, Error, IoError, Opts, OptsBuilder, SslOpts, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) const TYPE: NetType = NetType { name: "mysql", open };

const PORT: u16 = 3306;
const SOCKET: &str = "/run/mysqld/mysqld.sock";
/// The largest packet that a server may send, and how long it may keep an idle connection (seconds): given, they
/// need not be asked for.
const MAX_PACKET: usize = 16 << 20;
const WAIT_TIMEOUT: usize = 28_800;
/// Sets in which `\` or `'` can be a part of another letter.
const UNSAFE_CHARSETS: &[&str] =
    &["big5", "cp932", "gb18030", "gbk", "sjis", "utf16", "utf16le", "utf32", "ucs2"];

struct MySql {
    spec: String,
    base: OptsBuilder,
    require_result_set: bool,
    charset: String,
    /// Where `localhost` is.
    socket: String,
    port: u16,
}

struct Host {
    name: String,
    address: Address,
}

fn open(net: &NetOpen<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let settings = Settings::read(net)?;
    let engine = MySql::read(net, &settings)?;
    let retry = settings.time("retry_interval", 60)?;
    let idle = settings.time("idle_interval", 60)?.max(Duration::from_secs(1));
    let words = settings.or("hosts", "localhost");
    let hosts = base_conf::list::split(&words).into_iter().map(|word| {
        let address = Address::parse(word);
        let local = matches!(address, Address::Unix(_));
        (Host { name: word.strip_prefix("inet:").unwrap_or(word).to_owned(), address }, local)
    });
    let database = Arc::new(Database {
        hosts: Hosts::new(hosts.collect(), retry),
        query: Query::read(&settings, Dialect::MySql)?,
        common: Common::read(net, &settings)?,
        timeout: settings.time("timeout", QUERY_TIME)?,
        engine,
    });
    let make = move || Box::new(Asker::new(Arc::clone(&database))) as Box<dyn Client>;
    Ok(Arc::new(Remote::open(net.open, Bounds { idle, ..Bounds::default() }, Box::new(make))))
}

impl MySql {
    fn read(net: &NetOpen<'_>, settings: &Settings) -> Result<MySql, OpenError> {
        let group = settings.or("option_group", "client");
        let file = settings.or("option_file", "");
        let options = if file.is_empty() && group.is_empty() {
            Group::default()
        } else {
            let opener = net.open.tables.options().opener.as_ref();
            my_cnf::read(opener, &file, &group).map_err(OpenError::new)?
        };
        let charset = settings.or("charset", options.get("default-character-set").unwrap_or("utf8mb4"));
        let harmless = charset.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !harmless || UNSAFE_CHARSETS.iter().any(|bad| bad.eq_ignore_ascii_case(&charset)) {
            let name = &settings.name;
            return Err(OpenError::new(format!("{name}: unsupported character set: charset = {charset}")));
        }
        let dbname = settings.required("dbname")?;
        let own = |name: &str, option: &str| {
            settings.get(name).filter(|v| !v.is_empty()).or_else(|| options.get(option).map(str::to_owned))
        };
        let base = OptsBuilder::default()
            .user(own("user", "user"))
            .pass(own("password", "password"))
            .db_name(Some(dbname))
            .prefer_socket(false)
            .stmt_cache_size(0)
            .max_allowed_packet(Some(MAX_PACKET))
            .wait_timeout(Some(WAIT_TIMEOUT))
            .ssl_opts(tls(settings, &options)?);
        Ok(MySql {
            spec: net.open.spec.to_owned(),
            base,
            require_result_set: settings.flag("require_result_set", true)?,
            charset,
            socket: options.get("socket").unwrap_or(SOCKET).to_owned(),
            port: options.get("port").and_then(|p| p.parse().ok()).unwrap_or(PORT),
        })
    }

    fn opts(&self, host: &Host) -> Opts {
        let base = self.base.clone();
        let (plain, escapes) = (self.charset == "utf8mb4", "REPLACE(@@sql_mode,'NO_BACKSLASH_ESCAPES','')");
        let names = if plain { String::new() } else { format!("SET NAMES {}", self.charset) };
        let init = [names, format!("SET SESSION sql_mode={escapes}")];
        let base = base.init(init.into_iter().filter(|sql| !sql.is_empty()).collect::<Vec<_>>());
        match &host.address {
            Address::Unix(path) => {
                base.socket(Some(path.as_str())).prefer_socket(true).ip_or_hostname("localhost")
            }
            Address::Tcp(name, _) if name == "localhost" => {
                base.socket(Some(self.socket.as_str())).prefer_socket(true).ip_or_hostname("localhost")
            }
            Address::Tcp(name, port) => {
                base.ip_or_hostname(name.as_str()).tcp_port(port.unwrap_or(self.port))
            }
        }
        .into()
    }

    fn io_reason(&self, host: &Host, error: &std::io::Error) -> String {
        let number = error.raw_os_error().map_or_else(|| error.to_string(), |n| n.to_string());
        match &host.address {
            Address::Unix(path) => {
                format!("Can't connect to local server through socket '{path}' ({number})")
            }
            Address::Tcp(name, _) if name == "localhost" => {
                format!("Can't connect to local server through socket '{}' ({number})", self.socket)
            }
            Address::Tcp(name, _) => format!("Can't connect to server on '{name}' ({number})"),
        }
    }
}

/// TLS is spoken when a `tls_` setting, or the option file, asks for it.
fn tls(settings: &Settings, options: &Group) -> Result<Option<SslOpts>, OpenError> {
    let own = |name: &str, option: &str| {
        settings.get(name).filter(|v| !v.is_empty()).or_else(|| options.get(option).map(str::to_owned))
    };
    let (file, folder) = (own("tls_CAfile", "ssl-ca"), own("tls_CApath", "ssl-capath"));
    let (cert, key) = (own("tls_cert_file", "ssl-cert"), own("tls_key_file", "ssl-key"));
    let verify = settings.flag("tls_verify_cert", false)?;
    if file.is_none() && folder.is_none() && cert.is_none() && !verify {
        return Ok(None);
    }
    let mut roots = Vec::new();
    match (file, folder) {
        (Some(file), _) => roots.push(PathBuf::from(file).into()),
        (None, Some(folder)) => {
            let failed = |e| OpenError::new(format!("open {folder}: {}", base_sys::system_text(&e)));
            let entries = std::fs::read_dir(&folder).map_err(failed)?;
            roots.extend(entries.take(2000).flatten().map(|entry| entry.path().into()));
        }
        (None, None) => (),
    }
    let identity = cert.map(|cert| {
        let key = key.unwrap_or_else(|| cert.clone());
        ClientIdentity::new(PathBuf::from(cert).into(), PathBuf::from(key).into())
    });
    let own_roots = !roots.is_empty();
    let options = SslOpts::default()
        .with_root_certs(roots)
        .with_disable_built_in_roots(own_roots)
        .with_client_identity(identity)
        .with_danger_accept_invalid_certs(!verify)
        .with_danger_skip_domain_validation(!verify);
    Ok(Some(options))
}

impl Engine for MySql {
    type Connection = Conn;
    type Host = Host;

    async fn connect(&self, host: &Host) -> Result<Conn, String> {
        let opened = Conn::new(self.opts(host)).await;
        opened.map_err(|error| match &error {
            Error::Io(IoError::Io(e)) => self.io_reason(host, e),
            _ => reason(&error),
        })
    }

    fn escapes(&self, _connection: &Conn) -> bool {
        true
    }

    async fn run(&self, connection: &mut Conn, sql: &str, values: &mut Values<'_>) -> Result<(), Failure> {
        let mut result = connection.query_iter(sql).await.map_err(failure)?;
        if result.columns_ref().is_empty() {
            result.drop_result().await.map_err(failure)?;
            return match self.require_result_set {
                true => {
                    Err(Failure::Query("query returned no result set(require_result_set = yes)".to_owned()))
                }
                false => Ok(()),
            };
        }
        while let Some(row) = result.next().await.map_err(failure)? {
            for column in row.unwrap_raw().into_iter().flatten() {
                match column {
                    Value::NULL => (),
                    Value::Bytes(bytes) => values.add(&bytes).map_err(Failure::Limit)?,
                    other => values.add(other.as_sql(true).as_bytes()).map_err(Failure::Limit)?,
                }
            }
        }
        result.drop_result().await.map_err(failure)
    }

    async fn close(&self, connection: Conn) {
        let _ = connection.disconnect().await;
    }

    fn name(&self, host: &Host) -> String {
        host.name.clone()
    }

    fn connect_failed(&self, host: &str, reason: &str) -> String {
        format!("connect to mysql server {host}: {reason}")
    }

    fn query_failed(&self, _host: &str, reason: &str) -> String {
        format!("{}: query failed: {reason}", self.spec)
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::Server(error) => error.message.clone(),
        Error::Driver(error) => error.to_string(),
        Error::Io(IoError::Io(error)) => base_sys::system_text(error),
        other => other.to_string(),
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Server(error) => Failure::Query(error.message),
        other => Failure::Lost(reason(&other)),
    }
}
