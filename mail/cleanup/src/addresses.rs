//! Mapping addresses: canonical_maps and relatives, masquerading, virtual_alias_maps. canonical(5), virtual(5),
//! ADDRESS_REWRITING_README.

use crate::CleanupConfig;
use base_calls::{QueueId, RewriteContext, Route};
use base_log::{Log, Source};
use base_tables::{AddressForms, Maps, MatchKind, MatchList, TableError, Tables};
use proto_address::{Tree, external, join, split_domain, split_extension, with_extension};

/// How often an address may be mapped by canonical tables in a row.
const CANONICAL_STEPS: usize = 10;

/// Which tables apply to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    EnvelopeSender,
    EnvelopeRecipient,
    HeaderSender,
    HeaderRecipient,
}

impl Place {
    fn of(self, c: crate::Classes) -> bool {
        match self {
            Self::EnvelopeSender => c.envelope_sender,
            Self::EnvelopeRecipient => c.envelope_recipient,
            Self::HeaderSender => c.header_sender,
            Self::HeaderRecipient => c.header_recipient,
        }
    }
}

/// The open tables of a configuration.
pub(crate) struct Mappings {
    sender_canonical: Maps,
    recipient_canonical: Maps,
    canonical: Maps,
    pub virtual_alias: Maps,
    pub sender_bcc: Maps,
    pub recipient_bcc: Maps,
    masquerade_exceptions: MatchList,
    mydestination: MatchList,
}

impl Mappings {
    pub fn open(c: &CleanupConfig, tables: &Tables) -> Self {
        let maps = |title: &str, text: &str| Maps::open(tables, title, text);
        let list = |param: &str, text: &str, kind| MatchList::open(tables, param, text, kind, false);
        Self {
            sender_canonical: maps("sender_canonical_maps", &c.sender_canonical_maps),
            recipient_canonical: maps("recipient_canonical_maps", &c.recipient_canonical_maps),
            canonical: maps("canonical_maps", &c.canonical_maps),
            virtual_alias: maps("virtual_alias_maps", &c.virtual_alias_maps),
            sender_bcc: maps("sender_bcc_maps", &c.sender_bcc_maps),
            recipient_bcc: maps("recipient_bcc_maps", &c.recipient_bcc_maps),
            masquerade_exceptions: list("masquerade_exceptions", &c.masquerade_exceptions, MatchKind::String),
            mydestination: list("mydestination", &c.mydestination, MatchKind::Domain),
        }
    }
}

/// Mapping with the handles it needs.
#[derive(Clone, Copy)]
pub(crate) struct Mapper<'a> {
    pub config: &'a CleanupConfig,
    pub mappings: &'a Mappings,
    pub route: &'a dyn Route,
    /// For warnings about this message.
    pub log: &'a Log,
    pub source: &'a Source,
    pub id: QueueId,
}

impl Mapper<'_> {
    /// Canonical maps and masquerading, as the classes say. `address` is in standard form. A failing table is
    /// named in the error.
    pub async fn canonical(&self, address: String, place: Place) -> Result<String, (String, TableError)> {
        let (c, m) = (self.config, self.mappings);
        if address.is_empty() {
            return Ok(address);
        }
        let mut address = address;
        for (maps, applies) in [
            (&m.sender_canonical, place.of(c.sender_canonical_classes) && place.is_sender()),
            (&m.recipient_canonical, place.of(c.recipient_canonical_classes) && !place.is_sender()),
            (&m.canonical, place.of(c.canonical_classes)),
        ] {
            if applies && !maps.is_empty() {
                address = self.map_one(maps, address).await.map_err(|e| (maps.title().to_owned(), e))?;
            }
        }
        if place.of(c.masquerade_classes) && !c.masquerade_domains.is_empty() {
            address = self.masquerade(address).await.map_err(|e| ("masquerade_exceptions".to_owned(), e))?;
        }
        Ok(address)
    }

    /// One address to one address, again while it changes; one that never comes to rest is what it was last.
    async fn map_one(&self, maps: &Maps, address: String) -> Result<String, TableError> {
        let mut current = address;
        let (id, title) = (self.id, maps.title());
        for _ in 0..CANONICAL_STEPS {
            let found = self.find(maps, &current, self.config.propagate_canonical).await?;
            let mut found = found.into_iter().flatten();
            let first = found.next();
            if found.next().is_some() {
                let text = format_args!("{id}: multi-valued {title} entry for {current}");
                self.log.warning(self.source, text);
            }
            match first {
                Some(new) if new != current => current = new,
                _ => return Ok(current),
            }
        }
        let text = format_args!(
            "{id}: unreasonable {title} map nesting for {current} -- message not accepted, try again later"
        );
        self.log.warning(self.source, text);
        Ok(current)
    }

    /// The addresses that `maps` has for `address`, in standard form. A result `@domain` keeps the local part.
    pub async fn find(
        &self,
        maps: &Maps,
        address: &str,
        propagate: bool,
    ) -> Result<Option<Vec<String>>, TableError> {
        let (local, domain) = split_domain(address);
        let forms = AddressForms::rewriting(self.is_local(domain).await?);
        let found = maps.find_address(address, &self.config.recipient_delimiter, forms).await?;
        let Some((value, extension)) = found else { return Ok(None) };
        let extension = extension.filter(|_| propagate);
        let results = Tree::parse(&value, usize::MAX);
        let standard = |result: String| {
            let result = match result.strip_prefix('@') {
                Some(domain) if !domain.is_empty() => return join(local, Some(domain)),
                _ => result,
            };
            let result = match &extension {
                Some(e) => with_extension(&result, e),
                None => result,
            };
            self.route.rewrite(RewriteContext::Local, &result)
        };
        Ok(Some(results.addresses().map(standard).collect()))
    }

    /// Whether lookups of the bare local part apply.
    async fn is_local(&self, domain: Option<&str>) -> Result<bool, TableError> {
        let Some(domain) = domain else { return Ok(true) };
        if domain.eq_ignore_ascii_case(&self.config.myorigin) {
            return Ok(true);
        }
        match self.mappings.mydestination.matches_now(domain) {
            Some(answer) => answer,
            None => self.mappings.mydestination.matches(domain).await,
        }
    }

    /// Strips the subdomain when the parent is in `masquerade_domains` (left to right, `!domain` excludes).
    async fn masquerade(&self, address: String) -> Result<String, TableError> {
        let (local, Some(domain)) = split_domain(&address) else { return Ok(address) };
        let lower = domain.to_ascii_lowercase();
        let below = |parent: &str| {
            let parent = parent.to_ascii_lowercase();
            lower == parent || lower.strip_suffix(&parent).is_some_and(|s| s.ends_with('.'))
        };
        for pattern in &self.config.masquerade_domains {
            match pattern.strip_prefix('!') {
                Some(excluded) if below(excluded) => return Ok(address),
                Some(_) => {}
                None if below(pattern) => {
                    if pattern.eq_ignore_ascii_case(domain) || self.is_exception(local).await? {
                        return Ok(address);
                    }
                    return Ok(join(local, Some(pattern)));
                }
                None => {}
            }
        }
        Ok(address)
    }

    async fn is_exception(&self, local: &str) -> Result<bool, TableError> {
        if self.mappings.masquerade_exceptions.is_empty() {
            return Ok(false);
        }
        let name = split_extension(local, &self.config.recipient_delimiter, true).0;
        self.mappings.masquerade_exceptions.matches(name).await
    }
}

impl Place {
    fn is_sender(self) -> bool {
        matches!(self, Self::EnvelopeSender | Self::HeaderSender)
    }
}

/// External form, owned.
pub(crate) fn external_owned(address: &str) -> String {
    external(address).into_owned()
}
