//! `unix:passwd.byname`, `unix:group.byname`: the system's users and groups as passwd(5) and group(5) lines.
//!
//! A database that cannot be read is an error, an absent name is not. DATABASE_README.

use super::{Open, TableType};
use crate::TableError;
use crate::fold::fold_if;
use crate::table::{Answer, OpenError, Table};
use base_sys::users::{Group, User};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "unix", open, suffix: None };

#[derive(Clone, Copy)]
enum Database {
    Passwd,
    Group,
}

struct Unix {
    spec: String,
    fold: bool,
    database: Database,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let database = match open.name {
        "passwd.byname" => Database::Passwd,
        "group.byname" => Database::Group,
        _ => return Err(OpenError::new(format!("unknown table: {}", open.spec))),
    };
    Ok(Arc::new(Unix { spec: open.spec.to_owned(), fold: open.usage.fold, database }))
}

impl Unix {
    fn line(&self, key: &[u8]) -> Answer {
        let Ok(name) = std::str::from_utf8(key) else { return Ok(None) };
        let line = match self.database {
            Database::Passwd => User::by_name(name).map(|u| u.map(|u| passwd_line(&u))),
            Database::Group => Group::by_name(name).map(|g| g.map(|g| group_line(&g))),
        };
        let found = line.map_err(|e| TableError { table: self.spec.clone(), reason: e.to_string() })?;
        Ok(found.map(String::into_bytes))
    }
}

fn passwd_line(user: &User) -> String {
    let User { name, passwd, uid, gid, gecos, home, shell } = user;
    format!("{name}:{passwd}:{uid}:{gid}:{gecos}:{}:{}", home.display(), shell.display())
}

fn group_line(group: &Group) -> String {
    format!("{}:x:{}:{}", group.name, group.gid, group.members.join(","))
}

impl Table for Unix {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        Some(fold_if(self.fold, key, |key| self.line(key)))
    }
}
