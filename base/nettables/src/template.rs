//! `%` templates of queries and results: `%s %u %d` the key (in a query) or the found value (in a result), `%S %U %D`
//! and `%1` … `%9` the key.
//!
//! A key or value that lacks a part that the template names gives no text: the query is not sent, the value is left
//! out. What stands in a query goes through the caller's quoting. mysql_table(5), ldap_table(5).

/// Which part stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole.
    All,
    /// The local part, or the whole when there is no `@`.
    User,
    /// The domain.
    Domain,
    /// The n-th label of the domain, counted from its end.
    Label(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Text(Vec<u8>),
    /// Of the key in a query, of the value in a result.
    Value(Part),
    /// Of the key.
    Key(Part),
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Item>);

/// A key or value taken apart.
#[derive(Debug, Clone, Copy)]
struct Address<'a> {
    all: &'a [u8],
    user: Option<&'a [u8]>,
    domain: Option<&'a [u8]>,
}

impl<'a> Address<'a> {
    fn of(all: &'a [u8]) -> Address<'a> {
        let Some(at) = memchr::memrchr(b'@', all) else {
            return Address { all, user: Some(all), domain: None };
        };
        let some = |part: Option<&'a [u8]>| part.filter(|part| !part.is_empty());
        Address { all, user: some(all.get(..at)), domain: some(all.get(at + 1..)) }
    }

    fn part(&self, part: Part) -> Option<&'a [u8]> {
        match part {
            Part::All => Some(self.all),
            Part::User => self.user,
            Part::Domain => self.domain,
            Part::Label(n) => self.domain?.rsplit(|b| *b == b'.').filter(|l| !l.is_empty()).nth(n - 1),
        }
    }
}

impl Template {
    /// Reads a template; `None` when a `%` is followed by nothing known.
    pub fn parse(text: &str) -> Option<Template> {
        let mut items = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let item = match byte {
                b'%' => Item::parse(bytes.next()?)?,
                byte => Item::Text(vec![byte]),
            };
            match (items.last_mut(), item) {
                (Some(Item::Text(last)), Item::Text(more)) => last.extend(more),
                (_, item) => items.push(item),
            }
        }
        Some(Template(items))
    }

    /// Fills the key in; `quote` gets each part with the number of its place and the text before it.
    pub fn query(
        &self,
        key: &[u8],
        mut quote: impl FnMut(usize, &[u8]) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let key = Address::of(key);
        let (mut out, mut place) = (Vec::new(), 0);
        for item in &self.0 {
            match item {
                Item::Text(text) => out.extend_from_slice(text),
                Item::Value(part) | Item::Key(part) => {
                    out.extend(quote(place, key.part(*part)?)?);
                    place += 1;
                }
            }
        }
        Some(out)
    }

    /// Fills a found value in; nothing for one that is empty or lacks a part.
    pub fn result(&self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let (key, value) = (Address::of(key), Address::of(value));
        if value.all.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        for item in &self.0 {
            match item {
                Item::Text(text) => out.extend_from_slice(text),
                Item::Value(part) => out.extend_from_slice(value.part(*part)?),
                Item::Key(part) => out.extend_from_slice(key.part(*part)?),
            }
        }
        Some(out)
    }

    /// Whether the key has all parts of it that a result needs.
    pub fn key_suffices(&self, key: &[u8]) -> bool {
        let key = Address::of(key);
        self.0.iter().all(|item| match item {
            Item::Key(part) => key.part(*part).is_some(),
            _ => true,
        })
    }

    /// The texts before each place, in order; their number is that of the places.
    pub fn texts_before_places(&self) -> Vec<&[u8]> {
        let (mut texts, mut before): (Vec<&[u8]>, &[u8]) = (Vec::new(), b"");
        for item in &self.0 {
            match item {
                Item::Text(text) => before = text,
                _ => texts.push(std::mem::take(&mut before)),
            }
        }
        texts
    }
}

impl Item {
    fn parse(letter: u8) -> Option<Item> {
        Some(match letter {
            b'%' => Item::Text(b"%".to_vec()),
            b's' => Item::Value(Part::All),
            b'u' => Item::Value(Part::User),
            b'd' => Item::Value(Part::Domain),
            b'S' => Item::Key(Part::All),
            b'U' => Item::Key(Part::User),
            b'D' => Item::Key(Part::Domain),
            b'1'..=b'9' => Item::Key(Part::Label(usize::from(letter - b'0'))),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let cases: &[(&str, &str, Option<&str>)] = &[
            ("<%s>", "a", Some("<a>")),
            ("<%u><%d>", "u@d.ex", Some("<u><d.ex>")),
            ("<%U><%D><%S>", "u@d.ex", Some("<u><d.ex><u@d.ex>")),
            ("<%u>", "nodom", Some("<nodom>")),
            ("<%d>", "nodom", None),
            ("<%u>", "@d", None),
            ("<%d>", "@d", Some("<d>")),
            ("<%d>", "u@", None),
            ("<%u><%d><%1><%2>", "a@b@c.d", Some("<a@b><c.d><d><c>")),
            ("<%3>", "a@c.d", None),
            ("<%2>", "a@.d", None),
            ("<%3>", "a@c..d", None),
            ("100%% %s", "a", Some("100% a")),
        ];
        for (template, key, want) in cases {
            let got = Template::parse(template).unwrap().query(key.as_bytes(), |_, part| Some(part.to_vec()));
            assert_eq!(got.as_deref(), want.map(str::as_bytes), "{template} {key}");
        }
        for bad in ["%q", "%", "a%0"] {
            assert_eq!(Template::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn results() {
        let cases: &[(&str, &str, &str, Option<&str>)] = &[
            ("[%s|%u|%d|%S|%U|%D|%1|%2|%%]", "u@d.ex", "x@y.z", Some("[x@y.z|x|y.z|u@d.ex|u|d.ex|ex|d|%]")),
            ("[%s|%u|%d]", "u@d.ex", "plain", None),
            ("%u", "k", "plain", Some("plain")),
            ("%u", "k", "@y", None),
            ("%s", "k", "", None),
            ("smtp:[%s]", "k", "h", Some("smtp:[h]")),
        ];
        for (template, key, value, want) in cases {
            let got = Template::parse(template).unwrap().result(key.as_bytes(), value.as_bytes());
            assert_eq!(got.as_deref(), want.map(str::as_bytes), "{template} {key} {value}");
        }
        let template = Template::parse("%D %s").unwrap();
        assert!(template.key_suffices(b"a@b"));
        assert!(!template.key_suffices(b"a"));
    }
}
