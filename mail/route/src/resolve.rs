//! From a recipient to transport, next hop and class (trivial-rewrite(8), "resolve sender address").

use crate::{
    class,
    config::{Hop, RouteConfig},
    rewrite::without_route,
};
use base_calls::{AddressClass, Resolution};
use base_tables::{AddressForms, DomainForms, Maps, TableError};
use std::borrow::Cow;

/// Longest chain of local domains stripped from one address.
const MAX_HOPS: usize = 50;

/// An address after the local hops are gone.
struct Target<'a> {
    local: Cow<'a, str>,
    domain: Cow<'a, str>,
    is_local: bool,
    routed: bool,
}

/// Resolves `recipient` of mail from `sender`.
pub(crate) async fn resolve(
    config: &RouteConfig,
    sender: &str,
    recipient: &str,
) -> Result<Resolution, TableError> {
    let target = strip_local(config, recipient).await?;
    let class = match target.is_local {
        true => AddressClass::Local,
        false => class::remote_class(config, &target.domain).await?,
    };
    let address = format!("{}@{}", target.local, target.domain);
    if is_invalid(config, &target) {
        let text = format!("5.1.3 bad address syntax: \"{recipient}\"");
        return Ok(found("error", &text, address, class, &target, true));
    }
    if let Some(moved) = relocated(config, &address, class).await? {
        return Ok(found("error", &moved, address, class, &target, false));
    }
    let mut hop = by_class(config, sender, class, &target.domain).await?;
    if let Some(entry) = transport_entry(config, recipient, &address, &target.domain).await? {
        apply(&mut hop, &entry, &target.domain);
    }
    Ok(found(&hop.transport, &hop.nexthop, address, class, &target, false))
}

fn found(
    transport: &str,
    nexthop: &str,
    recipient: String,
    class: AddressClass,
    target: &Target<'_>,
    invalid: bool,
) -> Resolution {
    let routed = target.routed;
    Resolution { transport: transport.into(), nexthop: nexthop.into(), recipient, class, routed, invalid }
}

/// Takes local domains off the address while what remains names another one (`user%other@local`).
async fn strip_local<'a>(config: &RouteConfig, recipient: &'a str) -> Result<Target<'a>, TableError> {
    let mut address = Cow::Borrowed(without_route(recipient));
    if address.is_empty() {
        address = Cow::Owned(config.empty_address_recipient.clone());
    }
    let mut routed = false;
    for _ in 0..MAX_HOPS {
        let Some((local, domain)) = split(config, &address) else {
            let (local, domain) = (address, Cow::Owned(config.myhostname.clone()));
            return Ok(Target { local, domain, is_local: true, routed });
        };
        if !class::is_local(config, &domain).await? {
            routed |= has_more_hops(config, &local);
            return Ok(Target { local: local.into(), domain: domain.into(), is_local: false, routed });
        }
        match inner(config, &local) {
            Some(next) => {
                address = Cow::Owned(next);
                routed = true;
            }
            None => return Ok(Target { local: local.into(), domain: domain.into(), is_local: true, routed }),
        }
    }
    Ok(Target { local: address, domain: Cow::Borrowed(""), is_local: false, routed: true })
}

/// Local part and domain, without a final dot. A null domain is the local host when `resolve_null_domain` says so.
fn split(config: &RouteConfig, address: &str) -> Option<(String, String)> {
    let (local, domain) = address.rsplit_once('@')?;
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let domain = match domain {
        "" if config.resolve_null_domain => config.myhostname.clone(),
        d if config.resolve_numeric_domain && proto_address::valid_ip(d) => format!("[{d}]"),
        d => d.to_owned(),
    };
    Some((local.to_owned(), domain))
}

/// The address inside a local part, when looking inside is allowed.
fn inner(config: &RouteConfig, local: &str) -> Option<String> {
    let stripped = without_route(local);
    if config.resolve_dequoted_address && stripped.contains('@') {
        return Some(stripped.to_owned());
    }
    if config.rewrite.swap_bangpath
        && let Some((site, user)) = local.split_once('!')
        && !site.is_empty()
        && !user.is_empty()
    {
        return Some(format!("{user}@{site}"));
    }
    let (user, domain) = local.rsplit_once('%').filter(|_| config.rewrite.percent_hack)?;
    (!user.is_empty() && !domain.is_empty()).then(|| format!("{user}@{domain}"))
}

/// Whether a remote address has routing characters in its local part (`allow_untrusted_routing`).
fn has_more_hops(config: &RouteConfig, local: &str) -> bool {
    let percent = config.rewrite.percent_hack && local.contains('%');
    let bang = config.rewrite.swap_bangpath && local.contains('!');
    local.contains('@') || percent || bang
}

/// Addresses that no transport could deliver to.
fn is_invalid(config: &RouteConfig, t: &Target<'_>) -> bool {
    let bad_user = t.local.is_empty() || (t.local.starts_with('-') && !config.allow_min_user);
    let bad_domain = match t.domain.strip_prefix('[') {
        Some(rest) => !rest.strip_suffix(']').is_some_and(proto_address::valid_domain_literal),
        None => t.domain.is_empty() || proto_address::valid_ip(&t.domain) || !is_host_name(&t.domain),
    };
    bad_user || bad_domain
}

fn is_host_name(domain: &str) -> bool {
    match domain.is_ascii() {
        true => proto_address::valid_hostname(domain),
        false => proto_address::to_ascii(domain).is_some_and(|d| proto_address::valid_hostname(&d)),
    }
}

/// relocated(5): the text for the sender, with its status code.
async fn relocated(
    config: &RouteConfig,
    address: &str,
    class: AddressClass,
) -> Result<Option<String>, TableError> {
    if config.relocated_maps.is_empty() {
        return Ok(None);
    }
    let forms = AddressForms::rewriting(class == AddressClass::Local);
    let found = config.relocated_maps.find_address(address, &config.recipient_delimiter, forms).await?;
    let prefix = if config.relocated_prefix { "5.1.6 User has moved to " } else { "" };
    Ok(found.map(|(to, _)| format!("{prefix}{to}")))
}

/// Transport and next hop by address class (postconf(5) `*_transport`, `relayhost`).
async fn by_class(
    config: &RouteConfig,
    sender: &str,
    class: AddressClass,
    domain: &str,
) -> Result<Hop, TableError> {
    let hop = match class {
        AddressClass::Local => config.local_transport.clone(),
        AddressClass::VirtualMailbox => config.virtual_transport.clone(),
        AddressClass::VirtualAlias => {
            let table = if config.show_virtual_table { " in virtual alias table" } else { "" };
            Hop { transport: "error".into(), nexthop: format!("5.1.1 User unknown{table}") }
        }
        AddressClass::Relay => with_relayhost(config, sender, config.relay_transport.clone()).await?,
        AddressClass::Default => {
            let by_sender = sender_entry(
                config,
                &config.sender_transport_maps,
                sender,
                &config.sender_null_transport_key,
            );
            let hop = by_sender.await?.map_or_else(|| config.default_transport.clone(), |t| Hop::parse(&t));
            with_relayhost(config, sender, hop).await?
        }
    };
    Ok(with_domain(hop, domain))
}

fn with_domain(mut hop: Hop, domain: &str) -> Hop {
    if hop.nexthop.is_empty() {
        hop.nexthop = domain.to_owned();
    }
    hop
}

/// The relay host, unless the transport parameter has a next hop of its own.
async fn with_relayhost(config: &RouteConfig, sender: &str, mut hop: Hop) -> Result<Hop, TableError> {
    if hop.nexthop.is_empty() {
        let by_sender =
            sender_entry(config, &config.sender_relayhost_maps, sender, &config.sender_null_relayhost_key);
        hop.nexthop = match by_sender.await? {
            Some(host) => host,
            None => config.relayhost.clone(),
        };
    }
    Ok(hop)
}

/// A sender-dependent entry: by `user@domain`, then `@domain`; `DUNNO` means none.
async fn sender_entry(
    config: &RouteConfig,
    maps: &Maps,
    sender: &str,
    null_key: &str,
) -> Result<Option<String>, TableError> {
    if maps.is_empty() {
        return Ok(None);
    }
    let key = if sender.is_empty() { null_key } else { sender };
    let forms = AddressForms::rewriting(false);
    let found = maps.find_address(key, &config.recipient_delimiter, forms).await?;
    Ok(found.map(|(v, _)| v).filter(|v| !v.eq_ignore_ascii_case("DUNNO")))
}

/// The entry of transport(5).
async fn transport_entry(
    config: &RouteConfig,
    recipient: &str,
    address: &str,
    domain: &str,
) -> Result<Option<Hop>, TableError> {
    let maps = &config.transport_maps;
    if maps.is_empty() {
        return Ok(None);
    }
    let null = format!("{}@{}", config.empty_address_recipient, config.myhostname);
    let key = if recipient.is_empty() { null.as_str() } else { address };
    let forms = AddressForms {
        domain: false,
        parents: DomainForms::None,
        ..AddressForms::transport(DomainForms::None)
    };
    if let Some((entry, _)) = maps.find_address(key, &config.recipient_delimiter, forms).await? {
        return Ok(Some(Hop::parse(&entry)));
    }
    if let Some(entry) = maps.find_domain(domain, config.transport_parents).await? {
        return Ok(Some(Hop::parse(&entry)));
    }
    Ok(maps.find("*").await?.map(|entry| Hop::parse(&entry)))
}

/// Applies a transport(5) entry: a null part means "do not change", but a transport alone resets the next hop.
fn apply(hop: &mut Hop, entry: &Hop, domain: &str) {
    if !entry.transport.is_empty() {
        hop.transport.clone_from(&entry.transport);
        hop.nexthop = if entry.nexthop.is_empty() { domain.to_owned() } else { entry.nexthop.clone() };
    } else if !entry.nexthop.is_empty() {
        hop.nexthop.clone_from(&entry.nexthop);
    }
}
