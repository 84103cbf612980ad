//! The program `aim`: everything is in the library, so that tests use what ships.

use std::process::ExitCode;

fn main() -> ExitCode {
    aim::cli::main()
}
