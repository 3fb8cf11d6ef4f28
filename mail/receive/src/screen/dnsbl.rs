//! `postscreen_dnsbl_sites`: DNS lists with weights, asked at once, and the score of a client.

use base_dns::Resolver;
use base_log::{Log, Source};
use mail_restrict::{DnsList, Key, is_service_error};
use std::{net::IpAddr, time::Duration};
use tokio::{task::JoinSet, time::timeout};

/// `domain[=filter][*weight]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    list: DnsList,
    weight: i64,
}

impl Site {
    /// `None`: it cannot be understood.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (list, weight) = match text.split_once('*') {
            Some((list, weight)) => (list, weight.trim().parse().ok()?),
            None => (text, 1),
        };
        Some(Self { list: DnsList::parse(list)?, weight })
    }
}

/// What the lists say of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Score {
    pub(crate) rank: i64,
    /// The list that weighed most.
    pub(crate) domain: Option<String>,
    /// Seconds for which it holds.
    pub(crate) ttl: Option<u32>,
}

/// Asks all lists at the same time; what does not answer in time does not count.
pub(crate) async fn score(
    sites: &[Site],
    ip: IpAddr,
    resolver: &Resolver,
    time_limit: Duration,
    log: &Log,
    source: &Source,
) -> Score {
    let mut domains: Vec<&DnsList> = Vec::new();
    for site in sites {
        if !domains.iter().any(|d| d.domain == site.list.domain) {
            domains.push(&site.list);
        }
    }
    let mut questions = JoinSet::new();
    for list in domains {
        let (domain, name, resolver) =
            (list.domain.clone(), list.question(Key::Address(ip)), resolver.clone());
        questions.spawn(async move { (domain, resolver.addresses(&name, true, false).await) });
    }
    let mut answers: Vec<(String, Vec<IpAddr>, u32)> = Vec::new();
    let gather = async {
        while let Some(done) = questions.join_next().await {
            if let Ok((domain, Ok(answer))) = done {
                for address in &answer.records {
                    log.info(source, format!("addr {ip} listed by domain {domain} as {address}"));
                }
                answers.push((domain, answer.records, answer.ttl));
            }
        }
    };
    let _ = timeout(time_limit, gather).await;
    add_up(sites, &answers)
}

fn add_up(sites: &[Site], answers: &[(String, Vec<IpAddr>, u32)]) -> Score {
    let mut score = Score::default();
    let mut heaviest = 0;
    for site in sites {
        let Some((_, addresses, ttl)) = answers.iter().find(|(d, ..)| *d == site.list.domain) else {
            continue;
        };
        let hit = addresses.iter().any(|a| site.list.accepts(*a) && !is_service_error(a));
        if !hit {
            continue;
        }
        score.rank = score.rank.saturating_add(site.weight);
        score.ttl = Some(score.ttl.map_or(*ttl, |t| t.min(*ttl)));
        if site.weight > heaviest {
            heaviest = site.weight;
            score.domain = Some(site.list.domain.clone());
        }
    }
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores() {
        let sites: Vec<Site> = ["a.example*2", "b.example=127.0.0.[3..5]*3", "w.example*-5"]
            .iter()
            .filter_map(|s| Site::parse(s))
            .collect();
        let listed = |d: &str, last: u8| (d.to_owned(), vec![IpAddr::from([127, 0, 0, last])], 60);
        let rank = |answers: &[(String, Vec<IpAddr>, u32)]| {
            let s = add_up(&sites, answers);
            (s.rank, s.domain.unwrap_or_default())
        };
        assert_eq!(rank(&[listed("a.example", 2), listed("b.example", 4)]), (5, "b.example".into()));
        assert_eq!(rank(&[listed("a.example", 2), listed("b.example", 2)]), (2, "a.example".into()));
        assert_eq!(
            rank(&[listed("a.example", 2), listed("b.example", 3), listed("w.example", 9)]),
            (0, "b.example".into())
        );
        let wrong = ("a.example".to_owned(), vec![IpAddr::from([127, 255, 255, 254])], 60);
        assert_eq!(rank(&[wrong]).0, 0);
        assert!(Site::parse("a*x").is_none() && Site::parse("a=1.2").is_none());
    }
}
