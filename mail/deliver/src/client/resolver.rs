//! How a client asks DNS: `smtp_dns_resolver_options`, `smtp_dns_reply_filter`, `smtp_dns_support_level`.

use super::config::Dialect;
use crate::Deps;
use base_conf::{Config, Error, Service};
use base_dns::{DnsError, Manner, ReplyFilter, Resolver};
use base_log::{Log, Source};
use base_tables::Maps;
use std::{pin::Pin, sync::Arc};

/// The resolver of a service.
pub(crate) fn open(
    dialect: Dialect,
    service: &Service,
    cfg: &Config,
    deps: &Deps,
) -> Result<Resolver, Error> {
    let name = |suffix: &str| format!("{}_{suffix}", dialect.prefix());
    let options = name("dns_resolver_options");
    let mut manner = Manner {
        dnssec: cfg.str(&name("dns_support_level"))? == "dnssec",
        filter: Filter::open(&name("dns_reply_filter"), service, cfg, deps)?,
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

/// A table that says which records to drop.
struct Filter {
    maps: Maps,
    log: Log,
    source: Source,
}

impl Filter {
    fn open(
        name: &str,
        service: &Service,
        cfg: &Config,
        deps: &Deps,
    ) -> Result<Option<Arc<dyn ReplyFilter>>, Error> {
        let maps = Maps::open(&deps.tables, name, &cfg.str(name)?);
        if maps.is_empty() {
            return Ok(None);
        }
        let source = deps.log.session_source(format!("{}/{}", cfg.str("syslog_name")?, service.command));
        Ok(Some(Arc::new(Self { maps, log: deps.log.clone(), source })))
    }

    async fn verdict(&self, record: &str) -> Result<bool, DnsError> {
        let title = self.maps.title();
        match self.maps.find(record).await {
            Ok(None) => Ok(true),
            Ok(Some(action)) if action.eq_ignore_ascii_case("ignore") => {
                self.log.info(&self.source, format_args!("ignoring DNS RR: {record}"));
                Ok(false)
            }
            Ok(Some(action)) => {
                let text = format_args!("{title}: unknown DNS filter action: \"{action}\"");
                self.log.warning(&self.source, text);
                Err(DnsError::FilterFailed)
            }
            Err(_) => {
                self.log.warning(&self.source, format_args!("{title}: lookup error for \"{record}\""));
                Err(DnsError::FilterFailed)
            }
        }
    }
}

impl ReplyFilter for Filter {
    fn keeps<'a>(
        &'a self,
        record: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<bool, DnsError>> + Send + 'a>> {
        Box::pin(self.verdict(record))
    }
}
