//! A server of socketmap_table(5). Script lines are `MAP KEY REPLY`: `m alice OK value`, `m bob TEMP later`.

use super::{Kind, Start, listen::Protocol};
use std::io::{self, Read};

/// The record.
pub const KIND: Kind = Kind { name: "socketmap", start: Start::Scripted(PROTOCOL) };

const PROTOCOL: Protocol = Protocol {
    words: 2,
    unknown: "NOTFOUND ",
    read,
    frame: |reply| format!("{}:{reply},", reply.len()).into_bytes(),
};

/// The longest request.
const MAX: usize = 100_000;

fn read(input: &mut dyn Read) -> io::Result<Option<String>> {
    let mut digits = String::new();
    let mut byte = [0];
    loop {
        if input.read(&mut byte)? == 0 {
            return Ok(None);
        }
        match byte[0] {
            b':' => break,
            digit => digits.push(char::from(digit)),
        }
    }
    let len: usize = digits.parse().map_err(io::Error::other)?;
    let mut text = vec![0; len.min(MAX) + 1];
    input.read_exact(&mut text)?;
    text.pop();
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}
