//! How a client asks DNS: `smtp_dns_resolver_options`, `smtp_dns_reply_filter`, `smtp_dns_support_level`.

use super::config::Dialect;
use crate::Deps;
use base_conf::{Config, Error, Service};
use base_dns::{Manner, Resolver, TableFilter};
use base_tables::Maps;

/// The resolver of a service.
pub(crate) fn open(
    dialect: Dialect,
    service: &Service,
    cfg: &Config,
    deps: &Deps,
) -> Result<Resolver, Error> {
    let name = |suffix: &str| format!("{}_{suffix}", dialect.prefix());
    let (options, filter) = (name("dns_resolver_options"), name("dns_reply_filter"));
    let filter = Maps::open(&deps.tables, &filter, &cfg.str(&filter)?);
    let mut manner = Manner {
        dnssec: cfg.str(&name("dns_support_level"))? == "dnssec",
        filter: TableFilter::open(
            filter,
            &deps.log,
            format!("{}/{}", cfg.str("syslog_name")?, service.command),
        ),
        ..Manner::default()
    };
    for word in cfg.list(&options)? {
        match word.as_str() {
            "res_defnames" => manner.defnames = true,
            "res_dnsrch" => manner.dnsrch = true,
            _ => {
                let text = cfg.str(&options)?;
                return Err(Error::new(format!("unknown {options} value \"{word}\" in \"{text}\"")));
            }
        }
    }
    Ok(deps.resolver.with(manner))
}
