//! Texts with place-holders: the words of a command and the values of its environment variables.
//!
//! Owns their grammar, which checks and loaders share. Texts come from configuration only; no text
//! of a program or a user is ever filled in.

use std::fmt;

use majordomo_core::ComponentId;

/// A part of a running program's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointPart {
    /// Its port on 127.0.0.1.
    Port,
    /// The path of its Unix socket.
    Socket,
    /// `http://127.0.0.1:PORT`, or `unix:PATH` when it has a socket and no port.
    Url,
}

impl EndpointPart {
    const ALL: [Self; 3] = [Self::Port, Self::Socket, Self::Url];

    /// As it is written after the component's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Socket => "socket",
            Self::Url => "url",
        }
    }
}

/// A place-holder for a value that is known only when the program is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceHolder<'t> {
    /// `{port}`: the program's own port.
    Port,
    /// `{socket}`: the path of the program's own Unix socket.
    Socket,
    /// `{state_dir}`: the component's own directory.
    StateDir,
    /// `{name}`: the component's name.
    Name,
    /// `{config_dir}`: the folder that relative paths start from, which is the configuration file's.
    ConfigDir,
    /// `{NAME.port}`, `{NAME.socket}` or `{NAME.url}`: the address of a dependency.
    Dependency {
        /// The dependency's name.
        name: &'t str,
        /// The part of the dependency's address.
        part: EndpointPart,
    },
}

/// One piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Literal text.
    Text(&'t str),
    /// A value to be filled in.
    PlaceHolder(PlaceHolder<'t>),
}

/// An error in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateError<'t> {
    /// An unknown name.
    Unknown(&'t str),
    /// A brace without its partner.
    Brace(char),
}

impl fmt::Display for TemplateError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "the unknown place-holder {{{name}}}"),
            Self::Brace(brace) => write!(f, "a brace {brace:?} without its partner"),
        }
    }
}

/// The pieces of a text in their order. An error does not end the iteration.
pub fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, TemplateError<'_>>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let brace = match rest.find(['{', '}']) {
            Some(0) => rest.as_bytes()[0] as char,
            at => {
                let (text, after) = rest.split_at(at.unwrap_or(rest.len()));
                rest = after;
                return (!text.is_empty()).then_some(Ok(Piece::Text(text)));
            }
        };
        let (first, after) = rest.split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            rest = after;
            return Some(Ok(Piece::Text(first)));
        }
        if brace == '{'
            && let Some(end) = after.find(['{', '}'])
            && after.as_bytes()[end] == b'}'
        {
            rest = &after[end + 1..];
            return Some(place_holder(&after[..end]).map(Piece::PlaceHolder));
        }
        rest = after;
        Some(Err(TemplateError::Brace(brace)))
    })
}

fn place_holder(word: &str) -> Result<PlaceHolder<'_>, TemplateError<'_>> {
    let of_dependency = || {
        let (name, part) = word.rsplit_once('.')?;
        let part = EndpointPart::ALL.into_iter().find(|p| p.word() == part)?;
        ComponentId::new(name).is_ok().then_some(PlaceHolder::Dependency { name, part })
    };
    match word {
        "port" => Ok(PlaceHolder::Port),
        "socket" => Ok(PlaceHolder::Socket),
        "state_dir" => Ok(PlaceHolder::StateDir),
        "name" => Ok(PlaceHolder::Name),
        "config_dir" => Ok(PlaceHolder::ConfigDir),
        _ => of_dependency().ok_or(TemplateError::Unknown(word)),
    }
}

/// The place-holders of a text, without its errors.
pub fn place_holders(text: &str) -> impl Iterator<Item = PlaceHolder<'_>> {
    pieces(text).filter_map(|piece| match piece {
        Ok(Piece::PlaceHolder(holder)) => Some(holder),
        _ => None,
    })
}

/// The environment variable in which a program finds the URL of a dependency.
#[must_use]
pub fn url_variable(dependency: &ComponentId) -> String {
    format!("MAJORDOMO_{}_URL", dependency.as_str().to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_texts() {
        let holder = |h| Ok(Piece::PlaceHolder(h));
        let text = |t| Ok(Piece::Text(t));
        let of = |name, part| holder(PlaceHolder::Dependency { name, part });
        let check = |given: &str, want: &[Result<Piece<'_>, TemplateError<'_>>]| {
            assert_eq!(pieces(given).collect::<Vec<_>>(), want, "{given}");
        };
        check("", &[]);
        check("--port={port}", &[text("--port="), holder(PlaceHolder::Port)]);
        check(
            "{socket}:{state_dir}",
            &[holder(PlaceHolder::Socket), text(":"), holder(PlaceHolder::StateDir)],
        );
        check("{{x}} %", &[text("{"), text("x"), text("}"), text(" %")]);
        check("a } b", &[text("a "), Err(TemplateError::Brace('}')), text(" b")]);
        check(
            "{a {port}",
            &[Err(TemplateError::Brace('{')), text("a "), holder(PlaceHolder::Port)],
        );
        check("{", &[Err(TemplateError::Brace('{'))]);
        check("{}", &[Err(TemplateError::Unknown(""))]);
        check("{prot}", &[Err(TemplateError::Unknown("prot"))]);
        check(
            "{db-1.port}{a_b.socket}{x.url}",
            &[
                of("db-1", EndpointPart::Port),
                of("a_b", EndpointPart::Socket),
                of("x", EndpointPart::Url),
            ],
        );
        check("{db.host}", &[Err(TemplateError::Unknown("db.host"))]);
        check("{Not A Name.url}", &[Err(TemplateError::Unknown("Not A Name.url"))]);
        check("{.url}", &[Err(TemplateError::Unknown(".url"))]);
    }

    #[test]
    fn variables_are_upper_case_without_hyphens() {
        let variable = |name: &str| url_variable(&ComponentId::new(name).unwrap());
        assert_eq!(variable("vector-db"), "MAJORDOMO_VECTOR_DB_URL");
        assert_eq!(variable("4k_tts"), "MAJORDOMO_4K_TTS_URL");
    }
}
