//! Rust source split into code and comments, line by line, so that a rule about code is not
//! fooled by a sentence or a string. It knows no grammar beyond that.

/// One file of Rust: three texts of the same shape, blank where a character is of another kind.
pub(crate) struct Source {
    /// Everything, as written.
    pub(crate) lines: Vec<String>,
    /// Code alone; strings keep their quotes and lose what is between them.
    pub(crate) code: Vec<String>,
    /// Comments alone.
    pub(crate) comments: Vec<String>,
}

#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Text,
    RawText { n_hashes: usize },
}

impl Source {
    /// Splits the text of a file.
    pub(crate) fn parse(text: &str) -> Self {
        let letters: Vec<char> = text.chars().collect();
        let mut code = String::with_capacity(text.len());
        let mut comments = String::with_capacity(text.len());
        let mut state = State::Code;
        let mut at = 0;
        while at < letters.len() {
            let (kind, length, next) = step(&letters, at, state);
            for &letter in &letters[at..(at + length).min(letters.len())] {
                let blank = if letter == '\n' { '\n' } else { ' ' };
                code.push(if matches!(kind, Kind::Code) {
                    letter
                } else {
                    blank
                });
                comments.push(if matches!(kind, Kind::Comment) {
                    letter
                } else {
                    blank
                });
            }
            at += length;
            state = next;
        }
        let split = |text: &str| text.lines().map(str::to_owned).collect();
        Self {
            lines: split(text),
            code: split(&code),
            comments: split(&comments),
        }
    }

    /// The line (from 0) at which the unit tests at the end of the file begin.
    pub(crate) fn first_test_line(&self) -> usize {
        self.code
            .iter()
            .position(|line| line.trim() == "#[cfg(test)]")
            .unwrap_or(self.code.len())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Code,
    Comment,
    Inside,
}

/// What stands at this place, how many characters it takes, and what comes after it.
fn step(letters: &[char], at: usize, state: State) -> (Kind, usize, State) {
    let here = letters[at];
    let next = letters.get(at + 1).copied();
    match state {
        State::Code => step_in_code(letters, at),
        State::LineComment if here == '\n' => (Kind::Code, 1, State::Code),
        State::LineComment => (Kind::Comment, 1, state),
        State::BlockComment { depth } => match (here, next) {
            ('/', Some('*')) => (Kind::Comment, 2, State::BlockComment { depth: depth + 1 }),
            ('*', Some('/')) if depth == 1 => (Kind::Comment, 2, State::Code),
            ('*', Some('/')) => (Kind::Comment, 2, State::BlockComment { depth: depth - 1 }),
            _ => (Kind::Comment, 1, state),
        },
        State::Text => match here {
            '\\' => (Kind::Inside, 2, state),
            '"' => (Kind::Code, 1, State::Code),
            _ => (Kind::Inside, 1, state),
        },
        State::RawText { n_hashes } => {
            let closes = here == '"'
                && letters[at + 1..]
                    .iter()
                    .take_while(|letter| **letter == '#')
                    .count()
                    >= n_hashes;
            if closes {
                (Kind::Code, 1 + n_hashes, State::Code)
            } else {
                (Kind::Inside, 1, state)
            }
        }
    }
}

fn step_in_code(letters: &[char], at: usize) -> (Kind, usize, State) {
    let after_name = at > 0 && (letters[at - 1].is_alphanumeric() || letters[at - 1] == '_');
    match (letters[at], letters.get(at + 1)) {
        ('/', Some('/')) => (Kind::Comment, 2, State::LineComment),
        ('/', Some('*')) => (Kind::Comment, 2, State::BlockComment { depth: 1 }),
        ('"', _) => (Kind::Code, 1, State::Text),
        ('r', Some('"' | '#')) if !after_name || matches!(letters[at - 1], 'b' | 'c') => {
            let n_hashes = letters[at + 1..]
                .iter()
                .take_while(|letter| **letter == '#')
                .count();
            let opens = letters.get(at + 1 + n_hashes) == Some(&'"');
            let state = if opens {
                State::RawText { n_hashes }
            } else {
                State::Code
            };
            (Kind::Code, if opens { n_hashes + 2 } else { 1 }, state)
        }
        // A lifetime has no closing quote; a character has one right behind itself.
        ('\'', Some('\\')) => {
            let rest = letters[at + 3..].iter().position(|letter| *letter == '\'');
            (Kind::Inside, rest.map_or(1, |n| n + 4), State::Code)
        }
        ('\'', Some(_)) if letters.get(at + 2) == Some(&'\'') => (Kind::Inside, 3, State::Code),
        _ => (Kind::Code, 1, State::Code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str, comments: &str) {
        let source = Source::parse(text);
        let tight = |lines: &[String]| {
            lines
                .join("|")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(tight(&source.code), code, "code of {text:?}");
        assert_eq!(tight(&source.comments), comments, "comments of {text:?}");
    }

    #[test]
    fn code_and_comments_are_told_apart() {
        check("let a = 1; // one", "let a = 1;", "// one");
        check("a /* b /* c */ d */ e", "a e", "/* b /* c */ d */");
        check("a(\"x // y\") // z", "a(\" \")", "// z");
        check(r##"a(r#"x " // y"#) // z"##, r##"a(r#" "#)"##, "// z");
        check(r#"a("\" unsafe")"#, "a(\" \")", "");
        check(
            "f::<'a>('\"', '\\'', b'x') // z",
            "f::<'a>( , , b )",
            "// z",
        );
        check("let r = for_r; r#type", "let r = for_r; r#type", "");
    }

    #[test]
    fn lines_keep_their_numbers() {
        let source = Source::parse("a\n/* b\nc */ d\n\"e\nf\" g\n");
        assert_eq!(source.code.len(), 5);
        assert_eq!(source.code[2].trim(), "d");
        assert_eq!(source.code[4].trim(), "\" g");
    }
}
