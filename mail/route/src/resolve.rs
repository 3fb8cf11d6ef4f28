//! A recipient to transport and next hop (trivial-rewrite(8) resolve, transport(5)).
//!
//! While the domain is local and the local part routes elsewhere (`user%site`, `site!user`, `user@site`), the domain is
//! taken off and the rest looked at again. Then: class of the domain, its transport, sender-dependent and global relay
//! host, and the transport table on top (not for virtual alias domains, whose mail has no next hop).

use crate::{
    Router, failure,
    rewrite::{self, turned_around},
    transport::Spec,
    way::Way,
};
use base_calls::{AddressClass, Resolution, RouteError};
use base_tables::{AddressForms, DomainForms, Maps};
use proto_address::{literal_address, to_ascii, valid_hostname, valid_ipv4};
use std::borrow::Cow;

/// How often a domain is taken off.
const MAX_HOPS: usize = 100;

/// An address taken apart.
struct Peeled<'a> {
    local: Cow<'a, str>,
    domain: Cow<'a, str>,
    class: AddressClass,
}

impl Router {
    pub(crate) async fn resolve_address(
        &self,
        way: &Way,
        sender: &str,
        recipient: &str,
    ) -> Result<Resolution, RouteError> {
        let Some(peeled) = self.peel(recipient).await? else { return Ok(invalid(recipient)) };
        let routed = peeled.local.contains(['@', '%', '!']);
        let bad_user = peeled.local.starts_with('-') && !self.config.allow_min_user;
        let address = format!("{}@{}", peeled.local, peeled.domain);
        if bad_user {
            return Ok(Resolution { class: peeled.class, routed, ..invalid(&address) });
        }
        let mut spec = self.class_spec(way, peeled.class, sender, &peeled.domain).await?;
        if peeled.class != AddressClass::VirtualAlias {
            spec = self.by_transport_maps(&way.transport_maps, spec, &address, &peeled.domain).await?;
        }
        if let Some(moved) = self.relocated(&address, peeled.class).await? {
            spec = moved;
        }
        Ok(Resolution {
            transport: spec.transport.into(),
            nexthop: spec.nexthop.into(),
            recipient: address,
            class: peeled.class,
            routed,
            invalid: false,
        })
    }

    /// Takes local domains off the address until it stands. `None` when it makes no sense.
    async fn peel<'a>(&self, recipient: &'a str) -> Result<Option<Peeled<'a>>, RouteError> {
        let mut address = Cow::Borrowed(recipient);
        for _ in 0..MAX_HOPS {
            let (local, domain) = split(rewrite::without_final_dot(address.trim_end_matches(' ')));
            let Some(domain) = self.domain_to_use(domain) else { return Ok(None) };
            if let Some(d) = &domain
                && !valid_domain(d)
            {
                return Ok(None);
            }
            let class = match &domain {
                Some(d) => self.classes.class(d, self).await?,
                None => AddressClass::Local,
            };
            if class != AddressClass::Local {
                let (local, domain) =
                    (local.to_owned().into(), domain.unwrap_or_default().into_owned().into());
                return Ok(Some(Peeled { local, domain, class }));
            }
            if let Some(inner) = self.routed_local(local, domain.as_deref()) {
                address = Cow::Owned(inner);
                continue;
            }
            let local = if local.is_empty() { &self.config.empty_address_recipient } else { local };
            let domain = domain.map_or_else(|| self.config.myhostname.clone(), Cow::into_owned);
            return Ok(Some(Peeled { local: local.to_owned().into(), domain: domain.into(), class }));
        }
        Ok(None)
    }

    /// The domain as it is meant: outer `None` when it makes no sense, inner `None` for this host.
    fn domain_to_use<'d>(&self, domain: Option<&'d str>) -> Option<Option<Cow<'d, str>>> {
        match domain {
            None => Some(None),
            Some("") => self.config.resolve_null_domain.then_some(None),
            Some(d) if valid_ipv4(d) => {
                self.config.resolve_numeric_domain.then(|| Some(format!("[{d}]").into()))
            }
            Some(d) if d.starts_with('[') && !d.contains(']') => Some(Some(format!("{d}]").into())),
            Some(d) => Some(Some(d.into())),
        }
    }

    /// The address inside a local part that routes elsewhere.
    fn routed_local(&self, local: &str, domain: Option<&str>) -> Option<String> {
        let mut stripped = rewrite::strip_route(local);
        while rewrite::strip_route(stripped).len() < stripped.len() {
            stripped = rewrite::strip_route(stripped);
        }
        if stripped.len() < local.len() && (self.config.resolve_dequoted || !stripped.contains('@')) {
            return Some(match domain {
                Some(d) if !stripped.contains('@') => format!("{stripped}@{d}"),
                _ => stripped.to_owned(),
            });
        }
        match local.contains('@') {
            true => self.config.resolve_dequoted.then(|| local.to_owned()),
            false => turned_around(&self.config.local_rules, local),
        }
    }

    /// The transport of a class and the next hop without a transport table.
    async fn class_spec(
        &self,
        way: &Way,
        class: AddressClass,
        sender: &str,
        domain: &str,
    ) -> Result<Spec, RouteError> {
        let c = &way.config;
        let spec = match class {
            AddressClass::Local => c.local.clone(),
            AddressClass::VirtualMailbox => c.virtual_mailbox.clone(),
            AddressClass::VirtualAlias => return Ok(self.unknown_alias()),
            AddressClass::Relay => c.relay.clone(),
            AddressClass::Default => self.default_spec(way, sender).await?,
        };
        if !spec.nexthop.is_empty() {
            return Ok(spec);
        }
        let relayed = matches!(class, AddressClass::Relay | AddressClass::Default);
        let nexthop = if relayed { self.relayhost(way, sender).await? } else { None };
        Ok(Spec { nexthop: nexthop.unwrap_or_else(|| domain.to_owned()), ..spec })
    }

    pub(crate) fn unknown_alias(&self) -> Spec {
        let table = if self.config.show_table_name { " in virtual alias table" } else { "" };
        Spec { transport: "error".into(), nexthop: format!("5.1.1 User unknown{table}") }
    }

    async fn default_spec(&self, way: &Way, sender: &str) -> Result<Spec, RouteError> {
        let found = self.by_sender(&way.sender_transport, sender, &self.config.null_transport_key).await?;
        let Some(text) = found else { return Ok(way.config.default.clone()) };
        let spec = Spec::parse(&text);
        if spec.transport.is_empty() {
            let (file, title) = (&self.config.main_cf, way.sender_transport.title());
            self.warn(&format!("file {file}: parameter {title}: null transport is not allowed"));
            return Err(failure());
        }
        Ok(spec)
    }

    async fn relayhost(&self, way: &Way, sender: &str) -> Result<Option<String>, RouteError> {
        if let Some(host) =
            self.by_sender(&way.sender_relayhost, sender, &self.config.null_relayhost_key).await?
        {
            return Ok(Some(host));
        }
        Ok(Some(way.config.relayhost.clone()).filter(|r| !r.is_empty()))
    }

    /// A sender-dependent table; `DUNNO` counts as not listed.
    async fn by_sender(
        &self,
        maps: &Maps,
        sender: &str,
        null_key: &str,
    ) -> Result<Option<String>, RouteError> {
        if maps.is_empty() {
            return Ok(None);
        }
        let forms =
            AddressForms { full: true, without_extension: true, at_domain: true, ..AddressForms::FULL };
        let key = if sender.is_empty() { null_key } else { sender };
        let found = match sender.is_empty() {
            true => maps.find(key).await.map(|v| v.map(|v| (v, None))),
            false => maps.find_address(key, &self.config.recipient_delimiter, forms).await,
        };
        let found = found.map_err(|_| self.lookup_failure(maps))?;
        Ok(found.map(|(value, _)| value).filter(|v| !v.eq_ignore_ascii_case("dunno")))
    }

    /// Puts the transport table's answer on top.
    async fn by_transport_maps(
        &self,
        maps: &Maps,
        spec: Spec,
        address: &str,
        domain: &str,
    ) -> Result<Spec, RouteError> {
        if maps.is_empty() {
            return Ok(spec);
        }
        let parents =
            if self.config.transport_parents { DomainForms::Parents } else { DomainForms::DotParents };
        let forms = AddressForms::transport(parents);
        let found = maps.find_address(address, &self.config.recipient_delimiter, forms).await;
        let found = match found.map_err(|_| self.lookup_failure(maps))? {
            Some((value, _)) => Some(value),
            None => maps.find("*").await.map_err(|_| self.lookup_failure(maps))?,
        };
        Ok(found.map_or_else(|| spec.clone(), |text| spec.clone().overridden(Spec::parse(&text), domain)))
    }

    pub(crate) fn lookup_failure(&self, maps: &Maps) -> RouteError {
        self.warn(&format!("{} lookup failure", maps.title()));
        failure()
    }
}

fn split(address: &str) -> (&str, Option<&str>) {
    proto_address::split_domain(address)
}

/// What an address without sense resolves to.
fn invalid(address: &str) -> Resolution {
    Resolution {
        transport: "error".into(),
        nexthop: "5.1.3 bad address syntax".into(),
        recipient: address.to_owned(),
        class: AddressClass::Default,
        routed: false,
        invalid: true,
    }
}

/// A host name (international ones too) or an address in brackets.
fn valid_domain(domain: &str) -> bool {
    match domain.starts_with('[') {
        true => literal_address(domain).is_some(),
        false => to_ascii(domain).is_some_and(|ascii| valid_hostname(&ascii)),
    }
}
