//! Authentication that is switched on and leads nowhere.

use super::Rule;
use crate::{
    Finding, Severity, Site,
    lists::{self, Item},
};
use base_conf::{Config, Service};

/// The record.
pub const RULE: Rule = Rule {
    name: "login",
    finds: "logins that permit nothing, passwords for the client that are never used, logins in clear text",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "smtpd_sasl_auth_enable = yes\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nrelayhost = \
         [smtp.example.com]:587\nsmtp_sasl_password_maps = static:user:secret\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    let enabled = site.servers().find(|(_, v)| v.bool("smtpd_sasl_auth_enable").unwrap_or(false));
    if let Some((service, view)) = enabled {
        let named = |i: &Item| matches!(i, Item::Known(r, ..) if r.name.contains("sasl") || r.name.contains("login_mismatch"));
        let mut lists = lists::all(site);
        lists.retain(|l| l.items.iter().any(named));
        let by_default = !view.is_set("smtpd_relay_restrictions")
            && view.str("smtpd_relay_restrictions").unwrap_or_default().contains("permit_sasl_authenticated");
        let policy = lists::all(site).iter().any(|l| {
            l.items.iter().any(|i| matches!(i, Item::Known(r, ..) if r.name == "check_policy_service"))
        });
        if lists.is_empty() && !by_default && !policy {
            let what = "clients may log in, but no restriction list permits them anything";
            let found = site.at_parameter("smtpd_sasl_auth_enable", Some(service), what);
            out.push(found.hint("put permit_sasl_authenticated into smtpd_relay_restrictions"));
        }
        out.extend(cannot_log_in(site, service, view));
        let tls = !matches!(view.str("smtpd_tls_security_level").unwrap_or_default().as_str(), "" | "none");
        if tls
            && !view.bool("smtpd_tls_auth_only").unwrap_or(true)
            && view.str("smtpd_tls_security_level").unwrap_or_default() == "may"
        {
            let what = "passwords may be sent in clear text";
            let found =
                site.at_parameter("smtpd_sasl_auth_enable", Some(service), what).severity(Severity::Note);
            out.push(found.meant("smtpd_tls_auth_only = yes"));
        }
    }
    let client = site.views().any(|(_, v)| v.bool("smtp_sasl_auth_enable").unwrap_or(false));
    let main = site.config.bool("smtp_sasl_auth_enable").unwrap_or(false);
    if site.config.is_set("smtp_sasl_password_maps")
        && !site.value("smtp_sasl_password_maps").is_empty()
        && !client
        && !main
    {
        let what = "smtp_sasl_password_maps has no effect without smtp_sasl_auth_enable = yes";
        out.push(
            site.at_parameter("smtp_sasl_password_maps", None, what).meant("smtp_sasl_auth_enable = yes"),
        );
    }
    out
}

/// Clients that may log in, but cannot.
fn cannot_log_in(site: &Site, service: &Service, view: &Config) -> Vec<Finding> {
    let mut out = Vec::new();
    let yes = |name: &str| view.bool(name).unwrap_or(false);
    let level = view.str("smtpd_tls_security_level").unwrap_or_default();
    let tls = !matches!(level.as_str(), "" | "none") || yes("smtpd_use_tls") || yes("smtpd_enforce_tls");
    if yes("smtpd_tls_auth_only") && !tls && !yes("smtpd_tls_wrappermode") {
        let what = "smtpd_tls_auth_only = yes, but there is no TLS: nobody can log in";
        out.push(
            site.at_parameter("smtpd_tls_auth_only", Some(service), what)
                .hint("set smtpd_tls_security_level = may"),
        );
    }
    let dovecot = view.str("smtpd_sasl_type").unwrap_or_default() == "dovecot";
    if dovecot && !view.is_set("smtpd_sasl_path") {
        let what = "smtpd_sasl_type = dovecot needs smtpd_sasl_path, the socket of Dovecot";
        out.push(
            site.at_parameter("smtpd_sasl_type", Some(service), what).meant("smtpd_sasl_path = private/auth"),
        );
    }
    out
}
