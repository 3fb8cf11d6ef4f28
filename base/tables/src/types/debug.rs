//! `debug:type:name`: the table itself, with every lookup in the log: the key and what came of it. Postfix 3.11.

use super::{Open, TableType};
use crate::table::{Answer, Entries, Fut, OpenError, Table};
use crate::tables::Warn;
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "debug", open, suffix: None };

struct Debug {
    spec: String,
    table: Arc<dyn Table>,
    info: Warn,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    if !open.name.contains(':') {
        return Err(OpenError::new(format!("bad syntax: \"{}\"; need \"debug:type:name\"", open.spec)));
    }
    let table = open.tables.try_open(open.name, open.usage)?;
    Ok(Arc::new(Debug { spec: open.spec.to_owned(), table, info: open.tables.options().info.clone() }))
}

impl Debug {
    fn say(&self, key: &[u8], answer: Answer) -> Answer {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let outcome = match &answer {
            Ok(Some(value)) => format!("\"{}\"", text(value)),
            Ok(None) => "not found".to_owned(),
            Err(error) if error.reason.is_empty() => "error".to_owned(),
            Err(error) => format!("error: {}", error.reason),
        };
        (self.info)(&format!("{} lookup: \"{}\" = {outcome}", self.spec, text(key)));
        answer
    }
}

impl Table for Debug {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        Some(self.say(key, self.table.lookup_now(key)?))
    }

    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        Box::pin(async { self.say(key, self.table.lookup(key).await) })
    }

    fn is_pattern(&self) -> bool {
        self.table.is_pattern()
    }

    fn entries(&self) -> Option<Entries> {
        self.table.entries()
    }

    fn open_error(&self) -> Option<OpenError> {
        self.table.open_error()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Options, Tables, Usage};
    use std::sync::{Arc, Mutex};

    #[test]
    fn every_lookup_is_told() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        let info = Arc::new(move |text: &str| kept.lock().unwrap().push(text.to_owned()));
        let tables = Tables::new(Options { info, ..Options::default() });
        let table = tables.try_open("debug:inline:{a=b}", Usage::LOOKUP).unwrap();
        assert_eq!(table.lookup_now(b"A"), Some(Ok(Some(b"b".to_vec()))));
        assert_eq!(table.lookup_now(b"c"), Some(Ok(None)));
        assert!(tables.try_open("debug:fail:x", Usage::LOOKUP).unwrap().lookup_now(b"k").unwrap().is_err());
        assert!(tables.try_open("debug:x", Usage::LOOKUP).is_err());
        assert_eq!(
            *said.lock().unwrap(),
            [
                "debug:inline:{a=b} lookup: \"A\" = \"b\"",
                "debug:inline:{a=b} lookup: \"c\" = not found",
                "debug:fail:x lookup: \"k\" = error: Application error",
            ]
        );
    }
}
