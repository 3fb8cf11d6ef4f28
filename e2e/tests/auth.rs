//! Who sent it, with OpenDKIM as signer and as judge. Ours only: Postfix leaves this to milters. The scenarios are e2e/ours/auth.txt.
//! Needs root and the package opendkim; see parity.rs.

mod common;

use std::path::Path;

fn play(name: &str) -> Option<String> {
    if !common::ready() {
        return None;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ours/auth.txt");
    let outcome = common::run(&file, name, "ours").unwrap();
    Some(common::lines(&outcome, "cmd").join("\n"))
}

/// Each text stands behind the one before it.
fn in_order(said: &str, texts: &[&str]) {
    let mut rest = said;
    for text in texts {
        let Some((_, after)) = rest.split_once(text) else {
            panic!("{text} is missing in {rest}\nof {said}")
        };
        rest = after;
    }
}

#[test]
fn mail_from_outside_is_judged() {
    let Some(said) = play("auth-judged") else { return };
    let signature = "dkim=pass header.d=sender.example header.s=sel header.a=rsa-sha256 header.b=B;";
    let first = format!(
        "mail.example.com; spf=pass smtp.mailfrom=joe@sender.example; {signature} dmarc=pass (p=reject) header.from=sender.example; arc=none"
    );
    let second = format!(
        "mail.example.com; spf=fail smtp.mailfrom=joe@sender.example; {signature} dmarc=pass (p=reject) header.from=sender.example; arc=pass"
    );
    let none = "mail.example.com; spf=none smtp.mailfrom=a@nowhere.example; dkim=none; dmarc=none header.from=nowhere.example; arc=none";
    in_order(
        &said,
        &[
            "== as it was",
            "ARC-Seal: i=1; a=rsa-sha256; cv=none;",
            &format!("out| Authentication-Results: {first}\n"),
            "Received-SPF: pass (mail.example.com: domain sender.example permits this client)",
            "Authentication-Results: other.example; none\n",
            "== forwarded",
            "ARC-Seal: i=2; a=rsa-sha256; cv=pass;",
            &format!("out| Authentication-Results: {second}\n"),
            "Received-SPF: fail",
            "refused (550, b'5.7.1 message refused by the DMARC policy of sender.example')",
            "== nobody knows",
            &format!("out| Authentication-Results: {none}\n"),
            "== reported",
            "[('192.0.2.20 none pass pass', 1), ('192.0.2.30 none pass fail', 1), ('192.0.2.30 reject fail fail', 1)]",
            "refused {'carol@example.com': (550, b'5.7.23 <a@spf.example>: Sender address rejected: \
             SPF validation failed: spf.example says: 192.0.2.30 is none of ours')}",
        ],
    );
    assert!(!said.contains("mail.example.com; dkim=pass\n"), "{said}");
}

#[test]
fn our_signatures_hold() {
    let Some(said) = play("auth-signed") else { return };
    let good = "opendkim: message verification (s=sel, d=example.com, 2048-bit key) succeeded";
    let bad = "failed: signature verification failed";
    in_order(
        &said,
        &[
            "1 both keys [('ed25519-sha256', 'example.com', 'ed'), ('rsa-sha256', 'example.com', 'sel')]",
            good,
            bad,
            "2 a subdomain [('rsa-sha256', 'example.com', 'sel')]",
            good,
            bad,
            "3 not ours []",
        ],
    );
}

#[test]
fn forwarded_mail_finds_its_way_back() {
    let Some(said) = play("auth-forwarded") else { return };
    in_order(
        &said,
        &[
            "accepted",
            "SRS0 4 2 Sender.example=Joe@fwd.example",
            "accepted",
            "refused 550",
            "['Joe@Sender.example']",
        ],
    );
}
