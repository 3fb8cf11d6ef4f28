//! Where in the dialogue we are, in the words of Postfix's logs.

/// A step of the dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Waiting for the greeting.
    Greeting,
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// LHLO.
    Lhlo,
    /// XFORWARD with the client's name and address.
    XforwardName,
    /// XFORWARD with what the client said.
    XforwardHelo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The content.
    Body,
    /// The dot.
    Dot,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

impl Stage {
    /// `lost connection with HOST while …`.
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Greeting => "receiving the initial server greeting",
            Self::Ehlo => "performing the EHLO handshake",
            Self::Helo => "performing the HELO handshake",
            Self::Lhlo => "performing the LHLO handshake",
            Self::XforwardName => "sending XFORWARD name/address",
            Self::XforwardHelo => "sending XFORWARD helo/protocol",
            Self::Mail => "sending MAIL FROM",
            Self::Rcpt => "sending RCPT TO",
            Self::Data => "sending DATA command",
            Self::Body => "sending message body",
            Self::Dot => "sending end of data -- message may be sent more than once",
            Self::Rset => "sending RSET command",
            Self::Quit => "sending QUIT command",
        }
    }

    /// `(in reply to …)`.
    pub const fn command(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Ehlo => "EHLO command",
            Self::Helo => "HELO command",
            Self::Lhlo => "LHLO command",
            Self::XforwardName => "XFORWARD name/address command",
            Self::XforwardHelo => "XFORWARD helo/protocol command",
            Self::Mail => "MAIL FROM command",
            Self::Rcpt => "RCPT TO command",
            Self::Data => "DATA command",
            Self::Body | Self::Dot => "end of DATA command",
            Self::Rset => "RSET command",
            Self::Quit => "QUIT command",
        }
    }

    /// Whether the session was not yet ready: the failure is the host's, not the message's.
    pub const fn is_handshake(self) -> bool {
        matches!(self, Self::Greeting | Self::Ehlo | Self::Helo | Self::Lhlo)
    }
}
