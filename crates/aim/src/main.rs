//! The program `aim`: everything is in the library, so that tests use what ships.

use std::process::ExitCode;

/// Quick with many small allocations, and gives memory back after a burst.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    aim::cli::main()
}
