//! `ldap:/file`: a search in an LDAP directory. ldap_table(5).
//!
//! One connection a thread. It is opened again when it broke; a server that does not answer in time, or a search that
//! fails or exceeds a limit, makes the lookup a temporary failure. Protocol version 3 is spoken whatever `version` says.

use super::NetType;
use crate::NetOpen;
use crate::common::{self, Common};
use crate::ldap::quote;
use crate::ldap::search::{Failure, Rules};
use crate::ldap::server::Servers;
use crate::settings::Settings;
use crate::template::Template;
use base_tables::remote::{Client, Remote, Settings as Bounds};
use base_tables::{OpenError, Table};
use ldap3::{Ldap, Scope};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

pub(super) const TYPE: NetType = NetType { name: "ldap", open };

/// The longest a lookup may take with all that follows from it.
const LOOKUP_TIME: Duration = Duration::from_secs(100);

/// What all threads share.
struct Directory {
    common: Common,
    servers: Servers,
    rules: Rules,
    base: Template,
    filter: Template,
    scope: Scope,
}

struct Asker {
    directory: Arc<Directory>,
    connection: Option<Ldap>,
    runtime: io::Result<Runtime>,
}

fn open(net: &NetOpen<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let settings = Settings::read(net)?;
    let common = Common::read(net, &settings)?;
    let servers = Servers::read(net, &settings)?;
    let filter = settings.or("query_filter", "mailacceptinggeneralid=%s");
    let directory = Arc::new(Directory {
        base: common::template(&settings, "search_base", &settings.or("search_base", ""))?,
        filter: common::template(&settings, "query_filter", &filter)?,
        scope: scope(&settings, &common),
        rules: Rules::read(&settings, servers.timeout, common.limit())?,
        common,
        servers,
    });
    warn_about(&settings, &directory, &filter);
    let bounds = Bounds { idle: Duration::from_secs(60), ..Bounds::default() };
    let make = move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        Box::new(Asker { directory: Arc::clone(&directory), connection: None, runtime }) as Box<dyn Client>
    };
    Ok(Arc::new(Remote::open(net.open, bounds, Box::new(make))))
}

fn scope(settings: &Settings, common: &Common) -> Scope {
    let text = settings.or("scope", "sub");
    match text.to_ascii_lowercase().as_str() {
        "one" => Scope::OneLevel,
        "base" => Scope::Base,
        "sub" => Scope::Subtree,
        _ => {
            let what = format!("Unrecognized value {text} specified for scope; using sub");
            common.warn_as("dict_ldap_open", &what);
            Scope::Subtree
        }
    }
}

/// What Postfix warns about when it opens the table.
fn warn_about(settings: &Settings, directory: &Directory, filter: &str) {
    let warn = |text: &str| (directory.common.warn)(&format!("dict_ldap_open: {}{text}", settings.name));
    if directory.filter.texts_before_places().is_empty() {
        warn(&format!(": Fixed query_filter {filter} is probably useless"));
    }
    for name in ["cache", "cache_expiry", "cache_size", "chase_referrals"] {
        if settings.get(name).is_some_and(|v| !v.is_empty() && !v.eq_ignore_ascii_case("no") && v != "0") {
            warn(&format!(" ignoring {name}"));
        }
    }
    let deref = settings.or("dereference", "0");
    if !matches!(deref.as_str(), "" | "0" | "1" | "2" | "3") {
        warn(&format!(" Unrecognized value {deref} specified for dereference; using 0"));
    }
}

impl Directory {
    /// Does the lookup on a connection.
    async fn ask(&self, ldap: &mut Ldap, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let text = |template: &Template, quote: fn(&[u8]) -> Vec<u8>| {
            let filled = template.query(key, |_, part| Some(quote(part)))?;
            String::from_utf8(filled).ok()
        };
        let (Some(base), Some(filter)) = (text(&self.base, quote::dn), text(&self.filter, quote::filter))
        else {
            return Ok(None);
        };
        let varies = !self.base.texts_before_places().is_empty();
        let mut values = self.common.values(key);
        let first = self.rules.first(base, self.scope, filter, varies);
        self.rules.walk(ldap, first, &mut values).await?;
        Ok(values.finish())
    }
}

impl Asker {
    async fn lookup(
        directory: &Directory,
        connection: &mut Option<Ldap>,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, String> {
        for fresh in [false, true] {
            let mut ldap = match connection.take() {
                Some(ldap) => ldap,
                None if fresh => directory.servers.connect().await?,
                None => continue,
            };
            match directory.ask(&mut ldap, key).await {
                Ok(answer) => {
                    *connection = Some(ldap);
                    return Ok(answer);
                }
                Err(Failure::Answer(reason)) => {
                    *connection = Some(ldap);
                    return Err(reason);
                }
                Err(Failure::Lost) => (),
            }
        }
        let text = "Search error -1: Can't contact LDAP server ";
        (directory.common.warn)(&format!("dict_ldap_lookup: {text}"));
        Err("Can't contact LDAP server".to_owned())
    }
}

impl Client for Asker {
    fn ask(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let directory = Arc::clone(&self.directory);
        if !directory.common.eligible(key)? {
            return Ok(None);
        }
        let runtime = self.runtime.as_ref().map_err(ToString::to_string)?;
        let connection = &mut self.connection;
        let answer = runtime.block_on(async {
            tokio::time::timeout(LOOKUP_TIME, Asker::lookup(&directory, connection, key)).await
        });
        answer.unwrap_or_else(|_| Err("Timed out".to_owned()))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let (Ok(runtime), Some(mut ldap)) = (&self.runtime, self.connection.take()) else { return };
        let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(1), ldap.unbind()).await });
    }
}
