//! Links the libraries in which an older glibc has `pthread_create` and `dlsym`.

fn main() {
    // Before glibc 2.34 these are in libpthread and libdl, which a shell or `timeout` does not load. Our
    // library would not load into it, and it would not start. Later glibcs have both libraries as empty
    // files.
    println!(
        "cargo::rustc-cdylib-link-arg=-Wl,--push-state,--no-as-needed,-l:libpthread.so.0,-l:libdl.so.2,--pop-state"
    );
    println!("cargo::rerun-if-changed=build.rs");
}
