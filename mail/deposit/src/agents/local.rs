//! local(8): UNIX users and aliases.
//!
//! The order of a recipient: an earlier Delivered-To: (loop), alias_maps, then the user: .forward, mailbox_transport,
//! mailbox_command, home_mailbox or mail_spool_directory; no such user: fallback_transport, luser_relay. Aliases and
//! .forward files are expanded here, depth first, each final address once. Members in other domains, all members of an
//! alias with an owner- alias and of an include list, and other users in a .forward file are forwarded: submitted anew.

mod expansion;

use super::{
    Agent, AgentKind, World,
    aliases::{Member, members},
    external::{External, Item, Rights},
    mailbox::{MailboxConfig, SpoolFolder, preview},
    names::{Names, filtered},
};
use crate::{
    plan::{Plan, Step, Work},
    prefix::{Delivered, Prefix},
    status::{by_class, deferred, with_reason},
};
use base_calls::{
    Content, Diagnosis,
    courier::{CourierRequest, Forward, Verdict},
};
use base_conf::{Config, Error, Service, list};
use base_sys::{
    User,
    privilege::{self, Identity},
};
use base_tables::{Maps, MatchKind, MatchList, Table, Usage, block_on};
use expansion::Expansion;
use proto_address::{join, split_domain, split_extension};
use proto_dsn::Status;
use std::path::Path;
use std::sync::Arc;

/// The record of this agent.
pub const KIND: AgentKind = AgentKind { command: "local", make };

struct Local {
    /// The tables of alias_maps, in order.
    aliases: Vec<Arc<dyn Table>>,
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
    forward_path: Vec<String>,
    forward_filter: String,
    mailbox_command: String,
    mailbox_command_maps: Maps,
    external: External,
    prepend: Headers,
    owners: Owners,
    /// `require_home_directory`
    require_home: bool,
}

/// What an alias within an alias changes.
#[derive(Clone, Copy)]
struct Owners {
    /// `expand_owner_alias`
    expand: bool,
    /// `reset_owner_alias`
    reset: bool,
    /// `frozen_delivered_to`
    frozen_delivered_to: bool,
}

/// `prepend_delivered_header` has more words; this is what deliveries to mailboxes get.
#[derive(Clone, Copy)]
struct Headers {
    delivered_to_file: bool,
    delivered_to_forward: bool,
    /// `enable_original_recipient`.
    original_to: bool,
}

fn make(service: &Service, config: &Config, world: &World) -> Result<Box<dyn Agent>, Error> {
    let t = &world.tables;
    let maps = |name: &str| Ok::<_, Error>(Maps::open(t, name, &config.str(name)?));
    let unexpanded = |name: &str| {
        let text = config.raw(name).unwrap_or_default().trim().to_owned();
        Names::check(name, &text).map(|()| text)
    };
    let words = config.list("prepend_delivered_header")?;
    let has = |w: &str| words.iter().any(|x| x == w);
    Ok(Box::new(Local {
        aliases: config.list("alias_maps")?.into_iter().map(|spec| t.open(&spec, Usage::ALIASES)).collect(),
        destinations: MatchList::open(
            t,
            "mydestination",
            &config.str("mydestination")?,
            MatchKind::Domain,
            false,
        ),
        origin: base_conf::computed::myorigin(config)?,
        delimiters: config.str("recipient_delimiter")?,
        mailbox: MailboxConfig::from_config(config, "mailbox_delivery_lock", "mailbox_size_limit")?,
        home_mailbox: config.str("home_mailbox")?,
        spool_directory: config.str("mail_spool_directory")?,
        mailbox_transport: config.str("mailbox_transport")?,
        mailbox_transport_maps: maps("mailbox_transport_maps")?,
        fallback_transport: config.str("fallback_transport")?,
        fallback_transport_maps: maps("fallback_transport_maps")?,
        luser_relay: unexpanded("luser_relay")?,
        forward_path: list::split(&unexpanded("forward_path")?).into_iter().map(str::to_owned).collect(),
        forward_filter: config.str("forward_expansion_filter")?,
        owners: Owners {
            expand: config.bool("expand_owner_alias")?,
            reset: config.bool("reset_owner_alias")?,
            frozen_delivered_to: config.bool("frozen_delivered_to")?,
        },
        require_home: config.bool("require_home_directory")?,
        mailbox_command: config.raw("mailbox_command").unwrap_or_default().trim().to_owned(),
        mailbox_command_maps: maps("mailbox_command_maps")?,
        external: External::from_config(&service.name, config)?,
        prepend: Headers {
            delivered_to_file: has("file"),
            delivered_to_forward: has("forward"),
            original_to: config.bool("enable_original_recipient")?,
        },
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
            let (target, mut warnings) = Expansion::plan(self, request, target, recipient, &seen);
            plan.targets.push(target);
            plan.warnings.append(&mut warnings);
        }
        plan
    }
}

/// An alias that was found.
struct Found {
    /// The name it was found under, lower case.
    name: String,
    text: String,
    /// The table.
    table: String,
}

impl Local {
    /// Local part in lower case with and without its extension.
    fn alias(&self, local: &str) -> Result<Option<Found>, String> {
        let name = local.to_lowercase();
        let (bare, extension) = split_extension(&name, &self.delimiters, true);
        let bare = extension.map(|_| bare.to_owned());
        for name in std::iter::once(name.clone()).chain(bare) {
            for table in &self.aliases {
                if let Some(text) = find_alias(table.as_ref(), &name)? {
                    return Ok(Some(Found { name, text, table: table.spec().to_owned() }));
                }
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
        for table in &self.aliases {
            if let Some(text) = find_alias(table.as_ref(), &owner)? {
                return Ok(Some(self.owner_address(&owner, &text)));
            }
        }
        Ok(None)
    }

    /// The owner- alias, or with `expand_owner_alias` what it stands for, if that is one address.
    fn owner_address(&self, owner: &str, text: &str) -> String {
        match &members(text)[..] {
            [Member::Address(address)] if self.owners.expand => self.complete(address),
            _ => self.complete(owner),
        }
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

    /// The user of an address: its local part with or without the extension.
    fn find_user(&self, address: &str) -> Result<Option<User>, String> {
        let name = split_domain(address).0.to_lowercase();
        let bare = self.user_part(address);
        let user = User::by_name(&name).map_err(|e| e.to_string())?;
        if user.is_some() || bare == name {
            return Ok(user);
        }
        User::by_name(&bare).map_err(|e| e.to_string())
    }

    /// The local part in lower case without its extension.
    fn user_part(&self, address: &str) -> String {
        let name = split_domain(address).0.to_lowercase();
        split_extension(&name, &self.delimiters, true).0.to_owned()
    }

    /// A name of forward_path; `None` when it leads nowhere.
    fn forward_name(&self, pattern: &str, address: &str, user: &User) -> Option<String> {
        if user.home.as_os_str().is_empty() && pattern.contains("home") {
            return None;
        }
        let names = Names { address, user: Some(user), delimiters: &self.delimiters };
        // No file name of its own making: an address must not lead to another folder.
        let shown = |name: &str, value: String| {
            let value = filtered(&value, &self.forward_filter);
            if matches!(name, "home" | "shell" | "user") { value } else { value.replace('/', "_") }
        };
        names.expand(pattern, &shown).ok().filter(|path| path.starts_with('/'))
    }

    fn user(&self, item: &Item<'_>) -> Result<Step, String> {
        let (address, sender) = (item.address, item.sender);
        let Some(user) = self.find_user(address)? else { return self.nobody(item) };
        let transport = pick(&self.mailbox_transport_maps, &user.name, &self.mailbox_transport)?;
        if let Some(transport) = transport {
            return Ok(Step::Say { address: address.to_owned(), verdict: Verdict::HandOver(transport) });
        }
        if let Some(command) = pick(&self.mailbox_command_maps, &user.name, &self.mailbox_command)? {
            return Ok(self.external.run(item, &command, &Rights::of_user(user)));
        }
        let prefix = Prefix {
            return_path: true,
            sender,
            original_to: self.prepend.original_to.then_some(item.original),
            delivered_to: self.prepend.delivered_to_file.then_some(item.delivered_to),
            ..Prefix::default()
        };
        Ok(self.mailbox_step(address, &user, &prefix))
    }

    /// `require_home_directory`: why a user's mail must wait.
    fn homeless(&self, user: &User) -> Option<String> {
        let error = if self.require_home { std::fs::metadata(&user.home).err() } else { None };
        // A server of files may let the user in and not us.
        let error = error.filter(|e| e.kind() != std::io::ErrorKind::PermissionDenied);
        error.map(|e| with_reason(&format!("cannot access home directory {}", user.home.display()), &e))
    }

    /// No such user.
    fn nobody(&self, item: &Item<'_>) -> Result<Step, String> {
        let address = item.address;
        let say = |verdict| Ok(Step::Say { address: address.to_owned(), verdict });
        let (local, _) = split_domain(address);
        if let Some(transport) =
            pick(&self.fallback_transport_maps, &local.to_lowercase(), &self.fallback_transport)?
        {
            return say(Verdict::HandOver(transport));
        }
        if !self.luser_relay.is_empty() {
            let names = Names { address, user: None, delimiters: &self.delimiters };
            let relay = names.expand(&self.luser_relay, &|_, value| value)?;
            return Ok(Step::Forward(Forward {
                address: address.to_owned(),
                sender: item.sender.to_owned(),
                delivered_to: match self.prepend.delivered_to_forward {
                    true => item.delivered_to.to_owned(),
                    false => String::new(),
                },
                recipients: vec![self.complete(&relay)],
            }));
        }
        let text = format!("unknown user: \"{}\"", local.to_lowercase());
        say(by_class(Status::new(5, 1, 1), text))
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
            member: None,
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

fn find_alias(table: &dyn Table, name: &str) -> Result<Option<String>, String> {
    let key = name.as_bytes();
    let answer = table.lookup_now(key).unwrap_or_else(|| block_on(table.lookup(key)));
    match answer {
        Ok(text) => Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned())),
        Err(_) => Err(format!("{}: lookup of '{name}' failed", table.spec())),
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
