//! The command `gradus`.

fn main() -> std::process::ExitCode {
    gradus::cli::main()
}
