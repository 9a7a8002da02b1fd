//! The headless relay: `dunlin-relayd`.

use clap::Parser;
use dunlin_relayd::{Args, Log, daemon};
use std::io::Write;
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return not_understood(&error),
    };
    let json = args.json;
    let log = args.log;
    Log::new(log, json).install();
    let ended = daemon(args, |ready| {
        let text = match json {
            true => ready.object().to_string(),
            false => ready.to_string(),
        };
        // A reader that has gone does not keep a relay from relaying.
        let _ = writeln!(std::io::stdout(), "{text}");
    });
    match ended {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            if json && log >= LevelFilter::ERROR {
                tracing::error!(message = %error);
            } else {
                eprintln!("dunlin-relayd: {error}");
            }
            error.exit_code()
        }
    }
}

/// Help and version are answers; anything else is a mistake, told to whoever reads JSON in its own way.
fn not_understood(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        Log::new(LevelFilter::ERROR, true).install();
        let text = error.render().to_string();
        let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
        tracing::error!(message = text);
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
