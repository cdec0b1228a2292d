//! An HTTP server that does nothing: what the framework costs.

use std::io;
use std::process::ExitCode;

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;

use crate::ask::document;

/// Bytes that are answered to a GET.
const BYTES: usize = 256;

/// Serves on the address that is the second argument.
pub(crate) fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(2) else { return ExitCode::FAILURE };
    let served = serve(&address);
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn serve(address: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let answer = Bytes::from(document(BYTES));
    let routes = get(move || async move { answer.clone() }).put(|body: Bytes| async move { body });
    let router = Router::new().route("/echo/{id}", routes);
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(address).await?;
        axum::serve(listener, router).await
    })
}
