//! `srs:file` and `unsrs:file`: senders of forwarded mail under a domain of ours, and the way back (an extension; docs/extensions.md). For
//! `sender_canonical_maps` (with `sender_canonical_classes = envelope_sender`) and `recipient_canonical_maps` (with
//! `recipient_canonical_classes = envelope_recipient, header_recipient`).
//!
//! Settings: `domain`, ours; `secrets`, of which the first makes addresses and all are accepted; `exclude`, domains whose senders stay as they
//! are, with those below. No server is asked; the types are here because the courier, which has no secrets, needs none of them.

use super::NetType;
use crate::{NetOpen, settings::Settings};
use base_auth::srs::Srs;
use base_tables::{Answer, OpenError, Table};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

pub(super) const TYPE: NetType = NetType { name: "srs", open: |net| open(net, true) };
pub(super) const REVERSE: NetType = NetType { name: "unsrs", open: |net| open(net, false) };

struct Rewriting {
    spec: String,
    forward: bool,
    srs: Srs,
    exclude: Vec<String>,
}

fn open(net: &NetOpen<'_>, forward: bool) -> Result<Arc<dyn Table>, OpenError> {
    let settings = Settings::read(net)?;
    let (domain, secrets) = (settings.required("domain")?, settings.required("secrets")?);
    let words = |text: &str| -> Vec<String> {
        let words = text.split([',', ' ', '\t', '\n']).filter(|w| !w.is_empty());
        words.map(str::to_ascii_lowercase).collect()
    };
    let srs = Srs::new(secrets.split([',', ' ', '\t', '\n']), &domain)
        .ok_or_else(|| OpenError::new(format!("{}: no secrets", settings.name)))?;
    let exclude = words(&settings.or("exclude", ""));
    Ok(Arc::new(Rewriting { spec: net.open.spec.to_owned(), forward, srs, exclude }))
}

impl Rewriting {
    fn rewritten(&self, address: &str) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let days = now.as_secs() / 86_400;
        if !self.forward {
            return self.srs.reverse(address, days);
        }
        let domain = address.rsplit_once('@')?.1.to_ascii_lowercase();
        let stays = |d: &String| domain == *d || domain.ends_with(&format!(".{d}"));
        match self.exclude.iter().any(stays) {
            true => None,
            false => self.srs.forward(address, days),
        }
    }
}

impl Table for Rewriting {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        let address = std::str::from_utf8(key).ok();
        Some(Ok(address.and_then(|a| self.rewritten(a)).map(String::into_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use base_tables::{Options, Tables};
    use std::sync::Arc;

    #[test]
    fn both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("srs.cf");
        std::fs::write(&file, "domain = fwd.example\nsecrets = one, two\nexclude = example.com\n").unwrap();
        let config = base_conf::Config::from_text("");
        let more = Some(crate::NetTables::new(config) as Arc<_>);
        let tables = Tables::new(Options { more, ..Options::default() });
        let ask = |kind: &str, key: &str| {
            let table =
                tables.try_open(&format!("{kind}:{}", file.display()), base_tables::Usage::LOOKUP).unwrap();
            base_tables::block_on(table.lookup(key.as_bytes()))
                .unwrap()
                .map(|v| String::from_utf8(v).unwrap())
        };
        let there = ask("srs", "Joe@other.example").unwrap();
        assert!(there.ends_with("=other.example=Joe@fwd.example"), "{there}");
        assert_eq!(ask("unsrs", &there).as_deref(), Some("Joe@other.example"));
        for stays in ["joe@example.com", "joe@sub.example.com", &there, "joe", "@other.example"] {
            assert_eq!(ask("srs", stays), None, "{stays}");
        }
        assert_eq!(ask("unsrs", "SRS0=aaaa=AA=other.example=joe@fwd.example"), None);
        std::fs::write(&file, "domain = fwd.example\n").unwrap();
        assert!(tables.try_open(&format!("srs:{}", file.display()), base_tables::Usage::LOOKUP).is_err());
    }
}
