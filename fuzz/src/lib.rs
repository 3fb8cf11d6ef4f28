//! The check functions of every parser, by name, with seeds to start from.
//!
//! Each takes any bytes and panics when a promise is broken: no panic of the parser itself, decode-encode-decode gives the
//! same, input split anywhere gives the same. `tests/stable.rs` runs them over the corpora and random mutations on stable Rust as
//! part of the tests; `libfuzzer/` runs the same functions under libFuzzer (`cargo xtask fuzz TARGET`).

/// A parser under test.
pub struct Target {
    /// Name, also of its corpus folder and its libFuzzer target.
    pub name: &'static str,
    /// The check.
    pub check: fn(&[u8]),
}

/// Every target, sorted.
pub const TARGETS: &[Target] = &[
    Target { name: "address_header", check: proto_message::fuzz::address_header },
    Target { name: "address_list", check: proto_address::fuzz::address_list },
    Target { name: "auth", check: base_auth::fuzz::check },
    Target { name: "bdat", check: proto_smtp::fuzz::check_bdat },
    Target { name: "bdb_file", check: base_tables::fuzz::check_bdb },
    Target { name: "change", check: change },
    Target { name: "command", check: proto_smtp::fuzz::check_command },
    Target { name: "data", check: proto_smtp::fuzz::check_data },
    Target { name: "dns_files", check: base_dns::fuzz::check_files },
    Target { name: "dns_reply", check: base_dns::fuzz::check_reply },
    Target { name: "envelope", check: envelope },
    Target { name: "haproxy", check: proto_wire::haproxy::check },
    Target { name: "header_stream", check: proto_message::fuzz::header_stream },
    Target { name: "main_cf", check: base_conf::fuzz::check_main_cf },
    Target { name: "master_cf", check: base_conf::fuzz::check_master_cf },
    Target { name: "milter", check: proto_milter::check },
    Target { name: "mime_stream", check: proto_message::fuzz::mime_stream },
    Target { name: "netstring", check: proto_wire::netstring::check },
    Target { name: "quoting", check: proto_address::fuzz::quoting },
    Target { name: "resp", check: proto_wire::resp::check },
    Target { name: "segment", check: base_spool::fuzz::check_segment },
    Target { name: "table_cdb", check: base_tables::fuzz::check_cdb },
    Target { name: "table_index", check: base_tables::fuzz::check_index },
    Target { name: "table_lists", check: base_tables::fuzz::check_lists },
    Target { name: "table_regexp", check: base_tables::fuzz::check_regexp },
    Target { name: "table_source", check: base_tables::fuzz::check_source },
    Target { name: "tcp_table", check: proto_wire::tcp_table::check },
    Target { name: "xtext", check: proto_address::fuzz::xtext },
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|t| t.name == name)
}

/// What decodes as an envelope encodes and decodes to the same.
fn envelope(input: &[u8]) {
    use base_calls::codec::{decode_envelope, encode_envelope};
    if let Ok(decoded) = decode_envelope(input) {
        let mut bytes = Vec::new();
        encode_envelope(&decoded, &mut bytes);
        assert_eq!(decode_envelope(&bytes), Ok(decoded));
    }
}

/// What decodes as changes encodes and decodes to the same.
fn change(input: &[u8]) {
    use base_calls::codec::{decode_changes, encode_change};
    if let Ok(decoded) = decode_changes(input) {
        let mut bytes = Vec::new();
        decoded.iter().for_each(|c| encode_change(c, &mut bytes));
        assert_eq!(decode_changes(&bytes), Ok(decoded));
    }
}
