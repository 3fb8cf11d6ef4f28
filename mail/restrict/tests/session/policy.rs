//! Policy servers: how long a connection is used, what is asked; one that starts anew closes all connections that wait for a request.

use crate::world::World;
use base_dns::{Options, Resolver};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{
        broadcast::{self, Receiver},
        mpsc,
    },
};

/// Says DUNNO until told to hang up.
async fn answer(mut stream: TcpStream, mut hang_up: Receiver<()>) {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            _ = hang_up.recv() => return,
        };
        match line {
            Ok(Some(line)) if line.is_empty() => {
                // All requests of the test are open at the same time.
                tokio::time::sleep(Duration::from_millis(100)).await;
                let _ = write.write_all(b"action=DUNNO\n\n").await;
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

#[tokio::test]
async fn connections_that_wait_may_all_be_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (hang_up, _) = broadcast::channel(1);
    let listeners = hang_up.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, listeners.subscribe()));
        }
    });
    let main_cf = format!(
        "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:{address}"
    );
    let world = World::new(&main_cf, Resolver::new(Options::default()));
    let sessions: Vec<_> = (1..=4).map(|i| world.session(&format!("192.0.2.{i}"))).collect();
    let (a, b, c, d) =
        tokio::join!(sessions[0].rcpt(), sessions[1].rcpt(), sessions[2].rcpt(), sessions[3].rcpt());
    assert!([a, b, c, d].iter().all(|o| o.refusal.is_none()));
    hang_up.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(sessions[0].rcpt().await.refusal, None);
    assert_eq!(world.logged.texts(), Vec::<String>::new());
}

#[tokio::test]
async fn a_connection_takes_so_many_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, mut requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut connections = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            connections += 1;
            let heard = heard.clone();
            tokio::spawn(async move {
                let (read, mut write) = stream.split();
                let mut lines = BufReader::new(read).lines();
                let mut attributes = Vec::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line.is_empty() {
                        let _ = heard.send((connections, std::mem::take(&mut attributes)));
                        let _ = write.write_all(b"action=DUNNO\n\n").await;
                    } else {
                        attributes.push(line);
                    }
                }
            });
        }
    });
    let main_cf = format!(
        "compatibility_level = 3.9\nsmtpd_policy_service_policy_context = common\nsmtpd_recipient_restrictions = \
         check_policy_service {{ inet:{address}, request_limit=2, {{ policy_context = of this one }} }}"
    );
    let world = World::new(&main_cf, Resolver::new(Options::default()));
    let session = world.session("192.0.2.1");
    for connection in [1, 1, 2] {
        assert_eq!(session.rcpt().await.refusal, None);
        let (of, attributes) = requests.recv().await.unwrap();
        assert_eq!(of, connection);
        for line in [
            "request=smtpd_access_policy",
            "protocol_state=RCPT",
            "client_port=4321",
            "server_port=25",
            "stress=yes",
            "policy_context=of this one",
            "compatibility_level=3.9",
            "recipient=alice@example.com",
        ] {
            assert!(attributes.iter().any(|a| a == line), "no {line} in {attributes:?}");
        }
    }
}
