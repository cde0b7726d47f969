//! What is decided of a request before the engine is asked: whether it is let in, and which statement it brings.

use std::ops::ControlFlow;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use crate::answer::{self, Body};
use crate::job::Job;
use crate::request::{self, Options};

/// The statement that `request` brings, ready to run, or else the answer to the request.
pub async fn admit(request: Request<Incoming>, key: &str) -> ControlFlow<Response<Body>, Job> {
    if let Err(refused) = request::is_local(request.headers()) {
        return ControlFlow::Break(answer::failed(&refused.to_string()));
    }
    match (request.method(), request.uri().path(), request.uri().query()) {
        (_, "/ping", _) | (&Method::GET, "/", None) => return ControlFlow::Break(answer::ok()),
        (&Method::GET | &Method::POST, "/", _) => {}
        (_, path, _) => return ControlFlow::Break(answer::no_such_path(path)),
    }
    match read(request, key).await {
        Ok(job) => ControlFlow::Continue(job),
        Err(message) => ControlFlow::Break(answer::failed(&message)),
    }
}

async fn read(request: Request<Incoming>, key: &str) -> Result<Job, String> {
    let (head, body) = request.into_parts();
    let options = Options::parse(head.uri.query().unwrap_or_default()).map_err(|error| error.to_string())?;
    options.authorise(&head.headers, key).map_err(|error| error.to_string())?;
    Job::read(options, &head, body).await
}
