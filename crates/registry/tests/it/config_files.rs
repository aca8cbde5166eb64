//! Files: what cannot be read, and the predecessor's JSON alone and beside a TOML file.

use std::fs;
use std::path::{Path, PathBuf};

use majordomo_core::{ByteSize, Priority};
use majordomo_registry::{LoaderSpec, Problems, parse_legacy_json, read_config};

/// A folder of its own per test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let unique = format!("majordomo-registry-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The problems without the folder's path.
fn lines(problems: &Problems, folder: &Folder) -> Vec<String> {
    let prefix = format!("{}/", folder.0.display());
    problems.into_iter().map(|p| p.to_string().replace(&prefix, "")).collect()
}

#[test]
fn unreadable_file_is_an_error_with_a_solution() {
    let folder = Folder::new("unreadable");
    let check = |path: &Path, want: &str| {
        let problems = read_config(path, None).unwrap_err();
        assert_eq!(lines(&problems, &folder), [want]);
    };
    check(
        &folder.0.join("none.toml"),
        "none.toml: error[unreadable]: cannot read the file: No such file or directory (os error 2)\n  help: check the path",
    );
    fs::create_dir_all(folder.0.join("dir.toml")).unwrap();
    check(
        &folder.0.join("dir.toml"),
        "dir.toml: error[unreadable]: this is a directory, not a file\n  help: name the configuration file in it",
    );
    check(
        &folder.file("empty.toml", "\n"),
        "empty.toml: error[empty]: the file is empty\n  help: declare a component: [components.NAME]",
    );
    check(
        &folder.file("latin.toml", b"[components.a]\n# caf\xe9\n"),
        "latin.toml:2:6: error[not-utf8]: byte 6 of the line, 0xE9, is not UTF-8 (in Windows-1252 it is \"é\")\n  help: save it as UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8",
    );
    check(
        &folder.file("huge.toml", vec![b'#'; (64 << 20) + 1]),
        "huge.toml: error[too-large]: the file is larger than 64 MiB\n  help: check that it is a configuration",
    );
}

#[test]
fn byte_order_mark_and_carriage_returns_are_ignored_and_other_encodings_refused() {
    let folder = Folder::new("encodings");
    let toml = "[components.a]\nloader = \"builtin\"\nkeywords = [\"\"\"one\ntwo\"\"\"]\n";
    for (name, text) in [("c.toml", toml), ("c.json", LEGACY)] {
        let read = |bytes: Vec<u8>| read_config(&folder.file(name, bytes), None);
        let want = read(text.into()).unwrap().specs;
        for text in [format!("\u{feff}{text}"), text.replace('\n', "\r\n")] {
            assert_eq!(read(text.into()).unwrap().specs, want, "{name}");
        }
        let utf16 =
            |mark| format!("{mark}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (bytes, from) in [(utf16("\u{feff}"), "UTF-16"), (utf16(""), "UTF-16BE")] {
            let want = format!(
                "{name}: error[not-utf8]: the text is UTF-16 (big-endian), not UTF-8\n  help: save it as UTF-8, or convert it: iconv -f {from} -t UTF-8"
            );
            assert_eq!(lines(&read(bytes).unwrap_err(), &folder), [want]);
        }
    }
}

#[cfg(unix)]
#[test]
fn file_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("writable");
    let path = folder.file("c.toml", "[components.a]\nloader = \"builtin\"\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let problems = read_config(&path, None).unwrap_err();
    assert_eq!(problems.as_slice()[0].code, "unsafe-file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(read_config(&path, None).is_ok());
}

/// A user who may write a folder can replace a file that was checked.
#[cfg(unix)]
#[test]
fn file_in_a_folder_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("folders");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let open = folder.0.join("open");
    fs::create_dir_all(open.join("private")).unwrap();
    let naming = |file: &str| format!("[legacy]\nfile = \"{file}\"\ncommand = [\"x\"]\n");
    let below = folder.file("open/private/c.toml", "[components.a]\nloader = \"builtin\"\n");
    folder.file("open/c.json", LEGACY);
    let names_it = folder.file("c.toml", naming("open/c.json"));
    for (bits, is_safe) in [(0o777, false), (0o773, false), (0o1777, true), (0o755, true)] {
        mode(&open, bits);
        for path in [&below, &names_it] {
            match read_config(path, None) {
                Ok(_) => assert!(is_safe, "{bits:o} {}", path.display()),
                Err(problems) => {
                    let problem = &problems.as_slice()[0];
                    assert_eq!(problem.code, "unsafe-file");
                    assert!(!is_safe && problem.message.contains("every user"), "{problem}");
                    assert!(problem.message.contains(open.to_str().unwrap()), "{problem}");
                    assert!(problem.suggestion.as_ref().unwrap().contains("chmod"), "{problem}");
                }
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn file_of_another_user_is_refused() {
    let folder = Folder::new("owner");
    let path = folder.file("c.toml", "[components.a]\nloader = \"builtin\"\n");
    if std::os::unix::fs::chown(&path, Some(54_321), None).is_err() {
        eprintln!("skipped: only root can give a file to another user");
        return;
    }
    let problems = read_config(&path, None).unwrap_err();
    let problem = &problems.as_slice()[0];
    assert_eq!(problem.code, "unsafe-file");
    assert!(problem.message.contains("belongs to user 54321, not to user 0"), "{problem}");
}

const LEGACY: &str = r#"{
  "voice": {
    "priority": "CORE",
    "estimated_memory_mb": 100,
    "estimated_load_time_ms": 80,
    "intent_keywords": ["speak", "talk"],
    "dependencies": [],
    "arm64_optimized": true,
    "description": "Voice",
    "import_function": "import_voice_system"
  },
  "wake_word": {
    "priority": "HIGH",
    "estimated_memory_mb": 12.5,
    "dependencies": ["voice"],
    "conflicts": [],
    "preload_triggers": ["hey"],
    "lazy_init": false,
    "import_path": "assistant.wake"
  }
}"#;

#[test]
fn predecessors_file_is_read() {
    let loaded = parse_legacy_json(LEGACY, "components.json", None).unwrap();
    assert!(loaded.warnings.is_empty());
    let [voice, wake] = &loaded.specs[..] else { panic!() };
    assert_eq!((voice.priority, voice.memory), (Priority::Core, ByteSize::mib(100)));
    assert_eq!(voice.load_time.as_millis(), 80);
    assert_eq!(voice.keywords, ["speak", "talk"]);
    let python = |module: &str, function: &str| LoaderSpec::Python {
        module: module.into(),
        function: function.into(),
    };
    assert_eq!(voice.loader, python("main", "import_voice_system"));
    assert_eq!(wake.loader, python("assistant.wake", "import_wake_word"));
    assert_eq!(wake.memory, ByteSize::kib(12_800));
    assert!(!wake.lazy_init);
    assert_eq!(wake.dependencies[0].as_str(), "voice");
}

#[test]
fn problems_of_the_predecessors_file_have_places() {
    let check = |text: &str, want: &[&str]| {
        let problems = parse_legacy_json(text, "c.json", None).unwrap_err();
        let lines: Vec<_> = problems.as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(lines, want, "{text}");
    };
    check("{\"a\": {", &["c.json:1:7: error[syntax]: this is not valid JSON: unterminated object"]);
    check(
        "{} // x",
        &["c.json:1:4: error[syntax]: this is not valid JSON: comments are not allowed"],
    );
    check(
        "[1]",
        &[
            "c.json:1:1: error[wrong-type]: the file must be an object of components by name, not a list",
        ],
    );
    check(
        r#"{"a": {"priority": "high", "estimated_memory_mb": -50, "dependencies": "voice", "priority": "LOW"},
"a": {"priority": "LOW"}, "b": {"estimated_memory_mb": "100", "intent_keyword": null}, "c": 3}"#,
        &[
            "c.json:1:20: error[bad-value]: \"high\" is not a value of priority\n  help: did you mean \"HIGH\"?",
            "c.json:1:51: error[out-of-range]: estimated_memory_mb must lie within 0.004 and 16777216",
            "c.json:1:72: error[wrong-type]: dependencies must be a list of component names, not text\n  help: put it in brackets: [\"voice\"]",
            "c.json:1:81: error[duplicate]: key \"priority\" is given twice in component \"a\"\n  help: keep one of them",
            "c.json:2:1: error[duplicate]: component \"a\" is declared twice: in this file\n  help: keep one of them",
            "c.json:2:27: error[missing-key]: component \"b\" has no priority\n  help: write \"priority\": \"MEDIUM\"",
            "c.json:2:56: error[wrong-type]: estimated_memory_mb must be a number, not text",
            "c.json:2:63: error[unknown-key]: unknown key \"intent_keyword\" in component \"b\"\n  help: did you mean \"intent_keywords\"?",
            "c.json:2:93: error[wrong-type]: component \"c\" must be a table of keys, not an integer",
        ],
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse_legacy_json(&deep, "c.json", None).unwrap_err().as_slice()[0].code, "syntax");
}

#[test]
fn toml_file_includes_the_predecessors_components() {
    let folder = Folder::new("both");
    folder.file("components.json", LEGACY);
    let toml = "[legacy]\nfile = \"components.json\"\ncommand = [\"run\", \"{name}\", \"{import_path}:{import_function}\", \"{port}\"]\n[components.extra]\nloader = \"builtin\"\ndependencies = [\"voice\"]\n";
    let loaded = read_config(&folder.file("c.toml", toml), None).unwrap();
    let names: Vec<_> = loaded.specs.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(names, ["extra", "voice", "wake_word"]);
    assert_eq!(loaded.sources.len(), 2);
    let LoaderSpec::Process(process) = &loaded.specs[2].loader else { panic!() };
    assert_eq!(process.command, ["run", "wake_word", "assistant.wake:import_wake_word", "{port}"]);
    let fails = |toml: &str, want: &[&str]| {
        let problems = read_config(&folder.file("bad.toml", toml), None).unwrap_err();
        assert_eq!(lines(&problems, &folder), want);
    };
    fails(
        "[legacy]\nfile = \"components.json\"\n[components.voice]\nloader = \"builtin\"\n[components.x]\nloader = \"builtin\"\ndependencies = [\"wake_wrod\"]\n",
        &[
            "bad.toml:7:17: error[unknown-component]: component \"x\" names \"wake_wrod\" in dependencies, which does not exist\n  help: did you mean \"wake_word\"?",
            "components.json:2:3: error[duplicate]: component \"voice\" is declared twice: in the TOML file too\n  help: keep one of them",
        ],
    );
    fails(
        "[legacy]\ncommand = [\"run\", \"{nam}\"]\n",
        &[
            "bad.toml:1:2: error[missing-key]: [legacy] names no file\n  help: write file = \"components.json\"",
            "bad.toml:2:19: error[bad-place-holder]: unknown place-holder \"nam\"\n  help: did you mean \"name\"?",
        ],
    );
    fails(
        "[legacy]\nfile = \"none.json\"\n",
        &[
            "none.json: error[unreadable]: cannot read the file: No such file or directory (os error 2)\n  help: check the path",
        ],
    );
}
