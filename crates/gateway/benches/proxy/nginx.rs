//! nginx as a rival: one worker, kept connections to the component, no buffering of large bodies.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Started;

/// nginx before a component; none where it is not installed.
pub(crate) fn start(behind: u16) -> Option<Started> {
    let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
    let dir = std::env::temp_dir().join(format!("majordomo-bench-nginx-{}", std::process::id()));
    std::fs::create_dir_all(&dir).ok()?;
    let at = dir.display();
    let text = format!(
        "worker_processes 1;\ndaemon off;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{ worker_connections 1024; }}\n\
        http {{\n access_log off;\n client_max_body_size 0;\n keepalive_requests 100000000;\n\
        client_body_temp_path {at}/a;\n proxy_temp_path {at}/b;\n fastcgi_temp_path {at}/c;\n uwsgi_temp_path {at}/d;\n scgi_temp_path {at}/e;\n\
        upstream component {{ server 127.0.0.1:{behind}; keepalive 128; keepalive_requests 100000000; }}\n\
        server {{ listen 127.0.0.1:{port};\n location / {{ proxy_pass http://component; proxy_http_version 1.1;\n\
        proxy_set_header Connection \"\"; proxy_request_buffering off; proxy_buffering off; }} }} }}\n"
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, text).ok()?;
    let child = Command::new("nginx").arg("-c").arg(&file).stderr(Stdio::null()).spawn().ok()?;
    let started = Started { name: "nginx", child, port, prefix: "" };
    for _ in 0..100 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(started);
        }
        #[expect(clippy::disallowed_methods, reason = "another program starts")]
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}
