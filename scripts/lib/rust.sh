# shellcheck shell=bash disable=SC2034,SC2154 # Variables for, and of, whoever sources this.
# Where a Rust is that can build this workspace. To be sourced by needs.sh.

# The oldest Rust that this workspace builds with.
oldest_rust() {
    sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml"
}

# at_least HAVE WANT: compares two version numbers.
at_least() {
    [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

# Puts a new enough cargo into PATH, before older ones. Where there is none, $cargo_here says what was found.
use_cargo() {
    local path version
    cargo_here=
    while IFS= read -r path; do
        version=$("$path" --version 2>/dev/null) || continue
        version=${version#cargo }
        version=${version%%[ -]*}
        if at_least "$version" "$(oldest_rust)"; then
            [[ $path == "$(type -P cargo)" ]] || PATH=${path%/*}:$PATH
            return
        fi
        : "${cargo_here:=$path is $version}"
    done < <(type -aP cargo "${CARGO_HOME:-$HOME/.cargo}/bin/cargo")
    : "${cargo_here:=there is no cargo}"
    return 1
}

# The version of a package that apt would install, without Debian's part; empty where there is none.
candidate() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9][0-9.]*\).*/\1/p'
}

# The packages, one a line, with which apt would bring a new enough Rust; none where it has no such.
rust_packages() {
    local kind
    # Debian 12 has its current Rust, the one that browsers are built with, as cargo-web.
    for kind in '' -web; do
        if at_least "$(candidate "rustc$kind")" "$(oldest_rust)"; then
            printf '%s\n' "cargo$kind" "rustc$kind" ca-certificates
            return
        fi
    done
}

# Why there are none.
why_no_rust_packages() {
    if command -v apt-cache >/dev/null && [[ -z $(candidate rustc) ]]; then
        echo "apt has no lists of packages yet: as root run apt-get update, then this again"
    else
        echo "apt has none that is new enough; https://rustup.rs has the newest"
    fi
}

# install_cargo_tool rustfmt|clippy: gets a part of the toolchain that may be missing beside cargo, from where cargo
# itself came. False where it cannot be had.
install_cargo_tool() {
    if command -v rustup >/dev/null; then
        rustup component add "$1"
        return
    fi
    [[ $(command -v cargo) == /usr/bin/cargo ]] && can_install || return
    local web=
    if dpkg-query --show cargo-web >/dev/null 2>&1; then
        web=yes
    fi
    case $1 in
    rustfmt) apt_install "rustfmt${web:+-web}" ;;
    clippy) apt_install "rust-${web:+web-}clippy" ;;
    esac
}

# target_folder: where cargo builds into.
target_folder() {
    cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}
