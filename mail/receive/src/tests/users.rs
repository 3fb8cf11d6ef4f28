//! Limits per user, places of a service, and what is kept of decisions.

use super::world::{World, check, check_from};
use mail_restrict::{Decision, Step};

const GREETING: &str = "S: 220 mail.example.com ESMTP Postfix
    C: HELO c
    S: 250 mail.example.com
";

#[tokio::test(start_paused = true)]
async fn senders_have_limits() {
    let dialogue = "C: MAIL FROM:<A@example.net>
        S: 250 2.1.0 Ok
        C: RCPT TO:<alice@example.com>
        S: 250 2.1.5 Ok
        C: RCPT TO:<bob@example.com>
        S: 250 2.1.5 Ok
        C: RCPT TO:<postmaster@example.com>
        S: 450 4.7.1 Error: too many recipients from sender a@example.net
        C: RSET
        S: 250 2.0.0 Ok
        C: MAIL FROM:<a@example.net>
        S: 250 2.1.0 Ok
        C: RSET
        S: 250 2.0.0 Ok
        C: MAIL FROM:<a@example.net>
        S: 450 4.7.1 Error: too much mail from sender a@example.net
        C: MAIL FROM:<>
        S: 250 2.1.0 Ok
        C: RSET
        S: 250 2.0.0 Ok
        C: MAIL FROM:<list@example.net>
        S: 250 2.1.0 Ok
        C: RSET
        S: 250 2.0.0 Ok
        C: MAIL FROM:<list@example.net>
        S: 250 2.1.0 Ok
        C: RSET
        S: 250 2.0.0 Ok
        C: MAIL FROM:<list@example.net>
        S: 250 2.1.0 Ok";
    check(
        "smtpd_sender_message_rate_limit = 2\nsmtpd_sender_recipient_rate_limit = 2\n\
         smtpd_user_event_limit_exceptions = list@example.net",
        &format!("{GREETING}{dialogue}"),
        &[
            "warning: Recipient address rate limit exceeded: 3 from unknown[127.0.0.1] for sender a@example.net",
            "warning: Message delivery request rate limit exceeded: 3 from unknown[127.0.0.1] for sender a@example.net",
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn logins_have_limits_wherever_they_come_from() {
    let world = World::new(
        "smtpd_sasl_login_message_rate_limit = 1\nsmtpd_user_rate_time_unit = 10s\nsmtpd_authorized_xclient_hosts = 127.0.0.0/8",
    );
    let session = |reply: &str| {
        format!(
            "S: 220 mail.example.com ESMTP Postfix
            C: XCLIENT LOGIN=Eve
            S: 220 mail.example.com ESMTP Postfix
            C: HELO c
            S: 250 mail.example.com
            C: MAIL FROM:<a@example.net>
            S: {reply}"
        )
    };
    world.play("127.0.0.1", &session("250 2.1.0 Ok")).await;
    world.play("127.0.0.2", &session("450 4.7.1 Error: too much mail from login eve")).await;
    let statistics = world.deps.users.take_statistics();
    assert!(
        statistics.iter().any(|l| l.starts_with("statistics: max message rate 2/10s for (login:eve) at ")),
        "{statistics:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_network_is_one_client() {
    let main_cf = |lengths: &str| {
        format!("smtpd_client_event_limit_exceptions =\nsmtpd_client_message_rate_limit = 1\n{lengths}")
    };
    let session = |reply: &str| format!("{GREETING}C: MAIL FROM:<a@example.net>\nS: {reply}");
    let (ok, refused) = ("250 2.1.0 Ok", |from| format!("450 4.7.1 Error: too much mail from {from}"));
    let networks =
        World::new(&main_cf("smtpd_client_ipv4_prefix_length = 24\nsmtpd_client_ipv6_prefix_length = 48"));
    networks.play("192.0.2.1", &session(ok)).await;
    networks.play("192.0.2.200", &session(&refused("192.0.2.200"))).await;
    networks.play("192.0.3.1", &session(ok)).await;
    networks.play("2001:db8:1:2::1", &session(ok)).await;
    networks.play("2001:db8:1:3::1", &session(&refused("2001:db8:1:3::1"))).await;
    networks.play("2001:db8:2::1", &session(ok)).await;
    let usual = World::new(&main_cf(""));
    usual.play("192.0.2.1", &session(ok)).await;
    usual.play("192.0.2.200", &session(ok)).await;
    usual.play("2001:db8:1:2::1", &session(ok)).await;
    usual.play("2001:db8:1:2:3:4:5:6", &session(ok)).await;
}

#[tokio::test(start_paused = true)]
async fn one_client_gets_half_of_the_places() {
    let world = World::new("smtpd_client_event_limit_exceptions =").with_places(4);
    let banner = "S: 220 mail.example.com ESMTP Postfix";
    let (_a, _b) = (world.connect("192.0.2.1"), world.connect("192.0.2.1"));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    world
        .play("192.0.2.1", "S: 421 4.7.0 mail.example.com Error: too many connections from 192.0.2.1\nS: EOF")
        .await;
    world.play("192.0.2.2", banner).await;
    let text = "warning: Connection concurrency limit exceeded: 3 from unknown[192.0.2.1] for service smtp";
    assert!(world.logged.texts().iter().any(|t| t == text), "{:#?}", world.logged.texts());
}

/// `stage id sender recipient reply` of what is kept about somebody.
fn kept(world: &World, what: &str) -> Vec<String> {
    let frames = world.deps.decisions.about(what, 100);
    let decisions = frames.iter().filter_map(|f| Decision::decode(f));
    decisions
        .map(|d| format!("{} {} {} {}: {}", d.stage, !d.id.is_empty(), d.sender, d.recipient, d.reply))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn decisions_are_kept() {
    let world = check_from(
        "192.0.2.7",
        "smtpd_recipient_restrictions = check_recipient_access inline:{bob@example.com=HOLD}, reject_unauth_destination\n\
         smtpd_data_restrictions = reject_multi_recipient_bounce, check_client_access inline:{192.0.2.7=REJECT}",
        "S: 220 mail.example.com ESMTP Postfix
        C: HELO c
        S: 250 mail.example.com
        C: MAIL FROM:<a@example.net>
        S: 250 2.1.0 Ok
        C: RCPT TO:<x@elsewhere.example>
        S: 554 5.7.1 <x@elsewhere.example>: Relay access denied
        C: RCPT TO:<bob@example.com>
        S: 250 2.1.5 Ok
        C: RCPT TO:<b@x..y>
        S: 501 5.1.3 Bad recipient address syntax
        C: DATA
        S: 554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied",
        &[],
    )
    .await;
    assert_eq!(
        kept(&world, "192.0.2.7"),
        [
            "RCPT false <a@example.net> <x@elsewhere.example>: 554 5.7.1 <x@elsewhere.example>: Relay access denied",
            "RCPT true <a@example.net> <bob@example.com>: ",
            "RCPT true <a@example.net> <b@x..y>: bad address syntax",
            "DATA true <a@example.net> : 554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied",
        ]
    );
    let frames = world.deps.decisions.about("bob@example.com", 9);
    let steps = Decision::decode(&frames[0]).unwrap().steps();
    assert!(steps.contains(&Step::Action("Hold".into())), "{steps:?}");
    let found = Step::Lookup(
        "inline:{bob@example.com=HOLD}".into(),
        "bob@example.com".into(),
        Ok(Some("HOLD".into())),
    );
    assert!(steps.contains(&found), "{steps:?}");
}

#[tokio::test(start_paused = true)]
async fn logins_have_so_many_recipients() {
    let main_cf = "smtpd_sasl_login_recipient_rate_limit = 1\nsmtpd_authorized_xclient_hosts = 127.0.0.0/8";
    let transcript = "S: 220 mail.example.com ESMTP Postfix
        C: XCLIENT LOGIN=Eve
        S: 220 mail.example.com ESMTP Postfix
        C: HELO c
        S: 250 mail.example.com
        C: MAIL FROM:<a@example.net>
        S: 250 2.1.0 Ok
        C: RCPT TO:<alice@example.com>
        S: 250 2.1.5 Ok
        C: RCPT TO:<bob@example.com>
        S: 450 4.7.1 Error: too many recipients from login eve";
    World::new(main_cf).play("127.0.0.1", transcript).await;
}
