//! Checks of the parsers of this crate for the fuzz targets: records and headers from outside never panic, a body's hash does not depend
//! on how it is split.

use crate::{
    Canon, canonical::BodyHash, claims_to_be, dkim::Signature, dmarc::Record, dmarc::report::Row, spf,
    srs::Srs, tags,
};

/// All of them over the same bytes.
pub fn check(input: &[u8]) {
    let _ = Signature::parse(input);
    let _ = Record::parse(input);
    spf::check_record(input);
    let _ = claims_to_be(input, "mx.example");
    assert!(tags::without_signature(input).len() <= input.len() + 2);
    if let Ok(text) = std::str::from_utf8(input) {
        if let Some(row) = Row::parse(text) {
            assert_eq!(Row::parse(&row.key()), Some(row));
        }
        if let Some(srs) = Srs::new(["secret"].into_iter(), "ours.example") {
            let _ = srs.reverse(text, 20_000);
            if let Some(there) = srs.forward(text, 20_000).filter(|_| !text.starts_with(['s', 'S'])) {
                assert_eq!(srs.reverse(&there, 20_000).as_deref(), Some(text));
            }
        }
    }
    for canon in [Canon::Simple, Canon::Relaxed] {
        let hash = |at: usize| {
            let (mut hash, (one, two)) = (BodyHash::new(canon, None), input.split_at(at));
            hash.push(one);
            hash.push(two);
            hash.finish()
        };
        assert_eq!(hash(input.len() / 2), hash(0));
    }
}
