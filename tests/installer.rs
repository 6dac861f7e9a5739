//! `scripts/install` against what a hostile or careless user has left in its way, and killed at any moment.
//!
//! It runs from a checkout of the test's own, in which what is built is small and ready: so each run is quick, and
//! a test can have a newer version. `libvirt_pieces` installs what was really built.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use harness::{Finished, NOBODY, Program, Scratch, TimeLimit, own_mounts_missing, root_missing, skip};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What every step that changes something is done with: a test can have the script killed at each of them.
const STEPS: [&str; 10] = ["chmod", "cp", "install", "ln", "mkdir", "mktemp", "mv", "rm", "rmdir", "touch"];

/// Stands in for such a program: at its turn it kills the script with all that it has started, an `install` with half a
/// file written. Everything runs in a process group of its own.
const STEP: &str = r#"#!/bin/sh
read -r turn <"$TURN"
turn=$((turn + 1))
echo "$turn" >"$TURN"
PATH=$REAL_PATH
if [ "$turn" -eq "$KILLED_AT" ]; then
    if [ "${0##*/}" = install ]; then
        install "$@"
        for last; do :; done
        truncate -s 10 "$last"
    fi
    kill -9 0
fi
exec "${0##*/}" "$@"
"#;

/// The checkout, and a folder to install into.
struct World {
    scratch: Scratch,
}

impl World {
    fn new() -> Self {
        let world = Self { scratch: Scratch::new() };
        let scripts = world.path("checkout/scripts");
        fs::create_dir_all(&scripts).expect("make a folder");
        for name in ["install", "qemu-pinned", "lib", "libvirt"] {
            let copied =
                Program::new("cp").arg("-r").arg(format!("{ROOT}/scripts/{name}")).arg(&scripts).run();
            copied.assert_clean();
        }
        for folder in ["src/shim", "src/inside", "src/pinning", "src/cli", "target/release"] {
            fs::create_dir_all(world.path(&format!("checkout/{folder}"))).expect("make a folder");
        }
        for step in STEPS {
            world.program(&format!("steps/{step}"), STEP);
        }
        world.build("1");
        world
    }

    /// A version of what is built.
    fn build(&self, version: &str) {
        self.write("checkout/target/release/libpinshim.so", &format!("library {version}\n"));
        let command = format!(
            "#!/bin/sh\nmkdir -p \"$3\" \"$5\"\necho {version} >\"$3/pinshim.1\"\n\
             for name in pinshim.bash _pinshim pinshim.fish; do echo {version} >\"$5/$name\"; done\n"
        );
        self.program("checkout/target/release/pinshim", &command);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(&path, text).expect("write a file");
        path
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it a program");
    }

    fn folder(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("make a folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set its mode");
        path
    }

    fn script(&self) -> Program {
        Program::new(self.path("checkout/scripts/install"))
            .env("CARGO_TARGET_DIR", self.path("checkout/target"))
    }

    /// The script, with all its folders below `to`.
    fn installer(&self, more: &[&str]) -> Program {
        let folder = |name: &str| self.path("to").join(name).display().to_string();
        let script = self.script().args(["--prefix", &folder("usr"), "--sysconfdir", &folder("etc")]);
        script.args(["--runstatedir", &folder("run")]).args(more)
    }

    fn install(&self, more: &[&str]) -> Finished {
        self.installer(more).run()
    }

    /// The same, killed at its `step`th step.
    fn killed_at(&self, step: u32, more: &[&str]) -> Finished {
        let real = std::env::var("PATH").expect("a PATH");
        let turn = self.write("turn", "0\n");
        self.installer(more)
            .env("PATH", format!("{}:{real}", self.path("steps").display()))
            .env("REAL_PATH", real)
            .env("TURN", turn)
            .env("KILLED_AT", step.to_string())
            .run()
    }

    /// All that is below the folder to install into, with modes; of a file its text, of a link its target.
    fn state(&self) -> BTreeMap<PathBuf, (u32, String)> {
        let mut found = BTreeMap::new();
        collect(&self.path("to"), &mut found);
        found
    }

    fn hook(&self) -> PathBuf {
        self.path("to/etc/libvirt/hooks/qemu.d/pinshim")
    }

    fn manifest(&self) -> PathBuf {
        self.path("to/usr/lib/pinshim/manifest")
    }
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, (u32, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let about = fs::symlink_metadata(&path).expect("look at a file");
        let text = if about.is_file() {
            String::from_utf8_lossy(&fs::read(&path).expect("read a file")).into_owned()
        } else if about.is_symlink() {
            fs::read_link(&path).expect("read a link").display().to_string()
        } else {
            String::new()
        };
        found.insert(path.clone(), (about.mode() & 0o7777, text));
        if about.is_dir() {
            collect(&path, found);
        }
    }
}

/// A run that said no: nothing is there that was not there before.
#[track_caller]
fn assert_refused(world: &World, before: &BTreeMap<PathBuf, (u32, String)>, done: &Finished, why: &str) {
    assert_eq!(done.code(), 1, "{done:?}");
    assert!(done.stderr.contains(why), "it says {why}: {done:?}");
    assert_eq!(&world.state(), before, "nothing has changed");
}

/// In /usr/local/share fish looks only where XDG_DATA_DIRS names it, and on a server nobody does.
#[test]
fn fish_looks_where_its_completions_are() {
    let _limit = TimeLimit::seconds(60);
    let world = World::new();
    world.install(&[]).assert_clean();
    assert!(world.path("to/etc/fish/completions/pinshim.fish").is_file());
    world.install(&["--uninstall"]).assert_clean();
    assert!(!world.path("to/etc/fish").exists());
    let looks = Program::new("fish")
        .args(["-c", "env -u XDG_DATA_DIRS fish -c 'string join \\n $fish_complete_path'"]);
    let Some(looked) = looks.run_or_skip() else { return };
    let folders = looked.stdout;
    assert!(folders.lines().any(|folder| folder == "/etc/fish/completions"), "{folders}");
}

#[test]
fn modes_do_not_come_from_the_umask() {
    let _limit = TimeLimit::seconds(100);
    for umask in [0, 0o22, 0o77, 0o777] {
        let world = World::new();
        world.folder("to", 0o755);
        let masked = |program: Program| {
            program.before_exec(move || {
                // SAFETY: takes no pointer.
                unsafe { libc::umask(umask) };
                Ok(())
            })
        };
        masked(world.installer(&[])).run().assert_clean();
        for (path, (mode, _)) in world.state() {
            let runs = path.is_dir() || path.ends_with("bin/pinshim") || path.ends_with("qemu-pinned");
            let expected = if runs || path == world.hook() { 0o755 } else { 0o644 };
            assert_eq!(mode, expected, "umask {umask:o}: {}", path.display());
        }
        masked(world.installer(&["--uninstall"])).run().assert_clean();
        assert!(world.state().is_empty(), "{:?}", world.state());
    }
}

#[test]
fn where_others_can_write_nothing_is_installed() {
    let _limit = TimeLimit::seconds(200);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    for (name, mode) in [
        ("to", 0o777),
        ("to", 0o775),
        ("to/usr/lib", 0o757),
        ("to/usr/bin", 0o1777),
        ("to/usr/share/man", 0o775),
        ("to/etc/libvirt", 0o777),
        ("to/etc/libvirt/hooks/qemu.d", 0o775),
        ("to/etc/pinshim", 0o777),
    ] {
        let world = World::new();
        let folder = world.folder(name, mode);
        let before = world.state();
        let why = format!("{} can be written to by ", folder.display());
        assert_refused(&world, &before, &world.install(&[]), &why);
    }
    for name in ["to", "to/usr/lib/pinshim", "to/etc/libvirt/hooks"] {
        let world = World::new();
        let folder = world.folder(name, 0o755);
        chown(&folder, Some(NOBODY.0), Some(NOBODY.0)).expect("give it away");
        let before = world.state();
        assert_refused(
            &world,
            &before,
            &world.install(&[]),
            &format!("{} belongs to nobody", folder.display()),
        );
    }
    // What was installed before somebody was let in is not removed from there either.
    for name in ["to/usr/bin", "to/etc/pinshim"] {
        let world = World::new();
        world.install(&[]).assert_clean();
        let folder = world.folder(name, 0o777);
        let before = world.state();
        let done = world.install(&["--uninstall"]);
        assert_refused(
            &world,
            &before,
            &done,
            &format!("{} can be written to by everybody", folder.display()),
        );
    }
}

#[test]
fn below_a_folder_like_tmp_it_installs() {
    let _limit = TimeLimit::seconds(100);
    let world = World::new();
    world.folder("to", 0o1777);
    world.install(&[]).assert_clean();
    world.install(&["--uninstall"]).assert_clean();
    assert!(world.state().is_empty(), "{:?}", world.state());
}

#[test]
fn a_link_on_the_way_is_followed_if_nobody_else_can_turn_it() {
    let _limit = TimeLimit::seconds(100);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let world = World::new();
    world.folder("to", 0o1777);
    let elsewhere = world.folder("elsewhere", 0o755);
    let link = world.path("to/usr");
    symlink(&elsewhere, &link).expect("make a link");
    world.install(&[]).assert_clean();
    assert!(elsewhere.join("bin/pinshim").is_file());
    world.install(&["--uninstall"]).assert_clean();
    assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 0);
    // A link of another user's, in a folder in which he may make one.
    std::os::unix::fs::lchown(&link, Some(NOBODY.0), Some(NOBODY.0)).expect("give it away");
    let before = world.state();
    assert_refused(&world, &before, &world.install(&[]), "is a link that belongs to nobody");
    assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 0);
    // One that leads to where others can write.
    fs::remove_file(&link).expect("remove the link");
    symlink("../elsewhere", &link).expect("make a link");
    world.folder("elsewhere", 0o777);
    let before = world.state();
    let why = format!("{} can be written to by everybody", elsewhere.display());
    assert_refused(&world, &before, &world.install(&[]), &why);
    // One that leads nowhere.
    fs::remove_file(&link).expect("remove the link");
    symlink("nowhere", &link).expect("make a link");
    let before = world.state();
    assert_refused(&world, &before, &world.install(&[]), "is a link to what is not there");
}

#[test]
fn an_ordinary_user_installs_below_a_home_of_his_own() {
    let _limit = TimeLimit::seconds(100);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let world = World::new();
    let home = world.folder("home", 0o700);
    chown(&home, Some(NOBODY.0), Some(NOBODY.0)).expect("give it away");
    let install = |prefix: &Path, more: &[&str]| {
        world.script().arg("--prefix").arg(prefix).args(more).user(NOBODY).run()
    };
    let own = home.join(".local");
    install(&own, &[]).assert_stderr_empty();
    install(&own, &[]).assert_stderr_empty();
    assert!(own.join("bin/pinshim").is_file());
    install(&own, &["--uninstall"]).assert_clean();
    assert_eq!(fs::read_dir(&home).expect("it is there").count(), 0);
    // Where he may not write he is told so.
    world.folder("to", 0o755);
    let done = install(&world.path("to"), &[]);
    assert_refused(&world, &world.state(), &done, "cannot be written to");
    // Not where a third user could exchange what he runs.
    fs::set_permissions(&home, fs::Permissions::from_mode(0o770)).expect("set its mode");
    assert!(install(&own, &[]).stderr.contains("can be written to by group"));
}

#[test]
fn a_destdir_that_is_not_there_is_made() {
    let _limit = TimeLimit::seconds(100);
    let world = World::new();
    let destdir = world.path("to/a/b &c");
    let staged =
        |more: &[&str]| world.script().args(["--prefix", "/usr"]).args(more).env("DESTDIR", &destdir).run();
    staged(&[]).assert_clean();
    assert!(destdir.join("usr/lib/pinshim/manifest").is_file());
    assert!(destdir.join("etc/libvirt/hooks/qemu.d/pinshim").is_file());
    staged(&[]).assert_clean();
    staged(&["--uninstall"]).assert_clean();
    let left: Vec<PathBuf> = world.state().into_keys().collect();
    assert_eq!(left, [world.path("to/a"), destdir], "it is whoever named it's");
}

#[test]
fn for_another_machine_and_with_a_library_folder() {
    let _limit = TimeLimit::seconds(100);
    let world = World::new();
    let lib = world.path("to/usr/lib/riscv64-linux-gnu/pinshim");
    let options = ["--machine=riscv64", "--libdir", lib.to_str().expect("a path")];
    world.install(&options).assert_clean();
    assert!(lib.join("libpinshim.so").is_file() && !world.path("to/usr/lib/libpinshim.so").exists());
    let wrapper = fs::read_to_string(world.path("to/usr/bin/qemu-pinned")).expect("the wrapper");
    assert!(wrapper.contains("\nmachine=riscv64\n"), "{wrapper}");
    assert!(wrapper.contains(&format!("\nlibrary={}\n", lib.join("libpinshim.so").display())), "{wrapper}");
    world.install(&["--uninstall", options[0], options[1], options[2]]).assert_clean();
    assert!(world.state().is_empty(), "{:?}", world.state());
    // Outside the prefix.
    let lib = world.path("to/lib");
    world.install(&["--libdir", lib.to_str().expect("a path")]).assert_clean();
    let before = world.state();
    let done = world.install(&["--uninstall"]);
    assert_refused(&world, &before, &done, "--libdir and --sysconfdir must be those of the installation");
    world.install(&["--uninstall", "--libdir", lib.to_str().expect("a path")]).assert_clean();
    assert!(world.state().is_empty(), "{:?}", world.state());
    for bad in ["--machine=a b", "--machine=", "--libdir=lib", "--prefix=/usr/../etc", "--prefix=/usr/./x"] {
        assert_eq!(world.install(&[bad]).code(), 1, "{bad}");
    }
}

#[test]
fn no_link_is_written_through() {
    let _limit = TimeLimit::seconds(200);
    let old_names = ["usr/bin/pinshim.pinshim-new", "etc/libvirt/hooks/qemu.d/pinshim.pinshim-new"];
    for name in old_names {
        let world = World::new();
        let victim = world.write("victim", "precious\n");
        let link = world.path("to").join(name);
        fs::create_dir_all(link.parent().expect("a folder")).expect("make a folder");
        symlink(&victim, &link).expect("make a link");
        world.install(&[]).assert_clean();
        assert_eq!(fs::read_to_string(&victim).expect("it is there"), "precious\n");
        assert!(link.is_symlink(), "nobody asked for it to be removed");
    }
    for name in ["usr/lib/pinshim/manifest", "usr/lib/pinshim/manifest.new", "usr/bin/pinshim"] {
        let world = World::new();
        let victim = world.write("victim", "");
        let link = world.path("to").join(name);
        fs::create_dir_all(link.parent().expect("a folder")).expect("make a folder");
        for target in [victim.as_path(), Path::new("nowhere")] {
            symlink(target, &link).expect("make a link");
            let before = world.state();
            let why = if name.ends_with("pinshim") { "is there already" } else { "it is no plain file" };
            assert_refused(&world, &before, &world.install(&[]), why);
            assert_eq!(fs::read(&victim).expect("it is there"), b"");
            fs::remove_file(&link).expect("remove the link");
        }
    }
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let _limit = TimeLimit::seconds(300);
    let names = [
        "usr/lib/pinshim/manifest",
        "usr/lib/pinshim/manifest.new",
        "usr/bin/pinshim",
        "etc/libvirt/hooks/qemu.d/pinshim",
    ];
    for name in names {
        for kind in ["pipe", "device", "folder"] {
            let world = World::new();
            let path = world.path("to").join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
            let made = match kind {
                "pipe" => Program::new("mkfifo").arg(&path).run(),
                "device" if root_missing().is_some() => continue,
                // /dev/zero: what reads it never ends.
                "device" => Program::new("mknod").arg(&path).args(["c", "1", "5"]).run(),
                _ => Program::new("mkdir").arg(&path).run(),
            };
            if kind == "device" && !made.status.success() {
                skip("a device cannot be made here");
                continue;
            }
            made.assert_clean();
            let before = world.state();
            let done = world.install(&[]);
            let why = if name.contains("manifest") { "it is no plain file" } else { "is there already" };
            assert_refused(&world, &before, &done, why);
            let done = world.install(&["--uninstall"]);
            assert_eq!((done.code(), &world.state()), (1, &before), "{done:?}");
            let about = fs::symlink_metadata(&path).expect("it is there").file_type();
            assert!(about.is_dir() || about.is_fifo() || about.is_char_device());
        }
    }
    // Such a thing at the name that older versions wrote to first is nobody's business.
    let world = World::new();
    fs::create_dir_all(world.path("to/usr/bin")).expect("make a folder");
    Program::new("mkfifo").arg(world.path("to/usr/bin/pinshim.pinshim-new")).run().assert_clean();
    world.install(&[]).assert_clean();
}

#[test]
fn a_foreign_line_in_the_manifest_is_refused_by_name() {
    let _limit = TimeLimit::seconds(300);
    let world = World::new();
    world.install(&[]).assert_clean();
    let text = "precious pinshim\n";
    let victim = world.write("pinshim-victim", text);
    let inside = world.write("to/usr/bin/other", text);
    let summed = Program::new("sha256sum").arg(&victim).run();
    let sum = summed.stdout.split(' ').next().expect("a sum").to_owned();
    let (victim, inside) = (victim.display().to_string(), inside.display().to_string());
    let to = world.path("to").display().to_string();
    let good = fs::read_to_string(world.manifest()).expect("the manifest");
    let lines = good.lines().count();
    for line in [
        format!("{sum} {victim}"),
        format!("{sum} {inside}"),
        format!("{sum} {to}/usr/../../pinshim-victim"),
        format!("{sum} {to}/usr//bin/pinshim"),
        format!("{sum} {to}/usr/bin/./pinshim"),
        format!("{sum} {to}/usr/bin/pinshim\u{1b}[2J"),
        format!("{sum} {to}/usr/bin/pinshim "),
        sum.to_string(),
        format!("{sum}  {to}/usr/bin/pinshim"),
        format!("x{sum} {to}/usr/bin/pinshim"),
        format!("- {to}/other"),
        format!("- {to}/usr/../other"),
        "-".to_owned(),
        String::new(),
        "$(touch trap)".to_owned(),
    ] {
        for name in ["manifest", "manifest.new"] {
            let path = world.manifest().with_file_name(name);
            fs::write(&path, format!("{good}{line}\n")).expect("write the manifest");
            let before = world.state();
            for more in [&[][..], &["--uninstall"]] {
                let done = world.install(more);
                let why = format!("{name}, line {}: ", lines + 1);
                assert_refused(&world, &before, &done, &why);
                assert!(!done.stderr.contains('\u{1b}'), "{done:?}");
            }
            assert_eq!(fs::read_to_string(&victim).expect("it is there"), text);
            if name == "manifest.new" {
                fs::remove_file(&path).expect("remove it");
            } else {
                fs::write(&path, &good).expect("write the manifest");
            }
        }
    }
    world.install(&["--uninstall"]).assert_clean();
    assert_eq!(fs::read_to_string(&inside).expect("it is there"), text);
}

#[test]
fn a_manifest_that_another_could_have_written_is_not_believed() {
    let _limit = TimeLimit::seconds(100);
    let world = World::new();
    world.install(&[]).assert_clean();
    let set = |mode: u32| {
        fs::set_permissions(world.manifest(), fs::Permissions::from_mode(mode)).expect("set its mode");
    };
    // An ordinary user's group may be his alone, and is believed then.
    let by_the_group = root_missing().is_none().then_some(0o664);
    for mode in [0o646, 0o666].into_iter().chain(by_the_group) {
        set(mode);
        let before = world.state();
        assert_refused(&world, &before, &world.install(&["--uninstall"]), "and is not believed");
    }
    set(0o644);
    let text = fs::read_to_string(world.manifest()).expect("the manifest");
    let long = format!("{text}{}", text.repeat(64));
    fs::write(world.manifest(), long).expect("write the manifest");
    let before = world.state();
    assert_refused(&world, &before, &world.install(&["--uninstall"]), "writes no manifest of more than");
    fs::write(world.manifest(), &text).expect("write the manifest");
    if let Some(why) = root_missing() {
        return skip(why);
    }
    chown(world.manifest(), Some(NOBODY.0), None).expect("give it away");
    let before = world.state();
    assert_refused(&world, &before, &world.install(&[]), "belongs to nobody, and is not believed");
}

#[test]
fn another_users_copy_of_a_file_is_replaced_by_roots_own() {
    let _limit = TimeLimit::seconds(100);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let world = World::new();
    world.install(&[]).assert_clean();
    chown(world.hook(), Some(NOBODY.0), None).expect("give it away");
    fs::set_permissions(world.path("to/usr/bin/pinshim"), fs::Permissions::from_mode(0o777))
        .expect("set its mode");
    world.install(&[]).assert_clean();
    assert_eq!(fs::metadata(world.hook()).expect("the hook").uid(), 0);
    assert_eq!(fs::metadata(world.path("to/usr/bin/pinshim")).expect("the command").mode() & 0o777, 0o755);
}

/// A world in which nothing is built yet, and a PATH whose cargo, if there is one, is as old as this.
fn with_nothing_built(cargo: Option<&str>) -> (World, String) {
    let world = World::new();
    world.folder("to", 0o755);
    fs::remove_dir_all(world.path("checkout/target/release")).expect("remove what was built");
    fs::copy(format!("{ROOT}/Cargo.toml"), world.path("checkout/Cargo.toml")).expect("copy a file");
    // The usual tools without cargo, which may lie in one folder with them.
    let tools = world.folder("tools", 0o755);
    let real = std::env::var_os("PATH").expect("a PATH");
    for entry in
        std::env::split_paths(&real).filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten()
    {
        let link = tools.join(entry.file_name());
        if entry.file_name() != "cargo" && fs::symlink_metadata(&link).is_err() {
            symlink(entry.path(), link).expect("make a link");
        }
    }
    if let Some(version) = cargo {
        world.program("old/cargo", &format!("#!/bin/sh\n[ \"$1\" = --version ] && echo 'cargo {version}'\n"));
    }
    let path = format!("{}:{}", world.path("old").display(), tools.display());
    (world, path)
}

#[test]
fn without_a_rust_it_says_which_is_needed_and_how_to_get_it() {
    let _limit = TimeLimit::seconds(60);
    for (cargo, found) in [(None, "there is no cargo"), (Some("1.65.0"), "old/cargo is 1.65.0")] {
        let (world, path) = with_nothing_built(cargo);
        let before = world.state();
        let done = world.installer(&[]).env("PATH", &path).env("CARGO_HOME", world.path("none")).run();
        assert_refused(&world, &before, &done, &format!("{found}."));
        assert!(done.stderr.contains("Rust 1.85 or later is needed: "), "{done:?}");
        assert!(done.stderr.contains("cargo build --release -p pinshim -p pinshim-cli"), "{done:?}");
    }
}

#[test]
fn without_a_rust_it_installs_what_was_built_before() {
    let _limit = TimeLimit::seconds(60);
    let (world, path) = with_nothing_built(Some("1.65.0"));
    world.build("1");
    world.write("checkout/src/shim/changed_since.rs", "");
    let done = world.installer(&[]).env("PATH", &path).env("CARGO_HOME", world.path("none")).run();
    assert_eq!(done.code(), 0, "{done:?}");
    assert!(done.stderr.contains("installing what was built before the last change. Rust 1.85"), "{done:?}");
}

#[test]
fn a_hook_folder_on_another_file_system_is_refused() {
    let _limit = TimeLimit::seconds(100);
    if let Some(why) = own_mounts_missing() {
        return skip(why);
    }
    let world = World::new();
    let hooks = world.folder("to/etc/libvirt/hooks/qemu.d", 0o755);
    let mounted =
        r#"mount -t tmpfs -o mode=755 tmpfs "$1" || exit 99; shift; "$@"; ended=$?; ls -A "$0"; exit $ended"#;
    let done = Program::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", mounted])
        .arg(&hooks)
        .arg(&hooks)
        .arg(world.path("checkout/scripts/install"))
        .env("CARGO_TARGET_DIR", world.path("checkout/target"))
        .args(["--prefix", &world.path("to/usr").display().to_string()])
        .args(["--sysconfdir", &world.path("to/etc").display().to_string()])
        .run();
    if done.code() == 99 {
        return skip("a file system cannot be mounted here");
    }
    assert_eq!((done.code(), done.stdout.as_str()), (1, ""), "{done:?}");
    assert!(done.stderr.contains("is on another file system than the folder it is in"), "{done:?}");
    assert!(!world.path("to/usr").exists());
}

/// libvirt's file of a domain with this emulator.
fn define(world: &World, domain: &str, emulator: &str) -> PathBuf {
    let xml = format!(
        "<domain type='kvm'>\n  <devices>\n    <emulator>{emulator}</emulator>\n  </devices>\n</domain>\n"
    );
    world.write(&format!("to/etc/libvirt/qemu/{domain}.xml"), &xml)
}

#[test]
fn domains_that_could_not_start_any_more_keep_it_installed_and_are_named() {
    let _limit = TimeLimit::seconds(100);
    let world = World::new();
    world.install(&[]).assert_clean();
    let wrapper = |name: &str| world.path(&format!("to/usr/bin/{name}")).display().to_string();
    define(&world, "plain", "/usr/bin/qemu-system-x86_64");
    define(&world, "another", "/opt/bin/qemu-pinned");
    define(&world, "web", &wrapper("qemu-pinned"));
    define(&world, "arm \u{1b}[2J", &wrapper("qemu-system-aarch64-pinned"));
    // One that only runs: libvirt keeps no file of it.
    let script = format!(
        "#!/bin/sh\ncase $* in *'list --name') echo; echo -n; echo gone; echo --run;; *'dumpxml -- --run') \
         echo '<emulator>{}</emulator>';; *) exit 1;; esac\n",
        wrapper("qemu-pinned")
    );
    world.program("virsh/virsh", &script);
    let path = format!("{}:{}", world.path("virsh").display(), std::env::var("PATH").expect("a PATH"));
    let uninstall =
        |more: &[&str]| world.installer(&[&["--uninstall"], more].concat()).env("PATH", &path).run();
    let before = world.state();
    let done = uninstall(&[]);
    assert_refused(&world, &before, &done, "pinshim libvirt disable NAME; or give --anyway");
    let mut named = vec!["web", "$'arm \\E[2J'"];
    if root_missing().is_none() {
        named.push("--run");
    }
    for name in &named {
        assert!(done.stderr.contains(&format!("install: the domain {name} names ")), "{name}: {done:?}");
    }
    assert_eq!(done.stderr.lines().count(), named.len() + 1, "{done:?}");
    let done = uninstall(&["--anyway"]);
    assert_eq!((done.code(), done.stderr.lines().count()), (0, named.len()), "{done:?}");
    assert!(!world.manifest().exists() && world.path("to/etc/libvirt/qemu/web.xml").exists());
}

#[test]
fn what_the_hook_has_left_goes_with_the_installation() {
    let _limit = TimeLimit::seconds(100);
    let world = World::new();
    world.install(&[]).assert_clean();
    world.write("to/run/pinshim/domains/web.env", "PIN_CPUS=0\n");
    world.write("to/run/pinshim/domains/.4711", "PIN_");
    world.install(&["--uninstall"]).assert_clean();
    assert!(!world.path("to/run/pinshim").exists());
    // What is not the hook's stays, and what is no installation's is left alone.
    world.install(&[]).assert_clean();
    let kept = world.write("to/run/pinshim/domains/notes", "");
    world.install(&["--uninstall"]).assert_clean();
    assert!(kept.exists());
    let left = world.write("to/run/pinshim/domains/web.env", "PIN_CPUS=0\n");
    let done = world.install(&["--uninstall"]);
    assert!(done.code() == 1 && left.exists(), "{done:?}");
}

mod killed {
    use super::*;

    /// All files that a whole installation of the versions has, each with its texts.
    fn texts(world: &World, versions: &[&str]) -> BTreeMap<PathBuf, Vec<(u32, String)>> {
        let mut texts: BTreeMap<PathBuf, Vec<(u32, String)>> = BTreeMap::new();
        for version in versions {
            world.build(version);
            world.install(&[]).assert_clean();
            for (path, state) in world.state() {
                texts.entry(path).or_default().push(state);
            }
            world.install(&["--uninstall"]).assert_clean();
            assert!(world.state().is_empty());
        }
        texts
    }

    /// Whatever has its name is whole, and in the hook's folder there is nothing else.
    #[track_caller]
    fn assert_whole(world: &World, texts: &BTreeMap<PathBuf, Vec<(u32, String)>>, moment: &str) {
        for (path, state) in world.state() {
            if path.starts_with(world.hook().parent().expect("a folder")) {
                assert!(texts.contains_key(&path), "{moment}: {} is in libvirt's way", path.display());
            }
            if let Some(whole) = texts.get(&path).filter(|_| path != world.manifest()) {
                assert!(whole.contains(&state), "{moment}: {} is {state:?}", path.display());
            }
        }
    }

    #[track_caller]
    fn assert_uninstalls(world: &World, moment: &str) {
        let done = world.install(&["--uninstall"]);
        let nothing = done.code() == 1 && done.stderr.contains("nothing of this is installed");
        assert!(done.status.success() || nothing, "{moment}: {done:?}");
        assert!(world.state().is_empty(), "{moment}: {:?}", world.state());
    }

    /// Every so many steps; PINSHIM_LONG=1 asks for all.
    fn stride() -> usize {
        if std::env::var_os("PINSHIM_LONG").is_some() { 1 } else { 5 }
    }

    /// Has a run killed at its steps, with `before` done first and `after` afterwards.
    fn at_each_step(world: &World, more: &[&str], before: impl Fn(), after: impl Fn(&str)) {
        for step in (1..).step_by(stride()) {
            before();
            let done = world.killed_at(step, more);
            if done.status.success() {
                assert!(step > 20, "so few steps cannot have been all: {step}");
                return;
            }
            assert_eq!(done.code(), -libc::SIGKILL, "{done:?}");
            after(&format!("killed at step {step}"));
        }
    }

    #[test]
    fn while_it_installs_the_next_run_finishes_and_uninstalls() {
        let _limit = TimeLimit::seconds(600);
        let world = World::new();
        world.folder("to", 0o755);
        let whole = texts(&world, &["1"]);
        at_each_step(
            &world,
            &[],
            || (),
            |moment| {
                assert_whole(&world, &whole, moment);
                let done = world.install(&[]);
                assert!(done.status.success() && done.stderr.is_empty(), "{moment}: {done:?}");
                let now: BTreeMap<_, _> =
                    world.state().into_iter().map(|(path, state)| (path, vec![state])).collect();
                assert_eq!(now, whole, "{moment}");
                assert_uninstalls(&world, moment);
            },
        );
    }

    #[test]
    fn while_it_installs_it_can_be_uninstalled_at_once() {
        let _limit = TimeLimit::seconds(600);
        let world = World::new();
        world.folder("to", 0o755);
        at_each_step(&world, &[], || (), |moment| assert_uninstalls(&world, moment));
    }

    #[test]
    fn while_it_updates_twice_in_a_row_either_version_is_whole() {
        let _limit = TimeLimit::seconds(600);
        let world = World::new();
        world.folder("to", 0o755);
        let whole = texts(&world, &["1", "2", "3"]);
        let first = || {
            world.build("1");
            world.install(&[]).assert_clean();
            world.build("2");
        };
        at_each_step(&world, &[], first, |moment| {
            assert_whole(&world, &whole, moment);
            world.build("3");
            // Again, while it does the same: what the run before had begun must not be forgotten.
            world.killed_at(24, &[]);
            assert_whole(&world, &whole, moment);
            world.build("1");
            let done = world.install(&[]);
            assert!(done.status.success() && done.stderr.is_empty(), "{moment}: {done:?}");
            assert_uninstalls(&world, moment);
        });
        world.install(&["--uninstall"]).assert_clean();
    }

    #[test]
    fn while_it_uninstalls_the_next_run_finishes() {
        let _limit = TimeLimit::seconds(600);
        let world = World::new();
        world.folder("to", 0o755);
        for step in (2..).step_by(stride()) {
            world.install(&[]).assert_clean();
            let done = world.killed_at(step, &["--uninstall"]);
            if done.status.success() {
                assert!(step > 10, "so few steps cannot have been all: {step}");
                break;
            }
            assert_eq!(done.code(), -libc::SIGKILL, "{done:?}");
            assert_uninstalls(&world, &format!("killed at step {step}"));
        }
    }
}
