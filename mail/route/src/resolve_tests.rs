//! Resolving against what trivial-rewrite(8) of Postfix 3.7 answers, address by address.

use crate::{RouteConfig, Router};
use base_calls::{AddressClass, Route, Unlisted};
use base_conf::Config;
use base_tables::{Options, Tables, block_on};
use std::sync::{Arc, Mutex};

const BASE: &str = "compatibility_level = 3.6
myhostname = mail.example.com
mydomain = example.com
myorigin = example.com
mydestination = $myhostname, localhost.$mydomain, localhost, $mydomain
inet_interfaces = 127.0.0.1, 198.51.100.1
inet_protocols = ipv4
recipient_delimiter = +
relay_domains = relay.example
virtual_alias_domains = valias.example
virtual_mailbox_domains = vmbox.example
";

struct Fixture {
    router: Router,
    warnings: Arc<Mutex<Vec<String>>>,
}

fn fixture(more: &str) -> Fixture {
    let cfg = Config::from_text(&format!("{BASE}{more}"));
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&warnings);
    let warn: base_tables::Warn = Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned()));
    let tables = Tables::new(Options { warn, ..Options::default() });
    Fixture {
        router: Router::new(Arc::new(RouteConfig::from_config(&cfg).unwrap()), Arc::clone(&tables), &tables),
        warnings,
    }
}

impl Fixture {
    /// `transport nexthop recipient class`, with `routed`; `bad` for an address without sense; or the error.
    fn resolve(&self, sender: &str, recipient: &str) -> String {
        text(block_on(self.router.resolve(sender, recipient)))
    }
}

fn text(answer: Result<base_calls::Resolution, base_calls::RouteError>) -> String {
    match answer {
        Err(e) => e.to_string(),
        Ok(r) if r.invalid => "bad".to_owned(),
        Ok(r) => {
            let class = match r.class {
                AddressClass::Local => "local",
                AddressClass::VirtualAlias => "alias",
                AddressClass::VirtualMailbox => "mailbox",
                AddressClass::Relay => "relay",
                AddressClass::Default => "default",
            };
            let routed = if r.routed { " routed" } else { "" };
            format!("{}|{}|{}|{class}{routed}", r.transport, r.nexthop, r.recipient)
        }
    }
}

impl Fixture {
    fn check(&self, sender: &str, cases: &[(&str, &str)]) {
        for (recipient, expect) in cases {
            assert_eq!(self.resolve(sender, recipient), *expect, "{sender} {recipient}");
        }
    }
}

#[test]
fn classes_and_forms() {
    fixture("").check(
        "a@b.c",
        &[
            ("user", "local|mail.example.com|user@mail.example.com|local"),
            ("user@", "bad"),
            ("@", "bad"),
            ("", "local|mail.example.com|MAILER-DAEMON@mail.example.com|local"),
            ("user@example.com", "local|mail.example.com|user@example.com|local"),
            ("user+x@example.com", "local|mail.example.com|user+x@example.com|local"),
            ("x@host", "smtp|host|x@host|default"),
            ("user@[192.0.2.1]", "smtp|[192.0.2.1]|user@[192.0.2.1]|default"),
            ("user@[127.0.0.1]", "local|mail.example.com|user@[127.0.0.1]|local"),
            ("user@[198.51.100.1]", "local|mail.example.com|user@[198.51.100.1]|local"),
            ("user@[198.51.100.1].", "local|mail.example.com|user@[198.51.100.1]|local"),
            ("user@192.0.2.1", "bad"),
            ("a%b@example.com", "smtp|b|a@b|default"),
            ("a!b@example.com", "smtp|a|b@a|default"),
            ("a@b@example.com", "smtp|b|a@b|default"),
            ("@a:b@example.com", "local|mail.example.com|b@example.com|local"),
            ("@a:@b:c@example.com", "local|mail.example.com|c@example.com|local"),
            ("@a:b@example.org", "smtp|example.org|@a:b@example.org|default routed"),
            ("\"a@b\"@example.com", "bad"),
            ("a%b%c@example.com", "smtp|c|a%b@c|default routed"),
            ("a%b", "smtp|b|a@b|default"),
            ("a!b", "smtp|a|b@a|default"),
            ("a@b%c", "bad"),
            ("@a:b", "bad"),
            ("@@example.com", "bad"),
            ("%@example.com", "bad"),
            ("a%@example.com", "bad"),
            ("a!@example.com", "smtp|a|@a|default"),
            ("a%b!c@example.com", "bad"),
            ("user@.", "bad"),
            ("user@a..b", "bad"),
            ("user@a.b..", "bad"),
            ("user@-x.org", "bad"),
            ("user@x_y.org", "smtp|x_y.org|user@x_y.org|default"),
            ("user@example.com.", "local|mail.example.com|user@example.com|local"),
            ("user@EXAMPLE.COM", "local|mail.example.com|user@EXAMPLE.COM|local"),
            ("a@example.com@example.com", "local|mail.example.com|a@example.com|local"),
            ("a%EXAMPLE.com@localhost", "local|mail.example.com|a@EXAMPLE.com|local"),
            ("-x@example.com", "bad"),
            ("user@[1.2.3]", "bad"),
            ("user@[IPv6:::1]", "smtp|[IPv6:::1]|user@[IPv6:::1]|default"),
            ("user@[::1]", "bad"),
            ("user@[1.2.3.4", "smtp|[1.2.3.4]|user@[1.2.3.4]|default"),
            ("x@[127.0.0.1]y", "bad"),
            ("user@relay.example", "relay|relay.example|user@relay.example|relay"),
            ("user@sub.relay.example", "relay|sub.relay.example|user@sub.relay.example|relay"),
            (
                "user@valias.example",
                "error|5.1.1 User unknown in virtual alias table|user@valias.example|alias",
            ),
            ("user@vmbox.example", "virtual|vmbox.example|user@vmbox.example|mailbox"),
            ("@example.com", "local|mail.example.com|MAILER-DAEMON@example.com|local"),
            ("a%b@example.org", "smtp|example.org|a%b@example.org|default routed"),
            ("a@b.org@relay.example", "relay|relay.example|a@b.org@relay.example|relay routed"),
            ("us er@example.com", "local|mail.example.com|us er@example.com|local"),
            ("user@exam ple.com", "bad"),
            ("ü@example.com", "local|mail.example.com|ü@example.com|local"),
            ("user@bücher.example", "smtp|bücher.example|user@bücher.example|default"),
            ("a@[192.0.2.1]@example.com", "smtp|[192.0.2.1]|a@[192.0.2.1]|default"),
        ],
    );
}

#[test]
fn options() {
    let f = fixture(
        "resolve_null_domain = yes\nresolve_numeric_domain = yes\nresolve_dequoted_address = no\nallow_min_user = yes\n\
         proxy_interfaces = 198.51.100.77\nempty_address_recipient = foo\ndefault_transport = smtp:[deft]\n\
         local_transport = error:nolocal\n",
    );
    f.check(
        "a@b.c",
        &[
            ("user@", "error|nolocal|user@mail.example.com|local"),
            ("@", "error|nolocal|foo@mail.example.com|local"),
            ("user@192.0.2.1", "smtp|[deft]|user@[192.0.2.1]|default"),
            ("a%b@example.com", "smtp|[deft]|a@b|default"),
            ("a@b@example.com", "error|nolocal|a@b@example.com|local routed"),
            ("@a:b@example.com", "error|nolocal|b@example.com|local"),
            ("-x@example.org", "smtp|[deft]|-x@example.org|default"),
            ("u@[198.51.100.77]", "error|nolocal|u@[198.51.100.77]|local"),
        ],
    );
    let f = fixture(
        "swap_bangpath = no\nallow_percent_hack = no\nlocal_transport = local\nshow_user_unknown_table_name = no",
    );
    f.check(
        "a@b.c",
        &[
            ("a%b@example.com", "local|example.com|a%b@example.com|local routed"),
            ("a!b@example.com", "local|example.com|a!b@example.com|local routed"),
            ("x@valias.example", "error|5.1.1 User unknown|x@valias.example|alias"),
        ],
    );
}

#[test]
fn transport_maps() {
    let f = fixture(
        "relayhost = [rh]:99\ntransport_maps = inline:{{user@t.example=smtp:[1.1.1.1]},{t.example=smtp:[2.2.2.2]},\
         {.t.example=error:no},{k.example=:[3.3.3.3]:25},{user@k.example=lmtp:unix:x y},{nul.example=:},{col.example=smtp:},\
         {hop.example=smtp},{sm.example=relay:[x]:26},{user@example.com=smtp:[9.9.9.9]},{localhost=local:xx},\
         {valias.example=smtp:never}}",
    );
    f.check(
        "a@b.c",
        &[
            ("user@example.com", "smtp|[9.9.9.9]|user@example.com|local"),
            ("user+x@example.com", "smtp|[9.9.9.9]|user+x@example.com|local"),
            ("user@EXAMPLE.COM", "smtp|[9.9.9.9]|user@EXAMPLE.COM|local"),
            ("x@host", "smtp|[rh]:99|x@host|default"),
            ("user@[8.8.8.8]", "smtp|[rh]:99|user@[8.8.8.8]|default"),
            ("user@localhost", "local|xx|user@localhost|local"),
            ("user@relay.example", "relay|[rh]:99|user@relay.example|relay"),
            (
                "user@valias.example",
                "error|5.1.1 User unknown in virtual alias table|user@valias.example|alias",
            ),
            ("user@vmbox.example", "virtual|vmbox.example|user@vmbox.example|mailbox"),
            ("user@t.example", "smtp|[1.1.1.1]|user@t.example|default"),
            ("sp@t.example", "smtp|[2.2.2.2]|sp@t.example|default"),
            ("user@x.t.example", "error|no|user@x.t.example|default"),
            ("user+y@k.example", "lmtp|unix:x y|user+y@k.example|default"),
            ("x@k.example", "smtp|[3.3.3.3]:25|x@k.example|default"),
            ("nul@nul.example", "smtp|[rh]:99|nul@nul.example|default"),
            ("col@col.example", "smtp|col.example|col@col.example|default"),
            ("hop@hop.example", "smtp|hop.example|hop@hop.example|default"),
            ("sm@sm.example", "relay|[x]:26|sm@sm.example|default"),
        ],
    );
    fixture("transport_maps = inline:{*=smtp:star}\nrelay_transport = relay:rt").check(
        "",
        &[
            ("", "smtp|star|MAILER-DAEMON@mail.example.com|local"),
            ("user@relay.example", "smtp|star|user@relay.example|relay"),
            (
                "user@valias.example",
                "error|5.1.1 User unknown in virtual alias table|user@valias.example|alias",
            ),
        ],
    );
}

#[test]
fn sender_dependent() {
    let f = fixture(
        "relayhost = glob\nsender_dependent_relayhost_maps = inline:{{a@b.c=[srh]},{@d.e=[dom]},{<>=[null]},{x@y.z=DUNNO}}\n\
         sender_dependent_default_transport_maps = inline:{{q@b.c=smtp:[q]},{<>=lmtp:nn},{w@b.c=foo},{@z.z=zz:},{@d2.e=:hop},{p@y.z=DUNNO}}",
    );
    for (sender, recipient, expect) in [
        ("a@b.c", "user@example.org", "smtp|[srh]"),
        ("a+x@b.c", "user@example.org", "smtp|[srh]"),
        ("A@B.C", "user@example.org", "smtp|[srh]"),
        ("", "user@example.org", "lmtp|nn"),
        ("x@d.e", "user@example.org", "smtp|[dom]"),
        ("x@y.z", "user@example.org", "smtp|glob"),
        ("q@b.c", "user@example.org", "smtp|[q]"),
        ("w@b.c", "user@example.org", "foo|glob"),
        ("z@z.z", "user@example.org", "zz|glob"),
        ("p@y.z", "user@example.org", "smtp|glob"),
        ("", "user@relay.example", "relay|[null]"),
        ("q@b.c", "user@relay.example", "relay|glob"),
        ("q@b.c", "user@example.com", "local|mail.example.com"),
    ] {
        let got = f.resolve(sender, recipient);
        assert!(got.starts_with(&format!("{expect}|")), "{sender} {recipient}: {got}");
    }
    assert_eq!(f.resolve("z@d2.e", "user@example.org"), "4.3.0 address resolver failure");
    let warnings = f.warnings.lock().unwrap();
    assert_eq!(
        *warnings,
        [
            "file /etc/postfix/main.cf: parameter sender_dependent_default_transport_maps: null transport is not allowed"
        ]
    );
}

#[test]
fn failing_tables() {
    let f = fixture("transport_maps = fail:x");
    assert_eq!(f.resolve("a@b.c", "user@example.org"), "4.3.0 address resolver failure");
    assert!(f.warnings.lock().unwrap().contains(&"transport_maps lookup failure".to_owned()));
    let f = fixture("virtual_mailbox_domains = fail:y");
    assert_eq!(f.resolve("a@b.c", "user@example.org"), "4.3.0 address resolver failure");
    let warnings = f.warnings.lock().unwrap();
    assert_eq!(
        *warnings,
        ["virtual_mailbox_domains: fail:y: table lookup problem", "virtual_mailbox_domains lookup failure"]
    );
    drop(warnings);
    assert_eq!(f.resolve("a@b.c", "user@example.com"), "local|mail.example.com|user@example.com|local");
}

#[test]
fn double_listing_is_said_once() {
    let f = fixture("virtual_alias_domains = example.com\nrelay_domains = vmbox.example");
    for _ in 0..2 {
        f.resolve("", "a@example.com");
        f.resolve("", "a@vmbox.example");
    }
    let warnings = f.warnings.lock().unwrap();
    assert_eq!(
        *warnings,
        [
            "do not list domain example.com in BOTH mydestination and virtual_alias_domains",
            "do not list domain vmbox.example in BOTH virtual_mailbox_domains and relay_domains",
        ]
    );
}

#[test]
fn unlisted_recipients() {
    use AddressClass::{Local, Relay, VirtualAlias, VirtualMailbox};
    let f = fixture(
        "local_recipient_maps = inline:{alice=x}\nvirtual_alias_maps = inline:{{info@valias.example=alice},{@any.example=x},{webmaster=alice}}\n\
         virtual_mailbox_maps = inline:{bob@vmbox.example=bob/}\nrelay_recipient_maps = inline:{{r@relay.example=ok}}\n\
         canonical_maps = inline:{{old@example.com=alice}}\nrecipient_canonical_maps = inline:{{old2@relay.example=x}}",
    );
    for (recipient, expect) in [
        ("alice@example.com", None),
        ("alice+ext@example.com", None),
        ("ALICE@example.com", None),
        ("alice", None),
        ("alice@[127.0.0.1]", None),
        ("nobody@example.com", Some(Local)),
        ("double-bounce@example.com", None),
        ("webmaster@example.com", None),
        ("old@example.com", None),
        ("info@valias.example", None),
        ("info+x@valias.example", None),
        ("webmaster@valias.example", Some(VirtualAlias)),
        ("no@valias.example", Some(VirtualAlias)),
        ("bob@vmbox.example", None),
        ("bob+x@vmbox.example", None),
        ("no@vmbox.example", Some(VirtualMailbox)),
        ("r@relay.example", None),
        ("no@relay.example", Some(Relay)),
        ("old2@relay.example", None),
        ("any@elsewhere.example", None),
        ("bad@", None),
    ] {
        assert_eq!(
            block_on(f.router.unlisted(recipient)).unwrap(),
            expect.map(Unlisted::Class),
            "{recipient}"
        );
    }
    let f = fixture("local_recipient_maps =");
    assert_eq!(block_on(f.router.unlisted("nobody@example.com")).unwrap(), None);
    assert_eq!(block_on(f.router.unlisted("nobody@vmbox.example")).unwrap(), None);
    let f = fixture(
        "transport_maps = inline:{{gone.example=error:5.1.6 moved},{busy.example=retry:},{a@gone.example=smtp:}}\n\
         virtual_alias_maps = inline:{{v@gone.example=alice}}",
    );
    for (recipient, expect) in [
        ("x@gone.example", Some((true, "5.1.6 moved"))),
        ("v@gone.example", None),
        ("a@gone.example", None),
        ("x@busy.example", Some((false, "Address is undeliverable"))),
    ] {
        let expect = expect.map(|(permanent, t)| Unlisted::Undeliverable { permanent, text: t.into() });
        assert_eq!(block_on(f.router.unlisted(recipient)).unwrap(), expect, "{recipient}");
    }
    let f = fixture("local_recipient_maps = fail:x");
    assert!(block_on(f.router.unlisted("nobody@example.com")).is_err());
}

#[test]
fn a_transport_must_have_a_name() {
    let cfg = Config::from_text("default_transport = :x");
    let error = RouteConfig::from_config(&cfg).unwrap_err();
    assert_eq!(
        error.text,
        "file /etc/postfix/main.cf: parameter default_transport: null transport is not allowed"
    );
}

#[test]
fn users_who_have_moved() {
    let maps = "relocated_maps = inline:{ gone=new@x.test, a@b.test=b@c.test, {@left.test=the street}, u+x@b.test=ext }\n";
    let moved =
        |text: &str, to: &str, class: &str| format!("error|5.1.6 User has moved to {text}|{to}|{class}");
    fixture(maps).check(
        "",
        &[
            ("gone@example.com", &moved("new@x.test", "gone@example.com", "local")),
            ("Gone+x@mail.example.com", &moved("new@x.test", "Gone+x@mail.example.com", "local")),
            ("a@b.test", &moved("b@c.test", "a@b.test", "default")),
            ("gone@b.test", "smtp|b.test|gone@b.test|default"),
            ("u+x@b.test", &moved("ext", "u+x@b.test", "default")),
            ("any@left.test", &moved("the street", "any@left.test", "default")),
        ],
    );
    let plain = fixture(&format!("{maps}relocated_prefix_enable = no\n"));
    assert_eq!(plain.resolve("", "a@b.test"), "error|b@c.test|a@b.test|default");
    assert_eq!(
        block_on(fixture(maps).router.unlisted("gone@example.com")).unwrap(),
        Some(Unlisted::Undeliverable { permanent: true, text: "5.1.6 User has moved to new@x.test".into() })
    );
}

#[test]
fn probes_have_their_own_way() {
    let f = fixture(
        "relayhost = [a.test]\naddress_verify_relayhost = [b.test]\naddress_verify_local_transport = error:no\n\
         address_verify_transport_maps = inline:{ t.test=lmtp: }\n",
    );
    let probe = |to: &str| text(block_on(f.router.resolve_probe("", to)));
    assert_eq!(f.resolve("", "u@x.test"), "smtp|[a.test]|u@x.test|default");
    assert_eq!(probe("u@x.test"), "smtp|[b.test]|u@x.test|default");
    assert_eq!(probe("u@t.test"), "lmtp|t.test|u@t.test|default");
    assert_eq!(probe("u@example.com"), "error|no|u@example.com|local");
    let same = fixture("relayhost = [a.test]\n");
    assert_eq!(text(block_on(same.router.resolve_probe("", "u@x.test"))), "smtp|[a.test]|u@x.test|default");
}
