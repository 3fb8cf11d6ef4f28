//! `cargo xtask package [--release] [--out DIR] [--test]`: the Debian package, with dpkg-deb alone.
//!
//! The layout is that of `install` below /usr, with what packaging/ has for Debian: control file, maintainer scripts, unit, init script,
//! examples. `--test` (as root) tries the package in private namespaces, on a copy-on-write view of this machine, and in a clean root
//! made by debootstrap when `HIKYAKU_CLEAN_ROOT` names one: packaging/test/in-root says what is tried. Prints what was not run.

use crate::{
    install,
    run::{check, has_program, is_root, output, root},
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The version in Cargo.toml.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Files of packaging/ and docs/, where they go, and their modes.
const FILES: &[(&str, &str, u32)] = &[
    ("packaging/systemd/postfix.service", "lib/systemd/system/postfix.service", 0o644),
    ("packaging/init/hikyaku", "etc/init.d/hikyaku", 0o755),
    ("packaging/etc/main.cf", "usr/share/hikyaku/main.cf", 0o644),
    ("packaging/etc/master.cf", "usr/share/hikyaku/master.cf", 0o644),
    ("packaging/systemd/postfix.socket", "usr/share/doc/hikyaku/examples/postfix.socket", 0o644),
    ("packaging/grafana-dashboard.json", "usr/share/doc/hikyaku/examples/grafana-dashboard.json", 0o644),
    ("packaging/prometheus-alerts.yml", "usr/share/doc/hikyaku/examples/prometheus-alerts.yml", 0o644),
    ("packaging/container/Containerfile", "usr/share/doc/hikyaku/container/Containerfile", 0o644),
    ("packaging/container/main.cf", "usr/share/doc/hikyaku/container/main.cf", 0o644),
    ("LICENSE-MIT", "usr/share/doc/hikyaku/copyright", 0o644),
    ("CHANGELOG.md", "usr/share/doc/hikyaku/CHANGELOG.md", 0o644),
    ("docs/check.md", "usr/share/doc/hikyaku/check.md", 0o644),
    ("docs/extensions.md", "usr/share/doc/hikyaku/extensions.md", 0o644),
    ("docs/parity.md", "usr/share/doc/hikyaku/parity.md", 0o644),
    ("docs/reliability.md", "usr/share/doc/hikyaku/reliability.md", 0o644),
    ("docs/security.md", "usr/share/doc/hikyaku/security.md", 0o644),
    ("docs/switching-from-postfix.md", "usr/share/doc/hikyaku/switching-from-postfix.md", 0o644),
];

/// Where `install` puts completion, and where Debian looks for it without clashing with bash-completion's own files.
const MOVED: &[(&str, &str)] = &[
    ("usr/share/bash-completion/hikyaku", "etc/bash_completion.d/hikyaku"),
    ("usr/share/zsh/site-functions/_hikyaku", "usr/share/zsh/vendor-completions/_hikyaku"),
];

/// Commands that Debian's sasl2-bin has under the same names; ours are in the folder of the executables.
const ELSEWHERE: &[&str] = &["sasldblistusers2", "saslpasswd2"];

/// The command's entry.
pub fn run(args: &[String]) -> Result<()> {
    let (mut release, mut test, mut out) = (false, false, root().join("target/package"));
    let mut args = args.iter();
    while let Some(a) = args.next() {
        match a.as_str() {
            "--release" => release = true,
            "--test" => test = true,
            "--out" => out = args.next().map(PathBuf::from).context("package: --out needs a folder")?,
            other => bail!("package: unknown argument {other:?}"),
        }
    }
    let built = install::build(release)?;
    if test {
        return try_out(&built);
    }
    println!("{}", make(&built, &out, release)?.display());
    Ok(())
}

/// Makes the package of what is in `built`, below `out`. `small`: compressed well.
fn make(built: &Path, out: &Path, small: bool) -> Result<PathBuf> {
    if !has_program("dpkg-deb") {
        bail!("package: needs dpkg-deb");
    }
    let arch = output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let stage = out.join("root");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    install::lay_out(built, &stage.join("usr"))?;
    if has_program("strip") {
        for program in install::PROGRAMS {
            check(Command::new("strip").arg(stage.join("usr/libexec/hikyaku").join(program)))?;
        }
    }
    fill(&stage)?;
    control(&stage, &arch)?;
    let package = out.join(format!("hikyaku_{VERSION}_{arch}.deb"));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", if small { "-Zxz" } else { "-Znone" }, "--build"]);
    check(build.arg(&stage).arg(&package))?;
    Ok(package)
}

/// What is in packaging/, and links.
fn fill(stage: &Path) -> Result<()> {
    for (from, to, mode) in FILES {
        put(&root().join(from), &stage.join(to), *mode)?;
    }
    for (from, to) in MOVED {
        put(&stage.join(from), &stage.join(to), 0o644)?;
        fs::remove_file(stage.join(from))?;
    }
    for empty in ["usr/share/bash-completion", "usr/share/zsh/site-functions"] {
        fs::remove_dir(stage.join(empty))?;
    }
    for name in ELSEWHERE {
        fs::remove_file(stage.join("usr/sbin").join(name))?;
        fs::remove_file(stage.join(format!("usr/share/man/man1/{name}.1")))?;
        std::os::unix::fs::symlink("hikyaku-tools", stage.join("usr/libexec/hikyaku").join(name))?;
    }
    fs::create_dir_all(stage.join("usr/lib"))?;
    std::os::unix::fs::symlink("../sbin/sendmail", stage.join("usr/lib/sendmail"))?;
    std::os::unix::fs::symlink("postfix.service", stage.join("lib/systemd/system/hikyaku.service"))?;
    Ok(())
}

fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// The control files.
fn control(stage: &Path, arch: &str) -> Result<()> {
    let size = output(Command::new("du").arg("-sk").arg(stage))?;
    let size = size.split_whitespace().next().unwrap_or("0").to_owned();
    let from = root().join("packaging/debian");
    let text = fs::read_to_string(from.join("control"))?;
    let text = text.replace("@VERSION@", VERSION).replace("@ARCH@", arch).replace("@SIZE@", &size);
    let to = stage.join("DEBIAN");
    fs::create_dir_all(&to)?;
    fs::write(to.join("control"), text)?;
    put(&from.join("conffiles"), &to.join("conffiles"), 0o644)?;
    for script in ["postinst", "prerm", "postrm"] {
        put(&from.join(script), &to.join(script), 0o755)?;
    }
    Ok(())
}

/// Makes the package of what is in `built`, and installs and uses it where it does no harm. A machine that has no such place (no root, no
/// overlayfs, a container in the way) is no failure, and said.
pub fn try_out(built: &Path) -> Result<()> {
    if !is_root() || !has_program("unshare") || !has_program("dpkg-deb") {
        println!("not run: the package's trial needs root, unshare(1) and dpkg-deb(1)");
        return Ok(());
    }
    let package = &make(built, &root().join("target/package"), false)?;
    in_namespaces(package, "copy-on-write view of this machine", Path::new("/"))?;
    match std::env::var_os("HIKYAKU_CLEAN_ROOT").map(PathBuf::from) {
        Some(clean) => in_namespaces(package, "clean root", &clean),
        None => {
            println!(
                "not run: the package in a clean root (debootstrap --variant=minbase bookworm DIR; HIKYAKU_CLEAN_ROOT=DIR)"
            );
            Ok(())
        }
    }
}

/// The exit status of [`OVERLAY`] where such a root cannot be had.
const NO_ROOT: i32 = 77;

/// $1 the lower root, $2 the package, $3 the test, $4 an empty folder.
const OVERLAY: &str = r#"set -e
mount -t tmpfs none "$4" || exit 77
mkdir "$4/upper" "$4/work" "$4/root"
mount -t overlay none -o "lowerdir=$1,upperdir=$4/upper,workdir=$4/work" "$4/root" || exit 77
cd "$4/root"
cp "$2" hikyaku.deb
cp "$3" in-root
mount -t proc none proc
mount --rbind /dev dev
mount -t tmpfs none run
printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
exec chroot . /in-root
"#;

fn in_namespaces(package: &Path, what: &str, lower: &Path) -> Result<()> {
    println!("package: in a {what}");
    let place = package.with_extension("place");
    fs::create_dir_all(&place)?;
    let mut c = Command::new("unshare");
    c.args([
        "--mount",
        "--net",
        "--uts",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
        "--propagation",
        "private",
    ]);
    c.args(["timeout", "-s", "KILL", "120", "sh", "-c", OVERLAY, "sh"]);
    c.arg(lower).arg(package).arg(root().join("packaging/test/in-root")).arg(&place);
    let status = c.status().context("cannot run unshare")?;
    match status.code() {
        Some(0) => Ok(()),
        Some(NO_ROOT) => {
            println!("not run: the package in a {what}: it needs overlayfs");
            Ok(())
        }
        _ => bail!("package: the trial in a {what} failed: {status}"),
    }
}
