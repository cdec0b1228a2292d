//! The project's own commands: `cargo xtask <command>`.
//!
//! One file per command; [`stage`] runs a list of checks and prints the summary, [`process`] starts
//! other programs, [`workspace`] knows where the repository is and what is in it. Nothing of docdb
//! is linked in, so that the checks still run when the product does not compile.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a build tool: files, processes, the clock and the terminal are its work"
)]

mod bench;
mod ci;
mod clients;
mod data;
mod fuzz;
mod generate;
mod nightly;
mod other_target;
mod process;
mod senders;
mod stage;
mod stores;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs every check a change must pass, and prints a summary with times
    Ci(ci::Arguments),
    /// Runs the long checks: longer simulation, coverage-guided fuzzing, all benches
    Nightly(nightly::Arguments),
    /// Checks what compilers do not: file rules, crate arrows, links, decisions
    Tidy,
    /// Feeds mutated bytes to the decoders, reproducibly or guided by coverage
    Fuzz(fuzz::Arguments),
    /// Runs the side-by-side benches and compares them with an earlier run
    Bench(bench::Arguments),
    /// Lists the data sets that benches use, and makes them
    Data(data::Arguments),
    /// Rewrites the files that are generated from the code
    Gen(generate::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Ci(arguments) => ci::run(&arguments),
        Command::Nightly(arguments) => nightly::run(&arguments),
        Command::Tidy => tidy::run(),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Data(arguments) => data::run(&arguments),
        Command::Gen(arguments) => generate::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_has_help_text() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{} has no help", sub.get_name());
            for argument in sub.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {argument}", sub.get_name());
            }
        }
    }
}
