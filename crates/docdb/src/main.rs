//! The one binary of docdb. Everything it does is behind [`cli`]: this file only hands over the
//! command line, the terminal and the exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
}
