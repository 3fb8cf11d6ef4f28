//! What main.cf says of milters: the list with its per-milter options, time limits, protocol, default action, macros.

use base_conf::{Config, Error, list, value};
use base_net::Endpoint;
use proto_milter::{MacroStage, Offer, Verdict};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// One milter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// As configured, for messages.
    pub(crate) name: String,
    /// `None`: it names no kind of socket that there is.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) content_timeout: Duration,
    /// `milter_protocol`, as configured.
    pub(crate) protocol: String,
    /// `milter_default_action`, as configured.
    pub(crate) default_action: String,
}

/// What all milters share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lists {
    macros: BTreeMap<usize, Vec<String>>,
    /// `milter_macro_defaults`
    defaults: Vec<(String, String)>,
    /// `milter_macro_daemon_name`
    pub daemon_name: String,
    /// `milter_macro_v`
    pub version: String,
    /// Where relative paths of sockets start.
    pub(crate) queue_directory: PathBuf,
}

const MACROS: &[(MacroStage, &str)] = &[
    (MacroStage::Connect, "milter_connect_macros"),
    (MacroStage::Helo, "milter_helo_macros"),
    (MacroStage::Mail, "milter_mail_macros"),
    (MacroStage::Rcpt, "milter_rcpt_macros"),
    (MacroStage::Data, "milter_data_macros"),
    (MacroStage::EndOfMessage, "milter_end_of_data_macros"),
    (MacroStage::EndOfHeaders, "milter_end_of_header_macros"),
    (MacroStage::Unknown, "milter_unknown_command_macros"),
];

impl Lists {
    /// Reads the parameters.
    pub fn from_config(cfg: &Config) -> Result<Self, Error> {
        let mut macros = BTreeMap::new();
        for (stage, name) in MACROS {
            macros.insert(*stage as usize, cfg.list(name)?.into_iter().map(bare).collect());
        }
        let mut defaults = Vec::new();
        for item in cfg.list("milter_macro_defaults")? {
            let (name, value) = item
                .rsplit_once("}=")
                .map(|(n, v)| (format!("{n}}}"), v))
                .or_else(|| item.split_once('=').map(|(n, v)| (n.to_owned(), v)))
                .ok_or_else(|| Error::new(format!("milter_macro_defaults: missing '=' in \"{item}\"")))?;
            defaults.push((bare(name), list::unbrace(value).to_owned()));
        }
        Ok(Self {
            macros,
            defaults,
            daemon_name: cfg.str("milter_macro_daemon_name")?,
            version: cfg.str("milter_macro_v")?,
            queue_directory: cfg.str("queue_directory")?.into(),
        })
    }

    pub(crate) fn names(&self, stage: MacroStage) -> &[String] {
        self.macros.get(&(stage as usize)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn default(&self, name: &str) -> Option<&str> {
        self.defaults.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A macro's name without braces that it does not need: `{i}` is `i`, `{mail_addr}` stays.
pub(crate) fn bare(name: String) -> String {
    let inside = name.strip_prefix('{').and_then(|n| n.strip_suffix('}'));
    match inside {
        Some(one) if one.chars().count() == 1 => one.to_owned(),
        None if name.chars().count() > 1 => format!("{{{name}}}"),
        _ => name,
    }
}

impl Settings {
    /// The milters of a list like `smtpd_milters`.
    pub fn list(cfg: &Config, text: &str) -> Result<Vec<Self>, Error> {
        list::split(text).into_iter().map(|item| Self::one(cfg, item)).collect()
    }

    fn one(cfg: &Config, item: &str) -> Result<Self, Error> {
        let braced = item.starts_with('{');
        let mut words = list::split(list::unbrace(item));
        if !braced {
            words = vec![item];
        }
        let mut words = words.into_iter();
        let name = words.next().ok_or_else(|| Error::new("empty milter name"))?.to_owned();
        let mut out = Self {
            endpoint: endpoint(&name),
            name,
            connect_timeout: cfg.time("milter_connect_timeout")?,
            command_timeout: cfg.time("milter_command_timeout")?,
            content_timeout: cfg.time("milter_content_timeout")?,
            protocol: cfg.str("milter_protocol")?,
            default_action: cfg.str("milter_default_action")?,
        };
        let rest = words.collect::<Vec<_>>().join(" ");
        for option in options(&rest) {
            let (name, value) = base_conf::main_cf::split_definition(&option).map_err(Error::new)?;
            out.set(name, value)
                .map_err(|()| Error::new(format!("unknown option: \"{name} = {value}\"")))??;
        }
        Ok(out)
    }

    /// Sets an option; `Err(())` when there is none of this name.
    fn set(&mut self, name: &str, value: &str) -> Result<Result<(), Error>, ()> {
        let slot = match name {
            "connect_timeout" => &mut self.connect_timeout,
            "command_timeout" => &mut self.command_timeout,
            "content_timeout" => &mut self.content_timeout,
            "default_action" => {
                value.clone_into(&mut self.default_action);
                return Ok(Ok(()));
            }
            "protocol" => {
                value.clone_into(&mut self.protocol);
                return Ok(Ok(()));
            }
            _ => return Err(()),
        };
        Ok(value::time(name, value, 's', 1, 0).map(|time| *slot = time))
    }

    pub(crate) fn offer(&self) -> Option<Offer> {
        Offer::parse(&self.protocol)
    }

    /// What happens when the milter does not work; with a warning where the setting makes no sense.
    pub(crate) fn default(&self) -> (Verdict, Option<String>) {
        let verdict = match self.default_action.to_ascii_lowercase().as_str() {
            "accept" => Verdict::Continue,
            "reject" => Verdict::Refuse("550 5.5.0 Service unavailable".to_owned()),
            "tempfail" => Verdict::Refuse("451 4.7.1 Service unavailable - try again later".to_owned()),
            "quarantine" => Verdict::Hold,
            "shutdown" => Verdict::Shutdown,
            other => {
                let warning = format!("milter {}: unrecognized default action: {other}", self.name);
                return (configuration_problem(), Some(warning));
            }
        };
        (verdict, None)
    }
}

/// The answer when a setting makes no sense.
pub(crate) fn configuration_problem() -> Verdict {
    Verdict::Refuse("451 4.3.5 Server configuration problem - try again later".to_owned())
}

fn endpoint(name: &str) -> Option<Endpoint> {
    let kind = name.split_once(':')?.0;
    ["inet", "unix", "local"].contains(&kind).then(|| Endpoint::parse(name, None).ok())?
}

/// `name=value` or `{ name = value }`, separated by blanks and commas.
fn options(text: &str) -> Vec<String> {
    list::split(text).into_iter().map(|o| list::unbrace(o).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let cfg = Config::from_text("milter_default_action = tempfail");
        let shown = match Settings::list(&cfg, text) {
            Err(e) => e.text,
            Ok(all) => all
                .iter()
                .map(|s| {
                    let place = s.endpoint.as_ref().map_or("?".to_owned(), ToString::to_string);
                    let secs = [s.connect_timeout, s.command_timeout, s.content_timeout].map(|t| t.as_secs());
                    format!("{place} {secs:?} {} {:?}", s.protocol, s.default().0)
                })
                .collect::<Vec<_>>()
                .join("|"),
        };
        assert_eq!(shown, expect, "{text}");
    }

    #[test]
    fn lists() {
        let tempfail = r#"Refuse("451 4.7.1 Service unavailable - try again later")"#;
        check(
            "inet:localhost:8891, unix:/run/x",
            &format!("inet:localhost:8891 [30, 30, 300] 6 {tempfail}|unix:/run/x [30, 30, 300] 6 {tempfail}"),
        );
        check(
            "{ inet:h:1, connect_timeout=5, command_timeout = 1m, { default_action = accept } protocol=2 }",
            "missing '=' after attribute name: \"command_timeout\"",
        );
        check(
            "{ inet:h:1, connect_timeout=5, default_action=accept protocol=2 }",
            "inet:h:1 [5, 30, 300] 2 Continue",
        );
        check("{ inet:h:1, { default_action = quarantine } }", "inet:h:1 [30, 30, 300] 6 Hold");
        check("{ inet:h:1, nosuch=x }", "unknown option: \"nosuch = x\"");
        check("foo:h:1", &format!("? [30, 30, 300] 6 {tempfail}"));
        check("", "");
    }

    #[test]
    fn macro_names() {
        assert_eq!(
            ["i", "{i}", "{mail_addr}", "mail_addr", "_"].map(|n| bare(n.to_owned())),
            ["i", "i", "{mail_addr}", "{mail_addr}", "_"]
        );
        let cfg = Config::from_text("milter_macro_defaults = {foo}=bar, i=x, {a}={b c}");
        let lists = Lists::from_config(&cfg).unwrap();
        assert_eq!(
            ["{foo}", "i", "a", "{x}"].map(|n| lists.default(n)),
            [Some("bar"), Some("x"), Some("b c"), None]
        );
        assert_eq!(lists.names(MacroStage::Data), ["i"]);
    }
}
