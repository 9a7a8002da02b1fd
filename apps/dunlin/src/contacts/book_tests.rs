//! Contacts as they are changed, and their file as it may be found.

use super::*;
use dunlin_net::Identity;
use dunlin_relay::Mailbox;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

fn card(number: u64) -> Card {
    let owner = Identity::generate(&mut ChaCha20Rng::seed_from_u64(number));
    let mailbox = Mailbox::from_seed(&[7; 32]);
    Card::new(&owner, mailbox.public(), &[], None).expect("a card")
}

fn names(contacts: &Contacts) -> Vec<&str> {
    contacts.all().map(|one| one.name.as_str()).collect()
}

fn message<T>(result: Result<T, Error>) -> String {
    result.err().expect("refused").to_string()
}

#[test]
fn contacts_are_there_again_in_the_order_of_their_names_and_found_in_either_case() {
    let home = tempfile::tempdir().expect("a folder");
    let mut contacts = Contacts::edit(home.path()).expect("none yet");
    for (name, number) in [("Zoë", 1), ("  bob Smith ", 2), ("Alice", 3)] {
        assert_eq!(contacts.add(name, card(number)).expect("new"), Added::New);
    }
    contacts.save().expect("written");
    let again = Contacts::read(home.path()).expect("whole");
    assert_eq!(names(&again), ["Alice", "bob Smith", "Zoë"]);
    assert_eq!(again.get("ZOË").expect("there").card, card(1));
}

#[test]
fn a_name_stays_with_one_id_and_an_id_with_one_name() {
    let home = tempfile::tempdir().expect("a folder");
    let mut contacts = Contacts::edit(home.path()).expect("none yet");
    contacts.add("Bob", card(1)).expect("new");
    contacts.add("Alice", card(2)).expect("new");
    assert_eq!(contacts.add("bob", card(1)).expect("his"), Added::Renewed);
    let other = message(contacts.add("BOB", card(3)));
    assert!(other.contains("Bob is somebody else already"), "{other}");
    let twice = message(contacts.add("Robert", card(1)));
    assert!(twice.contains("the card of Bob"), "{twice}");
    let taken = message(contacts.rename("Bob", "alice"));
    assert!(taken.starts_with("Alice is the name of another"), "{taken}");
    contacts.rename("bob", "BOB").expect("his own name");
    contacts.rename("BOB", "Robert").expect("free");
    assert_eq!(names(&contacts), ["Alice", "Robert"]);
    assert_eq!(contacts.remove("robert").expect("there").card, card(1));
    assert_eq!(names(&contacts), ["Alice"]);
}

#[test]
fn the_nearest_name_is_suggested_and_one_with_nothing_in_common_is_not() {
    let home = tempfile::tempdir().expect("a folder");
    let mut contacts = Contacts::edit(home.path()).expect("none yet");
    let none = message(contacts.get("Bob"));
    assert!(none.contains("contacts add NAME CARD"), "{none}");
    contacts.add("Bob", card(1)).expect("new");
    contacts.add("Barbara", card(2)).expect("new");
    let nearest = message(contacts.get("Bbo"));
    assert!(nearest.ends_with("did you mean \"Bob\"?"), "{nearest}");
    let nearest = message(contacts.get("barbra"));
    assert!(nearest.ends_with("did you mean \"Barbara\"?"), "{nearest}");
    let unlike = message(contacts.get("xyz"));
    assert!(unlike.contains("contacts list"), "{unlike}");
}

#[test]
fn a_name_that_could_not_stand_in_a_line_is_refused() {
    let home = tempfile::tempdir().expect("a folder");
    let mut contacts = Contacts::edit(home.path()).expect("none yet");
    let long = "n".repeat(65);
    for name in ["", "  ", "two\nlines", "\u{1b}[31m", "Dunlin:bob", &long] {
        let refused = message(contacts.add(name, card(1)));
        assert!(refused.contains("1 to 64 bytes"), "{refused}");
    }
    contacts.add(&long[1..], card(1)).expect("64 bytes");
}

#[test]
fn a_file_that_is_not_whole_says_which_line_and_nothing_is_taken_from_it() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("contacts");
    let first = "dunlin contacts 1";
    let (bob, alice) = (format!("{} Bob", card(1)), format!("{} Alice", card(2)));
    let cut = &bob[..100];
    for (text, line, what) in [
        (format!("{bob}\n"), 1, "expected \"dunlin contacts 1\""),
        ("dunlin contacts 2\n".to_owned(), 1, "a later version"),
        (format!("{first}\n{alice}\n{cut}"), 3, "a space and a name"),
        (format!("{first}\n{cut} Bob\n"), 2, "copy it again, whole"),
        (format!("{first}\n{bob}\n{bob}\n"), 3, "there twice"),
        (format!("{first}\n{}\n", card(1)), 2, "a space and a name"),
        ("x".repeat(FILE_BYTES_MAX + 1), 1, "too long"),
    ] {
        std::fs::write(&path, text).expect("our own folder");
        let refused = message(Contacts::read(home.path()));
        let begin = format!("{}, line {line}: ", path.display());
        assert!(refused.starts_with(&begin), "{refused}");
        assert!(refused.contains(what), "{what}: {refused}");
    }
    std::fs::write(&path, format!("{first}\n{bob}\n{alice}\n")).expect("our own folder");
    let whole = Contacts::read(home.path()).expect("whole");
    assert_eq!(names(&whole), ["Alice", "Bob"]);
}

#[test]
fn there_is_a_most() {
    let home = tempfile::tempdir().expect("a folder");
    let mut contacts = Contacts::edit(home.path()).expect("none yet");
    for number in 0..CONTACTS_MAX {
        let added = contacts.add(&format!("{number:04}"), card(number as u64));
        assert_eq!(added.expect("room"), Added::New);
    }
    let refused = message(contacts.add("One more", card(5_000)));
    assert!(refused.contains("1000 contacts"), "{refused}");
    // As many are read again.
    contacts.save().expect("written");
    let again = Contacts::read(home.path()).expect("whole");
    assert_eq!(again.all().count(), CONTACTS_MAX);
}
