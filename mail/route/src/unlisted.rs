//! Whether a recipient exists, before mail for it is accepted (postconf(5) `smtpd_reject_unlisted_recipient`).
//!
//! A canonical or virtual alias mapping makes any address known; else the table of its class must list it, when that
//! table is configured. Without a table the class lets everything pass. What is routed to `error:` or `retry:` is refused
//! with the text given there.

use crate::{RouteConfig, Router, failure};
use base_calls::{AddressClass, Resolution, RouteError, Unlisted};
use base_tables::{AddressForms, Maps, Tables};
use proto_address::split_domain;

pub(crate) struct Lists {
    canonical: Maps,
    recipient_canonical: Maps,
    virtual_alias: Maps,
    virtual_mailbox: Maps,
    relay: Maps,
    local: Maps,
}

impl Lists {
    pub(crate) fn new(c: &RouteConfig, tables: &Tables) -> Self {
        let open = |title, text| Maps::open(tables, title, text);
        Self {
            canonical: open("canonical_maps", &c.canonical_maps),
            recipient_canonical: open("recipient_canonical_maps", &c.recipient_canonical_maps),
            virtual_alias: open("virtual_alias_maps", &c.virtual_alias_maps),
            virtual_mailbox: open("virtual_mailbox_maps", &c.virtual_mailbox_maps),
            relay: open("relay_recipient_maps", &c.relay_recipient_maps),
            local: open("local_recipient_maps", &c.local_recipient_maps),
        }
    }
}

/// A recipient that is routed nowhere.
fn dead_end(r: &Resolution) -> Option<Unlisted> {
    let permanent = match &*r.transport {
        "error" => true,
        "retry" => false,
        _ => return None,
    };
    Some(Unlisted::Undeliverable { permanent, text: r.nexthop.clone() })
}

impl Router {
    pub(crate) async fn find_unlisted(&self, recipient: &str) -> Result<Option<Unlisted>, RouteError> {
        let resolved = self.resolve_address(&self.mail, "", recipient).await?;
        let (address, class) = (resolved.recipient.as_str(), resolved.class);
        let dead_end = dead_end(&resolved);
        if resolved.invalid {
            return Ok(None);
        }
        if self.is_mapped(address, class).await? || self.is_always_known(address, class) {
            return Ok(None);
        }
        if dead_end.is_some() && resolved.nexthop.as_ref() != self.unknown_alias().nexthop {
            return Ok(dead_end);
        }
        let maps = match class {
            AddressClass::VirtualAlias => return Ok(Some(Unlisted::Class(class))),
            AddressClass::VirtualMailbox => &self.lists.virtual_mailbox,
            AddressClass::Relay => &self.lists.relay,
            AddressClass::Local => &self.lists.local,
            AddressClass::Default => return Ok(None),
        };
        let known =
            maps.is_empty() || self.lists_address(maps, address, class == AddressClass::Local).await?;
        Ok(if known { None } else { Some(Unlisted::Class(class)) })
    }

    /// Addresses of the mail system itself that need no entry.
    fn is_always_known(&self, address: &str, class: AddressClass) -> bool {
        let (local, _) = split_domain(address);
        class == AddressClass::Local && local.eq_ignore_ascii_case(&self.config.double_bounce)
    }

    async fn is_mapped(&self, address: &str, class: AddressClass) -> Result<bool, RouteError> {
        let lists = &self.lists;
        let local = class == AddressClass::Local || self.is_origin(address);
        for maps in [&lists.recipient_canonical, &lists.canonical, &lists.virtual_alias] {
            if !maps.is_empty() && self.lists_address(maps, address, local).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn lists_address(&self, maps: &Maps, address: &str, local: bool) -> Result<bool, RouteError> {
        let found = maps
            .find_address(address, &self.config.recipient_delimiter, AddressForms::rewriting(local))
            .await;
        Ok(found.map_err(|_| failure())?.is_some())
    }
}
