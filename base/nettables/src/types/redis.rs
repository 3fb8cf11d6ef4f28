//! `redis:file`: values from Redis or Valkey, our extension (docs/extensions.md).
//!
//! `redis` is the server; without more, the value is that of the string named by `key_format`. `hash` names a hash that
//! has the keys as fields; `set` names a set whose members are found, with the key as the value. `username`, `password`,
//! `database`, and as elsewhere `domain`, `result_format`, `expansion_limit`, `data_size_limit`, `max_try`,
//! `retry_pause`, `timeout`.

use super::NetType;
use crate::NetOpen;
use crate::common::{Common, template};
use crate::link::{Link, TimeLimit};
use crate::place::Place;
use crate::settings::Settings;
use crate::talk::{Fault, Manner, Talk};
use crate::template::Template;
use base_tables::remote::{self, Client, Remote};
use base_tables::{OpenError, Table};
use proto_wire::resp::{self, Reply};
use std::sync::Arc;

pub(super) const TYPE: NetType = NetType { name: "redis", open };

struct Server {
    common: Common,
    manner: Manner,
    key: Template,
    place: Store,
    greeting: Vec<Vec<u8>>,
    data_limit: usize,
}

/// Where the entries are.
enum Store {
    Strings,
    Hash(String),
    Set(String),
}

struct Connection {
    server: Arc<Server>,
    talk: Talk,
}

fn open(net: &NetOpen<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let server = Arc::new(Server::read(net, &Settings::read(net)?)?);
    let make = move || -> Box<dyn Client> {
        Box::new(Connection { server: Arc::clone(&server), talk: Talk::new(server.manner.clone()) })
    };
    Ok(Arc::new(Remote::open(net.open, remote::Settings::default(), Box::new(make))))
}

impl Server {
    fn read(net: &NetOpen<'_>, settings: &Settings) -> Result<Server, OpenError> {
        let place = Place::parse(&settings.or("redis", "inet:localhost:6379"), net)?;
        let manner = Manner::read(place, net.open.spec, settings, net.open.tables.options().warn.clone())?;
        let limit = settings.number("data_size_limit", 10_240, 1)?;
        Ok(Server {
            common: Common::read(net, settings)?,
            manner,
            key: template(settings, "query", &settings.or("key_format", "%s"))?,
            place: Store::read(settings)?,
            greeting: greeting(settings)?,
            data_limit: usize::try_from(limit).unwrap_or(usize::MAX).min(1 << 30),
        })
    }

    fn command(&self, key: &[u8]) -> Vec<u8> {
        match &self.place {
            Store::Strings => resp::command(&[b"GET", key]),
            Store::Hash(name) => resp::command(&[b"HGET", name.as_bytes(), key]),
            Store::Set(name) => resp::command(&[b"SISMEMBER", name.as_bytes(), key]),
        }
    }

    fn reply(&self, link: &mut Link) -> Result<Reply, Fault> {
        loop {
            match resp::decode(link.received(), self.data_limit) {
                Ok(Some((reply, taken))) => {
                    link.take(taken);
                    return match reply {
                        Reply::Error(text) => Err(Fault::Refused(format!("redis server: {text}"))),
                        reply => Ok(reply),
                    };
                }
                Ok(None) => link.fill().map_err(Fault::Io)?,
                Err(resp::Malformed) => {
                    return Err(Fault::Reply("unexpected redis server reply".to_owned()));
                }
            }
        }
    }

    fn greet(&self, link: &mut Link, limit: TimeLimit) -> Result<(), Fault> {
        for command in &self.greeting {
            link.send(command, limit).map_err(Fault::Io)?;
            self.reply(link)?;
        }
        Ok(())
    }
}

impl Store {
    fn read(settings: &Settings) -> Result<Store, OpenError> {
        let named = |name: &str| settings.get(name).filter(|text| !text.is_empty());
        match (named("hash"), named("set")) {
            (None, None) => Ok(Store::Strings),
            (Some(hash), None) => Ok(Store::Hash(hash)),
            (None, Some(set)) => Ok(Store::Set(set)),
            (Some(_), Some(_)) => {
                Err(OpenError::new(format!("{}: specify hash or set, not both", settings.name)))
            }
        }
    }
}

/// What is said on a new connection.
fn greeting(settings: &Settings) -> Result<Vec<Vec<u8>>, OpenError> {
    let mut commands = Vec::new();
    let (user, password) = (settings.or("username", ""), settings.or("password", ""));
    if !password.is_empty() {
        let password = password.as_bytes();
        commands.push(match user.is_empty() {
            true => resp::command(&[b"AUTH", password]),
            false => resp::command(&[b"AUTH", user.as_bytes(), password]),
        });
    }
    let database = settings.number("database", 0, 0)?;
    if database > 0 {
        commands.push(resp::command(&[b"SELECT", database.to_string().as_bytes()]));
    }
    Ok(commands)
}

impl Client for Connection {
    fn ask(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let server = Arc::clone(&self.server);
        if !server.common.eligible(key)? {
            return Ok(None);
        }
        let Some(asked) = server.key.query(key, |_, part| Some(part.to_vec())) else { return Ok(None) };
        let greet = |link: &mut Link, limit| server.greet(link, limit);
        let reply = self.talk.ask(&server.command(&asked), greet, |link| server.reply(link));
        let value = match reply.map_err(|failure| failure.reason)? {
            Reply::Bulk(value) => value,
            Reply::Simple(text) => text.into_bytes(),
            Reply::Integer(0) | Reply::Null | Reply::Error(_) => return Ok(None),
            Reply::Integer(_) => asked,
        };
        let mut values = server.common.values(key);
        values.add(&value)?;
        Ok(values.finish())
    }
}
