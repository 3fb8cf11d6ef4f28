//! The queue listing on `public/showq` (showq(8)): whoever connects gets one [`ListedMessage`] frame after the other.
//!
//! Memory is bounded by one page of the index and one message; the first entries go out at once even when the queue is
//! long. Messages that change queues meanwhile may appear twice or not at all, as postqueue(1) says.

use crate::control::framed::Framed;
use base_calls::QueueName;
use base_calls::listing::ListedMessage;
use base_spool::Summary;
use mail_schedule::Handle;
use std::path::{Path, PathBuf};
use std::{io, sync::Arc};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Listings at once.
const CLIENTS: usize = 50;
/// Index entries at a time.
const PAGE: usize = 256;

/// Serves listings until the listener fails or the task is dropped.
pub async fn serve(listener: UnixListener, handle: Handle, queue_directory: PathBuf) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) };
        let (stream, _) = crate::control::accept(&listener).await?;
        let (handle, queue_directory) = (handle.clone(), queue_directory.clone());
        tokio::spawn(async move {
            let _slot = slot;
            // A client that goes away early is no error.
            let _ = list(stream, &handle, &queue_directory).await;
        });
    }
}

/// Sends the whole queue.
async fn list(stream: UnixStream, handle: &Handle, queue_directory: &Path) -> io::Result<()> {
    let mut client = Framed::new(stream, 0);
    for entry in base_spool::list_maildrop(queue_directory) {
        let mut frame = Vec::new();
        entry.put(&mut frame);
        client.write_frames(&frame).await?;
    }
    for queue in [QueueName::Incoming, QueueName::Active, QueueName::Deferred, QueueName::Hold] {
        let mut from = Some(0);
        while let Some(slot) = from {
            let page = handle.spool().list(slot, PAGE);
            from = page.last().and_then(|s| s.id.slot.checked_add(1));
            for summary in page.iter().filter(|s| handle.queue_name(s) == queue) {
                entry(&mut client, handle, queue, summary).await?;
            }
            client.flush().await?;
        }
    }
    let mut end = Vec::new();
    ListedMessage::put_end(&mut end);
    client.write_frames(&end).await?;
    client.flush().await
}

async fn entry(client: &mut Framed, handle: &Handle, queue: QueueName, summary: &Summary) -> io::Result<()> {
    // Gone meanwhile, or damaged and set aside: not in the queue any more.
    let Ok((message, progress)) = handle.spool().load(summary.id).await else { return Ok(()) };
    let mut frame = Vec::new();
    ListedMessage::new(queue, summary.id, &message.envelope, &progress).put(&mut frame);
    client.write_frames(&frame).await
}
