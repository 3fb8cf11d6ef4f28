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
    plan::{Step, TargetPlan},
    prefix::Delivered,
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
    target: &'a Target,
    /// To whom the message was delivered before.
    seen: &'a Delivered,
    /// What was met.
    met: HashSet<Met>,
    /// Members that an earlier attempt is done with.
    done: HashSet<&'a str>,
    /// Users whose .forward file was read.
    forwarded: HashSet<String>,
    /// With whose rights the list that is being expanded acts.
    rights: Option<Rights>,
    steps: Vec<Step>,
    expanded: bool,
    /// Members to forward to, by sender and Delivered-To.
    outside: Vec<((String, String), Vec<String>)>,
    warnings: Vec<String>,
}

/// What gets its mail once. One who gets it here and by way of a list gets it twice.
#[derive(PartialEq, Eq, Hash)]
enum Met {
    /// An address in lower case, and whether its mail is forwarded.
    Address(String, bool),
    /// The user behind an alias of the same name, or `\user`.
    User(String),
    /// A command with its alias, or a file, and the user who acts.
    Outlet(String, u32),
}

/// Which members of a list are forwarded though they are of this machine.
#[derive(Clone, PartialEq, Eq)]
enum Away {
    Nobody,
    Everybody,
    /// Everybody but this user.
    AllBut(String),
}

/// The list that is being expanded, with what it has of those around it.
#[derive(Clone)]
struct List {
    /// By an include list or .forward file.
    away: Away,
    /// An alias has an owner- alias: everybody is forwarded.
    owned: bool,
    /// Envelope sender of what is forwarded, and for commands and mailboxes.
    sender: String,
    /// Delivered-To of what is forwarded, and for commands and mailboxes.
    delivered_to: String,
    /// Include lists that contain this one.
    depth: usize,
}

impl<'a> Expansion<'a> {
    /// The plan for a target, and lines for the log after `warning: `. `seen`: to whom it was delivered before.
    pub(super) fn plan(
        local: &'a Local,
        request: &'a CourierRequest,
        target: &'a Target,
        recipient: &'a Recipient,
        seen: &'a Delivered,
    ) -> (TargetPlan, Vec<String>) {
        let at = request.targets.iter().position(|t| t.index == target.index);
        let done = at.and_then(|at| request.done.get(at)).into_iter().flatten().map(String::as_str).collect();
        let mut x = Self {
            local,
            request,
            recipient,
            target,
            seen,
            met: HashSet::new(),
            done,
            forwarded: HashSet::new(),
            rights: None,
            steps: Vec::new(),
            expanded: false,
            outside: Vec::new(),
            warnings: Vec::new(),
        };
        let list = List {
            away: Away::Nobody,
            owned: false,
            sender: request.envelope.sender.clone(),
            delivered_to: target.address.clone(),
            depth: 0,
        };
        if !x.looped(&target.address) {
            x.address(&target.address, &mut Vec::new(), &list);
        }
        x.forwards();
        let indexes = vec![(target.index, target.address.clone())];
        (TargetPlan { indexes, steps: x.steps, expanded: x.expanded }, x.warnings)
    }

    /// It was delivered to this address before: that is said.
    fn looped(&mut self, address: &str) -> bool {
        let looped = self.seen.has(address);
        if looped {
            let text = format!("mail forwarding loop for {address}");
            self.say(address, by_class(Status::new(5, 4, 6), text));
        }
        looped
    }

    fn say(&mut self, address: &str, verdict: Verdict) {
        self.steps.push(Step::Say { address: address.to_owned(), verdict });
    }

    /// An address of this machine. `above`: the aliases that led here.
    fn address(&mut self, address: &str, above: &mut Vec<String>, list: &List) {
        let (local, _) = split_domain(address);
        match self.local.alias(local) {
            Err(text) => self.no_aliases(address, text),
            Ok(None) => self.user(address, above, list),
            Ok(Some(found)) if above.last() == Some(&found.name) => self.user(address, above, list),
            Ok(Some(found)) if above.contains(&found.name) || above.len() >= MAX_DEPTH => {
                let text = format!("alias database loop for {local}");
                self.warnings.push(text.clone());
                self.say(address, by_class(Status::new(5, 4, 6), text));
            }
            Ok(Some(found)) => self.alias(address, &found, above, list),
        }
    }

    fn no_aliases(&mut self, address: &str, warning: String) {
        self.warnings.push(warning);
        self.say(address, by_class(Status::new(4, 3, 0), "alias database unavailable".into()));
    }

    fn alias(&mut self, address: &str, found: &Found, above: &mut Vec<String>, around: &List) {
        let owner = match self.local.owner(&found.name) {
            Ok(owner) => owner,
            Err(text) => return self.no_aliases(address, text),
        };
        let members = members(&found.text);
        if members.is_empty() {
            self.warnings.push(format!("no recipient in alias lookup result for \"{}\"", found.name));
            return self.say(address, configuration_error());
        }
        above.push(found.name.clone());
        let list = List {
            owned: owner.is_some() || around.owned && !self.local.owners.reset,
            sender: owner.unwrap_or_else(|| around.sender.clone()),
            delivered_to: self.delivered_to(address, around),
            ..around.clone()
        };
        self.list(address, members, self.local.external.of_table(&found.table), &list, above);
        above.pop();
    }

    /// The Delivered-To of what comes of `address`.
    fn delivered_to(&self, address: &str, around: &List) -> String {
        if self.local.owners.frozen_delivered_to { around.delivered_to.clone() } else { address.to_owned() }
    }

    /// Delivers to the members of an alias or a .forward file.
    fn list(
        &mut self,
        address: &str,
        members: Vec<Member>,
        rights: Rights,
        list: &List,
        above: &mut Vec<String>,
    ) {
        self.expanded = true;
        let before = self.rights.replace(rights);
        for member in members {
            self.member(address, member, above, list);
        }
        self.rights = before;
    }

    /// A member that is forwarded to.
    fn forward(&mut self, list: &List, member: String) {
        if self.done.contains(member.to_lowercase().as_str()) {
            return;
        }
        let with = (list.sender.clone(), list.delivered_to.clone());
        match self.outside.iter_mut().find(|(w, _)| *w == with) {
            Some((_, members)) => members.push(member),
            None => self.outside.push((with, vec![member])),
        }
    }

    /// One message for each sender and Delivered-To, on behalf of the recipient whose expansion this is.
    fn forwards(&mut self) {
        for ((sender, mut delivered_to), recipients) in std::mem::take(&mut self.outside) {
            if !self.local.prepend.delivered_to_forward {
                delivered_to.clear();
            }
            let address = self.target.address.clone();
            self.steps.push(Step::Forward(Forward { address, sender, delivered_to, recipients }));
        }
    }

    fn member(&mut self, alias: &str, member: Member, above: &mut Vec<String>, list: &List) {
        match member {
            Member::Address(a) => {
                let full = self.local.complete(&a);
                match self.local.is_here(&full) {
                    Ok(true) => self.member_here(&full, above, list),
                    Ok(false) => {
                        if self.met.insert(Met::Address(full.to_lowercase(), true)) {
                            self.forward(list, full);
                        }
                    }
                    Err(text) => {
                        self.warnings.push(text);
                        self.say(&full, configuration_error());
                    }
                }
            }
            Member::User(name) => {
                let full = self.local.complete(&name);
                if self.met.insert(Met::User(full.to_lowercase())) {
                    self.mailbox(&full, list);
                }
            }
            Member::Command(_) | Member::File(_) => self.outlet(alias, &member, list),
            Member::Include(path) => self.include(alias, &path, above, list),
        }
    }

    /// A member of this machine: an alias within the alias, or a user. An alias or .forward file that names itself means the
    /// user of that name.
    fn member_here(&mut self, address: &str, above: &mut Vec<String>, list: &List) {
        let name = address.to_lowercase();
        let itself = above.last().is_some_and(|above| *above == split_domain(&name).0)
            || list.away == Away::AllBut(self.local.user_part(address));
        let met = match itself {
            true => Met::User(name),
            false => Met::Address(name, self.goes_away(address, list)),
        };
        if self.met.insert(met) && (self.local.owners.frozen_delivered_to || itself || !self.looped(address))
        {
            self.address(address, above, list);
        }
    }

    /// Whether mail for a user of this machine is forwarded, so that what goes wrong there is no matter of this message.
    fn goes_away(&self, address: &str, list: &List) -> bool {
        match &list.away {
            _ if list.owned => true,
            Away::Nobody => false,
            Away::Everybody => true,
            Away::AllBut(user) => *user != self.local.user_part(address),
        }
    }

    /// A command or a file.
    fn outlet(&mut self, alias: &str, member: &Member, list: &List) {
        let Some(rights) = &self.rights else { return };
        let item = self.item(alias, list);
        let (what, mut step) = match member {
            Member::Command(command) => {
                (format!("|{command}"), self.local.external.command(&item, command, rights))
            }
            Member::File(path) => {
                (path.clone(), self.local.external.file(&item, path, rights, &self.local.mailbox))
            }
            _ => return,
        };
        let name = format!("{} {what}", alias.to_lowercase());
        // The same command of two aliases, or in the files of two users, is two deliveries; a file of two aliases gets one.
        let once = if matches!(member, Member::Command(_)) { name.clone() } else { what };
        let met = Met::Outlet(once, rights.who.uid);
        if self.done.contains(name.as_str()) || !self.met.insert(met) {
            return;
        }
        if let Step::Do(work) = &mut step {
            work.member = Some(name);
        }
        self.steps.push(step);
    }

    fn item<'b>(&'b self, address: &'b str, list: &'b List) -> Item<'b> {
        Item {
            address,
            sender: &list.sender,
            // A list with an owner is where its mail begins.
            original: if list.sender == self.request.envelope.sender { &self.recipient.original } else { "" },
            delivered_to: &list.delivered_to,
            client: &self.request.envelope.client,
        }
    }

    /// An `:include:` list: its members are forwarded.
    fn include(&mut self, alias: &str, path: &str, above: &mut Vec<String>, around: &List) {
        let Some(rights) = self.rights.clone() else { return };
        let bad = || by_class(Status::new(5, 3, 5), "mail system configuration error".into());
        if around.depth >= MAX_DEPTH || !path.starts_with('/') {
            self.warnings.push(format!("bad :include: list {path} in {alias}"));
            return self.say(alias, bad());
        }
        // What a user's own file includes must be the user's own.
        let strict = rights.user.is_some();
        match lists::read(Path::new(path), &rights.who, strict) {
            Ok(Some(members)) => {
                let list = List { away: Away::Everybody, depth: around.depth + 1, ..around.clone() };
                let rights = Rights { source: Source::Include, ..rights };
                self.list(alias, members, rights, &list, above);
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
    fn user(&mut self, address: &str, above: &mut Vec<String>, around: &List) {
        if self.goes_away(address, around) {
            return self.forward(around, address.to_owned());
        }
        let list = List { delivered_to: self.delivered_to(address, around), ..around.clone() };
        let user = match self.local.find_user(address) {
            Ok(Some(user)) => user,
            _ => return self.mailbox(address, &list),
        };
        if let Some(why) = self.local.homeless(&user) {
            return self.say(address, by_class(Status::new(4, 3, 0), why));
        }
        if !self.forwarded.insert(user.name.clone()) {
            return self.mailbox(address, &list);
        }
        match self.forward_file(address, &user) {
            Ok(Some(members)) => {
                let list = List { away: Away::AllBut(user.name.clone()), ..list };
                self.list(address, members, Rights::of_user(user), &list, above);
            }
            Ok(None) => self.mailbox(address, &list),
            Err(verdict) => self.say(address, verdict),
        }
    }

    /// The members of the first .forward file that is there; one that is not to be trusted or has none does not count.
    fn forward_file(&mut self, address: &str, user: &User) -> Result<Option<Vec<Member>>, Verdict> {
        let who = Identity::new(user.uid, user.gid);
        let mut last = None;
        for pattern in &self.local.forward_path {
            let Some(path) = self.local.forward_name(pattern, address, user) else { continue };
            // Without an extension the usual patterns mean one file.
            if last.replace(path.clone()).is_some_and(|last| last == path) {
                continue;
            }
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
    fn mailbox(&mut self, address: &str, list: &List) {
        if self.done.contains(address.to_lowercase().as_str()) {
            return;
        }
        let item = self.item(address, list);
        match self.local.user(&item) {
            // luser_relay, for the recipient whose expansion this is.
            Ok(Step::Forward(forward)) => {
                let address = self.target.address.clone();
                self.steps.push(Step::Forward(Forward { address, ..forward }));
            }
            Ok(step) => self.steps.push(step),
            Err(text) => {
                self.warnings.push(text);
                self.say(address, by_class(Status::new(4, 3, 0), "user database unavailable".into()));
            }
        }
    }
}
