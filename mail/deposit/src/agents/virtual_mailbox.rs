//! virtual(8): mailboxes that are no UNIX users, named by tables: virtual_mailbox_maps below virtual_mailbox_base,
//! virtual_uid_maps, virtual_gid_maps, virtual_minimum_uid.
//!
//! Lookups: `user+ext@domain`, `user@domain`, `@domain`. A missing or bad owner is the administrator's matter: the mail
//! waits and the log says why.

use super::{Agent, AgentKind, World, mailbox::MailboxConfig};
use crate::{
    plan::{Plan, Step, TargetPlan, Work},
    prefix::Prefix,
    status::{by_class, configuration_error, deferred},
};
use base_calls::{
    Content, Recipient, Target,
    courier::{CourierRequest, Verdict},
};
use base_conf::{Config, Error, Service};
use base_sys::privilege::{self, Identity};
use base_tables::{AddressForms, Maps, block_on};
use proto_dsn::Status;

/// The record of this agent.
pub const KIND: AgentKind = AgentKind { command: "virtual", make };

struct Virtual {
    mailboxes: Maps,
    uids: Maps,
    gids: Maps,
    base: String,
    minimum_uid: u32,
    delimiters: String,
    mailbox: MailboxConfig,
    delivered_to: bool,
    /// `enable_original_recipient`.
    original_to: bool,
}

fn make(_: &Service, config: &Config, world: &World) -> Result<Box<dyn Agent>, Error> {
    let maps = |name: &str| Ok::<_, Error>(Maps::open(&world.tables, name, &config.str(name)?));
    Ok(Box::new(Virtual {
        mailboxes: maps("virtual_mailbox_maps")?,
        uids: maps("virtual_uid_maps")?,
        gids: maps("virtual_gid_maps")?,
        base: config.str("virtual_mailbox_base")?,
        minimum_uid: u32::try_from(config.int("virtual_minimum_uid")?).unwrap_or(100),
        delimiters: config.str("recipient_delimiter")?,
        mailbox: MailboxConfig::from_config(config, "virtual_mailbox_lock", "virtual_mailbox_limit")?,
        delivered_to: true,
        original_to: config.bool("enable_original_recipient")?,
    }))
}

impl Agent for Virtual {
    fn plan(&self, request: &CourierRequest, _: &Content) -> Plan {
        let mut plan = Plan::default();
        for (target, recipient) in request.targets.iter().zip(&request.envelope.recipients) {
            let step = self.step(target, recipient, &request.envelope.sender).unwrap_or_else(
                |(verdict, warning)| {
                    plan.warnings.extend(warning);
                    Step::Say { address: target.address.clone(), verdict }
                },
            );
            plan.targets.push(TargetPlan {
                indexes: vec![(target.index, target.address.clone())],
                steps: vec![step],
                expanded: false,
            });
        }
        plan
    }
}

/// A verdict without a delivery, and what the log is to say.
type Refusal = (Verdict, Option<String>);

impl Virtual {
    fn step(&self, target: &Target, recipient: &Recipient, sender: &str) -> Result<Step, Refusal> {
        let address = target.address.as_str();
        let Some(mailbox) = self.find(&self.mailboxes, address)? else {
            let text = format!("unknown user: \"{}\"", address.to_lowercase());
            return Err((by_class(Status::new(5, 1, 1), text), None));
        };
        let path = self.path(&mailbox);
        let uid = self.id(&self.uids, address, "uid", self.minimum_uid.max(1))?;
        let gid = self.id(&self.gids, address, "gid", 1)?;
        if !privilege::is_root() && uid != privilege::effective_uid() {
            let text = format!("cannot deliver as user id {uid}: the mail system does not run as root");
            return Err((deferred(text), None));
        }
        let prefix = Prefix {
            return_path: true,
            sender,
            original_to: self.original_to.then_some(&recipient.original),
            delivered_to: self.delivered_to.then_some(address),
            ..Prefix::default()
        };
        let complaint = format!("delivery failed to mailbox {path}: ");
        let job = self.mailbox.job(&path, &prefix, &complaint, false);
        Ok(Step::Do(Box::new(Work {
            address: address.to_owned(),
            member: None,
            preview: super::mailbox::preview(&path),
            who: Identity::new(uid, gid),
            make_first: None,
            job,
        })))
    }

    fn path(&self, mailbox: &str) -> String {
        if self.base.is_empty() {
            return mailbox.to_owned();
        }
        format!("{}/{}", self.base.trim_end_matches('/'), mailbox.trim_start_matches('/'))
    }

    fn find(&self, maps: &Maps, address: &str) -> Result<Option<String>, Refusal> {
        let forms = AddressForms::rewriting(false);
        match block_on(maps.find_address(address, &self.delimiters, forms)) {
            Ok(found) => Ok(found.map(|(value, _)| value)),
            Err(e) => Err((
                by_class(Status::new(4, 3, 5), "mail system configuration error".into()),
                Some(e.to_string()),
            )),
        }
    }

    fn id(&self, maps: &Maps, address: &str, what: &str, least: u32) -> Result<u32, Refusal> {
        let title = maps.title();
        let refuse = |text: String| (configuration_error(), Some(text));
        let value = self
            .find(maps, address)?
            .ok_or_else(|| refuse(format!("recipient {address}: not found in {title}")))?;
        value
            .trim()
            .parse::<u32>()
            .ok()
            .filter(|n| *n >= least)
            .ok_or_else(|| refuse(format!("recipient {address}: bad {what} {value} in {title}")))
    }
}
