//! The server side of the tools: postsuper, postcat and `postfix explain` on `private/control`, postqueue on `public/qmgr` and
//! `public/flush`. Requests and replies are those of [`base_calls::control`].
//!
//! What may be asked depends on the socket: the folder permissions decide who reaches `private` (root and the mail
//! owner) and `public` (the setgid group). A change is on disk before it is answered.

pub mod framed;

use base_calls::control::{ControlAction, ControlMessage, ControlReply, ControlRequest, Select};
use base_calls::listing::progress_changes;
use base_calls::{QueueId, QueueName};
use base_spool::{SpoolError, Summary};
use mail_restrict::Decisions;
use mail_schedule::Handle;
use std::{io, sync::Arc, time::Duration};
use tokio::net::{UnixListener, UnixStream, unix::SocketAddr};
use tokio::sync::Semaphore;

use self::framed::Framed;

/// Clients at once on one socket.
const CLIENTS: usize = 50;
/// Longest request.
const MAX_REQUEST: usize = 4096;
/// Messages changed at the same time: their records share a sync.
const PAGE: usize = 256;
/// Bytes of content in a frame.
const CHUNK: usize = 64 * 1024;
/// This process, or the machine, has too many open files (errno).
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Which socket a request came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `public/qmgr`, `public/flush`: deliveries may be asked for.
    Public,
    /// `private/control`: everything.
    Private,
}

impl Access {
    fn allows(self, request: &ControlRequest) -> bool {
        match request {
            ControlRequest::FlushAll | ControlRequest::FlushSite(_) => true,
            ControlRequest::Act(ControlAction::Deliver, Select::Id(..)) => true,
            _ => self == Self::Private,
        }
    }
}

/// What can be asked about.
#[derive(Clone)]
pub struct About {
    /// The queue.
    pub handle: Handle,
    /// What the SMTP servers have decided.
    pub decisions: Arc<Decisions>,
}

/// Serves requests until the listener fails or the task is dropped.
pub async fn serve(listener: UnixListener, access: Access, about: About) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) };
        let (stream, _) = accept(&listener).await?;
        let about = about.clone();
        tokio::spawn(async move {
            let _slot = slot;
            // A client that goes away early is no error.
            let _ = client(stream, access, &about).await;
        });
    }
}

/// Accepts the next client. Out of descriptors: waits for some to become free.
pub async fn accept(listener: &UnixListener) -> io::Result<(UnixStream, SocketAddr)> {
    loop {
        match listener.accept().await {
            Err(e) if matches!(e.raw_os_error(), Some(EMFILE | ENFILE)) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            other => return other,
        }
    }
}

async fn client(stream: UnixStream, access: Access, about: &About) -> io::Result<()> {
    let mut client = Framed::new(stream, MAX_REQUEST);
    while let Some(payload) = client.read().await? {
        let last = match ControlRequest::decode(&payload) {
            Ok(r) if access.allows(&r) => answer(&mut client, about, r).await?,
            Ok(_) => ControlReply::Error("this request is not allowed here".into()),
            Err(e) => ControlReply::Error(e.to_string()),
        };
        client.write(&last.encode()).await?;
        client.flush().await?;
    }
    Ok(())
}

/// Does what is asked; the last reply is returned.
async fn answer(client: &mut Framed, about: &About, request: ControlRequest) -> io::Result<ControlReply> {
    let handle = &about.handle;
    match request {
        ControlRequest::FlushAll => handle.flush(),
        ControlRequest::FlushSite(site) => handle.flush_domain(&site),
        ControlRequest::Cat(id) => return cat(client, handle, &id).await,
        ControlRequest::Explain(most, what) => {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            for frame in about.decisions.about(&what, most) {
                client.write(&ControlReply::Decision(frame).encode()).await?;
            }
        }
        ControlRequest::Act(action, Select::Id(id, queues)) => {
            let found =
                handle.spool().find(&id).and_then(|id| handle.spool().list(id.slot, 1).first().copied());
            let page: Vec<Summary> = found.into_iter().collect();
            return act(client, handle, action, &queues, &page).await;
        }
        ControlRequest::Act(action, Select::All(queues)) => {
            let mut from = Some(0);
            while let Some(slot) = from {
                let page = handle.spool().list(slot, PAGE);
                from = page.last().and_then(|s| s.id.slot.checked_add(1));
                match act(client, handle, action, &queues, &page).await? {
                    ControlReply::End => {}
                    error => return Ok(error),
                }
            }
        }
    }
    Ok(ControlReply::End)
}

/// Applies an action to those of `page` that are in one of `queues`.
async fn act(
    client: &mut Framed,
    handle: &Handle,
    action: ControlAction,
    queues: &[QueueName],
    page: &[Summary],
) -> io::Result<ControlReply> {
    let mut tasks = Vec::new();
    for summary in page {
        let queue = handle.queue_name(summary);
        let wanted = queues.is_empty() || queues.contains(&queue);
        if wanted && applies(action, queue, summary) {
            let (handle, id) = (handle.clone(), summary.id);
            tasks.push((id, queue, tokio::spawn(async move { perform(&handle, action, id).await })));
        }
    }
    let mut failure = None;
    for (id, queue, task) in tasks {
        match task.await {
            Ok(Ok(())) => client.write(&ControlReply::Done { id: id.to_string(), queue }.encode()).await?,
            Ok(Err(SpoolError::NotFound)) => {}
            Ok(Err(e)) => failure = Some(format!("{id}: {e}")),
            Err(e) => failure = Some(format!("{id}: {e}")),
        }
    }
    Ok(failure.map_or(ControlReply::End, ControlReply::Error))
}

/// Whether the action changes a message in this state.
fn applies(action: ControlAction, queue: QueueName, s: &Summary) -> bool {
    match action {
        ControlAction::Hold => queue != QueueName::Hold,
        ControlAction::Release => queue == QueueName::Hold,
        ControlAction::Deliver => matches!(queue, QueueName::Deferred | QueueName::Incoming),
        ControlAction::Expire => s.expired.is_none(),
        ControlAction::ExpireForced => s.expired.is_none() || queue == QueueName::Hold,
        ControlAction::Delete | ControlAction::Requeue => true,
    }
}

async fn perform(handle: &Handle, action: ControlAction, id: QueueId) -> Result<(), SpoolError> {
    match action {
        ControlAction::Delete => handle.delete(id).await,
        ControlAction::Hold => handle.hold(id).await,
        ControlAction::Release => handle.release(id).await,
        ControlAction::Requeue => handle.requeue(id).await,
        ControlAction::Expire => handle.expire(id, false).await,
        ControlAction::ExpireForced => handle.expire(id, true).await,
        ControlAction::Deliver => {
            handle.flush_id(id);
            Ok(())
        }
    }
}

/// Sends a message: envelope and progress, then the content.
async fn cat(client: &mut Framed, handle: &Handle, id: &str) -> io::Result<ControlReply> {
    let Some(id) = handle.spool().find(id) else { return Ok(ControlReply::End) };
    let Some(summary) = handle.spool().list(id.slot, 1).first().copied() else {
        return Ok(ControlReply::End);
    };
    let (message, progress) = match handle.spool().load(id).await {
        Ok(found) => found,
        Err(SpoolError::NotFound) => return Ok(ControlReply::End),
        Err(e) => return Ok(ControlReply::Error(format!("{id}: {e}"))),
    };
    let reply = ControlMessage {
        id: id.to_string(),
        queue: handle.queue_name(&summary),
        envelope: message.envelope.clone(),
        changes: progress_changes(&progress),
        content_len: message.content.len(),
    };
    client.write(&ControlReply::Message(Box::new(reply)).encode()).await?;
    let mut at = 0;
    while at < message.content.len() {
        let chunk = match message.content.chunk(at, CHUNK) {
            Ok(chunk) if !chunk.is_empty() => chunk,
            Ok(_) => break,
            Err(e) => return Ok(ControlReply::Error(format!("{id}: {e}"))),
        };
        at += chunk.len() as u64;
        client.write(&ControlReply::Content(chunk.to_vec()).encode()).await?;
    }
    Ok(ControlReply::End)
}

#[cfg(test)]
pub(crate) mod tests;
