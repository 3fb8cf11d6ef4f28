//! The query of a table in a database: from `query`, or from the older `select_field`, `table`, `where_field`; with each
//! part of the key quoted for the place where it stands.
//!
//! The template is read once to see whether a place is inside `'…'`, `"…"`, `` `…` `` or none of them. Inside, what could
//! end the quotes is escaped for the engine. Outside there is nothing that could make a hostile key harmless, so
//! a key that is more than letters, digits, `_` and `.` is not looked up there. mysql_table(5), pgsql_table(5), sqlite_table(5).

use crate::common;
use crate::settings::Settings;
use crate::template::Template;
use base_tables::OpenError;

/// How an engine reads quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Backslashes escape in `'…'` and `"…"`, which are both strings; `` `…` `` are names.
    MySql,
    /// `'…'` strings without escapes, `E'…'` with them; `"…"` are names.
    PgSql,
    /// `'…'` strings without escapes; `"…"` and `` `…` `` are names.
    Sqlite,
}

/// Where a place stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Bare,
    /// Inside this quote character, with backslash escapes or without.
    Quoted {
        quote: u8,
        escapes: bool,
    },
}

/// A query.
#[derive(Debug)]
pub struct Query {
    template: Template,
    dialect: Dialect,
    places: Vec<Place>,
}

impl Query {
    /// Reads the query from the settings.
    pub fn read(settings: &Settings, dialect: Dialect) -> Result<Query, OpenError> {
        let text = match settings.get("query").filter(|query| !query.is_empty()) {
            Some(query) => query,
            None => older_query(settings, dialect)?,
        };
        Ok(Query::new(common::template(settings, "query", &text)?, dialect))
    }

    fn new(template: Template, dialect: Dialect) -> Query {
        let mut scanner = Scanner { dialect, place: Place::Bare, last: b' ', pending: None };
        let places = template
            .texts_before_places()
            .into_iter()
            .map(|text| {
                text.iter().for_each(|byte| scanner.read(*byte));
                scanner.at_place()
            })
            .collect();
        Query { template, dialect, places }
    }

    /// The query for a key; `None` when the key lacks a part that the query needs, or cannot stand where it would.
    /// `escapes`: the server takes backslashes in all `'…'` for escapes (PostgreSQL with
    /// `standard_conforming_strings = off`).
    pub fn for_key(&self, key: &[u8], escapes: bool) -> Option<String> {
        let sql = self.template.query(key, |at, part| {
            let place = self.places.get(at).copied().unwrap_or(Place::Bare);
            quote(self.dialect, place, escapes, part)
        })?;
        String::from_utf8(sql).ok()
    }

    /// Whether a part of the key stands in `"…"`.
    pub fn has_double_quotes(&self) -> bool {
        self.places.iter().any(|place| matches!(place, Place::Quoted { quote: b'"', .. }))
    }
}

fn older_query(settings: &Settings, dialect: Dialect) -> Result<String, OpenError> {
    if dialect == Dialect::PgSql
        && let Some(function) = settings.get("select_function").filter(|f| !f.is_empty())
    {
        return Ok(format!("SELECT {function}('%s')"));
    }
    let table = settings.required("table")?;
    let (field, key) = (settings.required("select_field")?, settings.required("where_field")?);
    let more = settings.or("additional_conditions", "");
    Ok(format!("SELECT {field} FROM {table} WHERE {key} = '%s' {more}"))
}

/// Follows the quotes of a query.
struct Scanner {
    dialect: Dialect,
    place: Place,
    last: u8,
    /// A quote character that ended a string, unless it is doubled.
    pending: Option<Place>,
}

impl Scanner {
    fn read(&mut self, byte: u8) {
        let before = std::mem::replace(&mut self.last, byte);
        if let Some(ended) = self.pending.take()
            && matches!(ended, Place::Quoted { quote, .. } if quote == byte)
        {
            self.place = ended;
            return;
        }
        match self.place {
            Place::Bare => self.open(byte, before),
            Place::Quoted { escapes: true, .. } if before == b'\\' => self.last = b' ',
            Place::Quoted { quote, .. } if byte == quote => {
                self.pending = Some(self.place);
                self.place = Place::Bare;
            }
            Place::Quoted { .. } => (),
        }
    }

    fn open(&mut self, byte: u8, before: u8) {
        let quotes: &[u8] = if self.dialect == Dialect::PgSql { b"'\"" } else { b"'\"`" };
        if !quotes.contains(&byte) {
            return;
        }
        let escapes = match self.dialect {
            Dialect::MySql => byte != b'`',
            Dialect::PgSql => byte == b'\'' && before.eq_ignore_ascii_case(&b'e'),
            Dialect::Sqlite => false,
        };
        self.place = Place::Quoted { quote: byte, escapes };
        self.last = b' ';
    }

    /// A place ends any pending quote, and is itself neither a quote nor a backslash.
    fn at_place(&mut self) -> Place {
        self.pending = None;
        self.last = b'x';
        self.place
    }
}

/// The text that stands for `part` at a place; `None` when nothing can.
fn quote(dialect: Dialect, place: Place, all_escape: bool, part: &[u8]) -> Option<Vec<u8>> {
    let Place::Quoted { quote, escapes } = place else {
        let harmless = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
        return part.iter().all(harmless).then(|| part.to_vec());
    };
    let escapes = escapes || all_escape && quote == b'\'';
    let mut out = Vec::with_capacity(part.len() + 8);
    for &byte in part {
        match byte {
            0 => return None,
            b'\\' if escapes => out.extend(b"\\\\"),
            b'\n' if dialect == Dialect::MySql && escapes => out.extend(b"\\n"),
            b'\r' if dialect == Dialect::MySql && escapes => out.extend(b"\\r"),
            26 if dialect == Dialect::MySql && escapes => out.extend(b"\\Z"),
            byte if byte == quote => out.extend([byte, byte]),
            byte => out.push(byte),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(dialect: Dialect, text: &str) -> Query {
        Query::new(Template::parse(text).unwrap(), dialect)
    }

    #[test]
    fn quoting() {
        use Dialect::{MySql, PgSql, Sqlite};
        let cases: &[(Dialect, &str, &str, Option<&str>)] = &[
            (Sqlite, "k = '%s'", "o'x", Some("k = 'o''x'")),
            (Sqlite, "k = '%s'", "o\\'x", Some("k = 'o\\''x'")),
            (Sqlite, "k = \"%s\"", "o\"'x", Some("k = \"o\"\"'x\"")),
            (Sqlite, "k = 'it''s %s'", "'", Some("k = 'it''s '''")),
            (MySql, "k = '%s'", "o'x\\", Some("k = 'o''x\\\\'")),
            (MySql, "k = 'a\\'%s'", "'", Some("k = 'a\\''''")),
            (MySql, "k = \"%s\"", "\"'\n", Some("k = \"\"\"'\\n\"")),
            (MySql, "SELECT x FROM `%d`", "u@a`b", Some("SELECT x FROM `a``b`")),
            (PgSql, "k = '%s'", "o'x\\", Some("k = 'o''x\\'")),
            (PgSql, "k = E'%s'", "o'x\\", Some("k = E'o''x\\\\'")),
            (PgSql, "k = %s", "17", Some("k = 17")),
            (PgSql, "k = %s", "17 OR 1=1", None),
            (PgSql, "k = %s", "1;DROP", None),
            (PgSql, "k = '%u' AND d = '%d'", "'@'", Some("k = '''' AND d = ''''")),
            (PgSql, "k = ''%s''", "x y", None),
            (MySql, "k = '%s'", "nul\0", None),
        ];
        for (dialect, text, key, want) in cases {
            let got = query(*dialect, text).for_key(key.as_bytes(), false);
            assert_eq!(got.as_deref(), *want, "{text} {key}");
        }
        let escaping = query(PgSql, "k = '%s'").for_key(b"\\'", true);
        assert_eq!(escaping.as_deref(), Some("k = '\\\\'''"));
    }

    /// Reads one string from `sql` as the engine would; gives its value and what follows it.
    fn literal(dialect: Dialect, sql: &str) -> Option<(String, &str)> {
        let quote = sql.chars().next()?;
        let (mut value, mut chars) = (String::new(), sql.char_indices().skip(1).peekable());
        while let Some((_, c)) = chars.next() {
            if c == '\\' && dialect == Dialect::MySql && quote != '`' {
                value.push(match chars.next()?.1 {
                    'n' => '\n',
                    'r' => '\r',
                    'Z' => '\u{1a}',
                    c => c,
                });
            } else if c != quote {
                value.push(c);
            } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
                value.push(quote);
            } else {
                let rest = chars.peek().map_or("", |(at, _)| sql.get(*at..).unwrap_or(""));
                return Some((value, rest));
            }
        }
        None
    }

    proptest! {
        /// Whatever the key, the engine reads one string whose value is the key, and the rest of the query untouched.
        #[test]
        fn a_key_stays_inside_its_quotes(key in "[a-z'\"\\\\`;\\-\n\r\u{1a}ä%]{0,12}", which in 0..3usize, mark in 0..3usize) {
            let dialect = [Dialect::MySql, Dialect::PgSql, Dialect::Sqlite][which];
            let mark = ['\'', '"', '`'][if which == 1 { mark % 2 } else { mark }];
            let rest = " AND a = 'b'";
            let sql = query(dialect, &format!("{mark}%s{mark}{rest}")).for_key(key.as_bytes(), false).unwrap();
            prop_assert_eq!(literal(dialect, &sql), Some((key, rest)));
        }

        /// Outside of quotes nothing but a name or a number is let through.
        #[test]
        fn a_key_outside_of_quotes_is_a_word(key in "\\PC{1,12}") {
            if let Some(sql) = query(Dialect::PgSql, "k = %s").for_key(key.as_bytes(), false) {
                prop_assert!(sql.bytes().skip(4).all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.'));
            }
        }
    }
}
