//! Settings of the SMTP client where those of the server were meant, and the other way round.

use super::Rule;
use crate::{Finding, Severity, Site};
use base_conf::Config;

/// The record.
pub const RULE: Rule = Rule {
    name: "client-for-server",
    finds: "`smtp_` settings (the client) that have no effect while the server's feature of the same name (`smtpd_`) is in use, and the \
            other way round",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "smtpd_sasl_auth_enable = yes\nsmtp_sasl_security_options = noanonymous\nsmtp_tls_cert_file = /etc/ssl/mail.pem\n\
         smtpd_tls_security_level = may\n",
    )],
    run,
};

/// A feature that exists on both sides.
struct Feature {
    /// What it is called.
    title: &'static str,
    /// The settings that belong to it, without `smtp_` and `smtpd_`.
    belongs: &'static [&'static str],
    /// Whether the side with this prefix has it on.
    is_on: fn(&Config, &str) -> bool,
    /// Whether the setting that was meant may be missing on the other side: only then is it worth a word.
    only_if_other_lacks_it: bool,
}

const FEATURES: &[Feature] = &[
    Feature {
        title: "sasl_auth_enable = yes",
        belongs: &["sasl_security_options", "sasl_tls_security_options", "sasl_type", "sasl_path"],
        is_on: sasl,
        only_if_other_lacks_it: false,
    },
    Feature {
        title: "tls_security_level",
        belongs: &["tls_cert_file", "tls_key_file", "tls_chain_files", "tls_eccert_file", "tls_eckey_file"],
        is_on: tls,
        only_if_other_lacks_it: true,
    },
];

fn sasl(view: &Config, side: &str) -> bool {
    view.bool(&format!("{side}_sasl_auth_enable")).unwrap_or(false)
}

fn tls(view: &Config, side: &str) -> bool {
    let level = view.str(&format!("{side}_tls_security_level")).unwrap_or_default();
    let old = |n: &str| view.bool(&format!("{side}_{n}")).unwrap_or(false);
    !matches!(level.as_str(), "" | "none") || old("use_tls") || old("enforce_tls")
}

fn run(site: &Site) -> Vec<Finding> {
    let views: Vec<&Config> = std::iter::once(&site.config).chain(site.views().map(|(_, v)| v)).collect();
    let on = |f: &Feature, side: &str| views.iter().any(|v| (f.is_on)(v, side));
    let set = |name: &str| views.iter().any(|v| v.is_set(name));
    let mut out = Vec::new();
    for f in FEATURES {
        for (side, other) in [("smtp", "smtpd"), ("smtpd", "smtp")] {
            for name in f.belongs {
                let (mine, theirs) = (format!("{side}_{name}"), format!("{other}_{name}"));
                let lacking = !f.only_if_other_lacks_it || !set(&theirs);
                let suspicious = set(&mine) && !on(f, side) && on(f, other) && lacking && !set(&theirs);
                if !suspicious || !meaningful(&site.config, &mine) {
                    continue;
                }
                let title = format!("{side}_{}", f.title);
                let role = if side == "smtp" { "client" } else { "server" };
                let what =
                    format!("{mine} is a setting of the SMTP {role}, and has no effect without {title}");
                out.push(site.at_parameter(&mine, None, what).meant(&theirs));
            }
        }
    }
    out
}

/// A setting to its default says nothing.
fn meaningful(cfg: &Config, name: &str) -> bool {
    cfg.str(name).unwrap_or_default()
        != cfg.default(name).and_then(|d| cfg.expand(&d).ok()).unwrap_or_default()
}
