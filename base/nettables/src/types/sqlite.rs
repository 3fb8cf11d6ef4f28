//! `sqlite:/file`: a query to an SQLite database. sqlite_table(5).
//!
//! The database is opened read-only, once for each thread that asks, and again when its file was replaced. A writer that
//! holds it is waited for a moment; then, and for every other error, the lookup is a temporary failure.

use super::NetType;
use crate::NetOpen;
use crate::common::Common;
use crate::settings::Settings;
use crate::sql::{Dialect, Query};
use base_tables::remote::{Client, Remote, Settings as Bounds};
use base_tables::{OpenError, Table};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, ErrorCode, OpenFlags};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const TYPE: NetType = NetType { name: "sqlite", open };

/// How long a query may wait for a writer, and how long it may take (seconds) unless `timeout` says otherwise.
const BUSY: Duration = Duration::from_secs(5);
const QUERY_TIME: u64 = 30;
/// Virtual machine steps between two looks at the clock.
const STEPS: i32 = 10_000;

/// What all threads share.
struct Database {
    common: Common,
    query: Query,
    path: String,
    timeout: Duration,
}

struct Asker {
    database: Arc<Database>,
    connection: Option<Open>,
}

struct Open {
    connection: Connection,
    file: Option<(u64, u64)>,
}

fn open(net: &NetOpen<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let settings = Settings::read(net)?;
    let database = Database {
        path: settings.required("dbpath")?,
        timeout: settings.time("timeout", QUERY_TIME)?,
        query: Query::read(&settings, Dialect::Sqlite)?,
        common: Common::read(net, &settings)?,
    };
    if database.query.has_double_quotes() {
        let name = &settings.name;
        let advice = "names of columns are meant there; write '%s' for a string";
        (database.common.warn)(&format!("{name}: the query has a part of the key in \"...\": {advice}"));
    }
    let first = database
        .connect()
        .map_err(|reason| OpenError::new(format!("{}: Can't open database: {reason}?", net.open.spec)))?;
    drop(first);
    let database = Arc::new(database);
    let bounds = Bounds { idle: Duration::from_secs(60), ..Bounds::default() };
    let make =
        move || Box::new(Asker { database: Arc::clone(&database), connection: None }) as Box<dyn Client>;
    Ok(Arc::new(Remote::open(net.open, bounds, Box::new(make))))
}

impl Database {
    fn connect(&self) -> Result<Open, String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(reason)?;
        connection.busy_timeout(BUSY).map_err(reason)?;
        Ok(Open { connection, file: self.identity() })
    }

    /// Which file is behind the path now.
    fn identity(&self) -> Option<(u64, u64)> {
        std::fs::metadata(&self.path).ok().map(|m| (m.dev(), m.ino()))
    }

    fn run(&self, connection: &mut Connection, sql: &str, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let until = Instant::now() + self.timeout;
        connection.progress_handler(STEPS, Some(move || Instant::now() > until)).map_err(reason)?;
        // The first statement is the query; what follows it is not looked at.
        let mut batch = Batch::new(connection, sql);
        let prepared = batch.next().map_err(|e| {
            let text = format!("SQL prepare failed: {}?", reason(e));
            self.common.warn_lookup(&text);
            text
        })?;
        let mut values = self.common.values(key);
        let Some(mut statement) = prepared else { return Ok(None) };
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|e| self.step_failed(e))? {
            match row.get_ref(0).map_err(reason)? {
                ValueRef::Null => (),
                ValueRef::Integer(number) => values.add(number.to_string().as_bytes())?,
                ValueRef::Real(number) => values.add(number.to_string().as_bytes())?,
                ValueRef::Text(text) | ValueRef::Blob(text) => values.add(until_nul(text))?,
            }
        }
        Ok(values.finish())
    }

    fn step_failed(&self, error: rusqlite::Error) -> String {
        let text = format!("SQL step failed for query: {}", reason(error));
        self.common.warn_lookup(&text);
        text
    }
}

impl Client for Asker {
    fn ask(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let database = Arc::clone(&self.database);
        if !database.common.eligible(key)? {
            return Ok(None);
        }
        let Some(sql) = database.query.for_key(key, false) else { return Ok(None) };
        let file = database.identity();
        let mut open = match self.connection.take().filter(|open| open.file == file) {
            Some(open) => open,
            None => database.connect()?,
        };
        let answer = database.run(&mut open.connection, &sql, key);
        self.connection = Some(open);
        answer
    }
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|b| *b == 0).next().unwrap_or_default()
}

/// SQLite's own words.
fn reason(error: rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(e, Some(text)) => match e.code {
            // The text has the path behind it.
            ErrorCode::CannotOpen => "unable to open database file".to_owned(),
            _ => text,
        },
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        other => other.to_string(),
    }
}
