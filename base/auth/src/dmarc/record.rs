//! DMARC records (RFC 7489 6.3).

use crate::tags::Tags;

/// What is to be done with mail that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Nothing.
    None,
    /// It is suspicious.
    Quarantine,
    /// It is not to be accepted.
    Reject,
}

impl Policy {
    /// As in records and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Quarantine, Self::Reject].into_iter().find(|p| text.eq_ignore_ascii_case(p.name()))
    }

    /// What happens to one message when only `percent` of them are to be treated so: the rest gets the next lower policy (6.6.4).
    pub(super) fn sampled(self, lot: u8, percent: u8) -> Self {
        match self {
            _ if lot < percent => self,
            Self::Reject => Self::Quarantine,
            _ => Self::None,
        }
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `p=`
    pub policy: Policy,
    /// `sp=`, for subdomains.
    pub subdomains: Policy,
    /// `adkim=s`
    pub strict_dkim: bool,
    /// `aspf=s`
    pub strict_spf: bool,
    /// `pct=`, 0 to 100.
    pub percent: u8,
    /// The addresses of `rua=mailto:…`, at most ten, without their size limits.
    pub reports_to: Vec<String>,
    /// `psd=`: the domain is a public suffix (`y`), or an organization (`n`).
    pub(super) suffix: Option<bool>,
}

/// The most addresses that get reports.
const MAX_REPORTS: usize = 10;

impl Record {
    /// `None`: no DMARC record.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let tags = Tags::parse(text)?;
        if tags.first() != Some(("v", "DMARC1")) {
            return None;
        }
        let reports_to: Vec<String> = tags.get("rua").map(addresses).unwrap_or_default();
        // A record whose policy makes no sense still asks for reports (6.6.3).
        let policy = match tags.get("p").map(Policy::parse) {
            Some(Some(policy)) => policy,
            _ if !reports_to.is_empty() => Policy::None,
            _ => return None,
        };
        let strict = |name| tags.get(name).is_some_and(|v| v.eq_ignore_ascii_case("s"));
        let percent = tags.number("pct").ok().flatten().and_then(|n| u8::try_from(n).ok()).unwrap_or(100);
        Some(Self {
            policy,
            subdomains: tags.get("sp").and_then(Policy::parse).unwrap_or(policy),
            strict_dkim: strict("adkim"),
            strict_spf: strict("aspf"),
            percent: percent.min(100),
            reports_to,
            suffix: tags.get("psd").and_then(|v| match v {
                "y" => Some(true),
                "n" => Some(false),
                _ => None,
            }),
        })
    }
}

fn addresses(list: &str) -> Vec<String> {
    let plain =
        |a: &str| a.len() <= 320 && a.bytes().all(|b| b.is_ascii_graphic() && !b"<>,;\"\\()".contains(&b));
    let uris = list.split(',').map(str::trim).filter_map(|uri| {
        let address =
            uri.get(..7).filter(|s| s.eq_ignore_ascii_case("mailto:")).and_then(|_| uri.get(7..))?;
        let address = address.split(['!', '?']).next()?;
        (address.contains('@') && plain(address)).then(|| address.to_owned())
    });
    uris.take(MAX_REPORTS).collect()
}
