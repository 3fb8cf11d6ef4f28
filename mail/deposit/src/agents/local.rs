//! local(8): UNIX users and aliases.
//!
//! The order of a recipient: an earlier Delivered-To: (loop), alias_maps, then the user: mailbox_transport,
//! home_mailbox or mail_spool_directory; no such user: fallback_transport, luser_relay. Aliases are expanded here, depth
//! first, each final address once; members in other domains, and all members of an alias with an owner- alias, are
//! forwarded. Commands, files and include lists in aliases, .forward files and mailbox_command join in
//! [`Expansion::member`] and [`Local::user`].

use super::{
    Agent, AgentKind, World,
    aliases::{Member, members},
    mailbox::{MailboxConfig, SpoolFolder, preview},
};
use crate::{
    plan::{Plan, Step, TargetPlan, Work},
    prefix::{Delivered, Prefix},
    status::{by_class, configuration_error, deferred},
};
use base_calls::{
    Content, Diagnosis, Recipient,
    courier::{CourierRequest, Forward, Verdict},
};
use base_conf::{Config, Error, Service};
use base_sys::{
    User,
    privilege::{self, Identity},
};
use base_tables::{Maps, MatchKind, MatchList, Usage, block_on};
use proto_address::{join, split_domain, split_extension};
use proto_dsn::Status;
use std::{collections::HashSet, path::Path};

/// The record of this agent.
pub const KIND: AgentKind = AgentKind { command: "local", make };

/// How deep aliases may nest.
const MAX_DEPTH: usize = 100;

struct Local {
    aliases: Maps,
    destinations: MatchList,
    origin: String,
    delimiters: String,
    mailbox: MailboxConfig,
    home_mailbox: String,
    spool_directory: String,
    mailbox_transport: String,
    mailbox_transport_maps: Maps,
    fallback_transport: String,
    fallback_transport_maps: Maps,
    luser_relay: String,
    prepend: Headers,
}

/// `prepend_delivered_header` has more words; this is what deliveries to mailboxes get.
#[derive(Clone, Copy)]
struct Headers {
    delivered_to_file: bool,
    delivered_to_forward: bool,
}

fn make(_: &Service, config: &Config, world: &World) -> Result<Box<dyn Agent>, Error> {
    let t = &world.tables;
    let maps = |name: &str| Ok::<_, Error>(Maps::open(t, name, &config.str(name)?));
    let words = config.list("prepend_delivered_header")?;
    let has = |w: &str| words.iter().any(|x| x == w);
    Ok(Box::new(Local {
        aliases: Maps::open_for(t, "alias_maps", &config.str("alias_maps")?, Usage::ALIASES),
        destinations: MatchList::open(
            t,
            "mydestination",
            &config.str("mydestination")?,
            MatchKind::Domain,
            false,
        ),
        origin: config.str("myorigin")?,
        delimiters: config.str("recipient_delimiter")?,
        mailbox: MailboxConfig::from_config(config, "mailbox_delivery_lock", "mailbox_size_limit")?,
        home_mailbox: config.str("home_mailbox")?,
        spool_directory: config.str("mail_spool_directory")?,
        mailbox_transport: config.str("mailbox_transport")?,
        mailbox_transport_maps: maps("mailbox_transport_maps")?,
        fallback_transport: config.str("fallback_transport")?,
        fallback_transport_maps: maps("fallback_transport_maps")?,
        luser_relay: config.str("luser_relay")?,
        prepend: Headers { delivered_to_file: has("file"), delivered_to_forward: has("forward") },
    }))
}

impl Agent for Local {
    fn plan(&self, request: &CourierRequest, content: &Content) -> Plan {
        let mut plan = Plan::default();
        let seen = match Delivered::scan(content) {
            Ok(seen) => seen,
            Err(e) => return super::refused(request, format!("cannot read message: {e}")),
        };
        for (target, recipient) in request.targets.iter().zip(&request.envelope.recipients) {
            let mut x = Expansion {
                local: self,
                request,
                recipient,
                delivered_to: &target.address,
                done: HashSet::new(),
                steps: Vec::new(),
                warnings: Vec::new(),
            };
            if seen.has(&target.address) {
                let text = format!("mail forwarding loop for {}", target.address);
                x.say(&target.address, by_class(Status::new(5, 4, 6), text));
            } else {
                x.address(&target.address, &mut Vec::new());
            }
            let indexes = vec![(target.index, target.address.clone())];
            plan.targets.push(TargetPlan { indexes, steps: x.steps });
            plan.warnings.append(&mut x.warnings);
        }
        plan
    }
}

/// The expansion of one recipient.
struct Expansion<'a> {
    local: &'a Local,
    request: &'a CourierRequest,
    recipient: &'a Recipient,
    /// The recipient as the Delivered-To: header names it.
    delivered_to: &'a str,
    /// Final addresses that have their step.
    done: HashSet<String>,
    steps: Vec<Step>,
    warnings: Vec<String>,
}

/// An alias that was found.
struct Found {
    /// The name it was found under, lower case.
    name: String,
    text: String,
}

impl Expansion<'_> {
    fn say(&mut self, address: &str, verdict: Verdict) {
        self.steps.push(Step::Say { address: address.to_owned(), verdict });
    }

    /// An address of this machine. `above`: the aliases that led here.
    fn address(&mut self, address: &str, above: &mut Vec<String>) {
        let (local, _) = split_domain(address);
        match self.local.alias(local) {
            Err(text) => {
                self.warnings.push(text);
                self.say(address, by_class(Status::new(4, 3, 0), "alias database unavailable".into()));
            }
            Ok(None) => self.user(address),
            Ok(Some(found)) if above.last() == Some(&found.name) => self.user(address),
            Ok(Some(found)) if above.contains(&found.name) || above.len() >= MAX_DEPTH => {
                let text = format!("alias database loop for {local}");
                self.warnings.push(text.clone());
                self.say(address, by_class(Status::new(5, 4, 6), text));
            }
            Ok(Some(found)) => self.alias(address, &found, above),
        }
    }

    fn alias(&mut self, address: &str, found: &Found, above: &mut Vec<String>) {
        let owner = match self.local.owner(&found.name) {
            Ok(owner) => owner,
            Err(text) => {
                self.warnings.push(text);
                return self
                    .say(address, by_class(Status::new(4, 3, 0), "alias database unavailable".into()));
            }
        };
        let list = members(&found.text);
        if list.is_empty() {
            self.warnings.push(format!("no recipient in alias lookup result for \"{}\"", found.name));
            return self.say(address, configuration_error());
        }
        above.push(found.name.clone());
        let mut outside = Vec::new();
        for member in list {
            self.member(address, member, owner.is_some(), above, &mut outside);
        }
        above.pop();
        if !outside.is_empty() {
            let sender = owner.unwrap_or_else(|| self.request.envelope.sender.clone());
            self.steps.push(Step::Forward(Forward {
                address: address.to_owned(),
                sender,
                delivered_to: if self.local.prepend.delivered_to_forward {
                    self.delivered_to.to_owned()
                } else {
                    String::new()
                },
                recipients: outside,
            }));
        }
    }

    fn member(
        &mut self,
        alias: &str,
        member: Member,
        owned: bool,
        above: &mut Vec<String>,
        outside: &mut Vec<String>,
    ) {
        let later = |what: &str| deferred(format!("delivery to {what} is not available yet"));
        match member {
            Member::Address(a) => {
                let full = self.local.complete(&a);
                if !self.done.insert(full.to_lowercase()) {
                    return;
                }
                match self.local.is_here(&full) {
                    Ok(true) if !owned => self.address(&full, above),
                    Ok(_) => outside.push(full),
                    Err(text) => {
                        self.warnings.push(text);
                        self.say(&full, configuration_error());
                    }
                }
            }
            Member::User(name) => {
                let full = self.local.complete(&name);
                if self.done.insert(full.to_lowercase()) {
                    self.user(&full);
                }
            }
            Member::Command(_) => self.say(alias, later("a command of an alias")),
            Member::File(_) => self.say(alias, later("a file of an alias")),
            Member::Include(_) => self.say(alias, later("an include list of an alias")),
        }
    }

    /// A UNIX user, or nobody.
    fn user(&mut self, address: &str) {
        let step = self.local.user(address, self.delivered_to, self.recipient, &self.request.envelope.sender);
        match step {
            Ok(step) => self.steps.push(step),
            Err(text) => {
                self.warnings.push(text);
                self.say(address, by_class(Status::new(4, 3, 0), "user database unavailable".into()));
            }
        }
    }
}

impl Local {
    /// Local part in lower case with and without its extension.
    fn alias(&self, local: &str) -> Result<Option<Found>, String> {
        let name = local.to_lowercase();
        let (bare, extension) = split_extension(&name, &self.delimiters, true);
        let bare = extension.map(|_| bare.to_owned());
        for name in std::iter::once(name.clone()).chain(bare) {
            if let Some(text) = find(&self.aliases, &name)? {
                return Ok(Some(Found { name, text }));
            }
        }
        Ok(None)
    }

    /// The sender that an alias with an owner- alias gives its members' mail.
    fn owner(&self, name: &str) -> Result<Option<String>, String> {
        if name.starts_with("owner-") {
            return Ok(None);
        }
        let owner = format!("owner-{name}");
        Ok(find(&self.aliases, &owner)?.map(|_| self.complete(&owner)))
    }

    /// With `@$myorigin` when there is no domain.
    fn complete(&self, address: &str) -> String {
        match split_domain(address) {
            (local, None) => join(local, Some(&self.origin)),
            _ => address.to_owned(),
        }
    }

    fn is_here(&self, address: &str) -> Result<bool, String> {
        let (_, domain) = split_domain(address);
        block_on(self.destinations.matches(domain.unwrap_or_default())).map_err(|e| e.to_string())
    }

    fn user(
        &self,
        address: &str,
        delivered_to: &str,
        recipient: &Recipient,
        sender: &str,
    ) -> Result<Step, String> {
        let (local, domain) = split_domain(address);
        let name = local.to_lowercase();
        let (bare, _) = split_extension(&name, &self.delimiters, true);
        let mut user = User::by_name(&name).map_err(|e| e.to_string())?;
        if user.is_none() && bare != name {
            user = User::by_name(bare).map_err(|e| e.to_string())?;
        }
        let Some(user) = user else { return self.nobody(address, local, domain, sender) };
        let transport = pick(&self.mailbox_transport_maps, &user.name, &self.mailbox_transport)?;
        if let Some(transport) = transport {
            return Ok(Step::Say { address: address.to_owned(), verdict: Verdict::HandOver(transport) });
        }
        let prefix = Prefix {
            return_path: true,
            sender,
            original_to: Some(&recipient.original),
            delivered_to: self.prepend.delivered_to_file.then_some(delivered_to),
            ..Prefix::default()
        };
        Ok(self.mailbox_step(address, &user, &prefix))
    }

    /// No such user.
    fn nobody(&self, address: &str, local: &str, domain: Option<&str>, sender: &str) -> Result<Step, String> {
        let say = |verdict| Ok(Step::Say { address: address.to_owned(), verdict });
        if let Some(transport) =
            pick(&self.fallback_transport_maps, &local.to_lowercase(), &self.fallback_transport)?
        {
            return say(Verdict::HandOver(transport));
        }
        if !self.luser_relay.is_empty() {
            return Ok(Step::Forward(Forward {
                address: address.to_owned(),
                sender: sender.to_owned(),
                delivered_to: address.to_owned(),
                recipients: vec![self.luser(local, domain)],
            }));
        }
        let text = format!("unknown user: \"{}\"", local.to_lowercase());
        say(by_class(Status::new(5, 1, 1), text))
    }

    /// `$user`, `$local`, `$domain` … in luser_relay (which main.cf leaves to us by `$$` or by name).
    fn luser(&self, local: &str, domain: Option<&str>) -> String {
        let (user, extension) = split_extension(local, &self.delimiters, true);
        let extension = extension.and_then(|e| e.get(1..)).unwrap_or_default();
        let text = [
            ("$user", user),
            ("$local", local),
            ("$extension", extension),
            ("$domain", domain.unwrap_or_default()),
            ("$recipient", &join(local, domain)),
        ]
        .iter()
        .fold(self.luser_relay.clone(), |text, (name, value)| text.replace(name, value));
        self.complete(&text)
    }

    fn mailbox_step(&self, address: &str, user: &User, prefix: &Prefix<'_>) -> Step {
        let (path, in_spool) = self.path(user);
        if !privilege::is_root() && user.uid != privilege::effective_uid() {
            let text = format!("cannot deliver as user {}: the mail system does not run as root", user.name);
            return Step::Say { address: address.to_owned(), verdict: deferred(text) };
        }
        let folder = if in_spool { SpoolFolder::of(Path::new(&path)) } else { SpoolFolder::Open };
        let groups = match folder {
            SpoolFolder::Group(gid) => vec![gid],
            _ => Vec::new(),
        };
        let complaint = format!("cannot update mailbox {path} for user {}. ", user.name);
        let job = self.mailbox.job(&path, prefix, &complaint, in_spool);
        let closed =
            folder == SpoolFolder::Closed && user.uid != 0 && privilege::is_root() && !path.ends_with('/');
        Step::Do(Box::new(Work {
            address: address.to_owned(),
            preview: preview(&path),
            who: Identity { uid: user.uid, gid: user.gid, groups },
            make_first: closed.then(|| path.into()),
            job,
        }))
    }

    /// The mailbox, and whether it is in mail_spool_directory.
    fn path(&self, user: &User) -> (String, bool) {
        if !self.home_mailbox.is_empty() {
            return (format!("{}/{}", user.home.display(), self.home_mailbox), false);
        }
        let spool = self.spool_directory.as_str();
        match spool.strip_suffix('/') {
            Some(_) => (format!("{spool}{}/", user.name), true),
            None => (format!("{spool}/{}", user.name), true),
        }
    }
}

fn find(maps: &Maps, key: &str) -> Result<Option<String>, String> {
    block_on(maps.find(key)).map_err(|e| e.to_string())
}

/// The value of a per-user table, else of the plain parameter, unless empty.
fn pick(maps: &Maps, user: &str, plain: &str) -> Result<Option<String>, String> {
    let found = if maps.is_empty() { None } else { find(maps, user)? };
    Ok(found.or_else(|| (!plain.is_empty()).then(|| plain.to_owned())))
}

/// For callers that want the text of a failure without taking a plan apart.
pub fn unknown_user(name: &str) -> Diagnosis {
    Diagnosis::new(Status::new(5, 1, 1), format!("unknown user: \"{name}\""))
}
