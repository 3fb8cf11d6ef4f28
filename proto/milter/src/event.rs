//! Events as packets: a length of 4 bytes (network order, what follows), a letter, data; strings end with a NUL.

use crate::negotiate::steps;

/// What a filter is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A client has connected.
    Connect {
        /// Its verified name, or its address in brackets.
        host: &'a str,
        /// Kind of address.
        family: Family,
        /// TCP port, 0 when unknown.
        port: u16,
        /// The address.
        address: &'a str,
    },
    /// HELO or EHLO name.
    Helo(&'a str),
    /// MAIL: the address in angle brackets, then ESMTP parameters.
    Mail(&'a [&'a str]),
    /// RCPT, likewise.
    Rcpt(&'a [&'a str]),
    /// DATA.
    Data,
    /// A command that the server does not know.
    Unknown(&'a str),
    /// A header.
    Header {
        /// Its name.
        name: &'a [u8],
        /// Its value, lines separated by LF.
        value: &'a [u8],
    },
    /// End of headers.
    EndOfHeaders,
    /// A piece of the body.
    Body(&'a [u8]),
    /// End of message.
    EndOfMessage,
}

/// Kind of a client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
    /// UNIX-domain socket.
    Unix,
    /// Not known: no address.
    Unknown,
}

/// When a set of macros is sent; the order is that of SMFIR_SETSYMLIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacroStage {
    /// `milter_connect_macros`
    Connect,
    /// `milter_helo_macros`
    Helo,
    /// `milter_mail_macros`
    Mail,
    /// `milter_rcpt_macros`
    Rcpt,
    /// `milter_data_macros`
    Data,
    /// `milter_end_of_data_macros`
    EndOfMessage,
    /// `milter_end_of_header_macros`
    EndOfHeaders,
    /// `milter_unknown_command_macros`
    Unknown,
}

impl MacroStage {
    /// How many there are.
    pub const COUNT: usize = 8;
}

/// What is known of a kind of event.
struct Kind {
    letter: u8,
    name: &'static str,
    /// The step with which a filter declines it.
    declined: u32,
    /// The step with which it promises not to answer.
    silent: u32,
    /// First protocol version that has it.
    version: u32,
    macros: MacroStage,
}

impl Event<'_> {
    const fn kind(&self) -> Kind {
        use steps::*;
        let (letter, name, declined, silent, version, macros) = match self {
            Self::Connect { .. } => (b'C', "CONNECT", NO_CONNECT, NR_CONNECT, 2, MacroStage::Connect),
            Self::Helo(_) => (b'H', "HELO", NO_HELO, NR_HELO, 2, MacroStage::Helo),
            Self::Mail(_) => (b'M', "MAIL", NO_MAIL, NR_MAIL, 2, MacroStage::Mail),
            Self::Rcpt(_) => (b'R', "RCPT", NO_RCPT, NR_RCPT, 2, MacroStage::Rcpt),
            Self::Data => (b'T', "DATA", NO_DATA, NR_DATA, 4, MacroStage::Data),
            Self::Unknown(_) => (b'U', "UNKNOWN", NO_UNKNOWN, NR_UNKNOWN, 3, MacroStage::Unknown),
            Self::Header { .. } => (b'L', "HEADER", NO_HEADERS, NR_HEADER, 2, MacroStage::EndOfHeaders),
            Self::EndOfHeaders => (b'N', "EOH", NO_EOH, NR_EOH, 2, MacroStage::EndOfHeaders),
            Self::Body(_) => (b'B', "BODY", NO_BODY, NR_BODY, 2, MacroStage::EndOfMessage),
            Self::EndOfMessage => (b'E', "BODYEOB", 0, 0, 2, MacroStage::EndOfMessage),
        };
        Kind { letter, name, declined, silent, version, macros }
    }

    /// The name in messages, after `SMFIC_`.
    pub fn name(&self) -> &'static str {
        self.kind().name
    }

    /// The macros that go with it.
    pub fn macros(&self) -> MacroStage {
        self.kind().macros
    }

    /// Whether a filter that speaks `version` and asked for `asked` steps gets it.
    pub(crate) fn is_wanted(&self, version: u32, asked: u32) -> bool {
        let kind = self.kind();
        version >= kind.version && asked & kind.declined == 0
    }

    /// Whether it is answered.
    pub(crate) fn is_answered(&self, asked: u32) -> bool {
        asked & self.kind().silent == 0
    }

    /// It is about the content of a message.
    pub fn is_content(&self) -> bool {
        matches!(self, Self::Header { .. } | Self::EndOfHeaders | Self::Body(_) | Self::EndOfMessage)
    }

    /// Appends the packet to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        match self {
            Self::Connect { host, family, port, address } => {
                string(host.as_bytes(), &mut data);
                data.push(match family {
                    Family::Inet => b'4',
                    Family::Inet6 => b'6',
                    Family::Unix => b'L',
                    Family::Unknown => b'U',
                });
                if *family != Family::Unknown {
                    data.extend_from_slice(&port.to_be_bytes());
                    string(address.as_bytes(), &mut data);
                }
            }
            Self::Helo(text) | Self::Unknown(text) => string(text.as_bytes(), &mut data),
            Self::Mail(args) | Self::Rcpt(args) => args.iter().for_each(|a| string(a.as_bytes(), &mut data)),
            Self::Header { name, value } => {
                string(name, &mut data);
                string(value, &mut data);
            }
            Self::Body(bytes) => return packet(self.kind().letter, bytes, out),
            Self::Data | Self::EndOfHeaders | Self::EndOfMessage => {}
        }
        packet(self.kind().letter, &data, out);
    }

    /// Appends the macros that go with the event, unless there are none.
    pub fn write_macros(&self, macros: &[(String, String)], out: &mut Vec<u8>) {
        if macros.is_empty() {
            return;
        }
        let mut data = vec![self.kind().letter];
        for (name, value) in macros {
            string(name.as_bytes(), &mut data);
            string(value.as_bytes(), &mut data);
        }
        packet(b'D', &data, out);
    }
}

/// A string with its NUL; a NUL inside would end it early, so that the rest is left out.
fn string(text: &[u8], out: &mut Vec<u8>) {
    let text = text.split(|b| *b == 0).next().unwrap_or_default();
    out.extend_from_slice(text);
    out.push(0);
}

/// Appends a packet.
pub fn packet(letter: u8, data: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(data.len() + 1).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.push(letter);
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(event: Event<'_>, expect: &[u8]) {
        let mut out = Vec::new();
        event.write(&mut out);
        assert_eq!(out.get(..4), Some((expect.len() as u32).to_be_bytes().as_slice()));
        assert_eq!(out.get(4..), Some(expect), "{event:?}");
    }

    #[test]
    fn packets() {
        let host = "h";
        check(
            Event::Connect { host, family: Family::Inet, port: 258, address: "192.0.2.1" },
            b"Ch\x004\x01\x02192.0.2.1\0",
        );
        check(Event::Connect { host, family: Family::Unknown, port: 0, address: "" }, b"Ch\0U");
        check(Event::Helo("c"), b"Hc\0");
        check(Event::Mail(&["<a@b>", "SIZE=1"]), b"M<a@b>\0SIZE=1\0");
        check(Event::Header { name: b"A", value: b"x\0y" }, b"LA\0x\0");
        check(Event::Body(b"x\0\r\n"), b"Bx\0\r\n");
        check(Event::EndOfMessage, b"E");
    }

    #[test]
    fn macros() {
        let mut out = Vec::new();
        Event::Data.write_macros(&[], &mut out);
        assert!(out.is_empty());
        Event::Data.write_macros(&[("i".into(), "Q".into()), ("{a}".into(), String::new())], &mut out);
        assert_eq!(out, b"\0\0\0\x0bDTi\0Q\0{a}\0\0");
    }
}
