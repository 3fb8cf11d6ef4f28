//! Asking one of several database servers: an open connection first, then the servers in their order, until one
//! answers.
//!
//! Each thread of a table has a [`Asker`] with one connection at most and a small runtime of its own, on which every
//! operation has a time limit. A connection that broke is opened again at once; a server that fails is warned about
//! in Postfix's words and left alone for a while ([`Hosts`]). When nobody answers the lookup is a temporary failure.

use crate::common::{Common, Values};
use crate::hosts::{Hosts, Trouble};
use crate::sql::Query;
use base_tables::remote::Client;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long connecting and logging in may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long closing a connection may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);
/// How long a query may take, unless the settings say otherwise (seconds).
pub const QUERY_TIME: u64 = 30;

/// Why a query failed.
#[derive(Debug)]
pub enum Failure {
    /// The server does not like the query: another connection would not help.
    Query(String),
    /// The connection is gone.
    Lost(String),
    /// The answer is more than the table allows.
    Limit(String),
}

/// A database engine.
pub trait Engine: Send + Sync + 'static {
    /// A connection, logged in.
    type Connection: Send;
    /// One entry of `hosts`.
    type Host: Send + Sync;

    /// Opens a connection.
    fn connect(&self, host: &Self::Host) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Whether the server takes backslashes in all strings for escapes.
    fn escapes(&self, connection: &Self::Connection) -> bool;

    /// Sends a query and adds each column of each row to `values`.
    fn run(
        &self,
        connection: &mut Self::Connection,
        sql: &str,
        values: &mut Values<'_>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Says goodbye.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send;

    /// The name of a host in messages.
    fn name(&self, host: &Self::Host) -> String;

    /// The message about a host that cannot be reached.
    fn connect_failed(&self, host: &str, reason: &str) -> String;

    /// The message about a query that failed.
    fn query_failed(&self, host: &str, reason: &str) -> String;
}

/// What all threads of a table share.
pub struct Database<E: Engine> {
    /// The engine, with what it read from the settings.
    pub engine: E,
    /// The servers.
    pub hosts: Hosts<E::Host>,
    /// The shared settings.
    pub common: Common,
    /// The query.
    pub query: Query,
    /// How long a query may take (`timeout`).
    pub timeout: Duration,
}

/// One thread's connection.
pub struct Asker<E: Engine> {
    database: Arc<Database<E>>,
    /// Dropped before the runtime that it needs.
    connection: Option<(usize, E::Connection)>,
    runtime: io::Result<Runtime>,
}

impl<E: Engine> Asker<E> {
    /// Not connected yet.
    pub fn new(database: Arc<Database<E>>) -> Asker<E> {
        Asker { database, connection: None, runtime: Builder::new_current_thread().enable_all().build() }
    }

    /// Asks on the open connection; `None` when there is none that works.
    fn on_open_connection(&mut self, key: &[u8]) -> Option<Result<Option<Vec<u8>>, String>> {
        let (number, connection) = self.connection.take()?;
        self.ask_on(number, connection, key, false)
    }

    /// Asks on this connection and keeps it unless it broke; `None` then. `warn`: a broken one is worth a warning
    /// (one that was idle may have been closed for good reason).
    fn ask_on(
        &mut self,
        number: usize,
        mut connection: E::Connection,
        key: &[u8],
        warn: bool,
    ) -> Option<Result<Option<Vec<u8>>, String>> {
        let database = Arc::clone(&self.database);
        let runtime = self.runtime.as_ref().ok()?;
        let Some(sql) = database.query.for_key(key, database.engine.escapes(&connection)) else {
            self.connection = Some((number, connection));
            return Some(Ok(None));
        };
        let mut values = database.common.values(key);
        let asked = runtime.block_on(async {
            let run = database.engine.run(&mut connection, &sql, &mut values);
            tokio::time::timeout(database.timeout, run).await
        });
        let host = database.hosts.get(number).map(|host| database.engine.name(host)).unwrap_or_default();
        let say = |reason: &str| (database.common.warn)(&database.engine.query_failed(&host, reason));
        match asked {
            Ok(Ok(())) => {
                self.connection = Some((number, connection));
                Some(Ok(values.finish()))
            }
            Ok(Err(Failure::Query(reason))) => {
                say(&reason);
                self.connection = Some((number, connection));
                Some(Err(reason))
            }
            Ok(Err(Failure::Limit(reason))) => Some(Err(reason)),
            Ok(Err(Failure::Lost(reason))) => {
                if warn {
                    say(&reason);
                    database.hosts.failed(number, Trouble::Refused);
                }
                None
            }
            Err(_) => {
                say("no answer in time");
                database.hosts.failed(number, Trouble::Silent);
                Some(Err("Connection timed out".to_owned()))
            }
        }
    }

    fn connect(&mut self, number: usize) -> Result<E::Connection, String> {
        let database = &self.database;
        let runtime = self.runtime.as_ref().map_err(ToString::to_string)?;
        let host = database.hosts.get(number).ok_or("no such host")?;
        let opened = runtime.block_on(async {
            tokio::time::timeout(CONNECT_TIME.min(database.timeout), database.engine.connect(host)).await
        });
        let (reason, trouble) = match opened {
            Ok(Ok(connection)) => {
                database.hosts.works(number);
                return Ok(connection);
            }
            Ok(Err(reason)) => (reason, Trouble::Refused),
            Err(_) => ("Connection timed out".to_owned(), Trouble::Silent),
        };
        (database.common.warn)(&database.engine.connect_failed(&database.engine.name(host), &reason));
        database.hosts.failed(number, trouble);
        Err(reason)
    }
}

impl<E: Engine> Client for Asker<E> {
    fn ask(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if !self.database.common.eligible(key)? {
            return Ok(None);
        }
        if self.database.query.for_key(key, false).is_none() {
            return Ok(None);
        }
        if let Some(answer) = self.on_open_connection(key) {
            return answer;
        }
        let mut reason = "no server is available now".to_owned();
        for number in self.database.hosts.order() {
            match self.connect(number) {
                Ok(connection) => match self.ask_on(number, connection, key, true) {
                    Some(answer) => return answer,
                    None => reason = "the connection was lost".to_owned(),
                },
                Err(text) => reason = text,
            }
        }
        Err(reason)
    }
}

impl<E: Engine> Drop for Asker<E> {
    /// The connection ends on the runtime, and as servers like it when they are not too slow.
    fn drop(&mut self) {
        let (Ok(runtime), Some((_, connection))) = (&self.runtime, self.connection.take()) else { return };
        let close = self.database.engine.close(connection);
        let _ = runtime.block_on(async { tokio::time::timeout(CLOSE_TIME, close).await });
    }
}
