//! Restrictions in lists where they cannot work: what they ask is not known at that time.

use super::Rule;
use crate::{
    Finding, Severity, Site,
    facts::restrictions::{Needs, Restriction},
    lists::{self, Item},
    site::place,
};

/// The record.
pub const RULE: Rule = Rule {
    name: "misplaced-restriction",
    finds: "restrictions in a list where they have no effect, because what they look at is not known there",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "smtpd_delay_reject = no\nsmtpd_client_restrictions = reject_unknown_sender_domain\nsmtpd_etrn_restrictions = \
         reject_unauth_destination\nsmtpd_recipient_restrictions = reject_unauth_destination, check_etrn_access hash:/etc/postfix/etrn\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for list in lists::all(site) {
        // A class may stand in any list.
        if list.classes.contains(&list.name) {
            continue;
        }
        let delayed = list.view.bool("smtpd_delay_reject").unwrap_or(true);
        for item in &list.items {
            let Item::Known(r, word, _) = item else { continue };
            if let Some(reason) = reason(&list.name, r, delayed) {
                out.push(place(&list.file, word.line, format!("{}: {} {reason}", list.name, r.name)));
            }
        }
    }
    out
}

/// Why a restriction does not work in a list.
fn reason(list: &str, r: &Restriction, delayed: bool) -> Option<&'static str> {
    let data = matches!(list, "smtpd_data_restrictions" | "smtpd_end_of_data_restrictions");
    let etrn = list == "smtpd_etrn_restrictions";
    match r.needs() {
        Needs::Etrn => (!etrn).then_some("works in smtpd_etrn_restrictions only"),
        Needs::Sender | Needs::Recipient | Needs::Data if etrn => {
            Some("has no effect here: ETRN has neither sender nor recipient")
        }
        Needs::Data => {
            (!data).then_some("sees only the recipients so far: it belongs into smtpd_data_restrictions")
        }
        Needs::Recipient if data => Some(
            "has no effect on mail with several recipients: it belongs into smtpd_recipient_restrictions",
        ),
        Needs::Client | Needs::Helo if delayed || list != "smtpd_client_restrictions" => None,
        Needs::Client => None,
        Needs::Helo => {
            Some("has no effect here with smtpd_delay_reject = no: the HELO name is not known yet")
        }
        _ if delayed => None,
        Needs::Sender => matches!(list, "smtpd_client_restrictions" | "smtpd_helo_restrictions")
            .then_some("has no effect here with smtpd_delay_reject = no: the sender is not known yet"),
        Needs::Recipient => matches!(
            list,
            "smtpd_client_restrictions" | "smtpd_helo_restrictions" | "smtpd_sender_restrictions"
        )
        .then_some("has no effect here with smtpd_delay_reject = no: the recipient is not known yet"),
    }
}
