//! Whatever others say, what the command writes is text: no control sequence and no line of theirs reaches a
//! terminal, a log or a file.

use crate::arguments::{Command, from_words};
use crate::commands::{apply, check, doctor, metrics, show};
use crate::output::transcript::said;
use crate::sys::fake::FakeKernel;
use crate::vm::sample::web;
use pinning::Role;
use proptest::prelude::*;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;

/// The exit status of a subcommand, and what it writes to both streams.
fn written(kernel: &FakeKernel, words: &str) -> (u8, String) {
    let command = from_words(&format!("pinshim {words}"));
    said(|output| match command {
        Command::Show(arguments) => show::show(&arguments, kernel, output),
        Command::Check(arguments) => check::check(&arguments, kernel, output),
        Command::Doctor(arguments) => doctor::doctor(&arguments, kernel, output),
        Command::Apply(arguments) => apply::apply(&arguments, kernel, output),
        Command::Metrics(arguments) => metrics::metrics(&arguments, kernel, output),
        other => panic!("{other:?}"),
    })
}

#[track_caller]
fn is_harmless(written: &str) {
    let is_bad = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!written.contains(is_bad), "{written:?}");
    assert!(!written.lines().any(|line| line.starts_with("FORGED")), "{written:?}");
}

/// What a terminal, a log or a reader may take for something else, among harmless text.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "\x1b[2J",
        "\x1b]0;x\x07",
        "\nFORGED",
        "\r\nFORGED",
        "\r",
        "\t",
        "\x08",
        "\x7f",
        "\u{9b}31m",
        "\u{85}FORGED",
        "\u{202e}",
        "\u{2066}",
        "\u{2028}FORGED",
        "\u{200b}",
        "x",
        ",",
        "=",
        " ",
        "ü",
        "日",
        "guest=",
        "CPU 0/KVM",
    ]);
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// The longest beginning of a text that has so many bytes at most.
fn beginning(text: &str, bytes: usize) -> &str {
    (0..=bytes.min(text.len())).rev().find_map(|at| text.get(..at)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn of_processes_and_pages(texts in prop::collection::vec(hostile(), 10)) {
        let kernel = FakeKernel::new();
        let name = |at: usize| beginning(&texts[at], 15).to_owned();
        // A VM with a page.
        let vm = web(&kernel)
            .thread(105, &name(0), "1")
            .thread(106, &name(1), "2")
            .lists(106, Role::IoThread(b"x"), 1, beginning(&texts[2], 64))
            .write("cmdline", format!("/bin/qemu-system-x86_64\0-name\0{}\0", texts[3]))
            .cpuset(101, &format!("/{}", texts[4].replace(['\n', '/'], "")), "0-1");
        vm.executable(&format!("/bin/qemu-system-{}", texts[5].replace('/', "")));
        kernel.move_to(101, "0-3");
        for words in [
            "show", "show --json", "show 100", "check 100", "check 100 --json", "apply 100 --dry-run",
            "apply 100 --cpus 9", "apply 100 --vcpus [1-2],2", "apply 100", "doctor", "doctor --json",
            "doctor 100", "doctor --cpus 1-2", "metrics",
        ] {
            is_harmless(&written(&kernel, words).1);
        }
        // Its page names other variables too.
        vm.page_text(&format!("PIN_VCPUS=1,2\0PIN_IOTHREADS=io1@3\0PIN_EMULATOR=0\0{}={}\0", texts[6], texts[7]));
        for words in ["show", "show --json", "check 100", "apply 100", "doctor 100"] {
            is_harmless(&written(&kernel, words).1);
        }
        // One without a page, and why.
        let bare = kernel.process(200, &[&format!("/bin/qemu-system-{}", name(8).replace('/', ""))]);
        let bare = bare.thread(200, &name(8), "0");
        let preload = format!("/opt/{}/libpinshim.so", texts[9].replace(['\n', ' ', '\t'], ""));
        bare.environment(&[("LD_PRELOAD", &preload), ("PIN_TARGET", &texts[7])]);
        bare.write("attr/current", &texts[6]);
        let (_, text) = written(&kernel, "show 200");
        is_harmless(&text);
        is_harmless(&written(&kernel, "check 200").1);
        is_harmless(&written(&kernel, "apply 200").1);
        is_harmless(&written(&kernel, "doctor 200").1);
        bare.write("maps", format!("7f00 {}/libpinshim.so\n", texts[6].replace('\n', "")));
        is_harmless(&written(&kernel, "show 200").1);
    }

    #[test]
    fn of_a_qemu_that_is_asked(id in hostile(), description in hostile(), refuses in any::<bool>()) {
        let kernel = FakeKernel::new();
        web(&kernel);
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        let vcpus = if refuses {
            serde_json::json!({"error": {"class": "x", "desc": description}})
        } else {
            serde_json::json!({"return": [{"cpu-index": 0, "thread-id": 101}]})
        };
        let iothreads = serde_json::json!({"return": [{"id": id, "thread-id": 103}]});
        let answers = ["{\"QMP\": {}}".to_owned(), "{\"return\": {}}".to_owned(), vcpus.to_string(), iothreads.to_string()];
        // A check may ask again, up to three times.
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let mut stream = BufReader::new(stream);
                for answer in &answers {
                    let sent = stream.get_mut().write_all(format!("{answer}\n").as_bytes());
                    let mut request = String::new();
                    if sent.is_err() || stream.read_line(&mut request).is_err() {
                        break;
                    }
                }
            }
        });
        let socket = socket.display();
        let (_, text) = written(&kernel, &format!("check 100 --qmp {socket}"));
        let awaited = if refuses { "query-cpus-fast: " } else { "QEMU says that thread 103 is IOThread " };
        assert!(text.contains(awaited), "{text:?}");
        is_harmless(&text);
        is_harmless(&written(&kernel, &format!("check 100 --json --qmp {socket}")).1);
        is_harmless(&written(&kernel, &format!("apply 100 --cpus 1 --qmp {socket}")).1);
    }
}
