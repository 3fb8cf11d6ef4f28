//! The expansion of one recipient of local(8): aliases, include lists and .forward files, depth first.
//!
//! Each final address gets its step once, and none when an earlier attempt is done with it. Nothing is delivered here: the result is a list of steps and lines for the log. A
//! list that cannot be read, or is not to be trusted, becomes a verdict about the address that names it.

use super::{Found, Local};
use crate::{
    agents::{
        aliases::{Member, members},
        external::{Item, Rights, Source},
        lists::{self, ListError},
    },
    plan::Step,
    status::{by_class, configuration_error, deferred},
};
use base_calls::{
    Recipient, Target,
    courier::{CourierRequest, Forward, Verdict},
};
use base_sys::{User, privilege::Identity};
use proto_address::split_domain;
use proto_dsn::Status;
use std::{collections::HashSet, path::Path};

/// How deep aliases and include lists may nest.
const MAX_DEPTH: usize = 100;

/// The expansion of one recipient.
pub(super) struct Expansion<'a> {
    local: &'a Local,
    request: &'a CourierRequest,
    recipient: &'a Recipient,
    /// The recipient as the Delivered-To: header names it.
    delivered_to: &'a str,
    /// Addresses that were met.
    met: HashSet<String>,
    /// Members that an earlier attempt is done with.
    done: HashSet<&'a str>,
    /// Users whose .forward file was read.
    forwarded: HashSet<String>,
    /// With whose rights the list that is being expanded acts.
    rights: Option<Rights>,
    steps: Vec<Step>,
    /// Members to forward to, by sender.
    outside: Vec<(String, Vec<String>)>,
    warnings: Vec<String>,
}

/// Which members of a list are forwarded though they are of this machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Away<'a> {
    Nobody,
    Everybody,
    /// Everybody but this user.
    AllBut(&'a str),
}

/// Where members of a list are collected.
struct List<'a> {
    away: Away<'a>,
    /// Envelope sender of what is forwarded.
    sender: String,
    /// Include lists that contain this one.
    depth: usize,
}

impl<'a> Expansion<'a> {
    /// The steps for a target, and lines for the log after `warning: `. `looped`: it was delivered to it before.
    pub(super) fn steps(
        local: &'a Local,
        request: &'a CourierRequest,
        target: &'a Target,
        recipient: &'a Recipient,
        looped: bool,
    ) -> (Vec<Step>, Vec<String>) {
        let at = request.targets.iter().position(|t| t.index == target.index);
        let done = at.and_then(|at| request.done.get(at)).into_iter().flatten().map(String::as_str).collect();
        let mut x = Self {
            local,
            request,
            recipient,
            delivered_to: &target.address,
            met: HashSet::new(),
            done,
            forwarded: HashSet::new(),
            rights: None,
            steps: Vec::new(),
            outside: Vec::new(),
            warnings: Vec::new(),
        };
        if looped {
            let text = format!("mail forwarding loop for {}", target.address);
            x.say(&target.address, by_class(Status::new(5, 4, 6), text));
        } else {
            x.address(&target.address, &mut Vec::new());
        }
        x.forwards();
        (x.steps, x.warnings)
    }

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
            Ok(None) => self.user(address, above),
            Ok(Some(found)) if above.last() == Some(&found.name) => self.user(address, above),
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
        let away = if owner.is_some() { Away::Everybody } else { Away::Nobody };
        let sender = owner.unwrap_or_else(|| self.request.envelope.sender.clone());
        let rights = self.local.external.of_table(&found.table);
        self.list(address, list, rights, away, sender, above);
        above.pop();
    }

    /// Delivers to the members of an alias or a .forward file.
    fn list(
        &mut self,
        address: &str,
        members: Vec<Member>,
        rights: Rights,
        away: Away<'_>,
        sender: String,
        above: &mut Vec<String>,
    ) {
        let before = self.rights.replace(rights);
        let mut list = List { away, sender, depth: 0 };
        for member in members {
            self.member(address, member, above, &mut list);
        }
        self.rights = before;
    }

    /// A member that is forwarded to.
    fn forward(&mut self, sender: &str, member: String) {
        if self.done.contains(member.to_lowercase().as_str()) {
            return;
        }
        match self.outside.iter_mut().find(|(s, _)| s == sender) {
            Some((_, list)) => list.push(member),
            None => self.outside.push((sender.to_owned(), vec![member])),
        }
    }

    /// One message for each sender, on behalf of the recipient whose expansion this is.
    fn forwards(&mut self) {
        let delivered_to = match self.local.prepend.delivered_to_forward {
            true => self.delivered_to.to_owned(),
            false => String::new(),
        };
        for (sender, recipients) in std::mem::take(&mut self.outside) {
            let (address, delivered_to) = (self.delivered_to.to_owned(), delivered_to.clone());
            self.steps.push(Step::Forward(Forward { address, sender, delivered_to, recipients }));
        }
    }

    fn member(&mut self, alias: &str, member: Member, above: &mut Vec<String>, list: &mut List<'_>) {
        match member {
            Member::Address(a) => {
                let full = self.local.complete(&a);
                if !self.meet(&full, above) {
                    return;
                }
                match self.local.is_here(&full) {
                    Ok(true) if list.away == Away::Nobody => self.address(&full, above),
                    Ok(true) if list.away == Away::AllBut(&self.local.user_part(&full)) => {
                        self.user(&full, above)
                    }
                    Ok(_) => self.forward(&list.sender, full),
                    Err(text) => {
                        self.warnings.push(text);
                        self.say(&full, configuration_error());
                    }
                }
            }
            Member::User(name) => {
                let full = self.local.complete(&name);
                if self.meet(&full, above) {
                    self.mailbox(&full);
                }
            }
            Member::Command(_) | Member::File(_) => self.outlet(alias, &member),
            Member::Include(path) => self.include(alias, &path, above, list),
        }
    }

    /// Whether this is the first time; an alias that names itself means the user of that name.
    fn meet(&mut self, address: &str, above: &[String]) -> bool {
        let address = address.to_lowercase();
        let itself = above.last().is_some_and(|name| *name == split_domain(&address).0);
        self.met.insert(if itself { format!("\\{address}") } else { address })
    }

    /// A command or a file.
    fn outlet(&mut self, alias: &str, member: &Member) {
        let Some(rights) = &self.rights else { return };
        let item = self.item(alias);
        let (what, mut step) = match member {
            Member::Command(command) => {
                (format!("|{command}"), self.local.external.command(&item, command, rights))
            }
            Member::File(path) => {
                (path.clone(), self.local.external.file(&item, path, rights, &self.local.mailbox))
            }
            _ => return,
        };
        // The same command in the files of two users is two deliveries.
        let name = format!("{} {what}", alias.to_lowercase());
        if self.done.contains(name.as_str()) {
            return;
        }
        if let Step::Do(work) = &mut step {
            work.member = Some(name);
        }
        self.steps.push(step);
    }

    fn item<'b>(&'b self, address: &'b str) -> Item<'b> {
        Item {
            address,
            sender: &self.request.envelope.sender,
            original: &self.recipient.original,
            delivered_to: self.delivered_to,
            client: &self.request.envelope.client,
        }
    }

    /// An `:include:` list: its members are forwarded.
    fn include(&mut self, alias: &str, path: &str, above: &mut Vec<String>, list: &mut List<'_>) {
        let Some(rights) = self.rights.clone() else { return };
        let bad = || by_class(Status::new(5, 3, 5), "mail system configuration error".into());
        if list.depth >= MAX_DEPTH || !path.starts_with('/') {
            self.warnings.push(format!("bad :include: list {path} in {alias}"));
            return self.say(alias, bad());
        }
        // What a user's own file includes must be the user's own.
        let strict = rights.user.is_some();
        match lists::read(Path::new(path), &rights.who, strict) {
            Ok(Some(members)) => {
                self.rights = Some(Rights { source: Source::Include, ..rights.clone() });
                let (away, depth) = (list.away, list.depth);
                (list.away, list.depth) = (Away::Everybody, depth + 1);
                for member in members {
                    self.member(alias, member, above, list);
                }
                (list.away, list.depth) = (away, depth);
                self.rights = Some(rights);
            }
            Ok(None) => {
                let text = "No such file or directory";
                self.warnings.push(format!("unable to lookup :include: file {path}: {text}"));
                self.say(alias, bad());
            }
            Err(e) => {
                self.warnings.push(format!("open include file {path}: {e}"));
                self.say(alias, bad());
            }
        }
    }

    /// A UNIX user, or nobody: the .forward file first.
    fn user(&mut self, address: &str, above: &mut Vec<String>) {
        let user = match self.local.find_user(address) {
            Ok(Some(user)) => user,
            _ => return self.mailbox(address),
        };
        if !self.forwarded.insert(user.name.clone()) {
            return self.mailbox(address);
        }
        match self.forward_file(address, &user) {
            Ok(Some(members)) => {
                let who = Identity::new(user.uid, user.gid);
                let rights = Rights { source: Source::Forward, who, user: Some(user.clone()) };
                let sender = self.request.envelope.sender.clone();
                self.list(address, members, rights, Away::AllBut(&user.name), sender, above);
            }
            Ok(None) => self.mailbox(address),
            Err(verdict) => self.say(address, verdict),
        }
    }

    /// The members of the first .forward file that is there; one that is not to be trusted or has none does not count.
    fn forward_file(&mut self, address: &str, user: &User) -> Result<Option<Vec<Member>>, Verdict> {
        let who = Identity::new(user.uid, user.gid);
        for pattern in &self.local.forward_path {
            let Some(path) = self.local.forward_name(pattern, address, user) else { continue };
            match lists::read(Path::new(&path), &who, true) {
                Ok(None) => {}
                Ok(Some(members)) => return Ok(Some(members).filter(|m| !m.is_empty())),
                Err(ListError::Untrusted(text)) => self.warnings.push(text),
                Err(ListError::Io(e)) => {
                    self.warnings.push(format!("cannot read {path}: {e}"));
                    return Err(deferred(format!("cannot read forward file {path}")));
                }
            }
        }
        Ok(None)
    }

    /// A UNIX user's mailbox, or nobody's.
    fn mailbox(&mut self, address: &str) {
        if self.done.contains(address.to_lowercase().as_str()) {
            return;
        }
        let item = self.item(address);
        match self.local.user(&item) {
            Ok(step) => self.steps.push(step),
            Err(text) => {
                self.warnings.push(text);
                self.say(address, by_class(Status::new(4, 3, 0), "user database unavailable".into()));
            }
        }
    }
}
