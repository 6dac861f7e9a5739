# shellcheck shell=bash
# What the scripts need of the machine: packages and a new enough cargo, installed with apt where
# they are missing. Nothing is asked of the network where nothing is missing.

: "${root:?the sourcing script names the root of the workspace}"

say() { printf '%s\n' "$*" >&2; }
die() {
    say "$(basename "$0"): $*"
    exit 1
}

# Runs a command as root.
as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root: $*"
    fi
}

apt_updated=
# apt_install PACKAGE...
apt_install() {
    command -v apt-get >/dev/null || die "please install what Debian calls: $*"
    if [[ -z $apt_updated ]]; then
        as_root apt-get update -qq
        apt_updated=yes
    fi
    say "installing: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# can_install: whether apt_install can be tried without asking anybody for a password.
can_install() {
    command -v apt-get >/dev/null && { ((EUID == 0)) || sudo -n true 2>/dev/null; }
}

# need PROGRAM=PACKAGE...: installs the packages whose program is missing.
need() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    if ((${#missing[@]})); then
        apt_install "${missing[@]}"
    fi
}

# at_least HAVE WANT: compares two version numbers.
at_least() {
    [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

# The oldest Rust that this workspace builds with.
oldest_rust() {
    sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml"
}

# usable_cargo PATH: whether it is there and new enough.
usable_cargo() {
    local version
    version=$("$1" --version 2>/dev/null) || return 1
    version=${version#cargo }
    at_least "${version%%[ -]*}" "$(oldest_rust)"
}

# The version of a package that apt would install, without Debian's part; empty where there is none.
candidate() {
    apt-cache policy "$1" | sed -n 's/^ *Candidate: \([0-9][0-9.]*\).*/\1/p'
}

# Puts a new enough cargo into PATH: the one that is there, else apt's.
need_cargo() {
    local found package want
    want=$(oldest_rust)
    for found in cargo "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" /usr/bin/cargo; do
        if usable_cargo "$found"; then
            [[ $found != */* ]] || PATH=$(dirname "$found"):$PATH
            return
        fi
    done
    if command -v apt-get >/dev/null; then
        as_root apt-get update -qq
        apt_updated=yes
        # Debian 12 has its current Rust, the one that browsers are built with, as cargo-web.
        for package in cargo cargo-web; do
            if at_least "$(candidate "$package")" "$want"; then
                if [[ $package == cargo ]]; then
                    apt_install cargo rustc rustfmt rust-clippy ca-certificates
                else
                    apt_install cargo-web rustc-web rustfmt-web rust-web-clippy ca-certificates
                fi
                PATH=/usr/bin:$PATH
                usable_cargo cargo || die "apt's $package does not work"
                return
            fi
        done
    fi
    say "Rust $want or later is needed, and apt has none. This gets it:"
    say "  curl --proto '=https' -sSf https://sh.rustup.rs | sh -s -- -y --profile default"
    exit 1
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
