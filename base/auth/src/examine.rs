//! All methods over one message, in the order in which they need each other; the body is read once. What DNS has not said in half a
//! minute is not known.

use crate::{
    Canon, Findings, Section, Unreadable,
    arc::{self, Chain},
    dkim, dmarc,
    lookup::{Dns, Hurried},
    spf::{self, Client, Identity},
};
use base_calls::Content;
use std::time::Duration;

/// For all questions of a message.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What is to be found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the method of its name")]
pub struct Methods {
    pub spf: bool,
    pub dkim: bool,
    pub dmarc: bool,
    pub arc: bool,
}

impl Methods {
    /// By their names; `Err`: what is none.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut out = Self::default();
        for word in words {
            match word.to_ascii_lowercase().as_str() {
                "spf" => out.spf = true,
                "dkim" => out.dkim = true,
                "dmarc" => out.dmarc = true,
                "arc" => out.arc = true,
                _ => return Err(word.clone()),
            }
        }
        Ok(out)
    }

    /// Nothing is.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// A message and where it came from.
pub struct Question<'a> {
    /// The header section.
    pub section: &'a Section,
    /// All of it.
    pub content: &'a Content,
    /// Who brought it.
    pub client: Option<Client<'a>>,
    /// Seconds since 1970.
    pub now: u64,
    /// A random number below 100.
    pub lot: u8,
}

/// Finds out what `methods` say. DMARC needs SPF and DKIM, which are then judged too.
pub async fn examine(dns: &dyn Dns, q: &Question<'_>, methods: Methods) -> Result<Findings, Unreadable> {
    let Methods { dmarc, arc: with_arc, .. } = methods;
    let signatures = if methods.dkim || dmarc { dkim::find(q.section) } else { Vec::new() };
    let chain = if with_arc { arc::find(q.section) } else { Chain::Absent };
    let mut forms = dkim::forms(signatures.iter());
    forms.extend(chain.form().filter(|f| !forms.contains(f)));
    let hashes = q.section.body_hashes(q.content, &forms).await?;
    let hashed: Vec<_> = forms.into_iter().zip(hashes).collect();
    let dns = &Hurried::new(dns, TIME_LIMIT);
    let mut out = Findings::default();
    if let Some(client) = q.client.as_ref().filter(|_| methods.spf || dmarc) {
        out.spf = Some((spf::check(dns, client, Identity::MailFrom).await, client.sender.to_owned()));
    }
    if methods.dkim || dmarc {
        out.dkim = Some(dkim::verify(dns, q.section, &signatures, &hashed, q.now).await);
    }
    if dmarc {
        let author = q.section.author_domain();
        let (spf, dkim) = (out.spf.as_ref().map(|(s, _)| s), out.dkim.as_deref().unwrap_or_default());
        out.dmarc = Some(dmarc::judge(dns, author.as_deref(), spf, dkim, q.lot).await);
    }
    if with_arc {
        out.arc = Some(arc::verify(dns, q.section, &chain, &hashed, q.now).await);
    }
    Ok(out)
}

/// The hash of a body for a signature of ours.
pub async fn body_hash(section: &Section, content: &Content, canon: Canon) -> Result<Vec<u8>, Unreadable> {
    let mut hashes = section.body_hashes(content, &[(canon, None)]).await?;
    Ok(hashes.pop().map(|(hash, _)| hash).unwrap_or_default())
}
