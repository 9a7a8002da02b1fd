//! A contact card as a QR code, drawn with half blocks: two modules a letter, one above the other.

use crate::Error;
use qrcode::{Color, EcLevel, QrCode};
use rustix::termios::{isatty, tcgetwinsize};

/// Light modules around the code. ISO/IEC 18004, 5.3.8: four.
const QUIET_MODULES: usize = 4;
/// Black on white, by the numbers of the 256-colour palette that no theme changes: a reader wants dark on light, which on a dark terminal
/// the usual colours would turn round.
const BLACK_ON_WHITE: &str = "\u{1b}[38;5;16;48;5;231m";
const AS_BEFORE: &str = "\u{1b}[0m";

/// Draws the card.
pub(super) fn draw(card: &str) -> Result<String, Error> {
    // In capitals all of a card is of the alphabet that takes 5.5 bits a letter, and a card may be written in capitals. A screen has
    // neither scratches nor stains, so the least correction, and the smallest code, will do.
    let code = QrCode::with_error_correction_level(card.to_ascii_uppercase(), EcLevel::L)
        .map_err(|error| Error::failed(format!("the card does not fit a QR code: {error}")))?;
    let (width, colors) = (code.width(), code.to_colors());
    let dark = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET_MODULES).filter(|at| *at < width);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => colors[y * width + x] == Color::Dark,
            _ => false,
        }
    };
    let size = width + 2 * QUIET_MODULES;
    let mut text = String::new();
    for y in (0..size).step_by(2) {
        text.push_str(BLACK_ON_WHITE);
        for x in 0..size {
            // Below the last row is one more light one where the rows are odd in number.
            text.push(match (dark(x, y), dark(x, y + 1)) {
                (false, false) => ' ',
                (true, false) => '▀',
                (false, true) => '▄',
                (true, true) => '█',
            });
        }
        text.push_str(AS_BEFORE);
        text.push('\n');
    }
    Ok(text)
}

/// Refuses what the terminal would break into more lines, which no camera puts together again.
pub(super) fn fits(code: &str) -> Result<(), Error> {
    let stdout = std::io::stdout();
    if !isatty(&stdout) {
        return Ok(());
    }
    let line = code.lines().next().unwrap_or_default();
    let needed = line
        .trim_start_matches(BLACK_ON_WHITE)
        .trim_end_matches(AS_BEFORE)
        .chars()
        .count();
    match tcgetwinsize(&stdout) {
        Ok(size) if size.ws_col > 0 && usize::from(size.ws_col) < needed => {
            Err(Error::failed(format!(
                "the code takes {needed} columns, and this terminal has {}: widen it, or choose smaller letters",
                size.ws_col
            )))
        }
        // A terminal that does not tell its size is taken at its word.
        _ => Ok(()),
    }
}
