//! `memcache:file`: values from memcached, and from a backup table that fills it (memcache_table(5)).
//!
//! Without a backup a server that fails makes the lookup fail; with one, the backup answers, and what it has is stored in
//! the cache. With `key_digest` the server gets the digest of each key, in hexadecimal, so that long keys and any bytes
//! fit. `backup`, `memcache`, `flags`, `ttl`, `key_format`, `key_digest`, `domain`, `data_size_limit`, `line_size_limit`,
//! `max_try`, `retry_pause`, `timeout`.

use super::NetType;
use crate::NetOpen;
use crate::common::template;
use crate::link::Link;
use crate::place::Place;
use crate::settings::Settings;
use crate::talk::{Failure, Fault, Manner, Talk};
use crate::template::Template;
use base_tables::remote::{self, Client, Remote};
use base_tables::{Answer, Entries, Fut, MatchKind, MatchList, OpenError, Table, Warn, block_on};
use base_tls::Digest;
use proto_wire::memcache::{self, Head};
use std::sync::Arc;

pub(super) const TYPE: NetType = NetType { name: "memcache", open };

struct Memcache {
    server: Arc<Server>,
    remote: Remote,
}

struct Server {
    spec: String,
    manner: Manner,
    backup: Option<Arc<dyn Table>>,
    key: Template,
    digest: Option<Digest>,
    domain: Option<MatchList>,
    flags: u32,
    ttl: u64,
    data_limit: usize,
    line_limit: usize,
    warn: Warn,
}

struct Connection {
    server: Arc<Server>,
    talk: Talk,
}

fn open(net: &NetOpen<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let settings = Settings::read(net)?;
    let server = Arc::new(Server::read(net, &settings)?);
    let maker = Arc::clone(&server);
    let make = move || -> Box<dyn Client> {
        Box::new(Connection { server: Arc::clone(&maker), talk: Talk::new(maker.manner.clone()) })
    };
    let remote = Remote::open(net.open, remote::Settings::default(), Box::new(make));
    Ok(Arc::new(Memcache { server, remote }))
}

impl Server {
    fn read(net: &NetOpen<'_>, settings: &Settings) -> Result<Server, OpenError> {
        let tables = net.open.tables;
        let warn = tables.options().warn.clone();
        let key = template(settings, "query", &settings.or("key_format", "%s"))?;
        let digest =
            settings.get("key_digest").filter(|name| !name.is_empty()).map(|name| Digest::named(&name));
        let digest =
            digest.transpose().map_err(|e| OpenError::new(format!("{}: key_digest: {e}", settings.name)))?;
        let place = Place::parse(&settings.or("memcache", "inet:localhost:11211"), net)?;
        let size = |name: &str, default: i64| {
            Ok::<_, OpenError>(
                usize::try_from(settings.number(name, default, 1)?).unwrap_or(usize::MAX).min(1 << 30),
            )
        };
        let domain = settings.get("domain").filter(|text| !text.is_empty());
        let backup = settings.get("backup").filter(|text| !text.is_empty());
        Ok(Server {
            spec: net.open.spec.to_owned(),
            manner: Manner::read(place, net.open.spec, settings, warn.clone())?,
            flags: u32::try_from(settings.number("flags", 0, 0)?).unwrap_or(0),
            ttl: u64::try_from(settings.number("ttl", 3600, 0)?).unwrap_or(0),
            data_limit: size("data_size_limit", 10_240)?,
            line_limit: size("line_size_limit", 1024)?,
            domain: domain
                .map(|text| MatchList::open(tables, &settings.name, &text, MatchKind::String, false)),
            backup: backup.map(|spec| tables.try_open(&spec, net.open.usage)).transpose()?,
            key,
            digest,
            warn,
        })
    }

    /// The key for the cache; `Ok(None)` when there can be no such entry at all.
    fn cache_key(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if let Some(list) = &self.domain {
            let Ok(text) = std::str::from_utf8(key) else { return Ok(None) };
            let Some((user, domain)) = text.rsplit_once('@') else { return Ok(None) };
            if user.is_empty() || !block_on(list.matches(domain)).map_err(|e| e.reason)? {
                return Ok(None);
            }
        }
        let cache_key = self.key.query(key, |_, part| Some(part.to_vec()));
        Ok(match self.digest {
            Some(digest) => cache_key.map(|key| hex(digest, &key)),
            None => cache_key,
        })
    }

    fn value(&self, link: &mut Link) -> Result<Option<Vec<u8>>, Fault> {
        let line = self.line(link)?;
        let size = match memcache::head(&line, self.data_limit) {
            Head::End => return Ok(None),
            Head::Value(size) => size,
            Head::Unexpected => return Err(unexpected(&line)),
        };
        let mut value = link.bytes(size + 2).map_err(Fault::Io)?;
        if value.split_off(size) != b"\r\n" {
            return Err(Fault::Reply("EOF receiving memcache server reply".to_owned()));
        }
        self.line(link)?;
        Ok(Some(value))
    }

    fn stored(&self, link: &mut Link) -> Result<(), Fault> {
        let line = self.line(link)?;
        match line.as_slice() {
            b"STORED" => Ok(()),
            other => Err(Fault::Reply(String::from_utf8_lossy(other).into_owned())),
        }
    }

    fn line(&self, link: &mut Link) -> Result<Vec<u8>, Fault> {
        let mut line = link.line(self.line_limit)?;
        if line.ends_with(b"\r") {
            line.pop();
        }
        Ok(line)
    }
}

/// As `md5sum` and its like print it.
fn hex(digest: Digest, key: &[u8]) -> Vec<u8> {
    digest.fingerprint(key).replace(':', "").to_ascii_lowercase().into_bytes()
}

fn unexpected(line: &[u8]) -> Fault {
    Fault::Reply(format!("unexpected memcache server reply: {}", String::from_utf8_lossy(line)))
}

impl Connection {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let server = Arc::clone(&self.server);
        self.talk.ask(&memcache::get(key), |_, _| Ok(()), |link| server.value(link))
    }

    /// Stores what the backup had; failure costs nothing but speed.
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let server = Arc::clone(&self.server);
        if value.len() > server.data_limit {
            return;
        }
        let request = memcache::set(key, server.flags, server.ttl, value);
        let read = |link: &mut Link| match server.stored(link) {
            Err(Fault::Reply(line)) => {
                (server.warn)(&format!("database {}: update failed: {line}", server.spec));
                Ok(())
            }
            other => other,
        };
        let _ = self.talk.ask(&request, |_, _| Ok(()), read);
    }
}

impl Client for Connection {
    fn ask(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let server = Arc::clone(&self.server);
        let Some(cache_key) = server.cache_key(key)? else { return Ok(None) };
        // The protocol has no room for such keys.
        if cache_key.is_empty() || !cache_key.iter().all(u8::is_ascii_graphic) {
            return match &server.backup {
                Some(backup) => ask_backup(backup.as_ref(), key),
                None => Ok(None),
            };
        }
        let cached = self.get(&cache_key);
        let Some(backup) = &server.backup else { return cached.map_err(|failure| failure.reason) };
        if let Ok(Some(value)) = cached {
            return Ok(Some(value));
        }
        let value = ask_backup(backup.as_ref(), key)?;
        if let (Some(value), Ok(_) | Err(Failure { unreachable: false, .. })) = (&value, &cached) {
            self.put(&cache_key, value);
        }
        Ok(value)
    }
}

fn ask_backup(backup: &dyn Table, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let answer = backup.lookup_now(key).unwrap_or_else(|| block_on(backup.lookup(key)));
    answer.map_err(|error| error.reason)
}

impl Table for Memcache {
    fn spec(&self) -> &str {
        &self.server.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        self.remote.lookup_now(key)
    }

    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        self.remote.lookup(key)
    }

    fn entries(&self) -> Option<Entries> {
        match &self.server.backup {
            Some(backup) => backup.entries(),
            None => {
                let what = "first/next support requires backup database";
                (self.server.warn)(&format!("database {}: {what}", self.server.spec));
                Some(Ok(Vec::new()))
            }
        }
    }
}
