//! Fills `{port}`, `{socket}` and `{state_dir}` into the words of a command.
//!
//! Words only come from configuration; nothing that a program or user says is ever filled in.

use std::path::PathBuf;

/// What the place-holders stand for in one incarnation; asked for only when used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) port: Option<u16>,
    pub(super) socket: Option<PathBuf>,
    pub(super) state_dir: Option<PathBuf>,
}

/// Which place-holders texts use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    pub(super) port: bool,
    pub(super) socket: bool,
    pub(super) state_dir: bool,
}

enum Piece<'a> {
    Text(&'a str),
    Port,
    Socket,
    StateDir,
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push(Piece::Text(&rest[..at]));
        let brace = &rest[at..];
        if let Some(after) = brace.strip_prefix("{{") {
            out.push(Piece::Text("{"));
            rest = after;
        } else if let Some(after) = brace.strip_prefix("}}") {
            out.push(Piece::Text("}"));
            rest = after;
        } else if let Some(inside) = brace.strip_prefix('{') {
            let Some((name, after)) = inside.split_once('}') else {
                return Err("a \"{\" without \"}\"".into());
            };
            out.push(match name {
                "port" => Piece::Port,
                "socket" => Piece::Socket,
                "state_dir" => Piece::StateDir,
                other => return Err(format!("the unknown place-holder {{{other}}}")),
            });
            rest = after;
        } else {
            return Err("a \"}\" without \"{\"".into());
        }
    }
    out.push(Piece::Text(rest));
    Ok(out)
}

/// Adds what `text` uses.
pub(super) fn uses(text: &str, all: &mut Uses) -> Result<(), String> {
    for piece in pieces(text)? {
        match piece {
            Piece::Text(_) => {}
            Piece::Port => all.port = true,
            Piece::Socket => all.socket = true,
            Piece::StateDir => all.state_dir = true,
        }
    }
    Ok(())
}

/// The text with its place-holders filled in; one that has no value stays empty, which `uses` prevents.
pub(super) fn fill(text: &str, values: &Values) -> Result<String, String> {
    let path =
        |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
    Ok(pieces(text)?
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(t) => t.to_owned(),
            Piece::Port => values.port.map(|p| p.to_string()).unwrap_or_default(),
            Piece::Socket => path(&values.socket),
            Piece::StateDir => path(&values.state_dir),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_holders() {
        let values = Values {
            port: Some(8080),
            socket: Some("/run/a.sock".into()),
            state_dir: Some("/var/a".into()),
        };
        let check = |text: &str, want: Result<&str, &str>| {
            let got = fill(text, &values);
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text}");
        };
        check("", Ok(""));
        check("--port={port}", Ok("--port=8080"));
        check("{socket}:{state_dir}/x", Ok("/run/a.sock:/var/a/x"));
        check("{{port}} }}{{", Ok("{port} }{"));
        check("{prot}", Err("the unknown place-holder {prot}"));
        check("{}", Err("the unknown place-holder {}"));
        check("{port", Err("a \"{\" without \"}\""));
        check("a}b", Err("a \"}\" without \"{\""));
        let mut all = Uses::default();
        uses("{port} {{socket}}", &mut all).unwrap();
        assert_eq!(all, Uses { port: true, ..Uses::default() });
    }
}
