//! `service print`: a unit for systemd, or a property list for launchd, that runs this very program.
//!
//! Prints and installs nothing; where it belongs and how it is started stands in its first lines.

use std::path::{Path, PathBuf};
use std::time::Duration;

use majordomo::read_config;

use crate::args::{ServiceManager, ServiceVerb};
use crate::print;
use majordomo::{environment_variable, quoted, quoted_path};

pub(crate) fn run(verb: &ServiceVerb) -> anyhow::Result<()> {
    let ServiceVerb::Print { manager, config, state_dir, user } = verb;
    if let Some(user) = user
        && !is_user(user)
    {
        anyhow::bail!("{} is not a user name; write letters, digits, _, . and -", quoted(user));
    }
    let program = std::env::current_exe()?;
    let unit = Unit {
        program,
        stop_timeout: stop_timeout(config)?,
        config: std::path::absolute(config)?,
        state_dir: state_dir.as_deref().map(std::path::absolute).transpose()?,
        user: user.clone(),
    };
    print::file(&match manager {
        ServiceManager::Systemd => unit.systemd()?,
        ServiceManager::Launchd => {
            let home = environment_variable("HOME").map(PathBuf::from);
            unit.launchd(home.as_deref())?
        }
    });
    Ok(())
}

/// Added to `shutdown_deadline` before the service manager kills: time to write the learned store.
const STOP_MARGIN: Duration = Duration::from_secs(20);

/// How long the service manager waits for the end of the server, by its configuration, in whole seconds.
fn stop_timeout(config: &Path) -> anyhow::Result<u64> {
    let loaded = read_config(config, None)
        .map_err(|problems| anyhow::anyhow!("{problems}\nthe unit depends on shutdown_deadline"))?;
    let whole = loaded.config.deadlines.shutdown + STOP_MARGIN;
    Ok(whole.as_secs() + u64::from(whole.subsec_nanos() > 0))
}

struct Unit {
    program: PathBuf,
    /// Seconds.
    stop_timeout: u64,
    config: PathBuf,
    state_dir: Option<PathBuf>,
    user: Option<String>,
}

impl Unit {
    fn systemd(&self) -> anyhow::Result<String> {
        let (home, control, wanted_by, more, state) = match &self.user {
            Some(user) => (
                "/etc/systemd/system",
                "systemctl",
                "multi-user.target",
                format!("User={user}\nRuntimeDirectory=majordomo\nStateDirectory=majordomo\n"),
                "%S/majordomo",
            ),
            None => (
                "~/.config/systemd/user",
                "systemctl --user",
                "default.target",
                "StateDirectory=majordomo\n".to_owned(),
                "%S/majordomo",
            ),
        };
        let state = match &self.state_dir {
            Some(dir) => word(dir)?,
            None => state.to_owned(),
        };
        let (socket, asking) = match &self.user {
            Some(user) => (
                " --socket %t/majordomo/majordomo.sock",
                format!(
                    "# ask it: sudo -u {user} {} --socket /run/majordomo/majordomo.sock status\n",
                    self.program.display()
                ),
            ),
            None => ("", String::new()),
        };
        let (program, config) = (word(&self.program)?, word(&self.config)?);
        let stop_timeout = self.stop_timeout;
        Ok(format!(
            "\
# {home}/majordomo.service
# then: {control} daemon-reload && {control} enable --now majordomo
{asking}[Unit]
Description=Majordomo, keeps an assistant's heavy components loaded while they are needed
After=network.target

[Service]
Type=notify
ExecStart={program} serve {config} --state-dir {state}{socket}
ExecReload=/bin/kill -HUP $MAINPID
{more}WatchdogSec=60
Restart=on-failure
# It stops its components itself, within shutdown_deadline; what is left after that is killed. The time is
# that of the configuration when this was printed: print it again after shutdown_deadline was changed.
KillMode=mixed
TimeoutStopSec={stop_timeout}
NoNewPrivileges=yes

[Install]
WantedBy={wanted_by}"
        ))
    }

    /// Launchd has no place of its own for a program's state and log: they are where this system's programs keep them,
    /// of `home` for an agent of one's own. A server for the machine has its socket there too, since its user's folder
    /// for temporary files is another one than the sessions have.
    fn launchd(&self, home: Option<&Path>) -> anyhow::Result<String> {
        let default_state = || match (&self.user, home) {
            (Some(_), _) => Ok(PathBuf::from("/var/db/majordomo")),
            (None, Some(home)) => Ok(home.join("Library/Application Support/majordomo")),
            (None, None) => Err(anyhow::anyhow!("HOME is not set; add --state-dir")),
        };
        let state = self.state_dir.clone().map_or_else(default_state, Ok)?;
        let log = match (&self.user, home) {
            (None, Some(home)) => home.join("Library/Logs/majordomo.log"),
            _ => state.join("majordomo.log"),
        };
        let mut words = vec![
            self.program.display().to_string(),
            "serve".to_owned(),
            self.config.display().to_string(),
            "--state-dir".to_owned(),
            state.display().to_string(),
        ];
        if self.user.is_some() {
            let socket = state.join("majordomo.sock").display().to_string();
            words.extend(["--socket".to_owned(), socket]);
        }
        let words: Vec<_> =
            words.iter().map(|w| format!("    <string>{}</string>", escaped(w))).collect();
        let (home, domain, user) = match &self.user {
            Some(user) => (
                "/Library/LaunchDaemons",
                "system",
                format!("  <key>UserName</key>\n  <string>{}</string>\n", escaped(user)),
            ),
            None => ("~/Library/LaunchAgents", "gui/$(id -u)", String::new()),
        };
        let first = match self.user {
            Some(_) => "first: make the state directory, for its user alone\n     ",
            None => "",
        };
        Ok(format!(
            "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<!-- {home}/majordomo.plist
     {first}then: launchctl bootstrap {domain} {home}/majordomo.plist -->
<plist version=\"1.0\">
<dict>
  <key>Label</key>
  <string>majordomo</string>
  <key>ProgramArguments</key>
  <array>
{}
  </array>
{user}  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ExitTimeOut</key>
  <integer>{}</integer>
  <key>StandardErrorPath</key>
  <string>{}</string>
</dict>
</plist>",
            words.join("\n"),
            self.stop_timeout,
            escaped(&log.display().to_string())
        ))
    }
}

/// A path as one word of a unit: systemd takes `%`, `$`, quotes and backslashes for its own.
fn word(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().filter(|t| !t.contains(char::is_control)).ok_or_else(|| {
        anyhow::anyhow!("{} cannot be written in a unit; rename it", quoted_path(path))
    })?;
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let escaped = escaped.replace('$', "$$");
    let is_plain = !escaped.contains([' ', '\'', '"', '\\', ';']);
    Ok(if is_plain { escaped } else { format!("\"{escaped}\"") })
}

/// Whether it can be a user's name, and nothing that a unit takes for more than that.
fn is_user(name: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || "_.-".contains(c);
    name.starts_with(|c: char| c.is_alphanumeric() || c == '_') && name.chars().all(is_plain)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_unit() {
        let check = |path: &str, want: &str| assert_eq!(word(Path::new(path)).unwrap(), want);
        check("/etc/majordomo.toml", "/etc/majordomo.toml");
        check("/my files/a.toml", "\"/my files/a.toml\"");
        check("/50%/$HOME", "/50%%/$$HOME");
        check("/a\"b", "\"/a\\\"b\"");
        assert!(word(Path::new("/a\nb")).is_err());
        assert_eq!(escaped("a<b>&c"), "a&lt;b&gt;&amp;c");
        assert!(is_user("bot") && is_user("_ai-2.x"));
        assert!(!is_user("") && !is_user("-x") && !is_user("bot\nExecStart=/x"));
    }

    #[test]
    fn launchd_definition_names_state_and_log() {
        let mut unit = Unit {
            program: "/bin/majordomo".into(),
            stop_timeout: 80,
            config: "/c.toml".into(),
            state_dir: None,
            user: None,
        };
        let check = |unit: &Unit, home: Option<&str>, want: &[&str]| {
            let text = unit.launchd(home.map(Path::new)).unwrap();
            for want in want {
                assert!(text.contains(&format!("<string>{want}</string>")), "{want}:\n{text}");
            }
        };
        let state = "/home-of/me/Library/Application Support/majordomo";
        let log = "/home-of/me/Library/Logs/majordomo.log";
        check(&unit, Some("/home-of/me"), &["--state-dir", state, log]);
        let text = unit.launchd(Some(Path::new("/home-of/me"))).unwrap();
        assert!(text.contains("<integer>80</integer>"), "{text}");
        assert!(unit.systemd().unwrap().contains("TimeoutStopSec=80\n"));
        assert!(unit.launchd(None).is_err(), "what is learned must not be lost in silence");
        unit.user = Some("bot".into());
        let (state, log) = ("/var/db/majordomo", "/var/db/majordomo/majordomo.log");
        check(&unit, None, &[state, "--socket", "/var/db/majordomo/majordomo.sock", log, "bot"]);
        unit.state_dir = Some("/srv/st".into());
        check(&unit, None, &["/srv/st", "/srv/st/majordomo.sock", "/srv/st/majordomo.log"]);
    }
}
