//! Links what an older glibc keeps in libraries of their own.

fn main() {
    // Before glibc 2.34 `pthread_create` and `dlsym` are in libpthread and libdl, which a shell or `timeout` does not
    // load: the preload would fail there, and take the program along. Later glibcs have both as empty files.
    println!(
        "cargo::rustc-cdylib-link-arg=-Wl,--push-state,--no-as-needed,-l:libpthread.so.0,-l:libdl.so.2,--pop-state"
    );
    println!("cargo::rerun-if-changed=build.rs");
}
