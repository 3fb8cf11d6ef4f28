//! From the router's answer to transport and next hop, as the queue manager changes it.
//!
//! Pure. Content filters replace the route, `defer_transports` and failed look-ups send to `retry`, addresses that make no
//! sense to `error`, mail for the double-bounce address is swallowed (qmgr(8)).

use crate::config::ScheduleConfig;
use crate::core::RETRY;
use base_calls::{AddressClass, Envelope, Mode, Recipient, Resolution, RouteError, Target};
use std::sync::Arc;

/// The transport that bounces with the text of its next hop.
pub const ERROR: &str = "error";

/// Where one recipient goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// To an agent.
    Deliver {
        /// Transport.
        transport: Arc<str>,
        /// Next hop.
        nexthop: Arc<str>,
        /// Recipient.
        target: Target,
    },
    /// Nowhere: a notice to postmaster that could not be delivered.
    Swallow(Target),
}

/// Decides for recipient `index`. `answer` is the router's; `None` when it was not asked, for an expired message.
/// A `flush` goes past `defer_transports`.
pub fn plan(
    index: u32,
    recipient: &Recipient,
    envelope: &Envelope,
    answer: Option<Result<Resolution, RouteError>>,
    config: &ScheduleConfig,
    flush: bool,
) -> Plan {
    let to = |transport: &str, nexthop: &str| Plan::Deliver {
        transport: Arc::from(transport),
        nexthop: Arc::from(nexthop),
        target: Target { index, address: recipient.address.clone() },
    };
    let resolution = match answer {
        None => return to(RETRY, "4.7.0 message is administratively expired"),
        Some(Err(_)) => return to(RETRY, "4.3.0 address resolver failure"),
        Some(Ok(r)) if r.invalid => return to(ERROR, "5.1.3 bad address syntax"),
        Some(Ok(r)) => r,
    };
    let target = Target { index, address: resolution.recipient };
    if resolution.class == AddressClass::Local && is_double_bounce(&target.address, config) {
        return Plan::Swallow(target);
    }
    let (transport, nexthop) = match filter(envelope, &target.address, config) {
        Some(filtered) => filtered,
        None => (resolution.transport, resolution.nexthop),
    };
    if !flush && config.is_deferred(&transport) {
        return to(RETRY, "4.3.2 deferred transport");
    }
    Plan::Deliver { transport, nexthop, target }
}

fn is_double_bounce(address: &str, config: &ScheduleConfig) -> bool {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    local.eq_ignore_ascii_case(&config.double_bounce)
}

/// `content_filter = transport:nexthop`; an empty next hop is `default_filter_nexthop` or the recipient's domain.
fn filter(envelope: &Envelope, address: &str, config: &ScheduleConfig) -> Option<(Arc<str>, Arc<str>)> {
    if envelope.content_filter.is_empty() || envelope.mode() == Mode::Verify {
        return None;
    }
    let (transport, nexthop) =
        envelope.content_filter.split_once(':').unwrap_or((&envelope.content_filter, ""));
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let nexthop =
        [nexthop, &config.filter_nexthop, domain].into_iter().find(|s| !s.is_empty()).unwrap_or_default();
    Some((Arc::from(transport), Arc::from(nexthop)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_conf::{Config, MasterCf};
    use proto_dsn::Status;

    fn show(
        main: &str,
        filter: &str,
        address: &str,
        answer: Option<Result<Resolution, RouteError>>,
    ) -> String {
        let config =
            ScheduleConfig::from_config(&Config::from_text(main), &MasterCf::default()).expect("config");
        let r = Recipient { address: address.into(), ..Recipient::default() };
        let e = Envelope { content_filter: filter.trim_end_matches('!').into(), ..Envelope::default() };
        match plan(3, &r, &e, answer, &config, filter.ends_with('!')) {
            Plan::Deliver { transport, nexthop, target } => {
                format!("{transport}:{nexthop} {}", target.address)
            }
            Plan::Swallow(t) => format!("swallow {}", t.address),
        }
    }

    fn good(class: AddressClass, transport: &str, recipient: &str) -> Option<Result<Resolution, RouteError>> {
        Some(Ok(Resolution {
            transport: transport.into(),
            nexthop: "hop".into(),
            recipient: recipient.into(),
            class,
            routed: false,
            invalid: false,
        }))
    }

    #[test]
    fn cases() {
        use AddressClass::{Default as Other, Local};
        let bad = |invalid| good(Other, "smtp", "x").map(|r| r.map(|r| Resolution { invalid, ..r }));
        let down = Some(Err(RouteError { status: Status::new(4, 3, 0), text: "down".into() }));
        let c = |main, filter, address, answer| show(main, filter, address, answer);
        assert_eq!(c("", "", "a@b", good(Other, "smtp", "a@c")), "smtp:hop a@c");
        assert_eq!(c("", "", "a@b", None), "retry:4.7.0 message is administratively expired a@b");
        assert_eq!(c("", "", "a@b", down), "retry:4.3.0 address resolver failure a@b");
        assert_eq!(c("", "", "@@", bad(true)), "error:5.1.3 bad address syntax @@");
        assert_eq!(
            c("defer_transports = uucp smtp", "", "a@b", good(Other, "smtp", "a@b")),
            "retry:4.3.2 deferred transport a@b"
        );
        assert_eq!(c("defer_transports = smtp", "!", "a@b", good(Other, "smtp", "a@b")), "smtp:hop a@b");
        assert_eq!(c("", "", "x", good(Local, "local", "Double-Bounce@b")), "swallow Double-Bounce@b");
        assert_eq!(c("", "", "x", good(Other, "smtp", "double-bounce@b")), "smtp:hop double-bounce@b");
        assert_eq!(
            c("", "scan:[127.0.0.1]:10025", "x", good(Local, "local", "a@b")),
            "scan:[127.0.0.1]:10025 a@b"
        );
        assert_eq!(c("", "scan:", "x", good(Local, "local", "a@b")), "scan:b a@b");
        assert_eq!(c("default_filter_nexthop = h", "scan", "x", good(Local, "local", "a@b")), "scan:h a@b");
        assert_eq!(
            c("defer_transports = scan", "scan:x", "a@b", good(Local, "local", "a@b")),
            "retry:4.3.2 deferred transport a@b"
        );
    }
}
