//! `auxprop_plugin: sql` of smtpd.conf: passwords in a database (Cyrus SASL's documentation, "Auxiliary Properties", sql).
//!
//! `sql_engine` (mysql, pgsql, sqlite), `sql_hostnames`, `sql_user`, `sql_passwd`, `sql_database`, and `sql_select` with `%u` for
//! the name, `%r` for the realm and `%p` for the property that is wanted. The query is that of a lookup table of base/nettables:
//! what a client sends stands quoted in it, hosts take turns, a database that is down is a temporary failure.

use base_tables::{OpenError, Options, Table, Tables, Usage};
use std::{
    fmt::{self, Write},
    sync::Arc,
};

/// The property that holds a password.
const PROPERTY: &str = "userPassword";

/// The settings as written.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct SqlConf {
    engine: String,
    hosts: String,
    user: String,
    password: String,
    database: String,
    select: String,
}

impl fmt::Debug for SqlConf {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlConf")
            .field("engine", &self.engine)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl SqlConf {
    /// Takes its settings out of smtpd.conf.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| get(name).unwrap_or_default();
        Self {
            engine: get("sql_engine").unwrap_or_else(|| "mysql".to_owned()).to_ascii_lowercase(),
            hosts: text("sql_hostnames"),
            user: text("sql_user"),
            password: text("sql_passwd"),
            database: text("sql_database"),
            // The older name.
            select: get("sql_select").or_else(|| get("sql_statement")).unwrap_or_default(),
        }
    }

    /// The table, whose keys are `name@realm`. `given` is how the program opens tables.
    pub fn open(&self, given: &Options) -> Result<Arc<dyn Table>, OpenError> {
        let kind = match self.engine.as_str() {
            "sqlite" | "sqlite3" => "sqlite",
            "mysql" | "pgsql" => self.engine.as_str(),
            other => return Err(OpenError::new(format!("SQL engine \"{other}\" not supported"))),
        };
        if self.select.is_empty() {
            return Err(OpenError::new("sql_select option missing".to_owned()));
        }
        let more = given.more.as_ref().and_then(|more| more.with_settings(&self.table()));
        Tables::new(Options { more, ..given.clone() })
            .try_open(&format!("{kind}:sql"), Usage { fold: false, ..Usage::LOOKUP })
    }

    /// The settings of the table that is named `sql`, as in main.cf.
    fn table(&self) -> String {
        let mut out = String::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                let _ = writeln!(out, "sql_{name} = {}", value.replace('$', "$$"));
            }
        };
        put("hosts", &self.hosts);
        put("user", &self.user);
        put("password", &self.password);
        put("dbname", &self.database);
        put("dbpath", &self.database);
        put("query", &query(&self.select));
        // One user, one password.
        put("expansion_limit", "1");
        out
    }
}

/// `sql_select` as the template of a table: `%r` is its `%d`, `%p` what we want; other `%` are themselves.
fn query(select: &str) -> String {
    let mut out = String::new();
    let mut chars = select.chars();
    while let Some(c) = chars.next() {
        match (c, c == '%') {
            (c, false) => out.push(c),
            _ => match chars.next() {
                Some('u') => out.push_str("%u"),
                Some('r') => out.push_str("%d"),
                Some('p') => out.push_str(PROPERTY),
                Some('%') | None => out.push_str("%%"),
                Some(other) => out.extend(['%', '%', other]),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let cases = [
            (
                "SELECT %p FROM t WHERE n='%u' AND r='%r'",
                "SELECT userPassword FROM t WHERE n='%u' AND r='%d'",
            ),
            ("SELECT a%%b%x%", "SELECT a%%b%%x%%"),
        ];
        for (select, want) in cases {
            assert_eq!(query(select), want);
        }
    }

    #[test]
    fn settings_of_the_table() {
        let get = |name: &str| {
            let value = match name {
                "sql_engine" => "PGSQL",
                "sql_passwd" => "a$b",
                "sql_statement" => "SELECT 1",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let conf = SqlConf::read(get);
        assert_eq!(conf.engine, "pgsql");
        assert_eq!(format!("{conf:?}"), "SqlConf { engine: \"pgsql\", hosts: \"\", .. }");
        assert_eq!(conf.table(), "sql_password = a$$b\nsql_query = SELECT 1\nsql_expansion_limit = 1\n");
    }
}
