//! The guard and the trampolines as a few lines of `/bin/sh`.
//!
//! Nothing is ever put into these texts: what varies comes as arguments or on standard input.

/// Reads `add PGID START [CGROUP]`, `del PGID` and `leave`; kills what is left at end of file, removes the folder `$1`
/// without a `leave`, and the cgroups of what it killed once they are empty, for about a second.
///
/// PIPE is ignored as well: an answer to a manager that is gone must not end the guard before its work.
/// `start_of` gives the word that `StartTime` holds: on Linux field 22 of `/proc/PID/stat` (counted from
/// the last `)`, since a program's name may hold anything), elsewhere `ps -o lstart=` with `_` for
/// blanks.
pub(super) const GUARD: &str = r#"
trap '' HUP INT TERM PIPE
set -f
cd /
start_of() (
  if [ -d /proc/self ]; then
    s=
    while read -r line; do s="$s $line"; done 2>/dev/null <"/proc/$1/stat" || exit
    set -- ${s##*)}
    shift 19 && echo "$1"
  else
    set -- $(LC_ALL=C ps -o lstart= -p "$1")
    IFS=_
    echo "$*"
  fi
) 2>/dev/null
without() {
  left=
  gone=$1
  shift
  for g; do
    [ "${g%%:*}" = "$gone" ] || left="$left $g"
  done
}
groups=
cgroups=
temporary=$1
echo 'guard 1'
while read -r verb pgid start cgroup; do
  case $verb in
  add)
    groups="$groups $pgid:$start"
    if [ -n "$cgroup" ]; then
      cgroups="$cgroups $pgid:$cgroup"
    fi
    echo "ok $pgid"
    ;;
  del)
    without "$pgid" $groups
    groups=$left
    without "$pgid" $cgroups
    cgroups=$left
    ;;
  leave)
    temporary=
    ;;
  esac
done
for g in $groups; do
  pgid=${g%%:*}
  now=$(start_of "$pgid")
  if [ -z "$now" ] || [ "$now" = "${g#*:}" ]; then
    kill -s KILL -- "-$pgid" 2>/dev/null
  fi
done
if [ -n "$temporary" ]; then
  rm -rf -- "$temporary"
fi
for try in 1 2 3 4 5 6 7 8 9 10; do
  left=
  for g in $cgroups; do
    rmdir -- "${g#*:}" 2>/dev/null || [ ! -d "${g#*:}" ] || left="$left $g"
  done
  cgroups=$left
  [ -n "$cgroups" ] || break
  sleep 0.1 2>/dev/null || sleep 1
done
"#;

/// Where the program that opens a session may be (Linux); macOS has none.
pub(super) const SETSID: [&str; 2] = ["/usr/bin/setsid", "/bin/setsid"];

/// Waits for the word, then becomes the program with an empty standard input.
pub(super) const EXEC_EMPTY: &str =
    r#"read -r word && [ "$word" = go ] && exec "$@" </dev/null; exit 125"#;

/// The same with its standard input left open.
pub(super) const EXEC_HOLD: &str = r#"read -r word && [ "$word" = go ] && exec "$@"; exit 125"#;
