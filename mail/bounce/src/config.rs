//! The snapshot of main.cf for notices.

use base_conf::expand;
use base_conf::{Config, Error};
use proto_dsn::{Template, Templates};
use std::time::Duration;

/// The parameters of bounce(8).
#[derive(Debug, Clone)]
pub struct BounceConfig {
    pub(crate) syslog_name: String,
    pub(crate) myhostname: String,
    pub(crate) mail_name: String,
    pub(crate) notify_bounce: bool,
    pub(crate) notify_2bounce: bool,
    pub(crate) notify_delay: bool,
    pub(crate) bounce_recipient: String,
    pub(crate) double_recipient: String,
    pub(crate) delay_recipient: String,
    pub(crate) double_sender: String,
    pub(crate) size_limit: u64,
    pub(crate) lifetime: Duration,
    pub(crate) templates: Templates,
    /// Milters and checks look at notices too (`internal_mail_filter_classes`).
    pub(crate) filter: bool,
    cfg: Config,
}

impl BounceConfig {
    /// Reads the parameters.
    pub fn from_config(cfg: &Config) -> Result<Self, Error> {
        let classes = cfg.list("notify_classes")?;
        let has = |class: &str| classes.iter().any(|c| c.eq_ignore_ascii_case(class));
        Ok(Self {
            syslog_name: cfg.str("syslog_name")?,
            myhostname: cfg.str("myhostname")?,
            mail_name: cfg.str("mail_name")?,
            notify_bounce: has("bounce"),
            notify_2bounce: has("2bounce"),
            notify_delay: has("delay"),
            bounce_recipient: cfg.str("bounce_notice_recipient")?,
            double_recipient: cfg.str("2bounce_notice_recipient")?,
            delay_recipient: cfg.str("delay_notice_recipient")?,
            double_sender: format!("{}@{}", cfg.str("double_bounce_sender")?, cfg.str("myhostname")?),
            size_limit: u64::try_from(cfg.int("bounce_size_limit")?).unwrap_or(0),
            lifetime: cfg.time("maximal_queue_lifetime")?,
            templates: templates(&cfg.str("bounce_template_file")?),
            filter: cfg
                .list("internal_mail_filter_classes")?
                .iter()
                .any(|c| c.eq_ignore_ascii_case("bounce")),
            cfg: cfg.clone(),
        })
    }

    /// The value of a `$name` in a template; times carry a unit in their name.
    pub(crate) fn template_value(&self, name: &str) -> Option<String> {
        match proto_dsn::Unit::split(name) {
            Some((parameter, unit)) => {
                let time = self.cfg.time(parameter).ok()?;
                Some((time.as_secs() / unit.seconds()).to_string())
            }
            None => self.cfg.str(name).ok(),
        }
    }

    /// The text of a template with its names replaced, as it stands where it cannot be expanded.
    pub(crate) fn text(&self, template: &Template) -> String {
        let names = |name: &str| self.template_value(name);
        expand::expand_once(&names, &template.text).unwrap_or_else(|_| template.text.clone())
    }

    /// Whether a time in a template is shown as zero though it is not.
    pub(crate) fn shows_zero(&self, name: &str) -> Option<proto_dsn::Unit> {
        let (parameter, unit) = proto_dsn::Unit::split(name)?;
        let secs = self.cfg.time(parameter).ok()?.as_secs();
        (secs > 0 && secs < unit.seconds()).then_some(unit)
    }
}

/// The templates of a file; the built-in ones, with a warning, when it cannot be read: a notice in plain words is better
/// than none.
fn templates(file: &str) -> Templates {
    if file.is_empty() {
        return Templates::default();
    }
    let failed = |why: String| Templates { warnings: vec![why], ..Templates::default() };
    match std::fs::read(file) {
        Ok(bytes) => {
            Templates::parse(&String::from_utf8_lossy(&bytes), file).unwrap_or_else(|e| failed(e.to_string()))
        }
        Err(e) => failed(format!("open {file}: {e}")),
    }
}
