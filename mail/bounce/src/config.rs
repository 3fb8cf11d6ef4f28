//! The snapshot of main.cf for notices.

use base_conf::{Config, Error, expand};
use base_sys::opener::Opener;
use proto_dsn::{Template, Templates};
use std::{path::Path, time::Duration};

/// The largest `bounce_template_file`, in bytes.
const MAX_TEMPLATES: u64 = 1 << 20;

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
    /// `enable_threaded_bounces`.
    pub(crate) threaded: bool,
    /// Not `disable_verp_bounces`.
    pub(crate) verp: bool,
    pub(crate) size_limit: u64,
    pub(crate) lifetime: Duration,
    pub(crate) templates: Templates,
    /// Milters and checks look at notices too (`internal_mail_filter_classes`).
    pub(crate) filter: bool,
    /// `requiretls_redact_dsn`: of mail that demands TLS only the header goes back, which may take another way.
    pub(crate) redact_requiretls: bool,
    cfg: Config,
}

impl BounceConfig {
    /// Reads the parameters, and the templates with `opener`.
    pub fn from_config(cfg: &Config, opener: &dyn Opener) -> Result<Self, Error> {
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
            threaded: cfg.bool("enable_threaded_bounces")?,
            verp: !cfg.bool("disable_verp_bounces")?,
            size_limit: u64::try_from(cfg.int("bounce_size_limit")?).unwrap_or(0),
            lifetime: cfg.time("maximal_queue_lifetime")?,
            templates: templates(&cfg.str("bounce_template_file")?, opener),
            filter: cfg
                .list("internal_mail_filter_classes")?
                .iter()
                .any(|c| c.eq_ignore_ascii_case("bounce")),
            redact_requiretls: cfg.bool("requiretls_redact_dsn")?,
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

    /// What is wrong with a time in a template, for the log.
    pub(crate) fn complaint(&self, source: &str, kind: &str, name: &str) -> Option<[String; 3]> {
        let (parameter, unit) = proto_dsn::Unit::split(name)?;
        unit.complaint(self.cfg.time(parameter).ok()?.as_secs(), source, kind, name)
    }
}

/// The templates of a file; the built-in ones, with a warning, when it cannot be read: a notice in plain words is better
/// than none.
fn templates(file: &str, opener: &dyn Opener) -> Templates {
    if file.is_empty() {
        return Templates::default();
    }
    let failed = |why: String| Templates { warnings: vec![why], ..Templates::default() };
    match opener.read(Path::new(file), MAX_TEMPLATES) {
        Ok(bytes) => {
            Templates::parse(&String::from_utf8_lossy(&bytes), file).unwrap_or_else(|e| failed(e.to_string()))
        }
        Err(e) => failed(format!("open {file}: {}", base_sys::system_text(&e))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::File,
        io::{self, Seek},
    };

    /// What this process may not read itself.
    struct Other;

    impl Opener for Other {
        fn open(&self, path: &Path) -> io::Result<File> {
            if path != Path::new("/secret/bounce.cf") {
                return Err(io::Error::from_raw_os_error(13));
            }
            let text = "failure_template = <<EOF\nFrom: MAILER-DAEMON\nSubject: Our own\n\nSorry.\nEOF\n";
            let mut file = base_sys::fds::memory_file(text.as_bytes())?;
            file.rewind()?;
            Ok(file)
        }
    }

    #[test]
    fn templates_come_from_the_opener() {
        let read = |file: &str| templates(file, &Other);
        assert_eq!(read("/secret/bounce.cf").warnings, Vec::<String>::new());
        assert_eq!(read("/secret/bounce.cf").failure.subject, "Our own");
        assert_eq!(read("/dev/null").warnings, ["open /dev/null: Permission denied"]);
    }
}
