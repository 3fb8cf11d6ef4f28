//! `tls=…` of delivery lines (postconf(5) `smtp_log_tls_feature_status`, from 3.11).
//!
//! The level that was wanted, and what became of it: `may`, `dane`; `may:none` and `dane:may` where less was had; `may?` when
//! the session ended before that was decided; `!verify` when it was not met. `/requiretls` follows when the sender demanded
//! it (RFC 8689): likewise with `:nostarttls` and the like, `?` and `!`.

use super::{
    requiretls::{self, Level as ReqLevel, missing},
    secure::Demands,
    session::Session,
    tls::Level,
};
use base_calls::Diagnosis;

/// How far a connection came.
pub(crate) enum Progress<'a> {
    /// There is a session.
    Session(&'a Session),
    /// There is none, for this reason.
    Failed(&'a Diagnosis),
}

/// The text after `tls=`.
pub(crate) fn text(demands: &Demands, progress: &Progress<'_>) -> String {
    let mut out = level(demands, progress);
    let Some(required) = demands.requiretls.filter(|l| *l > ReqLevel::Disable) else { return out };
    out.push('/');
    match progress {
        Progress::Session(s) => match missing(s) {
            None => out.push_str("requiretls"),
            Some(_) if required == ReqLevel::Enforce => out.push_str("!requiretls"),
            Some(what) => {
                out.push_str("requiretls:");
                out.push_str(what.tag());
            }
        },
        Progress::Failed(why) if why.status == requiretls::NEEDED => out.push_str("!requiretls"),
        Progress::Failed(_) => out.push_str("requiretls?"),
    }
    out
}

fn level(demands: &Demands, progress: &Progress<'_>) -> String {
    let wanted = demands.wanted.word();
    if demands.wanted == Level::None {
        return wanted.to_owned();
    }
    match progress {
        Progress::Session(s) => {
            let had = if s.tls.is_some() { demands.effective() } else { Level::None };
            if had == demands.wanted { wanted.to_owned() } else { format!("{wanted}:{}", had.word()) }
        }
        // RFC 3463 3.8: security.
        Progress::Failed(why) if why.status.subject() == 7 => format!("!{wanted}"),
        Progress::Failed(_) => format!("{wanted}?"),
    }
}
