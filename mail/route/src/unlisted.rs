//! Does a recipient in one of our domains exist? (postconf(5) `reject_unlisted_recipient`.)

use crate::{config::RouteConfig, resolve::resolve};
use base_calls::AddressClass;
use base_tables::{AddressForms, Maps, TableError};

/// `None` when the recipient exists or its domain is not ours; else the class whose table does not list it.
pub(crate) async fn unlisted(
    config: &RouteConfig,
    recipient: &str,
) -> Result<Option<AddressClass>, TableError> {
    let to = resolve(config, "", recipient).await?;
    if to.class == AddressClass::Default || is_double_bounce(config, &to.recipient) {
        return Ok(None);
    }
    let is_local = to.class == AddressClass::Local;
    let rewriting = [&config.recipient_canonical_maps, &config.canonical_maps, &config.virtual_alias_maps];
    for maps in rewriting {
        if has(config, maps, &to.recipient, is_local).await? {
            return Ok(None);
        }
    }
    let table = match to.class {
        AddressClass::Local => &config.local_recipient_maps,
        AddressClass::VirtualMailbox => &config.virtual_mailbox_maps,
        AddressClass::Relay => &config.relay_recipient_maps,
        AddressClass::VirtualAlias => return Ok(Some(to.class)),
        AddressClass::Default => return Ok(None),
    };
    if table.is_empty() || has(config, table, &to.recipient, is_local).await? {
        return Ok(None);
    }
    Ok(Some(to.class))
}

async fn has(config: &RouteConfig, maps: &Maps, address: &str, is_local: bool) -> Result<bool, TableError> {
    if maps.is_empty() {
        return Ok(false);
    }
    let forms = AddressForms::rewriting(is_local);
    Ok(maps.find_address(address, &config.recipient_delimiter, forms).await?.is_some())
}

/// The sender of double bounces is nobody's mailbox but must be accepted from our own probes.
fn is_double_bounce(config: &RouteConfig, address: &str) -> bool {
    let (local, domain) = proto_address::split_domain(address);
    let ours = [&config.myorigin, &config.myhostname];
    local.eq_ignore_ascii_case(&config.double_bounce_sender)
        && domain.is_some_and(|d| ours.iter().any(|o| d.eq_ignore_ascii_case(o)))
}
