//! A Rust file as the gates see it: code apart from comments, and which lines are tests. Not a parser: it knows literals,
//! comments, attributes and brackets, which is what telling them apart takes.

/// A Rust file, line by line; all four rows have one entry a line.
pub(crate) struct Rust {
    pub(crate) path: String,
    /// Code; comments and the insides of literals are blanks.
    pub(crate) code: Vec<String>,
    /// Comments; everything else is blanks.
    pub(crate) comments: Vec<String>,
    /// Whether the line belongs to a test or to what only tests use.
    pub(crate) is_test: Vec<bool>,
    /// Paths that a `#[cfg(test)] mod name;` here may mean.
    pub(crate) test_modules: Vec<String>,
}

impl Rust {
    pub(crate) fn new(path: String, text: &str) -> Rust {
        let characters: Vec<char> = text.chars().collect();
        let kinds = kinds(&characters);
        let code = keep(&characters, &kinds, Kind::Code);
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let comments = lines(&keep(&characters, &kinds, Kind::Comment));
        let mut file = Rust {
            is_test: vec![is_test_path(&path); comments.len()],
            path,
            comments,
            code: lines(&code),
            test_modules: Vec::new(),
        };
        file.mark_tests(&code, text);
        file
    }

    /// Marks each item that stands under `#[test]` or `#[cfg(test)]`, with the comments and attributes above it.
    fn mark_tests(&mut self, code: &str, text: &str) {
        if code.contains("#![cfg(test)]") {
            self.is_test.fill(true);
        }
        for attribute in ["#[test]", "#[cfg(test)]", "#[cfg(all(test"] {
            for (at, _) in code.match_indices(attribute) {
                let end = item_end(code, at + attribute.len());
                let item = &code[at..end];
                let line_of = |at: usize| code[..at].matches('\n').count();
                let (mut first, last) = (line_of(at), line_of(end - 1));
                if let Some(name) = item.strip_suffix(';').and_then(module_name) {
                    // The path is a literal, so it stands in the text alone.
                    let mut item = text.lines().skip(first).take(last - first + 1);
                    let given = item.find_map(|line| line.trim().strip_prefix("#[path = \""));
                    let given = given.and_then(|path| path.split('"').next());
                    self.test_modules
                        .extend(module_paths(&self.path, name, given));
                }
                while first > 0 && self.is_above_an_item(first - 1) {
                    first -= 1;
                }
                self.is_test[first..=last].fill(true);
            }
        }
    }

    /// A line of nothing but a comment or an outer attribute.
    fn is_above_an_item(&self, line: usize) -> bool {
        let code = self.code[line].trim();
        let comment = self.comments[line].trim();
        (code.is_empty() && !comment.is_empty() && !comment.starts_with("//!"))
            || (code.starts_with("#[") && code.ends_with(']'))
    }
}

/// Files under a `tests` folder, the workspace's own included.
fn is_test_path(path: &str) -> bool {
    path.split('/').any(|part| part == "tests")
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

fn keep(text: &[char], kinds: &[Kind], kind: Kind) -> String {
    let kept = text.iter().zip(kinds);
    kept.map(|(&c, &k)| if c == '\n' || k == kind { c } else { ' ' })
        .collect()
}

/// What each character is part of. The quotes of a literal count as code.
fn kinds(text: &[char]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Code; text.len()];
    let at = |i: usize| text.get(i).copied().unwrap_or('\n');
    let mut i = 0;
    while i < text.len() {
        let start = i;
        match (text[i], at(i + 1)) {
            ('/', '/') => {
                while i < text.len() && text[i] != '\n' {
                    i += 1;
                }
                kinds[start..i].fill(Kind::Comment);
            }
            ('/', '*') => {
                let mut depth = 0;
                while i < text.len() {
                    match (text[i], at(i + 1)) {
                        ('/', '*') => depth += 1,
                        ('*', '/') => depth -= 1,
                        _ => {
                            i += 1;
                            continue;
                        }
                    }
                    i += 2;
                    if depth == 0 {
                        break;
                    }
                }
                i = i.min(text.len());
                kinds[start..i].fill(Kind::Comment);
            }
            ('"', _) => {
                let hashes = raw_hashes(text, i);
                i = match hashes {
                    Some(hashes) => raw_end(text, i + 1, hashes),
                    None => quoted_end(text, i + 1, '"'),
                };
                kinds[(start + 1).min(i)..i].fill(Kind::Literal);
                i += 1;
            }
            ('\'', '\\') => {
                i = quoted_end(text, i + 1, '\'');
                kinds[start + 1..i].fill(Kind::Literal);
                i += 1;
            }
            ('\'', _) if at(i + 2) == '\'' => {
                kinds[i + 1] = Kind::Literal;
                i += 3;
            }
            _ => i += 1,
        }
    }
    kinds
}

/// The number of hashes if the quote at `quote` opens a raw string.
fn raw_hashes(text: &[char], quote: usize) -> Option<usize> {
    let hashes = text[..quote]
        .iter()
        .rev()
        .take_while(|&&c| c == '#')
        .count();
    let before = &text[..quote - hashes];
    let prefix: String = before
        .iter()
        .rev()
        .take_while(|c| c.is_alphanumeric() || **c == '_')
        .collect();
    // The prefix reads backwards here.
    matches!(prefix.as_str(), "r" | "rb" | "rc").then_some(hashes)
}

/// Where the quote stands that ends a raw string.
fn raw_end(text: &[char], from: usize, hashes: usize) -> usize {
    (from..text.len())
        .find(|&i| {
            text[i] == '"'
                && text[i + 1..].len() >= hashes
                && text[i + 1..i + 1 + hashes].iter().all(|&c| c == '#')
        })
        .unwrap_or(text.len())
}

/// Where the quote stands that ends an escaped literal.
fn quoted_end(text: &[char], from: usize, quote: char) -> usize {
    let mut i = from;
    while i < text.len() && text[i] != quote {
        i += if text[i] == '\\' { 2 } else { 1 };
    }
    i.min(text.len())
}

/// Where the item ends that begins at `from`: behind its `;`, or behind the `}` that closes it.
fn item_end(code: &str, from: usize) -> usize {
    let (mut round, mut curly) = (0_i32, 0_i32);
    for (i, c) in code[from..].char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            '{' => curly += 1,
            '}' => curly -= 1,
            _ => {}
        }
        if curly == 0 && (c == '}' || (c == ';' && round <= 0)) {
            return from + i + 1;
        }
    }
    code.len()
}

/// `name` of `… mod name`.
fn module_name(item: &str) -> Option<&str> {
    let (before, name) = item.trim_end().rsplit_once(' ')?;
    (before.split_whitespace().next_back() == Some("mod")).then_some(name)
}

/// Where the module `name`, declared in the file at `path`, may lie; `given` is its `#[path]`.
fn module_paths(path: &str, name: &str, given: Option<&str>) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    if let Some(given) = given {
        return vec![format!("{folder}/{given}")];
    }
    let folder = match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
    };
    vec![
        format!("{folder}/{name}.rs"),
        format!("{folder}/{name}/mod.rs"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(text: &str) -> Rust {
        Rust::new("a/src/b.rs".into(), text)
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let file = rust(
            "let a = \"unsafe // no\"; // unsafe\nlet b = r#\"unsafe \" \"#; let c = '\"'; let d: &'a str = b\"\\\"\";\n/* a /* b */\nc */ d\n",
        );
        assert_eq!(file.code[0].trim_end(), "let a = \"            \";");
        assert_eq!(file.comments[0].trim(), "// unsafe");
        assert_eq!(
            file.code[1],
            "let b = r#\"         \"#; let c = ' '; let d: &'a str = b\"  \";"
        );
        assert_eq!(file.code[2].trim(), "");
        assert_eq!(file.code[3].trim(), "d");
    }

    #[test]
    fn an_unclosed_literal_or_comment_ends_with_the_file() {
        for text in ["\"", "'\\", "r#\"a\"", "/*", "/", "b\"\\"] {
            assert_eq!(rust(text).code.len(), 1, "{text}");
        }
    }

    #[test]
    fn a_test_is_its_item_and_the_comments_and_attributes_above() {
        let file = rust(
            "//! PROTOCOL 1.1\nfn a() {}\n\n// PROTOCOL 1.2\n#[cfg(unix)]\n#[test]\nfn b(x: [u8; 2]) {\n    { \"}\" }\n}\nfn c() {}\n#[cfg(test)]\nmod tests {\n    fn d() {}\n}\n",
        );
        let marks: String = file
            .is_test
            .iter()
            .map(|&t| if t { 't' } else { '.' })
            .collect();
        assert_eq!(marks, "...tttttt.tttt");
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_looked_for_where_rust_would() {
        assert_eq!(
            rust("#[cfg(test)]\nmod twin;\n").test_modules,
            ["a/src/b/twin.rs", "a/src/b/twin/mod.rs"]
        );
        let lib = Rust::new(
            "a/src/lib.rs".into(),
            "#[cfg(test)]\npub(crate) mod twin;\n",
        );
        assert_eq!(lib.test_modules, ["a/src/twin.rs", "a/src/twin/mod.rs"]);
    }
}
