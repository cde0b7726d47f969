//! What must hold whatever a client sends: the fuzz target's input (`fuzz/`), which the tests replay.
//!
//! Compiled for tests, and under `cfg(fuzzing)`, which `cargo fuzz` sets; no part of the service. An input is what arrives on
//! a connection: it goes through hyper as on a socket, and every statement that is let in is split once more, here, to
//! see that nothing in it leads out of the database.

mod pieces;

use std::convert::Infallible;
use std::ops::ControlFlow;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::body::Incoming;
use hyper::http::request::Parts as Head;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::runtime::{Builder, Runtime};

use crate::job::Job;
use crate::statement::{self, Statement};
use crate::{answer, front};
use pieces::{Piece, pieces};

/// What a client must show.
const KEY: &str = "k3y";

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
}

/// Takes what arrives on a connection as far as the statements that would run.
pub fn engine_http(connection: &[u8]) {
    RUNTIME.with(|runtime| runtime.block_on(converse(connection)));
}

async fn converse(connection: &[u8]) {
    let service = service_fn(|request: Request<Incoming>| async {
        // Copied: reading the statement consumes the request.
        let mut head = Request::builder().method(request.method()).uri(request.uri());
        head.headers_mut().expect("no headers yet").extend(request.headers().clone());
        let (head, ()) = head.body(()).expect("it was read").into_parts();
        Ok::<_, Infallible>(match front::admit(request, KEY).await {
            ControlFlow::Continue(job) => {
                rightly_admitted(&head, &job);
                answer::ok()
            }
            ControlFlow::Break(answer) => answer,
        })
    });
    let wire = TokioIo::new(tokio::io::join(connection, tokio::io::sink()));
    // Requests that are none, and connections cut short, are errors of the client's.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(wire, service).await);
}

/// A statement runs only for a local program that knows the key, and is one that stays in the database.
fn rightly_admitted(head: &Head, job: &Job) {
    assert!(!head.headers.contains_key("origin"), "a page in a browser is served");
    let host = head.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    assert!(is_loopback(host), "{host:?} is taken for this machine");
    assert!(shows_key(head), "a client is served that shows no key");
    let preparations: Vec<_> = job.options.preparations().collect();
    preparations.iter().for_each(|text| stays_inside(text, true));
    let statement = statement::read(&job.query, job.options.format_or("Values"));
    let (sql, changes) = match statement.expect("it was read before") {
        Statement::Select { sql, .. } => (sql, false),
        Statement::Insert { sql, .. } => (sql, true),
        Statement::Other { sql, reads, .. } => (sql, !reads),
    };
    stays_inside(sql, false);
    assert!(!(head.method == Method::GET && (changes || inserts(sql))), "a GET changes something: {sql}");
}

/// Whether the word stands outside parentheses, at the beginning or after a `WITH`.
fn inserts(sql: &str) -> bool {
    let pieces = pieces(sql.as_bytes());
    let is = |piece: &Piece, word: &str| matches!(piece, Piece::Word(is) if is == word);
    let mut depth = 0;
    pieces.first().is_some_and(|first| is(first, "with") || is(first, "insert"))
        && pieces.iter().any(|piece| {
            match piece {
                Piece::Sign(b'(') => depth += 1,
                Piece::Sign(b')') => depth -= 1,
                _ => {}
            }
            depth == 0 && is(piece, "insert")
        })
}

/// `localhost`, `127.0.0.1` or `[::1]`, with or without a port; nothing before, between or after.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let v6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let address = v6.unwrap_or(name).parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.is_loopback() && address.is_ipv6() == v6.is_some())
}

fn shows_key(head: &Head) -> bool {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let basic = header("authorization").and_then(|value| value.strip_prefix("Basic "));
    let basic = basic.and_then(|value| BASE64_STANDARD.decode(value).ok());
    let query = head.uri.query().unwrap_or_default();
    header("x-clickhouse-key") == Some(KEY)
        || basic.is_some_and(|basic| basic.ends_with(format!(":{KEY}").as_bytes()))
        || form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "password" && value == KEY)
}

/// No name in the text is one that leads out; a preparation is nothing but `USE` and `SET` with quoted values.
fn stays_inside(text: &str, preparation: bool) {
    let pieces = pieces(text.as_bytes());
    let word = |at: usize| match pieces.get(at) {
        Some(Piece::Word(word)) => word.as_str(),
        _ => "",
    };
    if preparation {
        match word(0) {
            "use" => assert!(matches!(pieces[1..], [Piece::Name(_)]), "{text}"),
            "set" => {
                for setting in pieces[1..].split(|piece| *piece == Piece::Sign(b',')) {
                    assert!(matches!(setting, [Piece::Word(_), Piece::Sign(b'='), Piece::Text]), "{text}");
                }
            }
            _ => panic!("{text}"),
        }
    }
    for (at, piece) in pieces.iter().enumerate() {
        let (Piece::Word(name) | Piece::Name(name)) = piece else { continue };
        // `USE` takes a database by whatever name.
        let database = preparation && at == 1 && word(0) == "use";
        assert!(database || !leads_out(name), "{name} in {text}");
    }
}

fn leads_out(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "additional_result_filter",
        "additional_table_filters",
        "embeddedrocksdb",
        "eval",
        "file",
        "infile",
        "outfile",
        "queryrunner",
    ];
    NAMES.contains(&name) || name.starts_with("executable")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Runs every kept input; the last name that is printed is the one that fails.
    #[test]
    fn kept_connections_bring_no_statement_that_must_be_refused() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/engine_http");
        let mut inputs: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() > 20, "{} inputs are kept", inputs.len());
        for input in inputs {
            println!("{}", input.display());
            super::engine_http(&std::fs::read(input).unwrap());
        }
    }
}
