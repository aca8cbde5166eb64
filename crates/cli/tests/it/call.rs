//! `majordomo call`: requests to components with `protocol = "stdio"`.

use crate::support::{UP, World};

#[test]
fn call_prints_the_answer_of_a_component() {
    let world = World::new();
    let lines = world.answering_lines("lines");
    world.write("c.toml", format!("{lines}{}", world.section("plain", UP, "")));
    let _server = world.serve(&["c.toml"]);
    let check = |words: &[&str], code: i32, out: &[&str], err: &[&str]| {
        world.run(words).check(code, out, err);
    };
    check(&["call", "lines", "what", "is", "it?"], 0, &["one\ntwo\n"], &[]);
    check(
        &["call", "lines", "--object", "{\"page\": 3}"],
        0,
        &["{\"id\":2,\"object\":{\"page\": 3}}\n"],
        &[],
    );
    let ran = world.run(&["call", "lines", "x", "--json", "--deadline", "1min"]);
    let answered: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&answered["component"], &answered["answer"]),
        (&"lines".into(), &"one\ntwo".into())
    );
    check(&["call", "lines", "fail"], 1, &[], &["there is no page 3"]);
    check(&["call", "plain", "x"], 3, &[], &["plain takes no calls", "protocol"]);
    check(&["call", "none", "x"], 6, &[], &["none"]);
    check(&["call", "lines", "--object", "[]"], 1, &[], &["--object needs a JSON object"]);
    check(&["call", "lines"], 2, &[], &["TEXT"]);
}
