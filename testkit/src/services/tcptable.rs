//! A server of tcp_table(5). Script lines are `KEY REPLY`, both as on the wire: `a%20b 200 value`, `x 400 later`.

use super::{Kind, Start, listen::Protocol};
use std::io::{self, Read};

/// The record.
pub const KIND: Kind = Kind { name: "tcptable", start: Start::Scripted(PROTOCOL) };

const PROTOCOL: Protocol =
    Protocol { words: 1, unknown: "500 not%20found", read, frame: |reply| format!("{reply}\n").into_bytes() };

fn read(input: &mut dyn Read) -> io::Result<Option<String>> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while input.read(&mut byte)? > 0 {
        if byte == *b"\n" {
            let line = String::from_utf8_lossy(&line).into_owned();
            return Ok(Some(line.strip_prefix("get ").map_or(line.clone(), str::to_owned)));
        }
        line.extend(byte);
    }
    Ok(None)
}
