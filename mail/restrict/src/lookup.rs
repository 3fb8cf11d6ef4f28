//! Keys of access tables (access(5)): host names with parents, addresses with their prefixes, mail addresses.
//!
//! A pattern table (regexp, pcre, cidr) sees whole names only. A lookup that fails is logged by the table; here it
//! becomes `451 4.3.5 … Server configuration error`.

use crate::{
    Refusal, Verdict,
    rules::Context,
    verdict::{Found, Subject},
};
use base_tables::{DomainForms, Table};
use proto_address::{join, split_domain, split_extension};
use proto_dsn::Status;

/// One access table lookup.
pub(crate) struct Lookup<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) table: &'a dyn Table,
    pub(crate) subject: Subject,
}

/// The first entry among several keys.
type Hit = Result<Option<String>, Refusal>;

impl Lookup<'_> {
    async fn ask(&self, key: &str) -> Hit {
        let answer = match self.table.lookup_now(key.as_bytes()) {
            Some(answer) => answer,
            None => self.table.lookup(key.as_bytes()).await,
        };
        let answer = answer.map(|value| value.map(|v| String::from_utf8_lossy(&v).into_owned()));
        self.context.facts.tell(|t| {
            let shown = answer.as_ref().map(Option::as_deref).map_err(|_| ());
            t.lookup(self.table.spec(), key, shown);
        });
        match answer {
            Ok(value) => Ok(value),
            Err(_) => {
                let text = format!("{} lookup error for \"{key}\"", self.table.spec());
                self.context.restrict.log.warning(self.context.facts.source, text);
                Err(Refusal::of(&self.subject, 451, Status::new(4, 3, 5), "Server configuration error"))
            }
        }
    }

    fn verdict(self, key: &str, hit: Hit) -> Verdict {
        match hit {
            Ok(None) => Verdict::Dunno,
            Err(refusal) => Verdict::Reject(refusal),
            Ok(Some(value)) => Verdict::Found(Box::new(Found {
                table: self.table.spec().to_owned(),
                key: key.to_owned(),
                value,
                subject: self.subject,
            })),
        }
    }

    /// A host name, then its parents.
    pub(crate) async fn domain(self, name: &str) -> Verdict {
        let hit = self.domain_hit(name).await;
        self.verdict(name, hit)
    }

    /// A client: its name, then its address with prefixes.
    pub(crate) async fn client(self, name: &str, address: &str) -> Verdict {
        match self.domain_hit(name).await {
            Ok(None) => {
                let hit = self.address_hit(address).await;
                self.verdict(address, hit)
            }
            hit => self.verdict(name, hit),
        }
    }

    /// An address, then its prefixes.
    pub(crate) async fn address(self, address: &str) -> Verdict {
        let hit = self.address_hit(address).await;
        self.verdict(address, hit)
    }

    /// A mail address, in internal form. Pattern tables see it in lower case, too.
    pub(crate) async fn mail(self, address: &str) -> Verdict {
        let key = address.to_lowercase();
        let hit = self.mail_hit(&key).await;
        self.verdict(&key, hit)
    }

    /// Exactly this key.
    pub(crate) async fn exactly(self, key: &str) -> Verdict {
        let hit = self.ask(key).await;
        self.verdict(key, hit)
    }

    async fn domain_hit(&self, name: &str) -> Hit {
        if let Some(v) = self.ask(name).await? {
            return Ok(Some(v));
        }
        if self.table.is_pattern() || name.starts_with('[') {
            return Ok(None);
        }
        for key in parents(name, self.context.restrict.config.parents) {
            if let Some(v) = self.ask(key).await? {
                return Ok(Some(v));
            }
        }
        Ok(None)
    }

    async fn address_hit(&self, address: &str) -> Hit {
        let separator = if address.contains(':') { ':' } else { '.' };
        let mut key = address;
        loop {
            if let Some(v) = self.ask(key).await? {
                return Ok(Some(v));
            }
            match key.rsplit_once(separator) {
                Some((shorter, _)) if !self.table.is_pattern() => key = shorter,
                _ => return Ok(None),
            }
        }
    }

    async fn mail_hit(&self, address: &str) -> Hit {
        if let Some(v) = self.ask(address).await? {
            return Ok(Some(v));
        }
        if self.table.is_pattern() {
            return Ok(None);
        }
        let (local, domain) = split_domain(address);
        let (base, extension) = split_extension(
            local,
            &self.context.restrict.config.delimiter,
            self.context.restrict.config.owner_special,
        );
        if extension.is_some()
            && let Some(v) = self.ask(&join(base, domain)).await?
        {
            return Ok(Some(v));
        }
        if let Some(domain) = domain
            && let Some(v) = self.domain_hit(domain).await?
        {
            return Ok(Some(v));
        }
        if extension.is_some()
            && let Some(v) = self.ask(&format!("{local}@")).await?
        {
            return Ok(Some(v));
        }
        self.ask(&format!("{base}@")).await
    }
}

/// The parents of a name, as they are looked up: `example.com`, `com` or `.example.com`, `.com`.
fn parents(name: &str, forms: DomainForms) -> impl Iterator<Item = &str> {
    let dots = name.char_indices().filter(|&(i, c)| c == '.' && i > 0).map(|(i, _)| i);
    dots.filter_map(move |i| match forms {
        DomainForms::None => None,
        DomainForms::Parents => name.get(i + 1..),
        DomainForms::DotParents => name.get(i..),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_names() {
        let list = |f| parents("a.b.example", f).collect::<Vec<_>>();
        assert_eq!(list(DomainForms::Parents), ["b.example", "example"]);
        assert_eq!(list(DomainForms::DotParents), [".b.example", ".example"]);
        assert!(list(DomainForms::None).is_empty());
    }
}
