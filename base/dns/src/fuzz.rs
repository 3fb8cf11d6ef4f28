//! Check functions for arbitrary input, run by the fuzz targets and, over random mutations, by the tests.

use crate::wire::{self, Kind};
use crate::{hosts, resolv_conf};

/// Replies: nothing panics, answers are bounded.
pub fn check_reply(input: &[u8]) {
    let Ok(name) = wire::encode_name("example.com") else { return };
    let id = input.get(..2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_be_bytes);
    for kind in [Kind::A, Kind::Aaaa, Kind::Mx, Kind::Ns, Kind::Ptr, Kind::Srv, Kind::Tlsa, Kind::Txt] {
        if let Some(wire::Reply::Found(found)) = wire::reply(input, id, &name, kind) {
            assert!(found.data.len() <= wire::MAX_RECORDS);
        }
    }
}

/// resolv.conf, hosts, and names: nothing panics.
pub fn check_files(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let conf = resolv_conf::parse(&text);
    assert!(!conf.servers.is_empty());
    let _ = (conf.candidates(&text, true, true), hosts::parse(&text).addresses("a", true, true));
    let _ = wire::encode_name(&text);
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            super::check_reply(&bytes);
            super::check_files(&bytes);
        }
    }
}
