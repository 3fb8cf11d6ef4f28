//! `reverse-name`: the name of the address that mail comes from, and whether that name leads back to it and is what HELO says (RFC
//! 5321 4.1.4; most servers refuse mail without).

use super::super::{Check, Level};
use std::time::Duration;

/// The record.
pub const CHECK: Check = Check {
    name: "reverse-name",
    about: "the name of own address, and the way back",
    limit: Duration::from_secs(15),
    look: |ground| {
        Box::pin(async {
            let Some(address) = ground.public() else {
                return vec![(Level::Unknown, "the public address is not known: use --address".into())];
            };
            let names = match ground.resolver.ptr(address, false).await {
                Ok(answer) => answer.records,
                Err(e) => return vec![(Level::Problem, format!("{address} has no name: {e}"))],
            };
            let helo = ground.value("smtp_helo_name");
            let mut found = Vec::new();
            for name in names.iter().take(5) {
                let back = ground.resolver.addresses(name, address.is_ipv4(), address.is_ipv6()).await;
                found.push(match back {
                    Ok(back) if back.records.contains(&address) => {
                        (Level::Ok, format!("{address} is {name}, and {name} is {address}"))
                    }
                    Ok(_) => (Level::Problem, format!("{address} is {name}, but {name} is not {address}")),
                    Err(e) => (Level::Problem, format!("{address} is {name}, but {name}: {e}")),
                });
            }
            if !names.iter().any(|n| n.eq_ignore_ascii_case(&helo)) {
                found.push((Level::Warning, format!("smtp_helo_name {helo} is not the name of {address}")));
            }
            found
        })
    },
};
