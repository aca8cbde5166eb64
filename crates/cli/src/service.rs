//! `service print`: a unit for systemd, or a property list for launchd, that runs this very program.
//!
//! Prints and installs nothing; where it belongs and how it is started stands in its first lines.

use std::path::{Path, PathBuf};

use crate::args::{ServiceManager, ServiceVerb};
use crate::print;

pub(crate) fn run(verb: &ServiceVerb) -> anyhow::Result<()> {
    let ServiceVerb::Print { manager, config, state_dir, user } = verb;
    let program = std::env::current_exe()?;
    let unit = Unit {
        program,
        config: std::path::absolute(config)?,
        state_dir: state_dir.as_deref().map(std::path::absolute).transpose()?,
        user: user.clone(),
    };
    print::line(&match manager {
        ServiceManager::Systemd => unit.systemd()?,
        ServiceManager::Launchd => unit.launchd(),
    });
    Ok(())
}

struct Unit {
    program: PathBuf,
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
        let socket = match self.user {
            Some(_) => " --socket %t/majordomo/majordomo.sock",
            None => "",
        };
        let (program, config) = (word(&self.program)?, word(&self.config)?);
        Ok(format!(
            "\
# {home}/majordomo.service
# then: {control} daemon-reload && {control} enable --now majordomo
[Unit]
Description=Majordomo, keeps an assistant's heavy components loaded when they are needed
After=network.target

[Service]
Type=notify
ExecStart={program} serve {config} --state-dir {state}{socket}
ExecReload=/bin/kill -HUP $MAINPID
{more}WatchdogSec=60
Restart=on-failure
# It stops its components itself, within shutdown_deadline; what is left after that is killed.
KillMode=mixed
TimeoutStopSec=30
NoNewPrivileges=yes

[Install]
WantedBy={wanted_by}"
        ))
    }

    fn launchd(&self) -> String {
        let mut words = vec![
            self.program.display().to_string(),
            "serve".to_owned(),
            self.config.display().to_string(),
        ];
        if let Some(dir) = &self.state_dir {
            words.extend(["--state-dir".to_owned(), dir.display().to_string()]);
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
        format!(
            "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<!-- {home}/majordomo.plist
     then: launchctl bootstrap {domain} {home}/majordomo.plist -->
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
  <integer>30</integer>
  <key>StandardErrorPath</key>
  <string>/tmp/majordomo.log</string>
</dict>
</plist>",
            words.join("\n")
        )
    }
}

/// A path as one word of a unit: systemd takes `%`, `$`, quotes and backslashes for its own.
fn word(path: &Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .filter(|t| !t.contains(char::is_control))
        .ok_or_else(|| anyhow::anyhow!("{path:?} cannot be written in a unit; rename it"))?;
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let escaped = escaped.replace('$', "$$");
    let is_plain = !escaped.contains([' ', '\'', '"', '\\', ';']);
    Ok(if is_plain { escaped } else { format!("\"{escaped}\"") })
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
    }
}
