//! Where `pwcheck_method: auxprop` finds passwords: the plugins that `auxprop_plugin` of smtpd.conf names, in their order.
//!
//! `sasldb` is the database of saslpasswd2(8), read for each login; `sql` a database ([`crate::sql`]), opened with the first
//! login. Without `auxprop_plugin` it is sasldb. A plugin that cannot tell makes the login a temporary failure, unless one before
//! it knew the user.

use crate::{Places, local::Trouble, passwords::Passwords, sql::SqlConf};
use base_net::os_text;
use base_tables::Table;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// The reason of a failure that is not the client's.
pub(crate) const GENERIC: &str = "generic failure";

/// A plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// This database.
    Sasldb(PathBuf),
    /// A database server.
    Sql(SqlConf),
    /// One that is not there.
    Unknown(String),
}

/// The plugins of a server.
pub(crate) struct Auxprop {
    plugins: Vec<Plugin>,
    places: Places,
    sql: OnceLock<Arc<dyn Table>>,
}

impl Auxprop {
    /// Nothing is opened yet.
    pub fn new(plugins: Vec<Plugin>, places: &Places) -> Self {
        Self { plugins, places: places.clone(), sql: OnceLock::new() }
    }

    /// The password of a user of a realm.
    pub async fn password(&self, name: &str, realm: &str) -> Result<Option<String>, Trouble> {
        for plugin in &self.plugins {
            let found = match plugin {
                Plugin::Sasldb(path) => self.in_database(path, name, realm)?,
                Plugin::Sql(conf) => self.in_table(conf, name, realm).await?,
                Plugin::Unknown(plugin) => {
                    return Err(trouble(format!(
                        "SASL: could not find auxprop plugin, was searching for '{plugin}'"
                    )));
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn in_database(&self, path: &Path, name: &str, realm: &str) -> Result<Option<String>, Trouble> {
        let failed = |why: String| {
            let path = path.display();
            trouble(format!("SASL authentication problem: unable to open Berkeley db {path}: {why}"))
        };
        let bytes = self.places.read(path).map_err(|e| failed(os_text(&e)))?;
        let database = Passwords::read(&bytes).map_err(|e| failed(e.to_string()))?;
        Ok(database.password(name, realm))
    }

    async fn in_table(&self, conf: &SqlConf, name: &str, realm: &str) -> Result<Option<String>, Trouble> {
        let failed = |why: &str| trouble(format!("SASL: sql plugin: {why}"));
        let table = match (self.sql.get(), &self.places.tables) {
            (Some(table), _) => table,
            (None, Some(tables)) => {
                let table = conf.open(tables.options()).map_err(|e| failed(&e.text))?;
                self.sql.get_or_init(|| table)
            }
            (None, None) => return Err(failed("no databases here")),
        };
        let found =
            table.lookup(format!("{name}@{realm}").as_bytes()).await.map_err(|e| failed(&e.reason))?;
        Ok(found.and_then(|bytes| String::from_utf8(bytes).ok()))
    }
}

fn trouble(warning: String) -> Trouble {
    Trouble { reason: GENERIC, warnings: vec![warning] }
}
