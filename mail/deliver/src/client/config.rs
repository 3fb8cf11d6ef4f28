//! The settings of an SMTP or LMTP client service: `smtp_…` and `lmtp_…` of postconf(5).

use super::{
    checks::Checks, generic::Generic, pix::Pix, requiretls::RequireTls, sasl::Sasl, srv, sts::Sts, tls::Tls,
    tls_reports::TlsReports,
};
use crate::Deps;
use base_conf::{Config, Error, Service, computed};
use base_dns::Hosts;
use base_net::Protocols;
use base_tables::{Maps, MatchKind, MatchList};
use proto_smtp::{
    Keywords,
    client::{HelloOptions, Probe, Stage},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

/// SMTP or LMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Smtp,
    Lmtp,
}

impl Dialect {
    /// Prefix of the parameters.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
        }
    }
}

/// `smtp_address_preference`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preference {
    Any,
    V4,
    V6,
}

/// Time limits by stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub connect: Duration,
    pub hello: Duration,
    pub xforward: Duration,
    pub mail: Duration,
    pub rcpt: Duration,
    pub data_init: Duration,
    pub data_xfer: Duration,
    pub data_done: Duration,
    pub rset: Duration,
    pub quit: Duration,
}

impl Limits {
    /// How long to wait for the reply at a stage.
    pub fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Greeting | Stage::Ehlo | Stage::Helo | Stage::Lhlo => self.hello,
            Stage::XforwardName | Stage::XforwardHelo => self.xforward,
            Stage::Mail => self.mail,
            Stage::Rcpt => self.rcpt,
            Stage::Data => self.data_init,
            Stage::Body => self.data_xfer,
            Stage::Dot => self.data_done,
            Stage::Rset => self.rset,
            Stage::Quit => self.quit,
        }
    }
}

/// A client's settings.
pub(crate) struct ClientConfig {
    pub dialect: Dialect,
    pub myhostname: String,
    pub hello: HelloOptions,
    pub limits: Limits,
    pub default_port: u16,
    /// False: `smtp_dns_support_level = disabled`, no MX lookups.
    pub dns: bool,
    /// `smtp_dns_support_level = dnssec`.
    pub dnssec: bool,
    pub hosts: Hosts,
    pub protocols: Protocols,
    pub preference: Preference,
    pub randomize: bool,
    pub ignore_mx_lookup_error: bool,
    pub defer_if_no_mx_address: bool,
    pub mx_address_limit: usize,
    /// `smtp_balance_inet_protocols`.
    pub balance: bool,
    /// `use_srv_lookup`, and what to do when it does not work.
    pub srv: srv::Settings,
    pub mx_session_limit: usize,
    pub fallback_relay: Vec<String>,
    pub best_mx_transport: String,
    pub own: Vec<IpAddr>,
    pub bind4: Option<Ipv4Addr>,
    pub bind6: Option<Ipv6Addr>,
    /// `smtp_bind_address_enforce`.
    pub bind_enforce: bool,
    pub skip_5xx_greeting: bool,
    pub skip_quit_response: bool,
    pub quote: bool,
    pub line_limit: usize,
    pub discard_maps: Maps,
    pub pix: Pix,
    /// `smtp_reply_filter`
    pub reply_filter: Option<Maps>,
    /// `smtp_send_dummy_mail_auth`
    pub dummy_auth: bool,
    pub generic: Option<Generic>,
    pub checks: Checks,
    pub cache_on_demand: bool,
    pub cache_destinations: MatchList,
    pub cache_time: Duration,
    pub reuse_time: Duration,
    /// 0: no limit.
    pub reuse_count: u32,
    pub assume_final: bool,
    pub send_xforward: bool,
    /// `smtp_per_request_deadline`, with the rate at which content earns time.
    pub deadline: Option<Option<NonZeroU32>>,
    /// `smtp_address_verify_target`.
    pub probe: Probe,
    pub tls: Tls,
    /// `tls_required_enable`: `TLS-Required: no` is heeded.
    pub tls_required: bool,
    pub requiretls: RequireTls,
    /// `smtp_mta_sts`.
    pub sts: Option<Sts>,
    /// `smtp_tls_report_sender`: sessions are counted for the domains.
    pub reports: Option<TlsReports>,
    /// `smtp_log_tls_feature_status`.
    pub log_features: bool,
    pub sasl: Option<Sasl>,
    /// `minimal_backoff_time`.
    pub min_backoff: Duration,
    pub queue_directory: PathBuf,
}

/// Reads parameters with the dialect's prefix.
struct Read<'a> {
    cfg: &'a Config,
    prefix: &'static str,
}

impl Read<'_> {
    fn name(&self, suffix: &str) -> String {
        format!("{}_{suffix}", self.prefix)
    }

    fn str(&self, suffix: &str) -> Result<String, Error> {
        self.cfg.str(&self.name(suffix))
    }

    fn bool(&self, suffix: &str) -> Result<bool, Error> {
        self.cfg.bool(&self.name(suffix))
    }

    fn time(&self, suffix: &str) -> Result<Duration, Error> {
        self.cfg.time(&self.name(suffix))
    }

    fn count(&self, suffix: &str) -> Result<usize, Error> {
        Ok(usize::try_from(self.cfg.int(&self.name(suffix))?).unwrap_or(0))
    }

    fn address<T: std::str::FromStr>(&self, suffix: &str) -> Result<Option<T>, Error> {
        let text = self.str(suffix)?;
        let plain = text.trim_matches(['[', ']']);
        match (plain.is_empty(), plain.parse()) {
            (true, _) => Ok(None),
            (false, Ok(a)) => Ok(Some(a)),
            (false, Err(_)) => Err(Error::new(format!("bad {} parameter: {text}", self.name(suffix)))),
        }
    }
}

impl ClientConfig {
    /// From the view of one service.
    pub fn new(dialect: Dialect, _service: &Service, cfg: &Config, deps: &Deps) -> Result<Self, Error> {
        let r = Read { cfg, prefix: dialect.prefix() };
        let lmtp = dialect == Dialect::Lmtp;
        let words =
            if lmtp { ["lhlo_name", "lhlo_timeout", "lhlo"] } else { ["helo_name", "helo_timeout", "ehlo"] };
        let [name, hello_time, ehlo] = words;
        let discard_maps = r.name(&format!("discard_{ehlo}_keyword_address_maps"));
        let dns = dns_enabled(&r, cfg)?;
        let port = r.str("tcp_port")?;
        let limits = limits(&r, hello_time)?;
        let cache = r.name("connection_cache_destinations");
        let bound = single_address(cfg)?;
        Ok(Self {
            dialect,
            myhostname: cfg.str("myhostname")?,
            hello: hello(&r, name, ehlo, dialect)?,
            limits,
            default_port: base_net::port_number(&port)
                .ok_or_else(|| Error::new(format!("unknown service: {port}/tcp")))?,
            dns,
            dnssec: r.str("dns_support_level")? == "dnssec",
            hosts: host_lookup(&r, dns)?,
            protocols: Protocols::parse(&cfg.str("inet_protocols")?)
                .map_err(|e| Error::new(e.to_string()))?,
            preference: preference(&r)?,
            randomize: r.bool("randomize_addresses")?,
            ignore_mx_lookup_error: cfg.bool("ignore_mx_lookup_error")?,
            defer_if_no_mx_address: r.bool("defer_if_no_mx_address_found")?,
            mx_address_limit: r.count("mx_address_limit")?,
            balance: r.bool("balance_inet_protocols")?,
            srv: srv::Settings::new(cfg, &port)?,
            mx_session_limit: r.count("mx_session_limit")?,
            fallback_relay: cfg.list(&r.name("fallback_relay"))?,
            best_mx_transport: cfg.str("best_mx_transport")?,
            own: own_addresses(cfg)?,
            bind4: r.address("bind_address")?.or(bound.0),
            bind6: r.address("bind_address6")?.or(bound.1),
            bind_enforce: r.bool("bind_address_enforce")?,
            skip_5xx_greeting: r.bool("skip_5xx_greeting")?,
            skip_quit_response: r.bool("skip_quit_response")?,
            quote: r.bool("quote_rfc821_envelope")?,
            line_limit: r.count("line_length_limit")?,
            discard_maps: Maps::open(&deps.tables, &discard_maps, &cfg.str(&discard_maps)?),
            pix: Pix::open(dialect.prefix(), cfg, deps)?,
            reply_filter: reply_filter(&r, deps)?,
            dummy_auth: r.bool("send_dummy_mail_auth")?,
            generic: Generic::open(&r.name("generic_maps"), cfg, deps)?,
            checks: Checks::open(dialect.prefix(), cfg, deps)?,
            cache_on_demand: r.bool("connection_cache_on_demand")?,
            cache_destinations: MatchList::open(
                &deps.tables,
                &cache,
                &cfg.str(&cache)?,
                MatchKind::Domain,
                false,
            ),
            cache_time: r.time("connection_cache_time_limit")?,
            reuse_time: r.time("connection_reuse_time_limit")?,
            reuse_count: u32::try_from(r.count("connection_reuse_count_limit")?).unwrap_or(u32::MAX),
            send_xforward: r.bool("send_xforward_command")?,
            deadline: deadline(&r)?,
            probe: probe(&r)?,
            tls: Tls::open(dialect, cfg, deps)?,
            tls_required: cfg.bool("tls_required_enable")?,
            requiretls: RequireTls::open(dialect, cfg, deps)?,
            sts: if lmtp { None } else { Sts::open(cfg, deps)? },
            reports: TlsReports::open(dialect, cfg, deps)?,
            log_features: r.bool("log_tls_feature_status")?,
            sasl: Sasl::open(dialect, cfg, deps)?,
            min_backoff: cfg.time("minimal_backoff_time")?,
            assume_final: lmtp && cfg.bool("lmtp_assume_final")?,
            queue_directory: deps.queue_directory.clone(),
        })
    }
}

fn limits(r: &Read<'_>, hello: &str) -> Result<Limits, Error> {
    Ok(Limits {
        connect: r.time("connect_timeout")?,
        hello: r.time(hello)?,
        xforward: r.time("xforward_timeout")?,
        mail: r.time("mail_timeout")?,
        rcpt: r.time("rcpt_timeout")?,
        data_init: r.time("data_init_timeout")?,
        data_xfer: r.time("data_xfer_timeout")?,
        data_done: r.time("data_done_timeout")?,
        rset: r.time("rset_timeout")?,
        quit: r.time("quit_timeout")?,
    })
}

fn reply_filter(r: &Read<'_>, deps: &Deps) -> Result<Option<Maps>, Error> {
    let (name, tables) = (r.name("reply_filter"), r.str("reply_filter")?);
    Ok((!tables.is_empty()).then(|| Maps::open(&deps.tables, &name, &tables)))
}

fn deadline(r: &Read<'_>) -> Result<Option<Option<NonZeroU32>>, Error> {
    let rate = u32::try_from(r.count("min_data_rate")?).unwrap_or(u32::MAX);
    Ok(r.bool("per_request_deadline")?.then(|| NonZeroU32::new(rate)))
}

fn probe(r: &Read<'_>) -> Result<Probe, Error> {
    let word = r.str("address_verify_target")?;
    match word.as_str() {
        "rcpt" => Ok(Probe::Rcpt),
        "data" => Ok(Probe::Data),
        _ => Err(Error::new(format!("bad protocol stage: \"{} = {word}\"", r.name("address_verify_target")))),
    }
}

fn hello(r: &Read<'_>, name: &str, ehlo: &str, dialect: Dialect) -> Result<HelloOptions, Error> {
    let smtp = dialect == Dialect::Smtp;
    let discard = r.str(&format!("discard_{ehlo}_keywords"))?;
    Ok(HelloOptions {
        lmtp: !smtp,
        name: r.str(name)?,
        always_ehlo: smtp && r.bool("always_send_ehlo")?,
        never_ehlo: smtp && r.bool("never_send_ehlo")?,
        discard: Keywords::parse_discard(&discard).unwrap_or_default(),
    })
}

fn dns_enabled(r: &Read<'_>, cfg: &Config) -> Result<bool, Error> {
    let level = r.str("dns_support_level")?;
    match level.as_str() {
        "" => Ok(!cfg.bool("disable_dns_lookups")?),
        "disabled" => Ok(false),
        "enabled" | "dnssec" => Ok(true),
        _ => Err(Error::new(format!("bad {} parameter: {level}", r.name("dns_support_level")))),
    }
}

fn host_lookup(r: &Read<'_>, dns: bool) -> Result<Hosts, Error> {
    if !dns {
        return Ok(Hosts::Native);
    }
    let name = r.name("host_lookup");
    let words = r.cfg.list(&name)?;
    match words
        .iter()
        .map(|w| w.to_ascii_lowercase())
        .collect::<Vec<_>>()
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()[..]
    {
        ["dns"] => Ok(Hosts::Dns),
        ["native"] => Ok(Hosts::Native),
        ["dns", "native"] => Ok(Hosts::DnsThenNative),
        ["native", "dns"] => Ok(Hosts::NativeThenDns),
        _ => Err(Error::new(format!("bad {name} parameter: {}", words.join(", ")))),
    }
}

fn preference(r: &Read<'_>) -> Result<Preference, Error> {
    let word = r.str("address_preference")?;
    match word.as_str() {
        "any" => Ok(Preference::Any),
        "ipv4" => Ok(Preference::V4),
        "ipv6" => Ok(Preference::V6),
        _ => Err(Error::new(format!("bad {} parameter: {word}", r.name("address_preference")))),
    }
}

fn own_addresses(cfg: &Config) -> Result<Vec<IpAddr>, Error> {
    let own = computed::own_addresses(cfg)?.into_iter().map(|(a, _)| a);
    Ok(own.chain(computed::proxy_addresses(cfg)?).collect())
}

/// The source addresses when inet_interfaces names exactly one (postconf(5) smtp_bind_address).
fn single_address(cfg: &Config) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>), Error> {
    if cfg.str("inet_interfaces")?.eq_ignore_ascii_case("all") {
        return Ok((None, None));
    }
    let own: Vec<IpAddr> = computed::own_addresses(cfg)?.into_iter().map(|(a, _)| a).collect();
    let v4: Vec<_> = own.iter().filter_map(|a| if let IpAddr::V4(a) = a { Some(*a) } else { None }).collect();
    let v6: Vec<_> = own.iter().filter_map(|a| if let IpAddr::V6(a) = a { Some(*a) } else { None }).collect();
    let one4 = if let [a] = v4[..] { Some(a).filter(|a| !a.is_loopback()) } else { None };
    let one6 = if let [a] = v6[..] { Some(a).filter(|a| !a.is_loopback()) } else { None };
    Ok((one4, one6))
}
