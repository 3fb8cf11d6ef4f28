//! The DATA stream: end of data, dot-unstuffing, line ends (RFC 5321 4.5.2; `smtpd_forbid_bare_newline`), and the
//! opposite direction for clients.
//!
//! [`DataFramer::next`] is called again and again with the input that is there; it hands out slices of that input, as long
//! as they can be, in canonical form: CRLF line ends, no stuffed dots. Split anywhere, the concatenation is the same.
//! Nothing is buffered: what is undecided at the end of the input is a state of a few bytes. The usual line costs one
//! `memchr`. Long lines and NUL pass; what is in a line is the business of later stages.

use memchr::memchr;

/// What a line feed without a carriage return before it means (`smtpd_forbid_bare_newline`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BareLf {
    /// `no`: a line end like any other, any number of CR before it is dropped, `LF . LF` ends the data.
    Allow,
    /// `normalize`: a line end, but only `CR LF . CR LF` ends the data; a dot alone on another line is dropped.
    #[default]
    Normalize,
    /// `reject`: as `normalize`, and [`DataFramer::bare_lf`] tells that there was one.
    Reject,
}

/// What came out of some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Content in canonical form.
    Content(&'a [u8]),
    /// End of data: the rest of the input is the next command.
    End,
}

/// One step: how much input it took, and what came out of it (`None`: more input is needed, or more calls).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes of input that are dealt with.
    pub used: usize,
    /// What came out.
    pub piece: Option<Piece<'a>>,
}

impl<'a> Step<'a> {
    const fn skip(used: usize) -> Self {
        Self { used, piece: None }
    }

    const fn content(used: usize, content: &'a [u8]) -> Self {
        Self { used, piece: Some(Piece::Content(content)) }
    }
}

/// Where in a line the framer stands.
///
/// ```text
/// Start --'.'--> Dot --CR--> DotCrs --LF--> End, or Start
///   |             |other       |other
///   +-----------> Text <--> TextCrs --LF--> Start
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first byte of a line.
    Start,
    /// After a dot at the start of a line.
    Dot,
    /// After such a dot and some CR.
    DotCrs(usize),
    /// Within text; no CR is pending.
    Text,
    /// After some CR that may belong to the line end.
    TextCrs(usize),
    /// CRs to be handed out, then the text goes on.
    OwedCrs(usize),
    /// CRs to be handed out, then the line ends.
    OwedEnd(usize),
    /// After the end of data.
    End,
}

const CRS: &[u8; 32] = &[b'\r'; 32];
const CRLF: &[u8] = b"\r\n";

/// Takes the content of a message out of what a client sends, by DATA or BDAT.
pub trait Framer {
    /// Deals with the start of `input`.
    fn next<'a>(&mut self, input: &'a [u8]) -> Step<'a>;

    /// Whether it waits for input; when not, [`Framer::next`] has an answer without any.
    fn wants_input(&self) -> bool;
}

impl Framer for DataFramer {
    fn next<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        Self::next(self, input)
    }

    fn wants_input(&self) -> bool {
        true
    }
}

/// Takes a DATA stream apart.
#[derive(Debug, Clone)]
pub struct DataFramer {
    at: At,
    rule: BareLf,
    /// Dots mean something (DATA), or not (BDAT).
    dots: bool,
    /// The line before this one ended in CR LF.
    after_crlf: bool,
    bare_lf: bool,
}

impl DataFramer {
    /// A framer at the start of the data.
    pub fn new(rule: BareLf) -> Self {
        Self { at: At::Start, rule, dots: true, after_crlf: true, bare_lf: false }
    }

    /// A framer for BDAT content, where a dot is only a dot.
    pub(crate) fn without_dots(rule: BareLf) -> Self {
        Self { dots: false, ..Self::new(rule) }
    }

    /// Whether a bare LF was seen so far.
    pub fn bare_lf(&self) -> bool {
        self.bare_lf
    }

    /// Whether the content so far is whole lines.
    pub(crate) fn at_line_start(&self) -> bool {
        self.at == At::Start
    }

    /// Deals with the start of `input`. To be called until the input is used up or [`Piece::End`] comes; after that it
    /// takes nothing. An empty input is fine.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        match self.at {
            At::OwedCrs(n) => return self.owed(n, At::OwedCrs, At::Text),
            At::OwedEnd(0) => {
                self.at = At::Start;
                return Step::content(0, CRLF);
            }
            At::OwedEnd(n) => return self.owed(n, At::OwedEnd, At::OwedEnd(0)),
            At::End => return Step { used: 0, piece: Some(Piece::End) },
            _ => {}
        }
        let Some(&first) = input.first() else { return Step::skip(0) };
        match self.at {
            At::Start if first == b'.' && self.dots => self.go(1, At::Dot),
            At::Dot => self.after_dot(first),
            At::DotCrs(n) => self.after_dot_crs(first, n),
            At::TextCrs(n) => self.after_crs(first, n),
            _ => self.text(input),
        }
    }

    fn go<'a>(&mut self, used: usize, at: At) -> Step<'a> {
        self.at = at;
        Step::skip(used)
    }

    fn owed<'a>(&mut self, n: usize, more: fn(usize) -> At, done: At) -> Step<'a> {
        let now = n.min(CRS.len());
        self.at = if n > now { more(n - now) } else { done };
        Step::content(0, CRS.get(..now).unwrap_or_default())
    }

    fn after_dot<'a>(&mut self, b: u8) -> Step<'a> {
        match b {
            b'\n' if self.rule == BareLf::Allow => self.end_of_data(),
            b'\n' => self.dropped_line(false),
            b'\r' => self.go(1, At::DotCrs(1)),
            _ => self.go(0, At::Text),
        }
    }

    fn after_dot_crs<'a>(&mut self, b: u8, n: usize) -> Step<'a> {
        match b {
            b'\n' if self.rule == BareLf::Allow => self.end_of_data(),
            b'\n' if n > 1 => self.line_end(true, n - 1),
            b'\n' if self.after_crlf => self.end_of_data(),
            b'\n' => self.dropped_line(true),
            b'\r' => self.go(1, At::DotCrs(n + 1)),
            _ => self.go(0, At::OwedCrs(n)),
        }
    }

    fn after_crs<'a>(&mut self, b: u8, n: usize) -> Step<'a> {
        match b {
            b'\n' if self.rule == BareLf::Allow => self.line_end(true, 0),
            b'\n' => self.line_end(true, n - 1),
            b'\r' => self.go(1, At::TextCrs(n + 1)),
            _ => self.go(0, At::OwedCrs(n)),
        }
    }

    fn end_of_data<'a>(&mut self) -> Step<'a> {
        self.at = At::End;
        Step { used: 1, piece: Some(Piece::End) }
    }

    /// A dot alone on a line that does not end the data.
    fn dropped_line<'a>(&mut self, crlf: bool) -> Step<'a> {
        self.ended(crlf);
        self.go(1, At::Start)
    }

    /// LF was the byte: the line ends with `crs` CRs as text.
    fn line_end<'a>(&mut self, crlf: bool, crs: usize) -> Step<'a> {
        self.ended(crlf);
        self.go(1, At::OwedEnd(crs))
    }

    fn ended(&mut self, crlf: bool) {
        self.after_crlf = crlf;
        self.bare_lf |= !crlf;
    }

    /// As many whole, clean lines as there are, and the start of the next one.
    fn text<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        let mut start = 0;
        loop {
            let rest = input.get(start..).unwrap_or_default();
            let Some(lf) = memchr(b'\n', rest) else { return self.partial(input, start) };
            let line = rest.get(..lf).unwrap_or_default();
            let crs = line.len() - trim_crs(line).len();
            if crs == 0 || crs > 1 && self.rule == BareLf::Allow {
                return self.unclean(input, start + lf, crs);
            }
            self.after_crlf = true;
            start += lf + 1;
            if self.dots && input.get(start) == Some(&b'.') || start == input.len() {
                self.at = At::Start;
                return Step::content(start, input.get(..start).unwrap_or_default());
            }
        }
    }

    /// The input ends within a line that began at `start`.
    fn partial<'a>(&mut self, input: &'a [u8], start: usize) -> Step<'a> {
        let rest = input.get(start..).unwrap_or_default();
        let crs = rest.len() - trim_crs(rest).len();
        self.at = if crs > 0 { At::TextCrs(crs) } else { At::Text };
        let text = input.get(..input.len() - crs).unwrap_or_default();
        if text.is_empty() { Step::skip(input.len()) } else { Step::content(input.len(), text) }
    }

    /// The line end at `lf` is not exactly CR LF: what was before it is handed out, then a canonical end.
    fn unclean<'a>(&mut self, input: &'a [u8], lf: usize, crs: usize) -> Step<'a> {
        self.ended(crs > 0);
        self.at = At::OwedEnd(0);
        let text = input.get(..lf - crs).unwrap_or_default();
        if text.is_empty() { Step::skip(lf + 1) } else { Step::content(lf + 1, text) }
    }
}

fn trim_crs(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|&b| b != b'\r').map_or(0, |i| i + 1);
    line.get(..end).unwrap_or_default()
}

/// Puts content in canonical form on the wire: doubles dots at line starts, ends with `CRLF . CRLF`.
#[derive(Debug, Clone)]
pub struct DotStuffer {
    line_start: bool,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl DotStuffer {
    /// At the start of the data.
    pub fn new() -> Self {
        Self { line_start: true }
    }

    /// Hands the stuffed form of `content` to `emit`, in slices of it.
    pub fn push<'a>(&mut self, content: &'a [u8], mut emit: impl FnMut(&'a [u8])) {
        let mut from = 0;
        if self.line_start && content.first() == Some(&b'.') {
            emit(b".");
        }
        for dot in memchr::memmem::find_iter(content, b"\n.") {
            let upto = dot + 2;
            emit(content.get(from..upto).unwrap_or_default());
            from = upto - 1;
        }
        emit(content.get(from..).unwrap_or_default());
        if let Some(&last) = content.last() {
            self.line_start = last == b'\n';
        }
    }

    /// What ends the data; a last line without its end gets one.
    pub fn finish(self) -> &'static [u8] {
        if self.line_start { b".\r\n" } else { b"\r\n.\r\n" }
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
