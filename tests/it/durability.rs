//! Under `strace`: no reply leaves before an fdatasync that began after its record was written has ended.

use std::collections::HashMap;

use crate::client::{Answered, Nas, Said};
use crate::service::Service;

/// A system call, with the lines of the trace at which it began and ended.
#[derive(Debug)]
struct Call {
    name: String,
    /// Its arguments and result as strace prints them.
    text: String,
    began: usize,
    ended: usize,
}

/// Reads what `strace -f` wrote: calls that other threads interrupt come in two lines.
fn calls(trace: &str) -> Vec<Call> {
    let mut open: HashMap<&str, Call> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some(mut call) = open.remove(pid) else { continue };
            call.text.push_str(resumed.split_once("resumed>").map_or("", |(_, text)| text));
            call.ended = number;
            calls.push(call);
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        let mut call = Call { name: name.into(), text: arguments.into(), began: number, ended: number };
        if let Some(begun) = arguments.strip_suffix("<unfinished ...>") {
            call.text = begun.into();
            open.insert(pid, call);
        } else {
            calls.push(call);
        }
    }
    calls
}

impl Call {
    fn file(&self) -> &str {
        self.text.split([',', ')', ' ']).next().unwrap_or_default()
    }

    fn succeeded(&self) -> bool {
        !self.text.contains("= -1")
    }

    fn carries(&self, octets: &str) -> bool {
        self.text.contains(octets)
    }

    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }
}

/// As strace prints octets with `-xx`.
fn printed(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("\\x{octet:02x}")).collect()
}

/// Whether the record of `answered` was synced between its writing and its reply.
fn synced_before_reply(calls: &[Call], answered: &Answered) -> Result<(), String> {
    // The Request Authenticator names the request, the whole reply its answer.
    let (request, reply) = (printed(&answered.request[4..20]), printed(&answered.reply));
    let written = calls
        .iter()
        .find(|call| call.is(&["pwrite64", "pwritev", "write", "writev"]) && call.carries(&request));
    let written = written.ok_or("the record was never written")?;
    let sent = calls.iter().find(|call| call.is(&["sendmmsg", "sendto", "sendmsg"]) && call.carries(&reply));
    let sent = sent.ok_or("the reply was never sent")?;
    let synced = calls.iter().any(|call| {
        call.is(&["fdatasync", "fsync"])
            && call.file() == written.file()
            && call.succeeded()
            && call.began > written.ended
            && call.ended < sent.began
    });
    if synced { Ok(()) } else { Err(format!("no fdatasync between\n{written:?}\nand\n{sent:?}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reply_follows_an_fdatasync_that_covers_its_record() {
    let strace = "strace -f --seccomp-bpf -xx -s 70000 -o {dir}/trace \
                  -e trace=fdatasync,fsync,pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,sendmmsg --";
    let mut service = Service::start_under(strace.split_whitespace().map(Into::into).collect()).await;
    let senders: Vec<_> = (0..8)
        .map(|number| {
            let target = service.accounting;
            tokio::spawn(async move {
                let mut nas = Nas::new(target).await;
                let mut answered = Vec::new();
                for turn in 1..=25 {
                    answered
                        .push(nas.say(&Said::interim(&format!("traced{number}"), turn, 1_000, 1_000)).await);
                }
                answered
            })
        })
        .collect();
    let mut answered = Vec::new();
    for sender in senders {
        answered.extend(sender.await.unwrap());
    }
    service.stop().await;
    let trace = std::fs::read(service.dir().join("trace")).unwrap();
    let calls = calls(&String::from_utf8_lossy(&trace));
    assert_eq!(answered.len(), 200);
    for one in &answered {
        synced_before_reply(&calls, one).unwrap();
    }
}

#[test]
fn a_reply_before_its_fdatasync_would_be_noticed() {
    let answered = Answered { request: vec![7; 24], reply: vec![5; 20], took: std::time::Duration::ZERO };
    let (request, reply) = (printed(&[7; 16]), printed(&[5; 20]));
    let write = format!("10 pwrite64(9, \"{request}\", 16, 0) = 16");
    let send = format!("11 sendmmsg(4, [{{\"{reply}\"}}], 1, 0) = 1");
    let judge = |lines: &[&str]| synced_before_reply(&calls(&lines.join("\n")), &answered).is_ok();
    assert!(judge(&[&write, "10 fdatasync(9) = 0", &send]));
    assert!(!judge(&[&write, &send, "10 fdatasync(9) = 0"]), "synced too late");
    assert!(!judge(&["10 fdatasync(9) = 0", &write, &send]), "synced too early");
    assert!(!judge(&[&write, "10 fdatasync(8) = 0", &send]), "another file synced");
    assert!(!judge(&[&write, "10 fdatasync(9) = -1 EIO (Input/output error)", &send]), "failed");
    assert!(
        !judge(&[&write, "10 fdatasync(9 <unfinished ...>", &send, "10 <... fdatasync resumed>) = 0"]),
        "not yet ended"
    );
    assert!(judge(&[
        &write,
        "10 fdatasync(9 <unfinished ...>",
        "12 write(1, \"\", 0) = 0",
        "10 <... fdatasync resumed>) = 0",
        &send
    ]));
}
