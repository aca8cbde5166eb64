//! Expressions of llama-swap's matrix: which models may run beside each other.
//!
//! `a & b` run together, `a | b` are alternatives, `+NAME` is the expression of another set. Only pairs are worked out: two
//! models may run together where some choice of alternatives has both.

use std::collections::{BTreeSet, HashMap};

/// Parentheses within each other, and sets that name sets.
const MAX_DEPTH: usize = 64;
/// Pairs that are looked at for all sets.
const MAX_WORK: usize = 20_000_000;

/// The models of an expression, and the pairs of them that it has at once (the smaller first).
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs {
    pub support: BTreeSet<usize>,
    pub pairs: BTreeSet<(usize, usize)>,
}

/// Works out the pairs of all sets.
///
/// # Errors
/// The index of a set and its mistake.
pub(super) fn pairs(
    sets: &[(String, String)],
    model: &dyn Fn(&str) -> Option<usize>,
) -> Result<Pairs, (usize, String)> {
    let mut all = Pairs::default();
    let mut solver = Solver { sets, model, done: HashMap::new(), room: MAX_WORK };
    for set in 0..sets.len() {
        let found = solver.set(set, 0)?;
        all.support.extend(found.support);
        all.pairs.extend(found.pairs);
    }
    Ok(all)
}

struct Solver<'s> {
    sets: &'s [(String, String)],
    model: &'s dyn Fn(&str) -> Option<usize>,
    /// `None` while a set is worked out.
    done: HashMap<usize, Option<Pairs>>,
    /// Pairs that may still be looked at.
    room: usize,
}

impl Solver<'_> {
    fn set(&mut self, set: usize, depth: usize) -> Result<Pairs, (usize, String)> {
        match self.done.get(&set) {
            Some(Some(pairs)) => {
                let pairs = pairs.clone();
                self.work(pairs.pairs.len(), set)?;
                return Ok(pairs);
            }
            Some(None) => return Err((set, "the set contains itself by +NAME".to_owned())),
            None => {}
        }
        self.done.insert(set, None);
        let tokens = tokens(&self.sets[set].1).map_err(|why| (set, why))?;
        let mut rest = tokens.as_slice();
        let found = self.alternatives(&mut rest, set, depth)?;
        if let Some(token) = rest.first() {
            return Err((set, format!("{token} is not expected there")));
        }
        self.done.insert(set, Some(found.clone()));
        Ok(found)
    }

    fn alternatives(
        &mut self,
        rest: &mut &[Token],
        set: usize,
        depth: usize,
    ) -> Result<Pairs, (usize, String)> {
        let mut all = self.together(rest, set, depth)?;
        while let [Token::Or, more @ ..] = rest {
            *rest = more;
            let next = self.together(rest, set, depth)?;
            all.support.extend(next.support);
            all.pairs.extend(next.pairs);
        }
        Ok(all)
    }

    fn together(
        &mut self,
        rest: &mut &[Token],
        set: usize,
        depth: usize,
    ) -> Result<Pairs, (usize, String)> {
        let mut all = self.atom(rest, set, depth)?;
        while let [Token::And, more @ ..] = rest {
            *rest = more;
            let next = self.atom(rest, set, depth)?;
            self.work(all.support.len() * next.support.len(), set)?;
            for a in &all.support {
                let others = next.support.iter().filter(|b| *b != a);
                all.pairs.extend(others.map(|b| (*a.min(b), *a.max(b))));
            }
            all.support.extend(next.support);
            all.pairs.extend(next.pairs);
        }
        Ok(all)
    }

    fn work(&mut self, n_pairs: usize, set: usize) -> Result<(), (usize, String)> {
        let room = self.room.checked_sub(n_pairs);
        self.room = room.ok_or_else(|| (set, "the sets have too many combinations".to_owned()))?;
        Ok(())
    }

    fn atom(
        &mut self,
        rest: &mut &[Token],
        set: usize,
        depth: usize,
    ) -> Result<Pairs, (usize, String)> {
        if depth >= MAX_DEPTH {
            return Err((set, format!("it is nested more than {MAX_DEPTH} deep")));
        }
        let Some((token, more)) = rest.split_first() else {
            return Err((set, "the expression ends where a model is expected".to_owned()));
        };
        *rest = more;
        match token {
            Token::Name(name) => match (self.model)(name) {
                Some(model) => Ok(Pairs { support: BTreeSet::from([model]), ..Pairs::default() }),
                None => Err((set, format!("there is no model {}", majordomo::quoted(name)))),
            },
            Token::Set(name) => match self.sets.iter().position(|(known, _)| known == name) {
                Some(other) => self.set(other, depth + 1),
                None => Err((set, format!("there is no set {}", majordomo::quoted(name)))),
            },
            Token::Open => {
                let inner = self.alternatives(rest, set, depth + 1)?;
                match rest.split_first() {
                    Some((Token::Close, more)) => {
                        *rest = more;
                        Ok(inner)
                    }
                    _ => Err((set, "a parenthesis is not closed".to_owned())),
                }
            }
            token => Err((set, format!("{token} is not expected there"))),
        }
    }
}

#[derive(Debug)]
enum Token {
    Name(String),
    Set(String),
    And,
    Or,
    Open,
    Close,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{}", majordomo::quoted(name)),
            Self::Set(name) => write!(f, "+{name}"),
            Self::And => f.write_str("&"),
            Self::Or => f.write_str("|"),
            Self::Open => f.write_str("("),
            Self::Close => f.write_str(")"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let length = |text: &str| text.find(|c| !is_name(c)).unwrap_or(text.len());
        rest = match c {
            '&' | '|' | '(' | ')' => {
                out.push(match c {
                    '&' => Token::And,
                    '|' => Token::Or,
                    '(' => Token::Open,
                    _ => Token::Close,
                });
                after
            }
            '+' if length(after) > 0 => {
                let (name, after) = after.split_at(length(after));
                out.push(Token::Set(name.to_owned()));
                after
            }
            c if is_name(c) => {
                let (name, after) = rest.split_at(length(rest));
                out.push(Token::Name(name.to_owned()));
                after
            }
            c => {
                return Err(format!(
                    "the character {} is not expected there",
                    majordomo::quoted(&c.to_string())
                ));
            }
        }
        .trim_start();
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sets: &[(&str, &str)]) -> Result<Pairs, (usize, String)> {
        let sets: Vec<_> = sets.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        pairs(&sets, &|name| "abcdef".find(name).filter(|_| name.len() == 1))
    }

    #[test]
    fn pairs_are_those_that_some_choice_has() {
        let pairs = |sets: &[(&str, &str)]| of(sets).unwrap().pairs.into_iter().collect::<Vec<_>>();
        assert_eq!(pairs(&[("s", "(a | b) & c")]), [(0, 2), (1, 2)]);
        assert_eq!(pairs(&[("s", "(a|b) & (c|d)")]), [(0, 2), (0, 3), (1, 2), (1, 3)]);
        assert_eq!(pairs(&[("s", "+l & e"), ("l", "a | b & c")]), [(0, 4), (1, 2), (1, 4), (2, 4)]);
        assert_eq!(pairs(&[("s", "a")]), []);
        assert_eq!(of(&[("s", "a"), ("t", "b|c")]).unwrap().support.len(), 3);
    }

    #[test]
    fn mistakes_name_their_set() {
        #[track_caller]
        fn check(sets: &[(&str, &str)], set: usize, part: &str) {
            let (at, why) = of(sets).unwrap_err();
            assert_eq!(at, set, "{why}");
            assert!(why.contains(part), "{why}");
        }
        check(&[("s", "a"), ("t", "a & x")], 1, "no model \"x\"");
        check(&[("s", "+t"), ("t", "+s")], 0, "contains itself");
        check(&[("s", "+t")], 0, "no set \"t\"");
        check(&[("s", "(a")], 0, "not closed");
        check(&[("s", "a b")], 0, "not expected");
        check(&[("s", "a &")], 0, "ends where");
        check(&[("s", "a ! b")], 0, "\"!\"");
        check(&[("s", &"(".repeat(500))], 0, "nested");
    }
}
