//! The rules for the way clients reach one component: names, paths into bodies, and an address to pass requests to.

use majordomo_core::quoted;

use super::{Breaches, Place};
use crate::config::shorten;
use crate::{ComponentSpec, RouteSpec};

/// The longest name that clients may use, in bytes.
pub(crate) const LONGEST_NAME: usize = 256;

/// Whether clients can use a text as a name: in a header, in a path and in a body.
pub(crate) fn is_client_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

/// The rule of [`is_client_name`], for people.
pub(crate) const CLIENT_NAME: &str = "a name has 1 to 256 visible ASCII characters and no spaces";

pub(super) fn check<'s>(
    breaches: &mut Breaches<'s>,
    spec: &'s ComponentSpec,
    route: &'s RouteSpec,
) {
    for (idx, alias) in route.aliases.iter().enumerate() {
        if !is_client_name(alias) {
            let message = format!("{} is not a name for clients", quoted(&shorten(alias)));
            breaches.add(Place::Item("aliases", idx), "bad-name", message, Some(CLIENT_NAME));
        }
    }
    for name in route.set_params.keys() {
        check_path(breaches, Place::Member("set_params", name), name);
    }
    for (idx, name) in route.strip_params.iter().enumerate() {
        check_path(breaches, Place::Item("strip_params", idx), name);
    }
    if let Some(pointer) = &route.learn_text
        && !pointer.starts_with('/')
    {
        let message = format!("{} is not a JSON pointer", quoted(&shorten(pointer)));
        let help = Some("it begins with /, such as /messages/-1/content");
        breaches.add(Place::Key("learn_text"), "bad-value", message, help);
    }
    let has_address = spec.has_endpoint();
    let stated = [
        ("serves", !route.serves.is_empty()),
        ("aliases", !route.aliases.is_empty()),
        ("listen", !route.listen.is_empty()),
    ];
    if let Some((key, _)) = stated.iter().find(|(_, is_stated)| *is_stated && !has_address) {
        let message = format!("{key} passes clients on, and the component has no address");
        let help = Some(
            "use {port} or {socket} in its command, state its port, or make it a service elsewhere (external)",
        );
        breaches.add(Place::Key(key), "no-address", message, help);
    }
}

/// A path into a JSON object: names with a `.` between them.
fn check_path<'s>(breaches: &mut Breaches<'s>, place: Place<'s>, path: &str) {
    if path == "model" {
        let help = Some("state model_name instead");
        let message = "the member model decides the route".to_owned();
        breaches.add(place, "bad-value", message, help);
    } else if path.split('.').any(str::is_empty) {
        let message = format!("{} is not a path of members", quoted(&shorten(path)));
        let help = Some("write names with a . between them, such as options.num_ctx");
        breaches.add(place, "bad-value", message, help);
    }
}
