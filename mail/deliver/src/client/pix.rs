//! `smtp_pix_workarounds` and family: what is done for servers behind a CISCO PIX firewall, which shows itself by a greeting
//! of asterisks (postconf(5)).
//!
//! [`super::session`] asks once for each session, when the greeting is there. A table that fails is a warning, and the
//! usual workarounds count.

use super::session::Peer;
use crate::{Deps, report::Reporter};
use base_conf::{Config, Error, list};
use base_tables::Maps;
use std::time::Duration;

/// The parameters.
pub(crate) struct Pix {
    maps: Maps,
    usual: Vec<String>,
    delay: Duration,
    threshold: Duration,
}

/// What is done in a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Workarounds {
    /// `disable_esmtp`: HELO.
    pub disable_esmtp: bool,
    /// `delay_dotcrlf`: so long a pause before the end of the content.
    pub delay: Option<Duration>,
}

impl Pix {
    /// `prefix` is `smtp` or `lmtp`.
    pub fn open(prefix: &str, cfg: &Config, deps: &Deps) -> Result<Self, Error> {
        let name = |suffix: &str| format!("{prefix}_pix_workaround{suffix}");
        let maps = name("_maps");
        Ok(Self {
            maps: Maps::open(&deps.tables, &maps, &cfg.str(&maps)?),
            usual: cfg.list(&name("s"))?,
            delay: cfg.time(&name("_delay_time"))?,
            threshold: cfg.time(&name("_threshold_time"))?,
        })
    }

    /// The workarounds for a server with this greeting.
    pub async fn find(&self, greeting: &str, peer: &Peer, log: &Reporter<'_>) -> Workarounds {
        if !is_masked(greeting) {
            return Workarounds::default();
        }
        let words = self.words(peer, log).await;
        let has = |name: &str| words.iter().any(|w| w.eq_ignore_ascii_case(name));
        let late = log.waited() >= self.threshold;
        let chosen = Workarounds {
            disable_esmtp: has("disable_esmtp"),
            delay: (late && has("delay_dotcrlf")).then_some(self.delay),
        };
        let on = [("disable_esmtp", chosen.disable_esmtp), ("delay_dotcrlf", chosen.delay.is_some())];
        let on: Vec<&str> = on.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        if !on.is_empty() {
            log.info(&format!("enabling PIX workarounds: {} for {}", on.join(" "), peer.namaddrport()));
        }
        chosen
    }

    /// What is configured for a server.
    async fn words(&self, peer: &Peer, log: &Reporter<'_>) -> Vec<String> {
        match self.maps.find(&peer.address).await {
            Ok(Some(text)) => list::split(&text).into_iter().map(str::to_owned).collect(),
            Ok(None) => self.usual.clone(),
            Err(e) => {
                log.warning(&format!("{} lookup error for \"{}\"", e.table, peer.address));
                self.usual.clone()
            }
        }
    }
}

/// `220 *****************02*******0*00`
fn is_masked(greeting: &str) -> bool {
    let text = greeting.get(4..).unwrap_or_default().trim_end();
    text.contains('*') && text.chars().all(|c| matches!(c, '*' | '0' | '2' | ' '))
}

#[cfg(test)]
mod tests {
    use super::is_masked;

    #[test]
    fn greetings() {
        for (greeting, want) in [
            ("220 ****************************02*******0*00", true),
            ("220 *", true),
            ("220 ********** x", false),
            ("220 mail.example ESMTP", false),
            ("220 2002", false),
            ("220", false),
        ] {
            assert_eq!(is_masked(greeting), want, "{greeting}");
        }
    }
}
