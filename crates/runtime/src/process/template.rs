//! Fills place-holders into the texts of one incarnation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use majordomo_core::{ComponentId, Endpoint};
use majordomo_registry::template::{self, EndpointPart, Piece, PlaceHolder};

/// The values of the place-holders in one incarnation.
#[derive(Clone, Debug)]
pub(super) struct Values<'v> {
    pub(super) component: &'v ComponentId,
    pub(super) base_dir: &'v Path,
    pub(super) own: &'v Endpoint,
    pub(super) state_dir: Option<PathBuf>,
    /// Where the dependencies are reached that run and have an address.
    pub(super) dependencies: &'v BTreeMap<ComponentId, Endpoint>,
}

/// The text with its place-holders filled in.
pub(super) fn fill(text: &str, values: &Values<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    for piece in template::pieces(text) {
        match piece.map_err(|e| e.to_string())? {
            Piece::Text(t) => out.push_str(t),
            Piece::PlaceHolder(holder) => {
                let value = value(holder, values);
                out.push_str(&value.ok_or_else(|| format!("no value for {holder:?}"))?);
            }
        }
    }
    Ok(out)
}

fn value(holder: PlaceHolder<'_>, values: &Values<'_>) -> Option<String> {
    match holder {
        PlaceHolder::Port => part(values.own, EndpointPart::Port),
        PlaceHolder::Socket => part(values.own, EndpointPart::Socket),
        PlaceHolder::StateDir => values.state_dir.as_ref().map(|dir| dir.display().to_string()),
        PlaceHolder::Name => Some(values.component.to_string()),
        PlaceHolder::ConfigDir => Some(values.base_dir.display().to_string()),
        PlaceHolder::Dependency { name, part: kind } => part(values.dependencies.get(name)?, kind),
    }
}

fn part(endpoint: &Endpoint, kind: EndpointPart) -> Option<String> {
    match kind {
        EndpointPart::Port => endpoint.port.map(|port| port.to_string()),
        EndpointPart::Socket => endpoint.socket.as_ref().map(|path| path.display().to_string()),
        EndpointPart::Url => endpoint.url(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_holders_are_filled_in() {
        let own = Endpoint {
            port: Some(8080),
            socket: Some("/run/a.sock".into()),
            ..Endpoint::default()
        };
        let endpoint = |port, socket: Option<&str>| Endpoint {
            port,
            socket: socket.map(Into::into),
            ..Endpoint::default()
        };
        let dependencies = [
            ("db", endpoint(Some(5432), None)),
            ("bus", endpoint(None, Some("/run/bus.sock"))),
            ("both", endpoint(Some(1), Some("/b"))),
        ];
        let dependencies = dependencies
            .map(|(name, e)| (ComponentId::new(name).unwrap(), e))
            .into_iter()
            .collect();
        let component = ComponentId::new("a").unwrap();
        let values = Values {
            component: &component,
            base_dir: Path::new("/etc/m"),
            own: &own,
            state_dir: Some("/var/a".into()),
            dependencies: &dependencies,
        };
        let check = |text: &str, want: Result<&str, &str>| {
            let got = fill(text, &values);
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text}");
        };
        check("", Ok(""));
        check("--port={port}", Ok("--port=8080"));
        check("{socket}:{state_dir}/x", Ok("/run/a.sock:/var/a/x"));
        check("{{port}} }}{{", Ok("{port} }{"));
        check("{config_dir}/{name}.py", Ok("/etc/m/a.py"));
        check("{db.port} {db.url}", Ok("5432 http://127.0.0.1:5432"));
        check("{bus.socket} {bus.url}", Ok("/run/bus.sock unix:/run/bus.sock"));
        check("{both.url}", Ok("http://127.0.0.1:1"));
        check("{prot}", Err("the unknown place-holder {prot}"));
        check("{}", Err("the unknown place-holder {}"));
        check("{port", Err("a brace '{' without its partner"));
        check("a}b", Err("a brace '}' without its partner"));
        assert!(fill("{db.socket}", &values).is_err());
        assert!(fill("{unknown.url}", &values).is_err());
    }
}
