//! Address classes (ADDRESS_CLASS_README).

use crate::config::RouteConfig;
use base_calls::AddressClass;
use base_tables::{MatchList, TableError};

/// Whether `domain` is one of this machine's own: `mydestination`, or `[address]` of one of its interfaces.
pub(crate) async fn is_local(config: &RouteConfig, domain: &str) -> Result<bool, TableError> {
    if let Some(address) = proto_address::literal_address(domain) {
        return Ok(config.own_addresses.contains(&address));
    }
    matches(&config.mydestination, domain).await
}

/// The class of a domain that is not local.
pub(crate) async fn remote_class(config: &RouteConfig, domain: &str) -> Result<AddressClass, TableError> {
    let lists = [
        (&config.virtual_alias_domains, AddressClass::VirtualAlias),
        (&config.virtual_mailbox_domains, AddressClass::VirtualMailbox),
        (&config.relay_domains, AddressClass::Relay),
    ];
    for (list, class) in lists {
        if matches(list, domain).await? {
            return Ok(class);
        }
    }
    Ok(AddressClass::Default)
}

async fn matches(list: &MatchList, domain: &str) -> Result<bool, TableError> {
    if list.is_empty() {
        return Ok(false);
    }
    match list.matches_now(domain) {
        Some(answer) => answer,
        None => list.matches(domain).await,
    }
}
