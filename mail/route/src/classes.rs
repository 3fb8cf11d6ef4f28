//! The class of a domain (ADDRESS_CLASS_README): local, virtual alias, virtual mailbox, relay, default.

use crate::{RouteConfig, failure};
use base_calls::{AddressClass, RouteError};
use base_tables::{MatchKind, MatchList, Tables};
use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

/// Domains that were checked for being listed twice are remembered up to this many.
const MAX_CHECKED: usize = 1000;

pub(crate) struct Classes {
    own_addresses: Vec<IpAddr>,
    mydestination: MatchList,
    virtual_alias: MatchList,
    virtual_mailbox: MatchList,
    relay: MatchList,
    checked: Mutex<HashSet<String>>,
}

impl Classes {
    pub(crate) fn new(c: &RouteConfig, tables: &Tables) -> Self {
        let list = |name, text, kind, parents| MatchList::open(tables, name, text, kind, parents);
        let strings = |name, text| list(name, text, MatchKind::String, false);
        Self {
            own_addresses: c.own_addresses.clone(),
            mydestination: strings("mydestination", &c.mydestination),
            virtual_alias: strings("virtual_alias_domains", &c.virtual_alias_domains),
            virtual_mailbox: strings("virtual_mailbox_domains", &c.virtual_mailbox_domains),
            relay: list("relay_domains", &c.relay_domains, MatchKind::Domain, c.relay_parents),
            checked: Mutex::default(),
        }
    }

    /// Whether mail for this domain ends here: `mydestination`, or an address of ours in brackets.
    pub(crate) async fn is_local(&self, domain: &str, warn: &dyn Warns) -> Result<bool, RouteError> {
        if let Some(address) = proto_address::literal_address(domain) {
            return Ok(self.own_addresses.contains(&address));
        }
        is_in(&self.mydestination, domain, warn).await
    }

    /// The class of `domain`.
    pub(crate) async fn class(&self, domain: &str, warn: &dyn Warns) -> Result<AddressClass, RouteError> {
        let class = if self.is_local(domain, warn).await? {
            AddressClass::Local
        } else if is_in(&self.virtual_alias, domain, warn).await? {
            AddressClass::VirtualAlias
        } else if is_in(&self.virtual_mailbox, domain, warn).await? {
            AddressClass::VirtualMailbox
        } else if is_in(&self.relay, domain, warn).await? {
            AddressClass::Relay
        } else {
            return Ok(AddressClass::Default);
        };
        self.warn_of_double_listing(domain, class, warn).await;
        Ok(class)
    }

    /// Says once for each domain that it is in more lists than one.
    async fn warn_of_double_listing(&self, domain: &str, class: AddressClass, warn: &dyn Warns) {
        let (list, others): (&MatchList, &[&MatchList]) = match class {
            AddressClass::Local => (&self.mydestination, &[&self.virtual_alias, &self.virtual_mailbox]),
            AddressClass::VirtualAlias => (&self.virtual_alias, &[&self.virtual_mailbox, &self.relay]),
            AddressClass::VirtualMailbox => (&self.virtual_mailbox, &[&self.relay]),
            AddressClass::Relay | AddressClass::Default => return,
        };
        {
            let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
            if checked.len() >= MAX_CHECKED || !checked.insert(domain.to_owned()) {
                return;
            }
        }
        for other in others {
            if !other.is_empty() && matches!(other.matches(domain).await, Ok(true)) {
                warn.warn(&format!(
                    "do not list domain {domain} in BOTH {} and {}",
                    list.title(),
                    other.title()
                ));
                return;
            }
        }
    }
}

/// Where warnings go.
pub(crate) trait Warns: Sync {
    fn warn(&self, text: &str);
}

impl Warns for crate::Router {
    fn warn(&self, text: &str) {
        Self::warn(self, text);
    }
}

async fn is_in(list: &MatchList, domain: &str, warn: &dyn Warns) -> Result<bool, RouteError> {
    if list.is_empty() {
        return Ok(false);
    }
    let answer = match list.matches_now(domain) {
        Some(answer) => answer,
        None => list.matches(domain).await,
    };
    answer.map_err(|_| {
        warn.warn(&format!("{} lookup failure", list.title()));
        failure()
    })
}
