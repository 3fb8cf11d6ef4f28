//! A table whose settings file may change: it is read again when it did, and the new table takes the old one's place.
//!
//! Lookups under way end with the old settings. A file that cannot be used any more leaves the old table in charge for
//! a few seconds; then lookups are temporary failures that tell why.

use crate::NetOpen;
use crate::types::NetType;
use base_conf::Config;
use base_tables::types::Open;
use base_tables::{Answer, Entries, Fut, OpenError, Table, TableError, Tables, Watched};
use std::sync::Arc;

/// The table of the settings as they are now.
struct Renewed {
    spec: String,
    current: Watched<Arc<dyn Table>>,
}

/// Opens a table that is named by the path of its settings.
pub fn open(kind: &'static NetType, open: &Open<'_>, config: &Config) -> Result<Arc<dyn Table>, OpenError> {
    let options = open.tables.options();
    // Handles of their own: what the settings name may change with them.
    let tables = Tables::new(options.clone());
    let (spec, name, usage, config) =
        (open.spec.to_owned(), open.name.to_owned(), open.usage, config.clone());
    let load = move || {
        let open = Open { tables: &tables, spec: &spec, name: &name, usage };
        (kind.open)(&NetOpen { open: &open, config: &config })
    };
    let current = Watched::new(vec![open.name.into()], options, Box::new(load))?;
    Ok(Arc::new(Renewed { spec: open.spec.to_owned(), current }))
}

impl Table for Renewed {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, _key: &[u8]) -> Option<Answer> {
        None
    }

    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        let table = self.current.get();
        Box::pin(async move {
            match table {
                Ok(table) => table.lookup(key).await,
                Err(error) => Err(TableError { table: self.spec.clone(), reason: error.text }),
            }
        })
    }

    fn is_pattern(&self) -> bool {
        self.current.get().is_ok_and(|table| table.is_pattern())
    }

    fn entries(&self) -> Option<Entries> {
        match self.current.get() {
            Ok(table) => table.entries(),
            Err(error) => Some(Err(TableError { table: self.spec.clone(), reason: error.text })),
        }
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use crate::NetTables;
    use base_conf::Config;
    use base_tables::{Options, Tables, Usage, block_on};
    use std::time::{Duration, Instant};

    #[test]
    fn new_settings_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, database) = (dir.path().join("cf"), dir.path().join("db"));
        std::fs::write(&database, "").unwrap();
        let write = |value: &str| {
            let new = dir.path().join("new");
            std::fs::write(&new, format!("dbpath = {}\nquery = SELECT '{value}'\n", database.display()))
                .unwrap();
            std::fs::rename(&new, &file).unwrap();
        };
        write("one");
        let more = NetTables::new(Config::from_text(""));
        let options = Options { check_every: Duration::ZERO, more: Some(more), ..Options::default() };
        let table = Tables::new(options).open(&format!("sqlite:{}", file.display()), Usage::LOOKUP);
        assert_eq!(block_on(table.lookup(b"k")), Ok(Some(b"one".to_vec())));
        write("two");
        let end = Instant::now() + Duration::from_secs(10);
        while block_on(table.lookup(b"k")) != Ok(Some(b"two".to_vec())) {
            assert!(Instant::now() < end, "never noticed");
        }
    }
}
