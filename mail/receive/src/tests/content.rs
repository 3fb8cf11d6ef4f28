//! Content of messages through the real driver.

use super::world::{check, check_from};
use base_calls::MessageAction;

const OPEN: &str = "S: 220 mail.example.com ESMTP Postfix
    C: EHLO c
    S: 250-mail.example.com
    S: 250-PIPELINING
    S: 250-SIZE 10240000
    S: 250-VRFY
    S: 250-ETRN
    S: 250-ENHANCEDSTATUSCODES
    S: 250-8BITMIME
    S: 250-DSN
    S: 250-SMTPUTF8
    S: 250 CHUNKING
";

fn text(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_message_in_one_breath() {
    let world = check(
        "",
        &format!(
            "{OPEN}c: MAIL FROM:<a@example.net> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2By\\r\\nRCPT TO:<alice@example.com> NOTIFY=SUCCESS ORCPT=rfc822;al\\r\\nDATA\\r\\n
             S: 250 2.1.0 Ok
             S: 250 2.1.5 Ok
             S: 354 End data with <CR><LF>.<CR><LF>
             c: Subject: x\\r\\n\\r\\n..a\\nb\\r\\n.\\r\\nQUIT\\r\\n
             S: 250 2.0.0 Ok: queued as 000002C
             S: 221 2.0.0 Bye
             S: EOF"
        ),
        &["disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"],
    )
    .await;
    let taken = world.queue.0.lock().expect("lock");
    let m = &taken[0];
    let content = text(&m.content);
    let (received, rest) = content.split_once("\r\nSubject").expect("header");
    assert!(received.starts_with(
        "Received: from c (unknown [127.0.0.1])\r\n\tby mail.example.com (Postfix) with ESMTP id 000002C\r\n\tfor <alice@example.com>; "
    ));
    assert_eq!(rest, ": x\r\n\r\n.a\r\nb\r\n");
    assert_eq!((m.envelope.sender.as_str(), m.envelope.envid.as_str()), ("a@example.net", "x+y"));
    assert_eq!((m.envelope.ret, m.envelope.rewrite_local), (Some(base_calls::Ret::Hdrs), true));
    assert_eq!(m.recipients[0].orcpt, "rfc822;al");
    assert!(m.recipients[0].notify.success);
}

#[tokio::test(start_paused = true)]
async fn several_recipients_and_smtputf8() {
    let world = check_from(
        "192.0.2.1",
        "",
        &format!(
            "{OPEN}C: MAIL FROM:<> SMTPUTF8
             S: 250 2.1.0 Ok
             C: RCPT TO:<alice@example.com>
             S: 250 2.1.5 Ok
             C: RCPT TO:<nobody@example.com>
             S: 550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown in local recipient table
             C: RCPT TO:<bob@example.com>
             S: 250 2.1.5 Ok
             C: DATA
             S: 354 End data with <CR><LF>.<CR><LF>
             C: .
             S: 250 2.0.0 Ok: queued as 000002C"
        ),
        &[],
    )
    .await;
    let taken = world.queue.0.lock().expect("lock");
    assert!(text(&taken[0].content).starts_with(
        "Received: from c (unknown [192.0.2.1])\r\n\tby mail.example.com (Postfix) with UTF8SMTP id 000002C;\r\n\t"
    ));
    assert_eq!(taken[0].recipients.len(), 2);
    assert!(!taken[0].envelope.rewrite_local && taken[0].envelope.smtputf8);
}

#[tokio::test(start_paused = true)]
async fn chunks() {
    let world = check(
        "",
        &format!(
            "{OPEN}c: MAIL FROM:<a@example.net>\\r\\nRCPT TO:<alice@example.com>\\r\\nBDAT 17\\r\\nSubject: p\\r\\n\\r\\nx\\r\\nBDAT 3 LAST\\r\\ny\\r\\n
             S: 250 2.1.0 Ok
             S: 250 2.1.5 Ok
             S: 250 2.0.0 Ok: 17 bytes
             S: 250 2.0.0 Ok: 20 bytes queued as 000002C
             C: MAIL FROM:<a@example.net>
             S: 250 2.1.0 Ok
             c: BDAT 3\\r\\nabc
             S: 554 5.5.1 Error: no valid recipients
             c: BDAT 2 LAST\\r\\nab
             S: 551 5.0.0 Discarded 2 bytes after earlier error
             C: MAIL FROM:<a@example.net>
             S: 250 2.1.0 Ok
             C: RCPT TO:<alice@example.com>
             S: 250 2.1.5 Ok
             c: BDAT 100\\r\\nfoo"
        ),
        &["lost connection after BDAT (3 bytes) from unknown[127.0.0.1]"],
    )
    .await;
    let taken = world.queue.0.lock().expect("lock");
    assert!(text(&taken[0].content).ends_with("Subject: p\r\n\r\nx\r\ny\r\n"));
    assert_eq!(taken.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn lost_in_data_leaves_no_trace() {
    let world = check(
        "",
        &format!(
            "{OPEN}c: MAIL FROM:<a@example.net>\\r\\nRCPT TO:<alice@example.com>\\r\\nDATA\\r\\n
             S: 250 2.1.0 Ok
             S: 250 2.1.5 Ok
             S: 354 End data with <CR><LF>.<CR><LF>
             c: line\\r\\nfoo"
        ),
        &[
            "lost connection after DATA (6 bytes) from unknown[127.0.0.1]",
            "disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=0/1 commands=3/4",
        ],
    )
    .await;
    assert!(world.queue.0.lock().expect("lock").is_empty());
}

#[tokio::test(start_paused = true)]
async fn too_big_and_bare_newlines() {
    let body = "x".repeat(300);
    let open = "c: MAIL FROM:<a@example.net>\\r\\nRCPT TO:<alice@example.com>\\r\\nDATA\\r\\n
             S: 250 2.1.0 Ok
             S: 250 2.1.5 Ok
             S: 354 End data with <CR><LF>.<CR><LF>";
    let world = check(
        "message_size_limit = 200\nmailbox_size_limit = 0\nsmtpd_forbid_bare_newline = reject",
        &format!(
            "{}{open}
             C: {body}
             C: .
             S: 552 5.3.4 Error: message file too big
             {open}
             c: a\\nb\\r\\n.\\r\\n
             S: 550 5.5.2 mail.example.com Error: bare <LF> received
             c: NOOP\\n
             S: 550 5.5.2 mail.example.com Error: bare <LF> received
             S: EOF",
            OPEN.replace("10240000", "200")
        ),
        &[
            "warning: 000002C: queue file size limit exceeded",
            "000002C: reject: END-OF-MESSAGE from unknown[127.0.0.1]: bare <LF> received; from=<a@example.net> \
             to=<alice@example.com> proto=ESMTP helo=<c>",
        ],
    )
    .await;
    assert!(world.queue.0.lock().expect("lock").is_empty());
}

#[tokio::test(start_paused = true)]
async fn actions_and_forwarded_clients() {
    let world = check(
        "smtpd_authorized_xforward_hosts = 127.0.0.1
smtpd_sender_restrictions = check_sender_access inline:{a@example.net=HOLD}",
        &format!(
            "{}C: XFORWARD NAME=spike.example.net ADDR=168.100.189.2 IDENT=abc SOURCE=REMOTE
             S: 250 2.0.0 Ok
             C: MAIL FROM:<a@example.net>
             S: 250 2.1.0 Ok
             C: RCPT TO:<alice@example.com>
             S: 250 2.1.5 Ok
             C: DATA
             S: 354 End data with <CR><LF>.<CR><LF>
             C: .
             S: 250 2.0.0 Ok: queued as 000002C",
            OPEN.replace("    S: 250-ENH", "    S: 250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\n    S: 250-ENH")
        ),
        &[
            "000002C: client=unknown[127.0.0.1], orig_queue_id=abc, orig_client=spike.example.net[168.100.189.2]",
            "NOQUEUE: hold: RCPT from unknown[127.0.0.1]: <a@example.net>: Sender address triggers HOLD action; \
             from=<a@example.net> to=<alice@example.com> proto=ESMTP helo=<c>",
        ],
    )
    .await;
    let taken = world.queue.0.lock().expect("lock");
    assert_eq!(taken[0].actions, [MessageAction::Hold]);
    assert_eq!(taken[0].envelope.client.addr, "168.100.189.2");
    assert!(!taken[0].envelope.rewrite_local);
}
