//! The folder, its disk, the keys in it, and the clock.

use super::Check;
use dunlin_net::{KeyFile, KeyFileError};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// An address book and an outbox are far smaller. // guess
const SPACE_BYTES_WANTED: u64 = 64 << 20;
/// Not even the keys and an address book are sure to be written. // guess
const SPACE_BYTES_MIN: u64 = 1 << 20;
/// 2026-01-01, when there was no Dunlin yet.
const CLOCK_MIN: Duration = Duration::from_secs(1_767_225_600);
/// How wrong a clock may be. PROTOCOL 3.7
const CLOCK_ERROR_MAX: Duration = Duration::from_secs(86_400);

/// Whether the folder can be written to and is its owner's alone.
pub(super) fn folder(home: &Path) -> Check {
    const NAME: &str = "folder";
    let existing = nearest_existing(home);
    let at = existing.display();
    if let Err(error) = tempfile::tempfile_in(existing) {
        let advice = "give yourself the right to write there, or choose another folder with --home";
        return Check::fail(NAME, format!("cannot write in {at}: {error}"), advice);
    }
    if existing != home {
        return Check::ok(NAME, format!("{} will be made", home.display()));
    }
    match mode_of(home) {
        Some(mode) if mode & 0o077 != 0 => Check::warn(
            NAME,
            format!("{at} is open to others (mode {mode:03o})"),
            format!("chmod 700 {at}"),
        ),
        _ => Check::ok(NAME, format!("{at} can be written to, and is yours alone")),
    }
}

/// How much may still be written beside the keys.
pub(super) fn space(home: &Path) -> Check {
    const NAME: &str = "disk";
    let at = nearest_existing(home);
    match rustix::fs::statvfs(at) {
        Ok(disk) => space_check(NAME, disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => Check::warn(
            NAME,
            format!("cannot ask how much is free at {}: {error}", at.display()),
            "look with df",
        ),
    }
}

fn space_check(name: &'static str, free: u64) -> Check {
    let says = format!("{} MiB free", free >> 20);
    let advice = "make room, or choose a folder on another disk with --home";
    if free < SPACE_BYTES_MIN {
        Check::fail(name, says, advice)
    } else if free < SPACE_BYTES_WANTED {
        Check::warn(name, says, advice)
    } else {
        Check::ok(name, says)
    }
}

/// Whether there are keys that can be used.
pub(super) fn keys(path: &Path) -> Check {
    const NAME: &str = "keys";
    match KeyFile::read(path) {
        Ok(_) => Check::ok(
            NAME,
            format!("{} is whole, and yours alone", path.display()),
        ),
        Err(KeyFileError::Missing(_)) => Check::warn(NAME, "none yet", "dunlin keys new"),
        // Its message ends with what to do.
        Err(error) => Check::fail(NAME, error.to_string(), ""),
    }
}

/// Whether the clock can be right: packets lie under the day's tag, so one that is more than a day wrong finds no mail.
pub(super) fn clock(home: &Path) -> Check {
    let newest = std::fs::read_dir(home)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max();
    clock_check(SystemTime::now(), newest)
}

fn clock_check(now: SystemTime, newest_file: Option<SystemTime>) -> Check {
    const NAME: &str = "clock";
    let advice = "set the clock: when it is more than a day wrong, mail is neither found nor kept";
    let since_1970 = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    if since_1970 < CLOCK_MIN {
        return Check::fail(NAME, "it says a time before 2026", advice);
    }
    // The wire has 16 bits for the day. PROTOCOL 3.1
    if since_1970.as_secs() / 86_400 > u64::from(u16::MAX) {
        return Check::fail(NAME, "it says a time after 2149", advice);
    }
    if newest_file.is_some_and(|file| file > now + CLOCK_ERROR_MAX) {
        return Check::warn(
            NAME,
            "a file of ours is from the future, so it was set back",
            advice,
        );
    }
    Check::ok(NAME, "plausible; it may be a day wrong")
}

/// The folder itself, or the nearest one above it that is there.
fn nearest_existing(folder: &Path) -> &Path {
    let above = folder.ancestors().find(|path| path.exists());
    above
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn mode_of(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode_of(_: &Path) -> Option<u32> {
    None // A profile's folder is private to its user there.
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn day(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(number * 86_400)
    }

    #[test]
    fn a_clock_before_the_first_release_or_beyond_the_wire_would_stop_it() {
        assert_eq!(clock_check(day(0), None).state, State::Fail);
        assert_eq!(clock_check(day(20_453), None).state, State::Fail);
        assert_eq!(clock_check(day(20_454), None).state, State::Ok);
        assert_eq!(clock_check(day(65_535), None).state, State::Ok);
        assert_eq!(clock_check(day(65_536), None).state, State::Fail);
    }

    #[test]
    fn a_file_from_the_future_says_that_the_clock_was_set_back() {
        let now = day(20_700);
        assert_eq!(clock_check(now, Some(day(20_701))).state, State::Ok);
        assert_eq!(clock_check(now, Some(day(20_702))).state, State::Warn);
    }

    #[test]
    fn a_full_disk_would_stop_it_and_a_nearly_full_one_warns() {
        assert_eq!(space_check("disk", 0).state, State::Fail);
        assert_eq!(space_check("disk", SPACE_BYTES_MIN).state, State::Warn);
        assert_eq!(space_check("disk", SPACE_BYTES_WANTED).state, State::Ok);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_enter_is_warned_about_and_a_missing_one_is_not() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let set = |mode| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode))
                .expect("our own");
        };
        set(0o755);
        let check = super::folder(folder.path());
        assert_eq!(check.state, State::Warn);
        assert!(check.advice.starts_with("chmod 700"), "{check:?}");
        set(0o700);
        assert_eq!(super::folder(folder.path()).state, State::Ok);
        assert_eq!(
            super::folder(&folder.path().join("not/yet")).state,
            State::Ok
        );
    }

    #[test]
    fn no_keys_warn_and_broken_ones_would_stop_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        assert_eq!(keys(&path).state, State::Warn);
        std::fs::write(&path, "torn").expect("our own folder");
        assert_eq!(keys(&path).state, State::Fail);
    }
}
