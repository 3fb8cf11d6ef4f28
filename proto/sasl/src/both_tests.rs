//! Each mechanism: our client against our server.

use super::*;
use crate::client::{self, Credentials};

const ITERATIONS: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// The end of a login as `user` with a password, where the server knows `secret`.
fn login(mechanism: &str, user: &str, password: &str, secret: &dyn Fn(&str) -> Option<Secret>) -> Step {
    let credentials = Credentials {
        user: user.into(),
        password: password.into(),
        host: "mail.example.com".into(),
        service: "smtp".into(),
        nonce: "clientnonce".into(),
        ..Credentials::default()
    };
    let scene = Scene {
        host: "mail.example.com".into(),
        realm: "example.com".into(),
        nonce: "servernonce".into(),
        now: 1,
        ..Scene::default()
    };
    let mut c = client::start(mechanism, credentials).expect("client");
    let mut s = start(mechanism, scene).expect("server");
    let first = c.initial();
    let mut step = s.response(first.as_deref());
    for _ in 0..10 {
        step = match step {
            Step::Challenge(text) => {
                let answer = c.answer(&text).expect("sense");
                s.response(Some(&answer))
            }
            Step::Verify { user, password } => {
                let right = matches!(secret(&user), Some(Secret::Password(p)) if p == password);
                s.verified(right)
            }
            Step::Secret { user } => {
                let found = secret(&user);
                s.secret(found)
            }
            end => return end,
        };
    }
    panic!("no end");
}

#[test]
fn right_and_wrong() {
    let known = |user: &str| user.starts_with("alice").then(|| Secret::Password("se,cr=et".into()));
    for (mechanism, _) in MECHANISMS {
        assert_eq!(
            login(mechanism, "alice", "se,cr=et", &known),
            Step::Success { user: "alice".into() },
            "{mechanism}"
        );
        for (user, password) in [("alice", "wrong"), ("bob", "se,cr=et")] {
            let end = login(mechanism, user, password, &known);
            assert_eq!(end, Step::Failure { user: Some(user.into()) }, "{mechanism} {user}");
        }
    }
}

#[test]
fn scram_from_what_is_kept() {
    let kept =
        |_: &str| Some(Secret::Scram(ScramSecret::new(Sha::Two256, "pw", b"salt".to_vec(), ITERATIONS)));
    assert!(
        matches!(login("SCRAM-SHA-256", "a=b,c", "pw", &kept), Step::Success { user } if user == "a=b,c")
    );
    assert!(matches!(login("SCRAM-SHA-1", "a", "pw", &kept), Step::Failure { .. }));
    let secret = ScramSecret::new(Sha::Two256, "pw", b"salt".to_vec(), ITERATIONS);
    assert!(secret.is_of("pw") && !secret.is_of("px"));
}

#[test]
fn the_example_of_rfc_7677() {
    let credentials = Credentials {
        user: "user".into(),
        password: "pencil".into(),
        nonce: "rOprNGfwEbeRWgbNEkqO".into(),
        ..Credentials::default()
    };
    let mut c = client::start("SCRAM-SHA-256", credentials).expect("client");
    assert_eq!(c.initial().expect("first"), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let last = c.answer(first).expect("last");
    assert_eq!(
        String::from_utf8_lossy(&last),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    assert!(c.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").is_ok());
}

#[test]
fn servers_that_lie() {
    let credentials = Credentials { nonce: "abc".into(), ..Credentials::default() };
    let mut c = client::start("SCRAM-SHA-256", credentials.clone()).expect("client");
    assert!(c.answer(b"r=other,s=YQ==,i=4096").is_err());
    let mut c = client::start("SCRAM-SHA-256", credentials).expect("client");
    assert!(c.answer(b"r=abcd,s=YQ==,i=100000000").is_err(), "too many rounds");
}

/// The server's first message of SCRAM to a user, without the nonce.
fn salt_for(user: &str, known: Option<Secret>, scene: &Scene) -> String {
    let mut s = start("SCRAM-SHA-256", scene.clone()).expect("server");
    let asked = s.response(Some(format!("n,,n={user},r=abc").as_bytes()));
    assert_eq!(asked, Step::Secret { user: user.to_owned() });
    let Step::Challenge(text) = s.secret(known) else { panic!("no challenge") };
    let text = String::from_utf8(text).expect("text");
    text.split_once(',').expect("salt").1.to_owned()
}

#[test]
fn salts_do_not_tell_who_exists() {
    let of = |key: u8, nonce: &str| Scene { key: [key; 32], nonce: nonce.to_owned(), ..Scene::default() };
    let password = || Some(Secret::Password("pw".into()));
    let salt = salt_for("alice", None, &of(1, "n1"));
    assert_eq!(salt_for("alice", password(), &of(1, "n2")), salt, "known or not, one login like the other");
    assert_ne!(salt_for("alice", None, &of(2, "n1")), salt, "nobody else can compute it");
    assert_ne!(salt_for("bob", None, &of(1, "n1")), salt);
}

/// A password of one realm is no login of the user of that name in ours.
#[test]
fn a_digest_for_another_realm_names_it() {
    let asked = |realm: &str| {
        let scene = Scene { realm: "example.com".into(), nonce: "n".into(), ..Scene::default() };
        let mut s = start("DIGEST-MD5", scene).expect("server");
        let r = crate::digest::Response {
            user: "alice",
            realm,
            password: "pw",
            nonce: "n",
            cnonce: "c",
            nc: "00000001",
            uri: "smtp/x",
        };
        let response = format!(
            "username=\"alice\",realm=\"{realm}\",nonce=\"n\",cnonce=\"c\",nc=00000001,digest-uri=\"smtp/x\",response={}",
            r.client()
        );
        let Step::Secret { user: looked_up } = s.response(Some(response.as_bytes())) else {
            panic!("no question")
        };
        assert!(matches!(s.secret(Some(Secret::Password("pw".into()))), Step::Challenge(_)));
        let Step::Success { user } = s.response(Some(b"")) else { panic!("no success") };
        (looked_up, user)
    };
    assert_eq!(asked("example.com"), ("alice@example.com".into(), "alice".into()));
    assert_eq!(asked("example.org"), ("alice@example.org".into(), "alice@example.org".into()));
    assert_eq!(asked(""), ("alice".into(), "alice".into()));
}

proptest::proptest! {
    #[test]
    fn no_input_makes_either_side_panic(name in 0usize..6, first: Vec<u8>, then: Vec<u8>) {
        let (mechanism, _) = MECHANISMS[name];
        let mut s = start(mechanism, Scene::default()).expect("server");
        for input in [&first, &then] {
            if let Step::Secret { .. } = s.response(Some(input)) {
                s.secret(Some(Secret::Password("x".into())));
            }
        }
        let mut c = client::start(mechanism, Credentials::default()).expect("client");
        let _ = c.answer(&first).and_then(|_| c.answer(&then));
    }
}

#[test]
fn responses_that_make_no_sense() {
    for (mechanism, _) in MECHANISMS {
        for response in [&b""[..], b"\0", b"\xff\xfe", b"x", b"n,,", b"\0\0\0\0"] {
            let mut s = start(mechanism, Scene::default()).expect("server");
            let step = s.response(Some(response));
            assert!(!matches!(step, Step::Success { .. }), "{mechanism} {response:?}");
        }
    }
}
