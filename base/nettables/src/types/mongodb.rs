//! `mongodb:/file`: documents of a MongoDB collection (mongodb_table(5)). In builds with the feature `mongodb` only.
//!
//! `uri`, `dbname`, `collection`, `query_filter`, and `result_attribute` or `projection`; `domain`, `result_format`,
//! `expansion_limit` as elsewhere, `timeout` as in SQL tables. One client a thread, which finds a restarted server again;
//! whatever fails makes the lookup a temporary failure.

use super::NetType;
use crate::NetOpen;
use crate::common::{Common, Values};
use crate::mongo_filter::Filter;
use crate::settings::Settings;
use base_tables::remote::{self, Client as Asks, Remote};
use base_tables::{OpenError, Table};
use bson::{Bson, Document};
use mongodb::options::{ClientOptions, ConnectionString};
use mongodb::{Client, Collection};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

pub(super) const TYPE: NetType = NetType { name: "mongodb", open };

/// How long a lookup may take, unless `timeout` says otherwise (seconds).
const QUERY_TIME: u64 = 30;

/// How long a server is looked for, unless `uri` says otherwise.
const SELECTION_TIME: Duration = Duration::from_secs(10);

/// What all threads share.
struct Place {
    common: Common,
    uri: String,
    database: String,
    collection: String,
    filter: Filter,
    /// The fields that count, in this order; empty: all of the projection.
    fields: Vec<String>,
    projection: Option<Document>,
    timeout: Duration,
}

struct Asker {
    place: Arc<Place>,
    collection: Option<Collection<Document>>,
    runtime: Option<Runtime>,
}

fn open(net: &NetOpen<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let place = Arc::new(Place::read(net, &Settings::read(net)?)?);
    let make = move || -> Box<dyn Asks> {
        Box::new(Asker { place: Arc::clone(&place), collection: None, runtime: None })
    };
    Ok(Arc::new(Remote::open(net.open, remote::Settings::default(), Box::new(make))))
}

impl Place {
    fn read(net: &NetOpen<'_>, settings: &Settings) -> Result<Place, OpenError> {
        let bad = |name: &str, why: String| OpenError::new(format!("{}: {name}: {why}", settings.name));
        let uri = settings.required("uri")?;
        ConnectionString::parse(&uri).map_err(|e| bad("uri", e.kind.to_string()))?;
        let filter = settings.required("query_filter")?;
        let fields = settings.or("result_attribute", "");
        let fields: Vec<_> = base_conf::list::split(&fields).into_iter().map(str::to_owned).collect();
        let projection = settings.or("projection", "");
        if !fields.is_empty() && !projection.is_empty() {
            return Err(bad("projection", "specify result_attribute or projection, not both".to_owned()));
        }
        Ok(Place {
            common: Common::read(net, settings)?,
            database: settings.required("dbname")?,
            collection: settings.required("collection")?,
            filter: Filter::parse(&filter).map_err(|e| bad("query_filter", e))?,
            projection: chosen(&fields, &projection).map_err(|e| bad("projection", e))?,
            timeout: settings.time("timeout", QUERY_TIME)?.max(Duration::from_secs(1)),
            uri,
            fields,
        })
    }

    async fn connect(&self) -> Result<Collection<Document>, String> {
        let mut options = ClientOptions::parse(&self.uri).await.map_err(|e| e.kind.to_string())?;
        options.server_selection_timeout.get_or_insert(SELECTION_TIME);
        options.connect_timeout.get_or_insert(SELECTION_TIME);
        options.max_pool_size = Some(1);
        let client = Client::with_options(options).map_err(|e| e.kind.to_string())?;
        Ok(client.database(&self.database).collection(&self.collection))
    }

    async fn ask(
        &self,
        collection: &Collection<Document>,
        filter: Document,
        values: &mut Values<'_>,
    ) -> Result<(), String> {
        let failed = |e: mongodb::error::Error| e.kind.to_string();
        let mut find = collection.find(filter).max_time(self.timeout);
        if let Some(projection) = &self.projection {
            find = find.projection(projection.clone());
        }
        let mut cursor = find.await.map_err(failed)?;
        while cursor.advance().await.map_err(failed)? {
            let document = cursor.deserialize_current().map_err(failed)?;
            self.take(&document, values)?;
        }
        Ok(())
    }

    /// Adds what counts of a document.
    fn take(&self, document: &Document, values: &mut Values<'_>) -> Result<(), String> {
        if self.fields.is_empty() {
            let named = document.iter().filter(|(_, v)| !matches!(v, Bson::ObjectId(_)));
            return named.into_iter().try_for_each(|(name, value)| add(name, value, values));
        }
        self.fields
            .iter()
            .filter_map(|name| Some((name, within(document, name)?)))
            .try_for_each(|(name, value)| add(name, value, values))
    }
}

/// The projection: what the settings say, or these fields.
fn chosen(fields: &[String], projection: &str) -> Result<Option<Document>, String> {
    if !projection.is_empty() {
        let value: serde_json::Value = serde_json::from_str(projection).map_err(|e| e.to_string())?;
        return document(value).map(Some).ok_or_else(|| "not a JSON object".to_owned());
    }
    let mut chosen = Document::new();
    chosen.insert("_id", 0);
    for field in fields {
        chosen.insert(field, 1);
    }
    Ok(Some(chosen))
}

/// JSON, extended or plain, as a document.
fn document(value: serde_json::Value) -> Option<Document> {
    match Bson::try_from(value) {
        Ok(Bson::Document(document)) => Some(document),
        _ => None,
    }
}

/// The field with this name, which may have dots.
fn within<'a>(document: &'a Document, name: &str) -> Option<&'a Bson> {
    if let Some(value) = document.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    within(document.get(first)?.as_document()?, rest)
}

/// Strings, whole numbers and arrays of them count; others are warned about.
fn add(name: &str, value: &Bson, values: &mut Values<'_>) -> Result<(), String> {
    match value {
        Bson::String(text) => values.add(text.as_bytes()),
        Bson::Int32(number) => values.add(number.to_string().as_bytes()),
        Bson::Int64(number) => values.add(number.to_string().as_bytes()),
        Bson::Array(items) => {
            items.iter().filter(|item| item.as_array().is_none()).try_for_each(|item| add(name, item, values))
        }
        Bson::Null => Ok(()),
        _ => {
            values.warn_lookup(&format!("field {name}: neither text, number nor array -- ignored"));
            Ok(())
        }
    }
}

impl Asker {
    fn runtime(&mut self) -> io::Result<&Runtime> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            // The library watches the servers between lookups.
            None => Builder::new_multi_thread().worker_threads(1).enable_all().build()?,
        };
        Ok(self.runtime.insert(runtime))
    }
}

impl Asks for Asker {
    fn ask(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let place = Arc::clone(&self.place);
        if !place.common.eligible(key)? {
            return Ok(None);
        }
        // What cannot be sent (a `$oid` that is none) is in no document.
        let Some(filter) = place.filter.for_key(key).and_then(document) else { return Ok(None) };
        let known = self.collection.take();
        let mut values = place.common.values(key);
        let work = async {
            let collection = match known {
                Some(collection) => collection,
                None => place.connect().await?,
            };
            place.ask(&collection, filter, &mut values).await?;
            Ok::<_, String>(collection)
        };
        let runtime = self.runtime().map_err(|e| e.to_string())?;
        let done = runtime.block_on(async { tokio::time::timeout(place.timeout, work).await });
        match done.unwrap_or_else(|_| Err("Timed out".to_owned())) {
            Ok(collection) => self.collection = Some(collection),
            Err(reason) => {
                place.common.warn_lookup(&format!("Query failed: {reason}"));
                return Err(reason);
            }
        }
        Ok(values.finish())
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.collection = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
