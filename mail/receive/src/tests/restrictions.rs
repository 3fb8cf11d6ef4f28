//! Restrictions as clients see them.

use super::world::{check, check_from};

fn rcpt(sender: &str, answers: &[(&str, &str)]) -> String {
    let mut out = format!(
        "S: 220 mail.example.com ESMTP Postfix\nC: HELO c\nS: 250 mail.example.com\nC: MAIL FROM:<{sender}>\nS: 250 2.1.0 Ok\n"
    );
    for (recipient, answer) in answers {
        out.push_str(&format!("C: RCPT TO:<{recipient}>\nS: {answer}\n"));
    }
    out
}

const OK: &str = "250 2.1.5 Ok";

#[tokio::test(start_paused = true)]
async fn deferrals_wait_for_permission() {
    let main_cf = "smtpd_client_restrictions = check_client_access inline:{192.0.2.13=defer_if_permit, 192.0.2.15=defer_if_reject, 192.0.2.12=defer, 192.0.2.11=reject}
smtpd_recipient_restrictions = check_recipient_access inline:{bob@example.com=reject}, permit";
    let bob = ("bob@example.com", "554 5.7.1 <bob@example.com>: Recipient address rejected: Access denied");
    for (from, alice) in [
        ("192.0.2.13", "450 4.7.1 <unknown[192.0.2.13]>: Client host rejected: Service unavailable"),
        ("192.0.2.15", OK),
    ] {
        check_from(from, main_cf, &rcpt("a@example.net", &[("alice@example.com", alice), bob]), &[]).await;
    }
    for (from, alice) in [
        ("192.0.2.12", "450 4.7.1 <unknown[192.0.2.12]>: Client host rejected: Access denied"),
        ("192.0.2.11", "554 5.7.1 <unknown[192.0.2.11]>: Client host rejected: Access denied"),
    ] {
        check_from(from, main_cf, &rcpt("a@example.net", &[("alice@example.com", alice)]), &[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn warnings_and_classes() {
    check(
        "smtpd_restriction_classes = strict
strict = check_sender_access inline:{ {example.net=450 4.7.1 class says later} }, reject
smtpd_helo_restrictions = warn_if_reject reject_non_fqdn_helo_hostname
smtpd_recipient_restrictions = check_recipient_access inline:{alice@example.com=strict, postmaster@example.com=permit}, reject_unauth_destination",
        &rcpt(
            "a@example.net",
            &[
                ("alice@example.com", "450 4.7.1 <a@example.net>: Sender address rejected: class says later"),
                ("bob@example.com", OK),
            ],
        ),
        &["NOQUEUE: reject_warning: RCPT from unknown[127.0.0.1]: 504 5.5.2 <c>: Helo command rejected: need \
           fully-qualified hostname; from=<a@example.net> to=<alice@example.com> proto=SMTP helo=<c>"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn mistakes_in_the_configuration() {
    let error = "451 4.3.5 Server configuration error";
    let world = check(
        "smtpd_sender_restrictions = check_sender_access inline:{a@example.net=no_such_restriction}, check_sender_access hash:/nonexistent/missing",
        &rcpt("a@example.net", &[("alice@example.com", error)]),
        &["warning: unknown smtpd restriction: \"no_such_restriction\""],
    )
    .await;
    // The transcript goes to postmaster (notify_classes has `software`).
    let sent = world.queue.0.lock().expect("lock").pop().expect("transcript");
    let text = String::from_utf8_lossy(&sent.content).into_owned();
    assert!(text.contains("Subject: Postfix SMTP server: errors from unknown[127.0.0.1]\r\n"), "{text}");
    assert!(
        text.contains(" In:  RCPT TO:<alice@example.com>\r\n Out: 451 4.3.5 Server configuration error\r\n")
    );
    check(
        "smtpd_sender_restrictions = check_sender_access hash:/nonexistent/missing",
        &rcpt(
            "c@example.net",
            &[(
                "alice@example.com",
                "451 4.3.5 <c@example.net>: Sender address rejected: Server configuration error",
            )],
        ),
        &["warning: hash:/nonexistent/missing lookup error for \"c@example.net\""],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn refused_at_the_door() {
    check_from(
        "192.0.2.1",
        "smtpd_delay_reject = no\nsmtpd_client_restrictions = permit_mynetworks, reject",
        "S: 554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied
         C: HELO c
         S: 503 5.7.0 Error: access denied for unknown[192.0.2.1]
         C: QUIT
         S: 221 2.0.0 Bye
         S: EOF",
        &[
            "NOQUEUE: reject: CONNECT from unknown[192.0.2.1]: 554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: \
             Access denied; proto=SMTP",
            "disconnect from unknown[192.0.2.1] helo=0/1 quit=1 commands=1/2",
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn names_and_addresses() {
    check(
        "smtpd_delay_reject = no
smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname
smtpd_sender_restrictions = reject_non_fqdn_sender
smtpd_recipient_restrictions = reject_non_fqdn_recipient",
        "S: 220 mail.example.com ESMTP Postfix
         C: HELO -bad.example.net
         S: 501 5.5.2 <-bad.example.net>: Helo command rejected: Invalid name
         C: HELO [1.2.3]
         S: 501 5.5.2 <[1.2.3]>: Helo command rejected: invalid ip address
         C: HELO localhost
         S: 504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname
         C: HELO [1.2.3.4]
         S: 250 mail.example.com
         C: MAIL FROM:<a@b>
         S: 504 5.5.2 <a@b>: Sender address rejected: need fully-qualified address
         C: MAIL FROM:<a@b.example>
         S: 250 2.1.0 Ok
         C: RCPT TO:<alice>
         S: 504 5.5.2 <alice>: Recipient address rejected: need fully-qualified address
         C: RCPT TO:<Postmaster>
         S: 250 2.1.5 Ok
         C: RCPT TO:<a@x..y>
         S: 501 5.1.3 Bad recipient address syntax",
        &["warning: Illegal address syntax from unknown[127.0.0.1] in RCPT command: <a@x..y>"],
    )
    .await;
}

// R-RELAY-2
#[test]
fn an_open_relay_does_not_start() {
    use crate::{Anvil, Deps, SmtpConfig, SmtpServer};
    let start = |text: &str| {
        let cfg = base_conf::Config::from_text(&format!("compatibility_level = 3.6\n{text}"));
        let config = SmtpConfig::from_config(&cfg).expect("configuration");
        let deps = Deps {
            submit: std::sync::Arc::new(super::world::Queue::default()),
            route: super::world::router(),
            tables: base_tables::Tables::new(base_tables::Options::default()),
            resolver: base_dns::Resolver::new(base_dns::Options::default()),
            log: base_log::Log::test().0,
            decisions: std::sync::Arc::new(mail_restrict::Decisions::new(mail_restrict::Bounds {
                count: 0,
                bytes: 0,
            })),
            users: Anvil::new(),
            anvil: Anvil::new(),
            opener: std::sync::Arc::new(base_sys::opener::Plain),
            caches: std::sync::Arc::new(base_cache::Caches::new(std::sync::Arc::new(|_| ()))),
            verify: None,
            flush: None,
        };
        SmtpServer::new(std::sync::Arc::new(config), deps).err().map(|e| e.to_string())
    };
    let refused = start(
        "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks, warn_if_reject reject",
    );
    assert_eq!(
        refused.as_deref(),
        Some(
            "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working \
             instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or \
             check_relay_domains"
        )
    );
    assert_eq!(start(""), None);
    assert_eq!(start("smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = reject"), None);
}

#[tokio::test(start_paused = true)]
async fn greylisted_once() {
    let world = check_from(
        "192.0.2.12",
        "smtpd_recipient_restrictions = check_greylist\ngreylist_map =\ngreylist_delay = 0\ngreylist_recipient_exceptions = bob@example.com",
        &rcpt(
            "a@example.net",
            &[
                ("alice@example.com", "450 4.2.0 <alice@example.com>: Recipient address rejected: Greylisted"),
                ("bob@example.com", OK),
                ("alice@example.com", OK),
            ],
        ),
        &[],
    )
    .await;
    assert!(world.logged.texts().iter().any(|t| t.contains("450 4.2.0 <alice@example.com>")));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_came_back_is_not_asked_again() {
    let greylist = "smtpd_recipient_restrictions = check_greylist\ngreylist_map =\ngreylist_delay = 0\n";
    let greylisted = "450 4.2.0 <alice@example.com>: Recipient address rejected: Greylisted";
    let (alice, bob) = ("alice@example.com", "bob@example.com");
    let came_back = rcpt("a@example.net", &[(alice, greylisted), (alice, OK), (bob, OK)]);
    check_from("192.0.2.12", &format!("{greylist}greylist_auto_allow_clients = 1"), &came_back, &[]).await;
    let excepted = rcpt("a@example.net", &[(alice, OK)]);
    check_from("192.0.2.12", &format!("{greylist}greylist_client_exceptions = 192.0.2.12"), &excepted, &[])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_nobody_knows_is_not_the_one_that_speaks_for_it() {
    check(
        "smtpd_authorized_xclient_hosts = 127.0.0.1",
        "S: 220 mail.example.com ESMTP Postfix
        C: XCLIENT ADDR=[UNAVAILABLE]
        S: 220 mail.example.com ESMTP Postfix
        C: HELO c
        S: 250 mail.example.com
        C: MAIL FROM:<a@example.net>
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@elsewhere.example>
        S: 554 5.7.1 <b@elsewhere.example>: Relay access denied",
        &[],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn refusals_are_worded_anew() {
    check_from(
        "192.0.2.12",
        "smtpd_reject_filter_maps = pcre:{{/^554 .* Relay/ 554 5.7.2 ask us\\nor do not}, {/^550 5.1.1/ 250 Ok}}
smtpd_reject_footer = \\c. Bye",
        "S: 220 mail.example.com ESMTP Postfix
        C: HELO c
        S: 250 mail.example.com
        C: MAIL FROM:<a@example.net>
        S: 250 2.1.0 Ok
        C: RCPT TO:<x@elsewhere.example>
        S: 554-5.7.2 ask us
        S: 554 5.7.2 or do not. Bye
        C: RCPT TO:<nobody@example.com>
        S: 550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown in local recipient table. Bye",
        &["NOQUEUE: reject: RCPT from unknown[192.0.2.12]: 554 5.7.1 <x@elsewhere.example>: Relay access denied; \
           from=<a@example.net> to=<x@elsewhere.example> proto=SMTP helo=<c>"],
    )
    .await;
}
