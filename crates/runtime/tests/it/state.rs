//! The state store: what it keeps, what it refuses, and what it sets aside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use majordomo_core::{ByteSize, ComponentId, StateStore, StoreOp};
use majordomo_memory::Learned;
use majordomo_runtime::state::measured::{self, Measured, MeasuredKey};
use majordomo_runtime::state::{FILE, LOCK, RedbStore};

use crate::helper;
use crate::support::{Dir, add};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    add(tests, "state::keeps_what_was_applied", keeps_what_was_applied);
    add(tests, "state::measured_figures_survive", measured_figures_survive);
    add(tests, "state::unusable_files_are_set_aside", unusable_files_are_set_aside);
    add(tests, "state::damage_anywhere_is_no_panic", damage_anywhere_is_no_panic);
    add(tests, "state::refuses_what_it_cannot_trust", refuses_what_it_cannot_trust);
    add(
        tests,
        "state::names_that_are_other_files_are_refused_unwritten",
        names_that_are_other_files_are_refused_unwritten,
    );
    add(tests, "state::what_another_user_owns_is_refused", what_another_user_owns_is_refused);
    add(tests, "state::one_program_at_a_time", one_program_at_a_time);
    add(tests, "state::continues_after_a_full_disk", continues_after_a_full_disk);
    add(tests, "state::a_scrub_leaves_no_trace", a_scrub_leaves_no_trace);
    add(
        tests,
        "state::a_removed_directory_is_made_again_with_all_values",
        a_removed_directory_is_made_again_with_all_values,
    );
    add(tests, "state::a_copy_changes_nothing_on_disk", a_copy_changes_nothing_on_disk);
    add(
        tests,
        "state::removed_file_is_made_again_in_the_directory_that_is_still_locked",
        removed_file_is_made_again_in_the_directory_that_is_still_locked,
    );
    add(
        tests,
        "state::directory_that_another_store_took_meanwhile_is_left_to_it",
        directory_that_another_store_took_meanwhile_is_left_to_it,
    );
}

fn a_removed_directory_is_made_again_with_all_values() {
    let dir = Dir::new();
    let path = dir.path("state");
    let store = fresh(&path);
    store.apply(&[put("a", "x", b"1")]).unwrap();
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(store.get("a", "x").unwrap().as_deref(), Some(&b"1"[..]));
    store.apply(&[put("a", "y", b"2")]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let error = RedbStore::open(&path).unwrap_err().to_string();
    assert!(error.contains("is in use"), "its lock is held again: {error}");
    drop(store);
    let both = [("x".to_owned(), b"1".to_vec()), ("y".to_owned(), b"2".to_vec())];
    assert_eq!(fresh(&path).list("a").unwrap(), both);
}

fn removed_file_is_made_again_in_the_directory_that_is_still_locked() {
    for name in ["state.redb", "lock"] {
        let dir = Dir::new();
        let path = dir.path("state");
        let store = fresh(&path);
        store.apply(&[put("a", "x", b"1")]).unwrap();
        fs::remove_file(path.join(name)).unwrap();
        store.apply(&[put("a", "y", b"2")]).unwrap();
        let error = RedbStore::open(&path).unwrap_err().to_string();
        assert!(error.contains("is in use"), "its lock is held: {error}");
        drop(store);
        assert_eq!(fresh(&path).list("a").unwrap().len(), 2, "{name}");
    }
}

fn directory_that_another_store_took_meanwhile_is_left_to_it() {
    let dir = Dir::new();
    let path = dir.path("state");
    let first = fresh(&path);
    fs::remove_dir_all(&path).unwrap();
    let second = fresh(&path);
    let error = first.apply(&[put("a", "x", b"1")]).unwrap_err().to_string();
    assert!(error.contains("is in use"), "nothing is lost without a word: {error}");
    second.apply(&[put("a", "y", b"2")]).unwrap();
    drop(second);
    first.apply(&[put("a", "z", b"3")]).unwrap();
    drop(first);
    assert_eq!(fresh(&path).list("a").unwrap(), [("z".to_owned(), b"3".to_vec())]);
    assert!(path.join("state.redb.unusable-1").exists(), "no other program's state is overwritten");
}

fn a_copy_changes_nothing_on_disk() {
    let dir = Dir::new();
    let path = dir.path("state");
    assert!(RedbStore::open_copy(&path).unwrap().is_none() && !path.exists());
    let store = fresh(&path);
    store.apply(&[put("a", "x", b"1")]).unwrap();
    let error = RedbStore::open_copy(&path).unwrap_err().to_string();
    assert!(error.contains("is in use"), "{error}");
    drop(store);
    let before = fs::read(path.join(FILE)).unwrap();
    let copy = RedbStore::open_copy(&path).unwrap().unwrap();
    assert_eq!(copy.get("a", "x").unwrap().as_deref(), Some(&b"1"[..]));
    copy.apply(&[put("a", "x", b"2")]).unwrap();
    assert_eq!(copy.get("a", "x").unwrap().as_deref(), Some(&b"2"[..]));
    assert!(copy.scrub().is_err(), "nothing on disk was forgotten");
    assert_eq!(fs::read(path.join(FILE)).unwrap(), before);
}

pub(crate) fn put(namespace: &str, key: &str, value: &[u8]) -> StoreOp {
    StoreOp::Put { namespace: namespace.into(), key: key.into(), value: value.into() }
}

fn fresh(dir: &Path) -> RedbStore {
    let (store, set_aside) = RedbStore::open(dir).unwrap();
    assert_eq!(set_aside, None);
    store
}

fn keeps_what_was_applied() {
    let dir = Dir::new();
    let path = dir.path("new/state");
    let store = fresh(&path);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(store.get("a", "x").unwrap(), None);
    assert_eq!(store.list("a").unwrap(), []);
    let delete = |namespace: &str, key: &str| StoreOp::Delete {
        namespace: namespace.into(),
        key: key.into(),
    };
    let clear = |namespace: &str| StoreOp::Clear { namespace: namespace.into() };
    store
        .apply(&[
            put("a", "y", b"2"),
            put("a", "x", b"1"),
            put("a", "", b""),
            put("ab", "x", b"9"),
            put("", "x", b"8"),
        ])
        .unwrap();
    store
        .apply(&[
            delete("a", "y"),
            delete("a", "nothing"),
            put("a", "z", b"3"),
            put("a", "z", b"4"),
        ])
        .unwrap();
    let list = |store: &RedbStore, namespace| {
        let entry = |(k, v): (String, Vec<u8>)| format!("{k}={}", String::from_utf8(v).unwrap());
        store.list(namespace).unwrap().into_iter().map(entry).collect::<Vec<_>>()
    };
    drop(store);
    let store = fresh(&path);
    assert_eq!(list(&store, "a"), ["=", "x=1", "z=4"]);
    // A namespace that begins alike is another one.
    store.apply(&[clear("a"), put("a", "new", b"1"), clear("none")]).unwrap();
    assert_eq!(list(&store, "a"), ["new=1"]);
    assert_eq!(
        (list(&store, "ab"), list(&store, "")),
        (vec!["x=9".to_owned()], vec!["x=8".to_owned()])
    );
}

fn measured_figures_survive() {
    let dir = Dir::new();
    let component = ComponentId::new("ocr").unwrap();
    let key = MeasuredKey { component, config: 1, host: 2 };
    let measured = Measured {
        learned: Learned::of_one_peak(ByteSize::mib(420)),
        load_time: Some(Duration::from_millis(1700)),
    };
    fresh(&dir.0).apply(&[measured::put(&key, &measured)]).unwrap();
    let store = fresh(&dir.0);
    assert_eq!(measured::get(&store, &key).unwrap(), Some(measured));
    assert_eq!(measured::list(&store).unwrap(), [(key.clone(), measured)]);
    assert_eq!(measured::get(&store, &MeasuredKey { config: 9, ..key }).unwrap(), None);
}

fn unusable_files_are_set_aside() {
    let foreign = |path: &Path| {
        let db = redb::Database::create(path).unwrap();
        let tx = db.begin_write().unwrap();
        let table: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("theirs");
        tx.open_table(table).unwrap().insert(1, 2).unwrap();
        tx.commit().unwrap();
    };
    let newer = |path: &Path| {
        let db = redb::Database::create(path).unwrap();
        let tx = db.begin_write().unwrap();
        let table: redb::TableDefinition<'_, &str, u64> =
            redb::TableDefinition::new("majordomo-meta");
        tx.open_table(table).unwrap().insert("format", 99).unwrap();
        tx.commit().unwrap();
    };
    type Make<'a> = &'a dyn Fn(&Path);
    let cases: [(Make, &str); 4] = [
        (&|p| fs::write(p, "this is no database").unwrap(), ""),
        (&|p| fs::write(p, [0; 70_000]).unwrap(), ""),
        (&foreign, "belongs to another program"),
        (&newer, "format 99"),
    ];
    for (make, why) in cases {
        let dir = Dir::new();
        make(&dir.path(FILE));
        let before = fs::read(dir.path(FILE)).unwrap();
        for round in 1..=2 {
            let (store, set_aside) = RedbStore::open(&dir.0).unwrap();
            let text = set_aside.expect("the file is set aside").to_string();
            assert!(text.contains(why) && text.contains("was renamed to"), "{text}");
            store.apply(&[put("a", "b", b"c")]).unwrap();
            drop(store);
            let (_, nothing) = RedbStore::open(&dir.0).unwrap();
            assert_eq!(nothing, None, "the fresh one is good");
            let aside = dir.path(&format!("{FILE}.unusable-{round}"));
            assert!(aside.exists(), "nothing is lost, the second time neither");
            if round == 1 && why.is_empty() {
                assert_eq!(fs::read(&aside).unwrap(), before);
            }
            make_again(make, &dir.path(FILE));
        }
    }
}

fn make_again(make: &dyn Fn(&Path), path: &Path) {
    fs::remove_file(path).unwrap();
    make(path);
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(path, mode).unwrap();
}

/// Flips bytes all over a real file, and cuts it: it opens with all values right, or is set aside.
fn damage_anywhere_is_no_panic() {
    let dir = Dir::new();
    let store = fresh(&dir.0);
    let value = |i: usize| vec![u8::try_from(i % 251).unwrap(); 1000 + i];
    let batch: Vec<StoreOp> = (0..60).map(|i| put("n", &format!("{i:03}"), &value(i))).collect();
    store.apply(&batch).unwrap();
    drop(store);
    let good = fs::read(dir.path(FILE)).unwrap();
    let mut set_asides = 0;
    // Panics inside redb are caught; their messages would only fill the output.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for round in 0..40 {
        let mut bad = good.clone();
        if round % 4 == 3 {
            bad.truncate(good.len() * round / 40);
        } else {
            let step = good.len() / 40;
            bad[round * step..][..64].fill(0x5a);
        }
        fs::write(dir.path(FILE), bad).unwrap();
        let (store, set_aside) = RedbStore::open(&dir.0).unwrap();
        set_asides += usize::from(set_aside.is_some());
        let listed = store.list("n").unwrap();
        if set_aside.is_none() && !listed.is_empty() {
            assert_eq!(listed.len(), 60);
            for (i, (_, v)) in listed.iter().enumerate() {
                assert_eq!(*v, value(i));
            }
        }
    }
    std::panic::set_hook(hook);
    assert!(set_asides > 5, "{set_asides}");
}

fn names_that_are_other_files_are_refused_unwritten() {
    let dir = Dir::new();
    let state = dir.path("state");
    drop(fresh(&state));
    fs::write(dir.path("precious"), "precious").unwrap();
    for name in [FILE, LOCK] {
        fs::remove_file(state.join(name)).unwrap();
        std::os::unix::fs::symlink("../precious", state.join(name)).unwrap();
        let text = RedbStore::open(&state).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains("this is a symbolic link"), "{text}");
        fs::remove_file(state.join(name)).unwrap();
        fs::create_dir(state.join(name)).unwrap();
        let text = RedbStore::open(&state).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains("this is a directory"), "{text}");
        fs::remove_dir(state.join(name)).unwrap();
        drop(fresh(&state));
    }
    fs::remove_file(state.join(LOCK)).unwrap();
    fs::hard_link(dir.path("precious"), state.join(LOCK)).unwrap();
    let text = RedbStore::open(&state).unwrap_err().to_string();
    assert!(text.contains(LOCK) && text.contains("2 names"), "{text}");
    assert_eq!(fs::read_to_string(dir.path("precious")).unwrap(), "precious");
}

fn what_another_user_owns_is_refused() {
    let dir = Dir::new();
    drop(fresh(&dir.path("state")));
    fs::create_dir(dir.path("home")).unwrap();
    drop(fresh(&dir.path("home/state")));
    let places = [
        ("state/state.redb", "state"),
        ("state/lock", "state"),
        ("state", "state"),
        ("home", "home/state"),
    ];
    for (foreign, state) in places {
        if std::os::unix::fs::chown(dir.path(foreign), Some(54_321), None).is_err() {
            eprintln!("skipped: only root can give a file to another user");
            return;
        }
        let state = dir.path(state);
        let errors = [RedbStore::open(&state).err(), RedbStore::open_copy(&state).err()];
        for error in errors {
            let text = error.map(|e| e.to_string()).unwrap_or_default();
            assert!(text.contains("belongs to user 54321, not to user 0"), "{foreign}: {text}");
        }
        std::os::unix::fs::chown(dir.path(foreign), Some(0), None).unwrap();
    }
}

fn refuses_what_it_cannot_trust() {
    let dir = Dir::new();
    let error = |path: &Path| RedbStore::open(path).unwrap_err().to_string();
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

    drop(fresh(&dir.path("file")));
    mode(&dir.path("file").join(FILE), 0o666);
    let text = error(&dir.path("file"));
    assert!(
        text.contains("every user of this machine may write to it (mode 666)")
            && text.contains("chmod go-w"),
        "{text}"
    );

    fs::create_dir(dir.path("open")).unwrap();
    mode(&dir.path("open"), 0o777);
    assert!(error(&dir.path("open")).contains("may write to it (mode 777)"));
    assert!(error(&dir.path("open/below")).contains("may write to it (mode 777)"));

    fs::write(dir.path("plain"), "").unwrap();
    let text = error(&dir.path("plain"));
    assert!(text.contains("plain") && text.contains("this is a file, not a directory"), "{text}");
    let text = error(&dir.path("plain/below"));
    assert!(text.contains("this is a file, not a directory"), "{text}");

    let readable = dir.path("readonly");
    fs::create_dir(&readable).unwrap();
    mode(&readable, 0o500);
    if fs::write(readable.join("probe"), "").is_ok() {
        // The superuser may write anyway; the kernel's own files are where he may not.
        let text = error(Path::new("/sys/kernel"));
        assert!(text.contains("cannot be written"), "{text}");
    } else {
        let text = error(&readable);
        assert!(
            text.contains("cannot be written") && text.contains("check its permissions"),
            "{text}"
        );
        // Everything there belongs to the superuser, who is not us.
        let text = error(Path::new("/"));
        assert!(text.contains("belongs to user 0, not to user"), "{text}");
    }
}

fn one_program_at_a_time() {
    let dir = Dir::new();
    let store = fresh(&dir.0);
    let pid = std::process::id();
    let text = RedbStore::open(&dir.0).unwrap_err().to_string();
    assert!(text.contains(&format!("in use by the program with pid {pid}; stop that")), "{text}");
    let open = || {
        let words = [helper::ARG, "open-state", dir.0.to_str().unwrap()];
        let out = Command::new(std::env::current_exe().unwrap()).args(words).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(open().contains(&format!("in use by the program with pid {pid}")), "{}", open());
    drop(store);
    assert_eq!(open(), "opened\n");
}

/// A limit on file sizes stands for a full disk: writes fail in the middle.
fn continues_after_a_full_disk() {
    let dir = Dir::new();
    let script = r#"trap '' XFSZ; ulimit -f 4096; exec "$@""#;
    let exe = std::env::current_exe().unwrap();
    let words = [
        "-c",
        script,
        "sh",
        exe.to_str().unwrap(),
        helper::ARG,
        "fill-state",
        dir.0.to_str().unwrap(),
    ];
    let out = Command::new("/bin/sh").args(words).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("the state in ") && text.contains("cannot be written"), "{text}");
    let store = fresh(&dir.0);
    assert_eq!(store.get("a", "before").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(store.get("a", "after").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(store.list("big").unwrap().len(), 0, "a batch is there whole or not at all");
}

fn a_scrub_leaves_no_trace() {
    let dir = Dir::new();
    let store = fresh(&dir.0);
    let secret = b"zebediah ".repeat(20_000);
    store
        .apply(&[put("a", "gone", &secret), put("a", "stays", b"1"), put("b", "x", b"2")])
        .unwrap();
    store.apply(&[put("a", "gone", b"")]).unwrap();
    let has_secret = || {
        let files = fs::read_dir(&dir.0).unwrap().map(|f| fs::read(f.unwrap().path()).unwrap());
        files.flatten().collect::<Vec<u8>>().windows(8).any(|w| w == b"zebediah")
    };
    assert!(has_secret(), "free pages keep their bytes; without that this test tests nothing");
    // Left by a program that was killed in the middle of it.
    fs::write(dir.0.join(format!("{FILE}.new")), b"zebediah").unwrap();
    store.scrub().unwrap();
    assert!(!has_secret());
    assert_eq!(store.get("a", "stays").unwrap().as_deref(), Some(&b"1"[..]));
    store.apply(&[put("a", "more", b"3")]).unwrap();
    drop(store);
    let store = fresh(&dir.0);
    assert_eq!(store.list("a").unwrap().len(), 3);
    assert_eq!(store.get("b", "x").unwrap().as_deref(), Some(&b"2"[..]));
}
