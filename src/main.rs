//! Parses the arguments, hands over, maps the result to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall::cli::main()
}
