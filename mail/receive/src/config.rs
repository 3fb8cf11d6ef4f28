//! The typed snapshot of one smtpd service of master.cf.

use crate::{filter::FilterSettings, proxy::Proxy, sasl::SaslConfig, tls::TlsConfig, users::UserLimits};
use base_conf::{Config, Error};
use base_net::Protocols;
use base_tables::{Maps, MatchKind, MatchList, Tables};
use mail_restrict::RestrictConfig;
use proto_smtp::{
    BareLf, Keyword, Keywords,
    server::{Limits, Settings},
};
use std::{num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

/// What changes when all the service's processes are taken (STRESS_README).
#[derive(Debug, Clone)]
pub struct Pressure {
    pub(crate) timeout: Duration,
    /// Of a handshake.
    pub(crate) starttls: Duration,
    pub(crate) per_request_deadline: bool,
    pub(crate) limits: Limits,
}

/// `smtpd_client_*_limit`, 0: none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClientLimits {
    pub(crate) connections: u32,
    pub(crate) connection_rate: u32,
    pub(crate) message_rate: u32,
    pub(crate) recipient_rate: u32,
    pub(crate) new_tls_rate: u32,
    pub(crate) auth_rate: u32,
}

/// Everything that a session reads from main.cf.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    /// Restrictions.
    pub restrict: Arc<RestrictConfig>,
    pub(crate) service: String,
    pub(crate) source_name: String,
    pub(crate) normal: Pressure,
    pub(crate) stress: Pressure,
    /// Everything as it is under stress, where more than built-in values depends on it.
    pub(crate) under_stress: Option<Arc<Self>>,
    pub(crate) settings: Settings,
    pub(crate) banner: String,
    pub(crate) mail_name: String,
    pub(crate) myhostname: String,
    pub(crate) error_sleep: Duration,
    pub(crate) min_data_rate: Option<NonZeroU32>,
    pub(crate) line_limit: usize,
    pub(crate) bare_lf: BareLf,
    pub(crate) bare_lf_code: u16,
    pub(crate) forbid_pipelining: bool,
    pub(crate) peername_lookup: bool,
    pub(crate) footer: String,
    pub(crate) content_filter: String,
    pub(crate) filter: Option<Arc<FilterSettings>>,
    pub(crate) options: base_calls::SubmitOptions,
    pub(crate) milters: Option<crate::milters::MilterConfig>,
    pub(crate) noop_commands: Vec<String>,
    pub(crate) client_limits: ClientLimits,
    pub(crate) rate_unit: Duration,
    pub(crate) user_limits: Option<UserLimits>,
    /// `smtpd_client_ipv4_prefix_length`, `smtpd_client_ipv6_prefix_length`.
    pub(crate) prefixes: (u8, u8),
    pub(crate) notify: Vec<String>,
    pub(crate) error_notice_recipient: String,
    pub(crate) bounce_notice_recipient: String,
    /// Milters and checks look at notices to the postmaster too (`internal_mail_filter_classes`).
    pub(crate) filter_notices: bool,
    pub(crate) double_bounce_sender: String,
    pub(crate) header_from_obsolete: bool,
    pub(crate) port_logging: bool,
    pub(crate) queue_directory: PathBuf,
    pub(crate) queue_minfree: u64,
    pub(crate) proxy: Option<Proxy>,
    /// `inet_protocols`.
    pub(crate) protocols: Protocols,
    pub(crate) sasl: SaslConfig,
    pub(crate) tls: TlsConfig,
    texts: Texts,
}

/// Tables and match lists as configured.
#[derive(Debug, Clone)]
struct Texts {
    local_rewrite: Vec<String>,
    xclient_hosts: String,
    xforward_hosts: String,
    verp_clients: String,
    bare_lf_exclusions: String,
    limit_exceptions: String,
    user_exceptions: String,
    discard_maps: String,
    dns_reply_filter: String,
    command_filter: String,
    forbidden_commands: String,
    footer_maps: String,
    reject_filter_maps: String,
    fast_flush_domains: String,
    relay_clientcerts: String,
    parent_domains: Vec<String>,
}

fn limits(cfg: &Config) -> Result<Limits, Error> {
    let int = |name| cfg.int(name).map(|n| u32::try_from(n).unwrap_or(0));
    Ok(Limits {
        soft_errors: int("smtpd_soft_error_limit")?,
        hard_errors: int("smtpd_hard_error_limit")?.max(1),
        junk: int("smtpd_junk_command_limit")?,
        recipients: int("smtpd_recipient_limit")?,
        recipient_overshoot: int("smtpd_recipient_overshoot_limit")?,
    })
}

fn pressure(cfg: &Config) -> Result<Pressure, Error> {
    Ok(Pressure {
        timeout: cfg.time("smtpd_timeout")?,
        starttls: cfg.time("smtpd_starttls_timeout")?.max(Duration::from_secs(1)),
        per_request_deadline: cfg.bool("smtpd_per_request_deadline")?,
        limits: limits(cfg)?,
    })
}

/// Keywords of what this server can do.
fn offer(cfg: &Config) -> Result<Keywords, Error> {
    let usual = Settings::default().offer;
    Ok(if cfg.bool("requiretls_enable")? { usual.union(Keywords::of(&[Keyword::RequireTls])) } else { usual })
}

impl SmtpConfig {
    /// The tables of `smtpd_dns_reply_filter`.
    pub(crate) fn dns_reply_filter(&self, tables: &Tables) -> Maps {
        Maps::open(tables, "smtpd_dns_reply_filter", &self.texts.dns_reply_filter)
    }

    /// The timeouts and limits of a session.
    pub(crate) fn pressure(&self, stressed: bool) -> &Pressure {
        if stressed { &self.stress } else { &self.normal }
    }

    /// Reads the parameters. `cfg` is the view of the service: its `-o` overrides and names.
    pub fn from_config(cfg: &Config) -> Result<Self, Error> {
        let stressed = cfg.with([("stress".to_owned(), "yes".to_owned())]);
        let normal = Self::read(cfg, &stressed)?;
        let under_stress =
            if cfg.mentions("stress") { Some(Arc::new(Self::read(&stressed, &stressed)?)) } else { None };
        Ok(Self { under_stress, ..normal })
    }

    fn read(cfg: &Config, stressed: &Config) -> Result<Self, Error> {
        let normal = pressure(cfg)?;
        let list = |name: &str| cfg.str(name);
        let overrides = cfg.list("receive_override_options")?;
        let off = |name: &str| overrides.iter().any(|o| o == name);
        let mut restrict = RestrictConfig::from_config(cfg)?;
        restrict.unlisted_recipient &= !off("no_unknown_recipient_checks");
        Ok(Self {
            restrict: Arc::new(restrict),
            service: cfg.str("service_name").unwrap_or_else(|_| "smtp".into()),
            source_name: format!("{}/smtpd", cfg.str("syslog_name")?),
            settings: settings(cfg, normal.limits)?,
            normal,
            stress: pressure(stressed)?,
            under_stress: None,
            banner: cfg.str("smtpd_banner")?,
            mail_name: cfg.str("mail_name")?,
            myhostname: cfg.str("myhostname")?,
            error_sleep: cfg.time("smtpd_error_sleep_time")?,
            min_data_rate: u32::try_from(cfg.int("smtpd_min_data_rate")?).ok().and_then(NonZeroU32::new),
            line_limit: usize::try_from(cfg.int("line_length_limit")?).unwrap_or(2048).clamp(512, 1 << 20),
            bare_lf: bare_lf(&cfg.str("smtpd_forbid_bare_newline")?),
            bare_lf_code: u16::try_from(cfg.int("smtpd_forbid_bare_newline_reject_code")?).unwrap_or(550),
            forbid_pipelining: cfg.bool("smtpd_forbid_unauth_pipelining")?,
            peername_lookup: cfg.bool("smtpd_peername_lookup")?,
            footer: cfg.raw("smtpd_reject_footer").unwrap_or_default(),
            content_filter: cfg.str("content_filter")?,
            filter: FilterSettings::new(cfg)?,
            options: base_calls::SubmitOptions {
                filter: !off("no_header_body_checks"),
                map_addresses: !off("no_address_mappings"),
                bcc: !off("no_address_mappings"),
                no_milters: off("no_milters"),
                ..base_calls::SubmitOptions::EXTERNAL
            },
            milters: crate::milters::MilterConfig::from_config(cfg, off("no_milters"))?,
            noop_commands: cfg.list("smtpd_noop_commands")?,
            client_limits: client_limits(cfg)?,
            rate_unit: cfg.time("anvil_rate_time_unit")?,
            user_limits: UserLimits::from_config(cfg)?,
            prefixes: prefixes(cfg)?,
            notify: cfg.list("notify_classes")?,
            error_notice_recipient: cfg.str("error_notice_recipient")?,
            bounce_notice_recipient: cfg.str("bounce_notice_recipient")?,
            filter_notices: cfg
                .list("internal_mail_filter_classes")?
                .iter()
                .any(|c| c.eq_ignore_ascii_case("notify")),
            double_bounce_sender: cfg.str("double_bounce_sender")?,
            header_from_obsolete: cfg.str("header_from_format")?.eq_ignore_ascii_case("obsolete"),
            port_logging: cfg.bool("smtpd_client_port_logging")?,
            queue_directory: cfg.str("queue_directory")?.into(),
            queue_minfree: u64::try_from(cfg.int("queue_minfree")?).unwrap_or(0),
            sasl: SaslConfig::from_config(cfg)?,
            tls: TlsConfig::from_config(cfg)?,
            proxy: Proxy::from_config(cfg, "smtpd_upstream_proxy_protocol", "smtpd_upstream_proxy_timeout")?,
            protocols: Protocols::parse(&cfg.str("inet_protocols")?).unwrap_or(Protocols::ALL),
            texts: Texts {
                local_rewrite: cfg.list("local_header_rewrite_clients")?,
                xclient_hosts: list("smtpd_authorized_xclient_hosts")?,
                xforward_hosts: list("smtpd_authorized_xforward_hosts")?,
                verp_clients: list("smtpd_authorized_verp_clients")?,
                bare_lf_exclusions: list("smtpd_forbid_bare_newline_exclusions")?,
                limit_exceptions: list("smtpd_client_event_limit_exceptions")?,
                user_exceptions: list("smtpd_user_event_limit_exceptions")?,
                discard_maps: list("smtpd_discard_ehlo_keyword_address_maps")?,
                dns_reply_filter: list("smtpd_dns_reply_filter")?,
                command_filter: list("smtpd_command_filter")?,
                forbidden_commands: list("smtpd_forbidden_commands")?,
                reject_filter_maps: list("smtpd_reject_filter_maps")?,
                footer_maps: list("smtpd_reject_footer_maps")?,
                fast_flush_domains: list("fast_flush_domains")?,
                relay_clientcerts: list("relay_clientcerts")?,
                parent_domains: cfg.list("parent_domain_matches_subdomains")?,
            },
        })
    }
}

fn settings(cfg: &Config, limits: Limits) -> Result<Settings, Error> {
    let discarded = Keywords::parse_discard(&cfg.str("smtpd_discard_ehlo_keywords")?)
        .map_err(|word| Error::new(format!("unknown EHLO keyword in smtpd_discard_ehlo_keywords: {word}")))?;
    Ok(Settings {
        hostname: cfg.str("myhostname")?,
        offer: offer(cfg)?,
        discarded,
        size_limit: u64::try_from(cfg.int("message_size_limit")?).unwrap_or(0),
        helo_required: cfg.bool("smtpd_helo_required")?,
        strict_envelopes: cfg.bool("strict_rfc821_envelopes")?,
        smtputf8: cfg.bool("smtputf8_enable")?,
        strict_smtputf8: cfg.bool("strict_smtputf8")?,
        disable_vrfy: cfg.bool("disable_vrfy_command")?,
        verp_delimiters: (cfg.str("default_verp_delimiters")?, cfg.str("verp_delimiter_filter")?),
        limits,
        ..Settings::default()
    })
}

fn client_limits(cfg: &Config) -> Result<ClientLimits, Error> {
    let int = |name| cfg.int(name).map(|n| u32::try_from(n).unwrap_or(0));
    Ok(ClientLimits {
        connections: int("smtpd_client_connection_count_limit")?,
        connection_rate: int("smtpd_client_connection_rate_limit")?,
        message_rate: int("smtpd_client_message_rate_limit")?,
        recipient_rate: int("smtpd_client_recipient_rate_limit")?,
        new_tls_rate: int("smtpd_client_new_tls_session_rate_limit")?,
        auth_rate: int("smtpd_client_auth_rate_limit")?,
    })
}

/// `smtpd_client_ipv4_prefix_length`, `smtpd_client_ipv6_prefix_length`.
pub(crate) fn prefixes(cfg: &Config) -> Result<(u8, u8), Error> {
    Ok((
        prefix(cfg, "smtpd_client_ipv4_prefix_length", 32)?,
        prefix(cfg, "smtpd_client_ipv6_prefix_length", 128)?,
    ))
}

fn prefix(cfg: &Config, name: &str, max: u8) -> Result<u8, Error> {
    Ok(u8::try_from(cfg.int(name)?).unwrap_or(max).min(max))
}

fn bare_lf(text: &str) -> BareLf {
    match text.to_ascii_lowercase().as_str() {
        "no" => BareLf::Allow,
        "reject" => BareLf::Reject,
        _ => BareLf::Normalize,
    }
}

/// The lists and tables of a configuration, opened.
pub(crate) struct Lists {
    pub(crate) local_rewrite: Vec<LocalRewrite>,
    pub(crate) xclient: MatchList,
    pub(crate) xforward: MatchList,
    pub(crate) verp: MatchList,
    pub(crate) bare_lf_exclusions: MatchList,
    pub(crate) limit_exceptions: MatchList,
    pub(crate) user_exceptions: MatchList,
    pub(crate) forbidden_commands: MatchList,
    pub(crate) mynetworks: MatchList,
    pub(crate) discard: Maps,
    pub(crate) command_filter: Maps,
    pub(crate) footers: Maps,
    pub(crate) reject_filters: Maps,
    pub(crate) milter_maps: Maps,
    pub(crate) fast_flush_domains: MatchList,
    pub(crate) relay_clientcerts: Maps,
}

/// One word of `local_header_rewrite_clients`.
pub(crate) enum LocalRewrite {
    InetInterfaces,
    Mynetworks,
    SaslAuthenticated,
    TlsClientCerts { all: bool },
    AddressMap(Maps),
}

impl Lists {
    pub(crate) fn open(c: &SmtpConfig, tables: &Tables) -> Self {
        let t = &c.texts;
        let parents = |name: &str| t.parent_domains.iter().any(|p| p == name);
        let host =
            |name: &str, text: &str| MatchList::open(tables, name, text, MatchKind::Host, parents(name));
        let strings = |name: &str, text: &str| MatchList::open(tables, name, text, MatchKind::String, false);
        Self {
            local_rewrite: local_rewrite(&t.local_rewrite, tables),
            xclient: host("smtpd_authorized_xclient_hosts", &t.xclient_hosts),
            xforward: host("smtpd_authorized_xforward_hosts", &t.xforward_hosts),
            verp: host("smtpd_authorized_verp_clients", &t.verp_clients),
            bare_lf_exclusions: host("smtpd_forbid_bare_newline_exclusions", &t.bare_lf_exclusions),
            limit_exceptions: host("smtpd_client_event_limit_exceptions", &t.limit_exceptions),
            mynetworks: host("mynetworks", &c.restrict.mynetworks),
            user_exceptions: strings("smtpd_user_event_limit_exceptions", &t.user_exceptions),
            forbidden_commands: strings("smtpd_forbidden_commands", &t.forbidden_commands),
            discard: Maps::open(tables, "smtpd_discard_ehlo_keyword_address_maps", &t.discard_maps),
            command_filter: Maps::open(tables, "smtpd_command_filter", &t.command_filter),
            fast_flush_domains: MatchList::open(
                tables,
                "fast_flush_domains",
                &t.fast_flush_domains,
                MatchKind::Domain,
                parents("fast_flush_domains"),
            ),
            relay_clientcerts: Maps::open(tables, "relay_clientcerts", &t.relay_clientcerts),
            milter_maps: crate::milters::MilterConfig::maps(c.milters.as_ref(), tables),
            reject_filters: Maps::open(tables, "smtpd_reject_filter_maps", &t.reject_filter_maps),
            footers: Maps::open(tables, "smtpd_reject_footer_maps", &t.footer_maps),
        }
    }
}

fn local_rewrite(words: &[String], tables: &Tables) -> Vec<LocalRewrite> {
    let mut words = words.iter();
    let mut out = Vec::new();
    while let Some(word) = words.next() {
        match word.to_ascii_lowercase().as_str() {
            "permit_inet_interfaces" => out.push(LocalRewrite::InetInterfaces),
            "permit_mynetworks" => out.push(LocalRewrite::Mynetworks),
            "permit_sasl_authenticated" => out.push(LocalRewrite::SaslAuthenticated),
            "check_address_map" => {
                let spec = words.next().map_or("", String::as_str);
                out.push(LocalRewrite::AddressMap(Maps::open(tables, "local_header_rewrite_clients", spec)));
            }
            spec if spec.contains(':') => {
                out.push(LocalRewrite::AddressMap(Maps::open(tables, "local_header_rewrite_clients", word)));
            }
            "permit_tls_clientcerts" => out.push(LocalRewrite::TlsClientCerts { all: false }),
            "permit_tls_all_clientcerts" => out.push(LocalRewrite::TlsClientCerts { all: true }),
            _ => {}
        }
    }
    out
}

/// A copy of the discard set with what a table says for this client in its place.
pub(crate) fn discard_for(client: Option<String>, all: Keywords) -> (Keywords, Option<String>) {
    match client.as_deref().map(Keywords::parse_discard) {
        None => (all, None),
        Some(Ok(set)) => (set, None),
        Some(Err(word)) => (all, Some(word)),
    }
}

/// The words that the log shows for discarded keywords; `None` when nothing is to be logged.
pub(crate) fn discard_text(set: Keywords) -> Option<String> {
    if set.is_empty() || set.has(Keyword::SilentDiscard) {
        return None;
    }
    Some(set.iter().map(Keyword::name).collect::<Vec<_>>().join(" "))
}
