//! The systemd unit is one that systemd takes.

use std::fs;
use std::process::Command;

use crate::binary::Instance;

#[test]
fn systemd_has_nothing_to_say_of_the_unit() {
    let text = fs::read_to_string("config/punctual.service").expect("it is there");
    // What the program does is what the unit says of it.
    for line in
        ["Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "RestartPreventExitStatus=64 69 78"]
    {
        assert!(text.lines().any(|other| other == line), "{line}");
    }
    let instance = Instance::new();
    let unit = instance.path("punctual.service");
    let text = text.replace("/usr/bin/punctual", env!("CARGO_BIN_EXE_punctual"));
    fs::write(&unit, text).expect("it can be written");
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output();
    let Ok(output) = output else {
        println!("skipped: there is no systemd-analyze");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("punctual.service"), "{said}");
}
