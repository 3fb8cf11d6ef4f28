//! `smtp_dns_reply_filter`, `lmtp_dns_reply_filter`, `smtpd_dns_reply_filter`: tables that say which records to drop.
//!
//! A record is looked up as text; `IGNORE` drops it, with a line in the log. Any other action, or a table that does not
//! answer, is logged and fails the whole question for the time being ([`DnsError::FilterFailed`]). postconf(5).

use crate::{DnsError, ReplyFilter};
use base_log::{Log, Source};
use base_tables::Maps;
use std::{pin::Pin, sync::Arc};

/// A filter made of tables.
pub struct TableFilter {
    maps: Maps,
    log: Log,
    source: Source,
}

impl TableFilter {
    /// The filter that asks `maps`, titled as the parameter; `None` when there are none. `name`: who logs, as in `postfix/smtp`.
    pub fn open(maps: Maps, log: &Log, name: impl Into<Arc<str>>) -> Option<Arc<dyn ReplyFilter>> {
        if maps.is_empty() {
            return None;
        }
        Some(Arc::new(Self { maps, source: log.session_source(name), log: log.clone() }))
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

impl ReplyFilter for TableFilter {
    fn keeps<'a>(
        &'a self,
        record: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<bool, DnsError>> + Send + 'a>> {
        Box::pin(self.verdict(record))
    }
}
