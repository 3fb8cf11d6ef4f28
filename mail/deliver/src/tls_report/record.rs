//! The TXT record at `_smtp._tls.domain` (RFC 8460 3): who gets reports.

use base_https::Url;

/// The most receivers of a domain's reports.
const MAX_RECEIVERS: usize = 10;
/// The longest address of one.
const MAX_ADDRESS: usize = 320;
const MAX_URL: usize = 1000;

/// Who gets a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receiver {
    /// A mail address.
    Mail(String),
    /// An `https:` address that takes POST requests.
    Https(String),
}

/// Who is named by the TXT records of a domain; nobody unless exactly one of them is a TLSRPT record.
pub fn receivers(records: &[Vec<u8>]) -> Vec<Receiver> {
    let mut fields = records.iter().filter_map(|r| fields_of(std::str::from_utf8(r).ok()?));
    let (Some(fields), None) = (fields.next(), fields.next()) else { return Vec::new() };
    let list = fields.split(';').find_map(|f| f.trim_matches([' ', '\t']).strip_prefix("rua="));
    list.unwrap_or_default().split(',').filter_map(|uri| receiver(uri.trim())).take(MAX_RECEIVERS).collect()
}

/// What follows the version.
fn fields_of(text: &str) -> Option<&str> {
    text.strip_prefix("v=TLSRPTv1")?.trim_start_matches([' ', '\t']).strip_prefix(';')
}

fn receiver(uri: &str) -> Option<Receiver> {
    let (scheme, rest) = uri.split_once(':')?;
    if scheme.eq_ignore_ascii_case("mailto") {
        let address = proto_address::percent_decoded(rest.split('?').next()?)?;
        let odd = |b: u8| !b.is_ascii_graphic() || b"<>,;:\"\\()".contains(&b);
        let (local, domain) = address.rsplit_once('@')?;
        let fits = !local.is_empty() && !domain.is_empty() && address.len() <= MAX_ADDRESS;
        return (fits && !address.bytes().any(odd)).then_some(Receiver::Mail(address));
    }
    (uri.len() <= MAX_URL && Url::parse(uri).is_some()).then(|| Receiver::Https(uri.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        for (texts, want) in [
            (&["v=TLSRPTv1; rua=mailto:a@b.test"][..], &["mailto:a@b.test"][..]),
            (
                &["v=TLSRPTv1 ;x=y;rua=mailto:a@b.test , https://b.test:8443/r?x=y;"],
                &["mailto:a@b.test", "https://b.test:8443/r?x=y"],
            ),
            (&["other", "v=TLSRPTv1;rua=MAILTO:a%21b@b.test?subject=x"], &["mailto:a!b@b.test"]),
            (&["v=TLSRPTv1;rua=mailto:a@b.test", "v=TLSRPTv1;rua=mailto:a@b.test"], &[]),
            (&["v=TLSRPTv12;rua=mailto:a@b.test"], &[]),
            (
                &[
                    "v=TLSRPTv1;rua=http://b.test/,mailto:nobody,mailto:@b,mailto:a%0d@b.test,mailto:<a@b>,mailto:a%,x",
                ],
                &[],
            ),
            (&["v=TLSRPTv1;"], &[]),
            (&["v=TLSRPTv1"], &[]),
            (&[], &[]),
        ] {
            let records: Vec<Vec<u8>> = texts.iter().map(|t| t.as_bytes().to_vec()).collect();
            let found = receivers(&records).into_iter().map(|r| match r {
                Receiver::Mail(a) => format!("mailto:{a}"),
                Receiver::Https(u) => u,
            });
            assert_eq!(found.collect::<Vec<_>>(), want, "{texts:?}");
        }
        let many = format!("v=TLSRPTv1;rua={}", "mailto:a@b.test,".repeat(50));
        assert_eq!(receivers(&[many.into_bytes()]).len(), MAX_RECEIVERS);
    }
}
