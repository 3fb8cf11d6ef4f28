//! Hosts of a service by SRV records (RFC 2782): `use_srv_lookup`, `allow_srv_lookup_fallback`, `ignore_srv_lookup_error`.
//!
//! For `domain:service` whose service is listed, `_service._tcp.domain` is asked before MX. Hosts are tried by priority; among
//! equals the weight says how often each comes first.

use super::{hosts::Names, texts};
use base_calls::Diagnosis;
use base_conf::{Config, Error};
use base_dns::{DnsError, Srv};
use proto_dsn::Status;
use rand::Rng;

/// The parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    services: Vec<String>,
    /// The service of a destination that names none.
    default: String,
    fallback: bool,
    ignore_error: bool,
}

/// What the lookup says.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Hosts in the order of trying.
    Hosts(Vec<Srv>),
    /// No word about this service: go on with MX records.
    Other,
    /// There is no way.
    Failed(Box<Diagnosis>),
}

impl Settings {
    /// From the configuration. `default` is the service of a destination that names none.
    pub fn new(cfg: &Config, default: &str) -> Result<Self, Error> {
        Ok(Self {
            services: cfg.list("use_srv_lookup")?,
            default: default.to_owned(),
            fallback: cfg.bool("allow_srv_lookup_fallback")?,
            ignore_error: cfg.bool("ignore_srv_lookup_error")?,
        })
    }

    /// The service to ask for, if a destination with this port text is one to ask for.
    fn wanted<'a>(&'a self, service: Option<&'a str>) -> Option<&'a str> {
        let service = service.unwrap_or(&self.default);
        self.services.iter().any(|s| s.eq_ignore_ascii_case(service)).then_some(service)
    }

    /// Asks for the hosts of a destination.
    pub async fn ask(&self, names: &impl Names, domain: &str, service: Option<&str>) -> Answer {
        let Some(service) = self.wanted(service) else { return Answer::Other };
        let name = format!("_{service}._tcp.{domain}");
        match names.srv(&name).await {
            Ok(records) if matches!(&records[..], [one] if one.host.is_empty() || one.host == ".") => {
                let text = format!("Service {service} is not available for {domain}");
                Answer::Failed(Box::new(Diagnosis::new(Status::new(5, 4, 4), text)))
            }
            Ok(records) => Answer::Hosts(in_order(records, &mut || rand::rng().random::<f64>())),
            Err(e) if self.goes_on(&e) => Answer::Other,
            Err(e) => Answer::Failed(Box::new(texts::dns(&e, &name, "SRV"))),
        }
    }

    /// Whether MX records are asked after this failure.
    fn goes_on(&self, error: &DnsError) -> bool {
        if error.is_absent() { self.fallback } else { self.ignore_error }
    }

    /// None of the hosts has an address: whether MX records are asked.
    pub fn falls_back(&self) -> bool {
        self.fallback
    }
}

/// By priority; among equals at random, by weight (RFC 2782 "Weight"). `random` gives numbers from 0 to less than 1.
fn in_order(mut records: Vec<Srv>, random: &mut dyn FnMut() -> f64) -> Vec<Srv> {
    // Records without weight first, so that they have a small chance.
    records.sort_by_key(|r| (r.priority, r.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let equals = records.iter().take_while(|r| r.priority == priority);
        let total: u32 = equals.clone().map(|r| u32::from(r.weight)).sum();
        let mark = random() * f64::from(total);
        let mut sum = 0.0;
        let chosen = equals.clone().position(|r| {
            sum += f64::from(r.weight);
            sum >= mark
        });
        ordered.push(records.remove(chosen.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, host: &str) -> Srv {
        Srv { priority, weight, port: 25, host: host.into() }
    }

    #[test]
    fn priority_then_weight() {
        let records = || vec![srv(2, 0, "late"), srv(1, 10, "ten"), srv(1, 90, "ninety"), srv(1, 0, "none")];
        for (mark, want) in [
            (0.0, "none ten ninety late"),
            (0.05, "ten ninety none late"),
            (0.5, "ninety ten none late"),
            (0.999, "ninety ten none late"),
        ] {
            let ordered = in_order(records(), &mut || mark);
            let text: Vec<_> = ordered.iter().map(|s| s.host.as_str()).collect();
            assert_eq!(text.join(" "), want, "{mark}");
        }
    }

    #[test]
    fn services() {
        let s =
            Settings { services: vec!["submission".into()], default: "smtp".into(), ..Settings::default() };
        assert_eq!(s.wanted(Some("Submission")), Some("Submission"));
        assert_eq!(s.wanted(Some("587")), None);
        assert_eq!(s.wanted(None), None);
        let s = Settings { services: vec!["smtp".into()], ..s };
        assert_eq!(s.wanted(None), Some("smtp"));
    }
}
