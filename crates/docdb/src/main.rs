//! The one binary of docdb. Everything it does is in the library: this file only hands over the
//! command line, the terminal and the exit code.

use std::process::ExitCode;

/// Documents are allocated by one thread and freed by another, which the allocator of glibc is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Not locked for as long as the command runs: the threads of a server write there too.
    let environment = std::env::vars_os().collect();
    docdb::cli::run(
        std::env::args_os(),
        environment,
        &mut std::io::stdout(),
        &mut std::io::stderr(),
    )
}
