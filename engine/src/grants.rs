//! What a caller may do. Deny by default; the check stands in one place, before a call is dispatched.

use bevy_ecs::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A caller's permissions, on its entity. Without this component everything is denied.
///
/// A permission is the name of a call, or the part before a dot (`udp` covers `udp.send`); the longest name that fits decides.
#[derive(Component, Clone, Debug, Default, Deserialize)]
#[serde(from = "BTreeMap<String, Grant>")]
pub struct Grants {
    said: BTreeMap<String, Grant>,
    /// What the user answered, for just the thing asked about.
    answered: BTreeMap<(String, Option<String>), bool>,
}

/// Answers remembered for one caller; beyond them the user is asked again, or a page could fill memory with its questions.
const ANSWERS_MAX: usize = 256;

impl From<BTreeMap<String, Grant>> for Grants {
    fn from(said: BTreeMap<String, Grant>) -> Grants {
        Grants {
            said,
            answered: BTreeMap::new(),
        }
    }
}

/// What was said of one permission: `true`, `false`, `"ask"`, or a list of scopes in the terms of the thing, in which `*` stands for
/// any text (`"127.0.0.1:*"`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Grant {
    /// Everything, or nothing.
    All(bool),
    /// Ask the prompt.
    Ask(Ask),
    /// Only what a scope fits.
    Scopes(Vec<String>),
}

/// The word `"ask"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    /// Ask the prompt, and remember the answer for this run.
    Ask,
}

/// What [`Grants::check`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Granted,
    /// Somebody has to be asked.
    Ask,
    /// No.
    Denied,
}

impl Grants {
    /// All permissions: for callers that are the owner, such as the control socket.
    #[must_use]
    pub fn everything() -> Grants {
        Grants::default().with("*", Grant::All(true))
    }

    /// These grants and one more.
    #[must_use]
    pub fn with(mut self, permission: &str, grant: Grant) -> Grants {
        self.said.insert(permission.to_owned(), grant);
        self
    }

    /// Whether `permission` is granted for `target`, the thing that the call wants to touch.
    #[must_use]
    pub fn check(&self, permission: &str, target: Option<&str>) -> Verdict {
        let mut name = permission;
        let grant = loop {
            if let Some(grant) = self.said.get(name) {
                break grant;
            }
            match name.rfind('.') {
                Some(dot) => name = &name[..dot],
                None => match self.said.get("*") {
                    Some(grant) => break grant,
                    None => return Verdict::Denied,
                },
            }
        };
        match grant {
            Grant::All(true) => Verdict::Granted,
            Grant::All(false) => Verdict::Denied,
            Grant::Ask(Ask::Ask) => {
                let asked = (permission.to_owned(), target.map(str::to_owned));
                match self.answered.get(&asked) {
                    Some(true) => Verdict::Granted,
                    Some(false) => Verdict::Denied,
                    None => Verdict::Ask,
                }
            }
            // A call that names no target touches nothing that a scope could bound.
            Grant::Scopes(scopes) => match target {
                Some(target) if !scopes.iter().any(|scope| fits(scope, target)) => Verdict::Denied,
                _ => Verdict::Granted,
            },
        }
    }

    /// The permissions of which something was said.
    pub(crate) fn permissions(&self) -> impl Iterator<Item = &str> {
        self.said.keys().map(String::as_str)
    }

    /// Notes the user's answer; says whether there was room for it.
    pub(crate) fn remember(
        &mut self,
        permission: &str,
        target: Option<String>,
        granted: bool,
    ) -> bool {
        let asked = (permission.to_owned(), target);
        let room = self.answered.len() < ANSWERS_MAX || self.answered.contains_key(&asked);
        if room {
            self.answered.insert(asked, granted);
        }
        room
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any text. Linear but for the stars, so no pattern is slow.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// Text of a refusal: what was refused, and the line that would grant it.
pub(crate) fn refusal(permission: &str, target: Option<&str>) -> String {
    match target {
        Some(target) => format!(
            "{permission} on \"{target}\" is not granted; to grant it, write in dunlin.toml under [permissions]: \
             \"{permission}\" = [\"{target}\"]"
        ),
        None => format!(
            "{permission} is not granted; to grant it, write in dunlin.toml under [permissions]: \"{permission}\" = true"
        ),
    }
}

/// A question to the user, put by a call whose permission says "ask".
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks.
    pub caller: Entity,
    /// For what.
    pub permission: String,
    /// On what, if the call names a thing.
    pub target: Option<String>,
}

/// Takes the answer to a [`Question`]; dropped unanswered, it denies.
pub struct Decide(Option<Box<dyn FnOnce(bool) + Send>>);

impl Decide {
    pub(crate) fn new(decide: impl FnOnce(bool) + Send + 'static) -> Decide {
        Decide(Some(Box::new(decide)))
    }

    /// Answers.
    pub fn answer(mut self, granted: bool) {
        if let Some(decide) = self.0.take() {
            decide(granted);
        }
    }
}

impl Drop for Decide {
    fn drop(&mut self) {
        if let Some(decide) = self.0.take() {
            decide(false);
        }
    }
}

type Asker = Box<dyn Fn(Question, Decide) + Send + Sync>;

/// Who asks the user. Replace it to show a window; as it stands nobody is there to ask, and the answer is no.
#[derive(Resource)]
pub struct Prompt(pub Asker);

impl Default for Prompt {
    fn default() -> Prompt {
        Prompt(Box::new(|_, decide| decide.answer(false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(text: &str) -> Grants {
        toml::from_str(text).expect("grants")
    }

    #[test]
    fn nothing_is_granted_unless_said() {
        assert_eq!(Grants::default().check("udp.send", None), Verdict::Denied);
        assert_eq!(
            grants("udp = false").check("udp.send", None),
            Verdict::Denied
        );
    }

    #[test]
    fn the_longest_name_decides() {
        let grants = grants("udp = true\n\"udp.bind\" = false\n\"udp.send\" = \"ask\"");
        assert_eq!(grants.check("udp.bind", None), Verdict::Denied);
        assert_eq!(grants.check("udp.send", None), Verdict::Ask);
        assert_eq!(grants.check("udp.close", None), Verdict::Granted);
        assert_eq!(grants.check("udpx", None), Verdict::Denied);
    }

    #[test]
    fn an_answer_holds_for_the_thing_asked_about_and_no_other_and_answers_are_bounded() {
        let mut grants = grants("udp = \"ask\"");
        assert!(grants.remember("udp.send", Some("127.0.0.1:9".to_owned()), true));
        let send = |grants: &Grants, target| grants.check("udp.send", Some(target));
        assert_eq!(send(&grants, "127.0.0.1:9"), Verdict::Granted);
        assert_eq!(send(&grants, "192.0.2.1:9"), Verdict::Ask);
        assert_eq!(grants.check("udp.bind", Some("127.0.0.1:9")), Verdict::Ask);
        let kept = (0..1_000).filter(|n| grants.remember("udp.send", Some(n.to_string()), false));
        assert_eq!(kept.count(), ANSWERS_MAX - 1);
    }

    #[test]
    fn a_scope_bounds_what_a_call_touches() {
        let grants = grants("\"udp.send\" = [\"127.0.0.1:*\", \"*:53\", \"a*b*c\"]");
        for (target, verdict) in [
            ("127.0.0.1:9", Verdict::Granted),
            ("10.0.0.1:53", Verdict::Granted),
            ("10.0.0.1:531", Verdict::Denied),
            ("axxbyyc", Verdict::Granted),
            ("acb", Verdict::Denied),
            ("", Verdict::Denied),
        ] {
            assert_eq!(grants.check("udp.send", Some(target)), verdict, "{target}");
        }
    }
}
