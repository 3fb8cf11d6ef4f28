//! Address lists of message headers as rows of tokens that can be changed in place. RFC 5322 3.4.
//!
//! Cleanup rewrites the addresses of a header without touching phrases, comments and encoded words beside them.
//! What is printed and where a comma is supplied follows Postfix: the list is read from the right; words that stand
//! side by side are addresses of their own (`a b` is `a, b`); a comment inside an address moves behind it; an angle
//! bracket without its partner is part of the address. Nothing is refused. Time and memory are linear in the input.

use crate::external;

/// A token, or an address made of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A word without quotes, as it stands (backslashes kept).
    Atom(String),
    /// A quoted word, without its quotes and backslashes.
    Quoted(String),
    /// A domain literal, with its brackets.
    Literal(String),
    /// A comment, with its parentheses and backslashes.
    Comment(String),
    /// A single special character.
    Special(char),
    /// The colon after the name of a group.
    GroupStart,
    /// One address.
    Address(Vec<Node>),
}

impl Node {
    fn is_word(&self) -> bool {
        matches!(self, Self::Atom(_) | Self::Quoted(_) | Self::Literal(_))
    }

    /// Stands apart from a neighbour of the same kind by a blank.
    fn is_wordlike(&self) -> bool {
        self.is_word() || matches!(self, Self::Comment(_) | Self::Address(_))
    }

    fn is(&self, c: char) -> bool {
        *self == Self::Special(c)
    }
}

/// A header value or an address as a row of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Tokens only, no address nodes.
    pub fn scan(text: &str) -> Self {
        Self { nodes: Scanner { rest: text }.collect() }
    }

    /// An address list. What comes after `max_tokens` tokens is dropped (`header_address_token_limit`).
    pub fn parse(text: &str, max_tokens: usize) -> Self {
        let tokens = Scanner { rest: text }.take(max_tokens).collect();
        Self { nodes: Parser { tokens, out: Vec::new(), in_group: false }.run() }
    }

    /// The row of tokens without quotes and backslashes: the internal form of an address.
    pub fn internal(&self) -> String {
        internal(&self.nodes)
    }

    /// The addresses, in order, for reading and replacing.
    pub fn addresses_mut(&mut self) -> impl Iterator<Item = AddressMut<'_>> {
        self.nodes.iter_mut().filter_map(|n| match n {
            Node::Address(tokens) => Some(AddressMut { tokens }),
            _ => None,
        })
    }

    /// The addresses in internal form.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        self.nodes.iter().filter_map(|n| match n {
            Node::Address(tokens) => Some(internal(tokens)),
            _ => None,
        })
    }

    /// Prints the list in external form, one item per address: cut after each comma. Joined by blanks they are the
    /// header value.
    pub fn items(&self) -> Vec<String> {
        let mut printer = Printer::default();
        let mut items = Vec::new();
        for node in &self.nodes {
            printer.node(node);
            if node.is(',') {
                items.push(std::mem::take(&mut printer).text);
            }
        }
        items.push(printer.text);
        items
    }
}

/// One address of a [`Tree`].
pub struct AddressMut<'a> {
    tokens: &'a mut Vec<Node>,
}

impl AddressMut<'_> {
    /// Internal form.
    pub fn internal(&self) -> String {
        internal(self.tokens)
    }

    /// As written, without superfluous blanks: to see whether rewriting changes it.
    pub fn source(&self) -> String {
        let mut printer = Printer::default();
        self.tokens.iter().for_each(|n| printer.node(n));
        printer.text
    }

    /// Puts another address in its place, given in external form.
    pub fn replace(&mut self, external: &str) {
        *self.tokens = Tree::scan(external).nodes;
    }
}

fn internal(tokens: &[Node]) -> String {
    let mut out = String::new();
    let mut previous: Option<&Node> = None;
    let source_route = tokens.first().is_some_and(|t| t.is('@'));
    for node in tokens {
        if previous.is_some_and(|p| (p.is_wordlike() && node.is_wordlike()) || p.is(',') && !source_route) {
            out.push(' ');
        }
        match node {
            Node::Atom(text) => unescape(text, &mut out),
            Node::Quoted(text) | Node::Literal(text) | Node::Comment(text) => out.push_str(text),
            Node::Special(c) => out.push(*c),
            Node::GroupStart => out.push(':'),
            Node::Address(inner) => out.push_str(&internal(inner)),
        }
        previous = Some(node);
    }
    out
}

fn unescape(text: &str, out: &mut String) {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
}

/// Prints nodes in external form.
#[derive(Default)]
struct Printer {
    text: String,
    /// The last node was like a word.
    after_word: bool,
}

impl Printer {
    fn node(&mut self, node: &Node) {
        let wordlike = node.is_wordlike();
        let apart = (wordlike && self.after_word) || (node.is('<') && !self.text.ends_with(": "));
        if apart && !self.text.is_empty() {
            self.text.push(' ');
        }
        match node {
            Node::Atom(text) | Node::Literal(text) | Node::Comment(text) => self.text.push_str(text),
            Node::Quoted(text) => self.quoted(text),
            Node::Special(c) => self.text.push(*c),
            Node::GroupStart => self.text.push_str(": "),
            Node::Address(tokens) => self.address(tokens),
        }
        self.after_word = wordlike;
    }

    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                self.text.push('\\');
            }
            self.text.push(c);
        }
        self.text.push('"');
    }

    fn address(&mut self, tokens: &[Node]) {
        let address = internal(tokens);
        if address.is_empty() && !tokens.is_empty() {
            self.text.push_str("\"\"");
        } else {
            self.text.push_str(&external(&address));
        }
    }
}

/// Cuts text into tokens.
struct Scanner<'a> {
    rest: &'a str,
}

fn ends_atom(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t'
            | '\r'
            | '\n'
            | '"'
            | '('
            | ')'
            | ','
            | '.'
            | ':'
            | ';'
            | '<'
            | '>'
            | '@'
            | '['
            | ']'
            | '%'
            | '!'
    )
}

impl Iterator for Scanner<'_> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let first = self.rest.chars().next()?;
        Some(match first {
            '(' => Node::Comment(self.comment()),
            '"' => Node::Quoted(self.quoted()),
            '[' => Node::Literal(self.literal()),
            c if ends_atom(c) => {
                self.rest = &self.rest[c.len_utf8()..];
                Node::Special(c)
            }
            _ => Node::Atom(self.atom()),
        })
    }
}

impl<'a> Scanner<'a> {
    /// Takes text up to where `end` says stop; `end` sees each character and whether a backslash stands before it,
    /// and answers `Some(true)` to stop behind it, `Some(false)` to stop before it.
    fn take_until(&mut self, mut end: impl FnMut(char, bool) -> Option<bool>) -> &'a str {
        let mut escaped = false;
        let mut cut = self.rest.len();
        for (at, c) in self.rest.char_indices() {
            if let Some(behind) = end(c, escaped) {
                cut = if behind { at + c.len_utf8() } else { at };
                break;
            }
            escaped = c == '\\' && !escaped;
        }
        let (taken, rest) = self.rest.split_at(cut);
        self.rest = rest;
        taken
    }

    fn atom(&mut self) -> String {
        self.take_until(|c, escaped| (matches!(c, '\r' | '\n') || !escaped && ends_atom(c)).then_some(false))
            .to_owned()
    }

    fn comment(&mut self) -> String {
        let mut depth = 0u32;
        let text = self.take_until(|c, escaped| {
            match c {
                '(' if !escaped => depth += 1,
                ')' if !escaped => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(true)
        });
        let mut text = unfold(text);
        text.extend(std::iter::repeat_n(')', depth as usize));
        text
    }

    fn quoted(&mut self) -> String {
        let mut first = true;
        let text = self.take_until(|c, escaped| {
            let end = c == '"' && !escaped && !first;
            first = false;
            end.then_some(true)
        });
        let text = text.strip_prefix('"').unwrap_or(text);
        let inside = match text.strip_suffix('"') {
            Some(t) if !ends_escaped(t) => t,
            _ => text,
        };
        let mut out = String::with_capacity(inside.len());
        unescape(&unfold(inside), &mut out);
        out
    }

    fn literal(&mut self) -> String {
        let text = self.take_until(|c, escaped| (c == ']' && !escaped).then_some(true));
        let mut text = unfold(text);
        if !text.ends_with(']') {
            text.push(']');
        }
        text
    }
}

/// Whether the text ends in an odd number of backslashes.
fn ends_escaped(text: &str) -> bool {
    text.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1
}

fn unfold(text: &str) -> String {
    text.replace(['\r', '\n'], "")
}

/// Groups tokens into addresses, from the right.
struct Parser {
    /// Tokens not yet looked at.
    tokens: Vec<Node>,
    /// What is done, in reverse.
    out: Vec<Node>,
    /// Right of here stands a `;` whose `:` has not been seen.
    in_group: bool,
}

impl Parser {
    fn run(mut self) -> Vec<Node> {
        while let Some(token) = self.tokens.pop() {
            match token {
                Node::Special(';') => {
                    self.in_group = true;
                    self.out.push(token);
                }
                Node::Special(':') if self.in_group => {
                    self.in_group = false;
                    self.out.push(Node::GroupStart);
                    self.move_while(|t| !t.is(','));
                }
                Node::Special('>') => {
                    self.out.push(token);
                    self.angle();
                }
                Node::Special(',') | Node::Comment(_) => self.out.push(token),
                first => self.bare(first),
            }
        }
        self.out.reverse();
        self.out
    }

    fn move_while(&mut self, keep: impl Fn(&Node) -> bool) {
        while let Some(token) = self.tokens.pop_if(|t| keep(t)) {
            self.out.push(token);
        }
    }

    /// `phrase <address>`, from the end of the address on.
    fn angle(&mut self) {
        let mut inside = Vec::new();
        while let Some(token) = self.tokens.pop_if(|t| !t.is('<')) {
            inside.push(token);
        }
        self.finish_address(inside);
        if let Some(open) = self.tokens.pop() {
            self.out.push(open);
        }
        let in_group = self.in_group;
        self.move_while(|t| !(t.is(',') || t.is(';') || t.is('>') || in_group && t.is(':')));
    }

    /// An address without brackets, from its last token on.
    fn bare(&mut self, last: Node) {
        let mut after_word = last.is_word();
        let mut inside = vec![last];
        let in_group = self.in_group;
        while let Some(token) = self.tokens.pop_if(|t| {
            let ends = t.is(',') || t.is(';') || t.is('>') || in_group && t.is(':');
            !(ends || after_word && t.is_word())
        }) {
            if !matches!(token, Node::Comment(_)) {
                after_word = token.is_word();
            }
            inside.push(token);
        }
        self.finish_address(inside);
        if self.tokens.last().is_some_and(|t| t.is_word() || t.is('>') || t.is(';')) {
            self.out.push(Node::Special(','));
        }
    }

    /// Puts an address (tokens in reverse) out, comments behind it.
    fn finish_address(&mut self, inside: Vec<Node>) {
        let (comments, mut address): (Vec<_>, Vec<_>) =
            inside.into_iter().partition(|t| matches!(t, Node::Comment(_)));
        address.reverse();
        self.out.extend(comments);
        self.out.push(Node::Address(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rewrites each address without a domain to `@example.com`, as `append_at_myorigin` does.
    fn rewritten(text: &str) -> String {
        let mut tree = Tree::parse(text, 1000);
        let mut changed = false;
        for mut a in tree.addresses_mut() {
            let (before, mut address) = (a.source(), a.internal());
            if !address.is_empty() && !address.contains('@') {
                address.push_str("@example.com");
            }
            let after = if address.is_empty() { before.clone() } else { external(&address).into_owned() };
            if after != before {
                a.replace(&after);
                changed = true;
            }
        }
        if changed { tree.items().join(" ") } else { text.to_owned() }
    }

    /// As seen with Postfix 3.7.11.
    #[test]
    fn lists_as_postfix_prints_them() {
        let table = [
            ("\"foo bar\"@host", "\"foo bar\"@host"),
            ("foo . bar @ host", "foo . bar @ host"),
            ("<alice>", "<alice@example.com>"),
            ("Alice Test <alice>, bob", "Alice Test <alice@example.com>, bob@example.com"),
            (
                "Alice <alice@example.com>,    bob@example.net",
                "Alice <alice@example.com>,    bob@example.net",
            ),
            (
                "Group: a, b@c, \"d e\" <d>; , x",
                "Group: a@example.com, b@c, \"d e\" <d@example.com>;, x@example.com",
            ),
            ("empty group:;", "empty group:;"),
            (
                "a (comment (nested)) <b>, (lead) c",
                "a (comment (nested)) <b@example.com>, c@example.com (lead)",
            ),
            ("=?utf-8?q?Foo_=C3=A9?= <foo>", "=?utf-8?q?Foo_=C3=A9?= <foo@example.com>"),
            ("\"Quoted \\\"Name\\\"\" <foo>", "\"Quoted \\\"Name\\\"\" <foo@example.com>"),
            ("user@[1.2.3.4]", "user@[1.2.3.4]"),
            ("user@[IPv6:::1], foo", "user@[IPv6:::1], foo@example.com"),
            ("a,,b", "a@example.com, , b@example.com"),
            (",a,", ", a@example.com, "),
            ("a b c", "a@example.com, b@example.com, c@example.com"),
            ("a b <c> d", "a b <c@example.com>, d@example.com"),
            ("a <b> <c>", "a <b@example.com> <c@example.com>"),
            ("a <b> c <d>", "a <b@example.com>c <d@example.com>"),
            ("a@b@c", "\"a@b\"@c"),
            ("\"unterminated", "unterminated@example.com"),
            ("(unterminated", "(unterminated"),
            ("<unterminated", "\"<unterminated\"@example.com"),
            ("a\\ b", "\"a b\"@example.com"),
            ("a.@b, .a@b, a..b@c", "\"a.\"@b, \".a\"@b, \"a..b\"@c"),
            ("a;b", "a@example.com;, b@example.com"),
            ("\"\"", "\"\""),
            ("<>", "<>"),
            ("", ""),
            ("a:b", "\"a:b\"@example.com"),
            ("user@host (Comment)", "user@host (Comment)"),
            ("Name<user@host>", "Name<user@host>"),
            ("\"a\" \"b\" <c>", "\"a\" \"b\" <c@example.com>"),
            ("a.\"b c\".d@host", "\"a.b c.d\"@host"),
            ("\"a.b\"@host", "a.b@host"),
            ("Dr. Foo <foo>", "Dr.Foo <foo@example.com>"),
            ("foo@host>", "foo@host>"),
            ("a [b] <c>", "a [b] <c@example.com>"),
            ("Name <x> (Comment)", "Name <x@example.com>(Comment)"),
            ("a (x) b", "a@example.com, b@example.com (x)"),
            ("user(in)@host(out), x", "user@host (in) (out), x@example.com"),
            ("user (in) @ host (out) <y>", "user (in)@host (out) <y@example.com>"),
            ("g1: a; g2: b, c;", "g1:a;g2: b@example.com, c@example.com;"),
            ("g1:a,b;,g2:c;", "g1: a@example.com, b@example.com;, g2: c@example.com;"),
            ("phrase group name : a;", "phrase group name: a@example.com;"),
            ("empty group:;, x", "empty group: ;, x@example.com"),
            ("x, foo@host>", "\"x, foo\"@host>"),
            ("x, user@[dom", "x@example.com, user@[dom]"),
            ("x, \"\"", "x@example.com, \"\""),
            ("x, <>", "x@example.com, <>"),
            ("x, a@", "x@example.com, a@"),
            ("x, \"quo\\\"te\\\\d\"@host", "x@example.com, \"quo\\\"te\\\\d\"@host"),
            ("\"a b\" <x> (c) \"d\"", "\"a b\" <x@example.com>, d@example.com (c)"),
            ("x, \"(\" <y>", "x@example.com, \"(\" <y@example.com>"),
            ("x, (com\\)ment) y", "x@example.com, y@example.com (com\\)ment)"),
            ("x, a.b . c@host", "x@example.com, a.b.c@host"),
            ("x, Mr. A. B. <y@host>", "x@example.com, Mr.A.B. <y@host>"),
            ("x y@z <w>", "x y@z <w@example.com>"),
            ("a;b:c;d", "a;b: c@example.com;, d@example.com"),
            ("x,<y>", "x@example.com, <y@example.com>"),
            ("x, phrase \"q\"w<y>", "x@example.com, phrase \"q\" w <y@example.com>"),
            ("x;", "x@example.com;"),
            ("x, A é <y>", "x@example.com, A é <y@example.com>"),
            ("x, a@b:c", "x@example.com, a@b:c"),
            ("x, [1.2.3.4]", "x@example.com, \"[1.2.3.4]\"@example.com"),
            ("x, a[b]c", "x@example.com, a@example.com, \"[b]\"@example.com, c@example.com"),
            ("x, a@host [b]", "x@example.com, a@host, \"[b]\"@example.com"),
        ];
        for (input, want) in table {
            assert_eq!(rewritten(input), want, "input {input:?}");
        }
    }

    #[test]
    fn too_many_tokens_are_dropped() {
        let tree = Tree::parse("a, b, c", 3);
        assert_eq!(tree.addresses().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn deep_nesting_is_no_recursion() {
        let text = "(".repeat(100_000);
        let tree = Tree::parse(&text, 1000);
        assert_eq!(tree.nodes.len(), 1);
    }
}
