//! `thorndike play` in a terminal.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn keys_play_in_a_terminal_which_is_as_before_afterwards() {
    let there = Command::new("script").arg("--version").output();
    if !there.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux")) {
        println!("skipped: no script(1) of util-linux here, which makes a terminal");
        return;
    }
    let settings = "echo \"settings $(stty -g)\"";
    let line = format!(
        "{settings}; {} play frozen-lake; {settings}",
        env!("CARGO_BIN_EXE_thorndike")
    );
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    terminal.stdin.take().unwrap().write_all(b"10q").unwrap();
    let output = terminal.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for part in [
        "keys: left/0 left, down/1 down, right/2 right, up/3 up; q quits",
        "episode 1, step 1: down, reward 0, return 0",
        "episode 1, step 2: left",
        "left: return 0 in 2 steps",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let settings: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("settings "))
        .map(|(_, settings)| settings.trim())
        .collect();
    assert_eq!(settings.len(), 2, "{text}");
    assert_eq!(settings[0], settings[1]);
    // Home and clear are what every terminal knows, over any connection.
    let rest = text.replace("\x1b[H\x1b[2J", "");
    assert!(!rest.contains('\x1b'), "{rest:?}");
}
