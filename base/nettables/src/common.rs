//! What all tables with a settings file share: the query and result templates, the `domain` filter, the limit on the
//! number of results. mysql_table(5), ldap_table(5).

use crate::NetOpen;
use crate::settings::Settings;
use crate::template::Template;
use base_tables::{MatchKind, MatchList, OpenError, Warn, block_on};

/// The most values, and the most bytes, of one answer.
const MAX_VALUES: usize = 100_000;
const MAX_BYTES: usize = 16 << 20;

/// The shared part of a table.
pub struct Common {
    /// `type:name`.
    pub spec: String,
    /// The name after `type:`, for messages.
    pub name: String,
    /// Gets warnings.
    pub warn: Warn,
    kind: String,
    result: Template,
    domain: Option<MatchList>,
    limit: usize,
}

/// Values on their way to an answer.
pub struct Values<'a> {
    common: &'a Common,
    key: &'a [u8],
    answer: Vec<u8>,
    count: usize,
    /// A value came that was empty.
    empty: bool,
}

impl Common {
    /// Reads the shared settings.
    pub fn read(net: &NetOpen<'_>, settings: &Settings) -> Result<Common, OpenError> {
        let older = settings.or("result_filter", "%s");
        let result = template(settings, "result", &settings.or("result_format", &older))?;
        let domain = settings.or("domain", "");
        let domain = (!domain.is_empty())
            .then(|| MatchList::open(net.open.tables, &settings.name, &domain, MatchKind::String, false));
        let spec = net.open.spec.to_owned();
        Ok(Common {
            kind: spec.split(':').next().unwrap_or_default().to_owned(),
            spec,
            name: settings.name.clone(),
            warn: net.open.tables.options().warn.clone(),
            result,
            domain,
            limit: settings.limit("expansion_limit", 0)?,
        })
    }

    /// Whether the key is to be looked up at all: text without NUL, in one of the domains, with all parts that results need.
    pub fn eligible(&self, key: &[u8]) -> Result<bool, String> {
        let Some(text) = std::str::from_utf8(key).ok().filter(|text| !text.contains('\0')) else {
            return Ok(false);
        };
        if !self.result.key_suffices(key) {
            return Ok(false);
        }
        let Some(list) = &self.domain else { return Ok(true) };
        match text.rsplit_once('@') {
            Some((user, domain)) if !user.is_empty() && !domain.is_empty() => {
                block_on(list.matches(domain)).map_err(|e| e.to_string())
            }
            _ => Ok(false),
        }
    }

    /// Starts an answer.
    pub fn values<'a>(&'a self, key: &'a [u8]) -> Values<'a> {
        Values { common: self, key, answer: Vec::new(), count: 0, empty: false }
    }

    /// The limit on values, 0 for none.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Warns in the words of the client of this kind.
    pub fn warn_lookup(&self, text: &str) {
        self.warn_as(&format!("dict_{}_lookup", self.kind), text);
    }

    /// Warns under the name of a part of the client.
    pub fn warn_as(&self, who: &str, text: &str) {
        (self.warn)(&format!("{who}: {}: {text}", self.name));
    }
}

impl Values<'_> {
    /// Adds a value found; the error is the limit's.
    pub fn add(&mut self, value: &[u8]) -> Result<(), String> {
        let who = format!("dict_{}_lookup", self.common.kind);
        self.add_as(&who, value)
    }

    /// Adds a value found by the part of the client that `who` names in warnings.
    pub fn add_as(&mut self, who: &str, value: &[u8]) -> Result<(), String> {
        self.empty |= value.is_empty();
        let Some(text) = self.common.result.result(self.key, value) else { return Ok(()) };
        self.count += 1;
        if self.common.limit > 0 && self.count > self.common.limit {
            let key = String::from_utf8_lossy(self.key);
            let colon = if self.common.kind == "sqlite" { "" } else { ":" };
            self.common.warn_as(who, &format!("Expansion limit exceeded for key{colon} '{key}'"));
            return Err("expansion limit exceeded".to_owned());
        }
        if self.count > MAX_VALUES || self.answer.len() + text.len() > MAX_BYTES {
            return Err("the answer is too large".to_owned());
        }
        if self.count > 1 {
            self.answer.push(b',');
        }
        self.answer.extend(text);
        Ok(())
    }

    /// [`Common::warn_lookup`].
    pub fn warn_lookup(&self, text: &str) {
        self.common.warn_lookup(text);
    }

    /// [`Common::warn_as`].
    pub fn warn_as(&self, who: &str, text: &str) {
        self.common.warn_as(who, text);
    }

    /// Warns without the table's name.
    pub fn warn(&self, text: &str) {
        (self.common.warn)(text);
    }

    /// The answer: the values with commas between.
    pub fn finish(self) -> Option<Vec<u8>> {
        if !self.answer.is_empty() {
            return Some(self.answer);
        }
        if self.empty {
            let key = String::from_utf8_lossy(self.key);
            let spec = &self.common.spec;
            (self.common.warn)(&format!("table \"{spec}\": empty lookup result for: \"{key}\" -- ignored"));
        }
        None
    }
}

/// Reads a template of the settings; `what` is `query` or `result`.
pub fn template(settings: &Settings, what: &str, text: &str) -> Result<Template, OpenError> {
    let bad =
        || OpenError::new(format!("db_common_parse: {}: Invalid {what} template: {text}", settings.name));
    Template::parse(text).ok_or_else(bad)
}
