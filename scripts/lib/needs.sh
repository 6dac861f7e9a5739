# shellcheck shell=bash
# What the scripts need of the machine: programs and a new enough Rust, installed with apt where they are missing. All
# that is installed is said, and nothing is removed for it. Nothing is asked of the network where nothing is missing.

: "${root:?the sourcing script names the root of the workspace}"
# shellcheck source=scripts/lib/rust.sh
source "$root/scripts/lib/rust.sh"

say() { printf '%s\n' "$*" >&2; }
die() {
    say "$(basename "$0"): $*"
    exit 1
}

# Runs a command as root.
as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

# can_install: whether apt_install can be tried without asking anybody for a password.
can_install() {
    command -v apt-get >/dev/null && { ((EUID == 0)) || sudo -n true 2>/dev/null; }
}

# can_ask: the same, or with a password.
can_ask() {
    command -v apt-get >/dev/null && { ((EUID == 0)) || command -v sudo >/dev/null; }
}

apt_updated=
# Fetches apt's lists, once.
apt_update() {
    [[ -z $apt_updated ]] || return 0
    as_root apt-get update -qq || die "apt-get update has failed"
    apt_updated=yes
}

# apt_install PACKAGE...
apt_install() {
    local command=(apt-get install --no-install-recommends) plan removed more
    command -v apt-get >/dev/null || die "missing here is what Debian calls: $*"
    can_ask || die "missing here: $*. As root: ${command[*]} $*"
    apt_update
    plan=$("${command[@]}" --simulate --quiet=2 "$@" 2>&1) || die "apt cannot install $*: $plan"
    removed=$(sed -n 's/^Remv \([^ ]*\).*/\1/p' <<<"$plan" | paste -sd ' ')
    [[ -z $removed ]] || die "missing here: $*. apt would remove for it: $removed. Nothing was done; to have it so, as root: ${command[*]} $*"
    more=$(grep -c '^Inst ' <<<"$plan" || true)
    more=$((more - $#))
    say "installing: $*$( ((more <= 0)) || echo " (and what they need: $more more packages)")"
    as_root env DEBIAN_FRONTEND=noninteractive "${command[@]}" --no-remove --yes --quiet=2 "$@" >/dev/null ||
        die "apt-get could not install $*"
}

# need [rust] PROGRAM=PACKAGE...: installs the packages whose program is missing; with `rust`, a new enough cargo, which
# is put into PATH.
need() {
    local item missing=() rust=() lacks_rust=
    for item in "$@"; do
        if [[ $item == rust ]]; then
            use_cargo || lacks_rust=yes
        elif ! command -v "${item%%=*}" >/dev/null && [[ " ${missing[*]} " != *" ${item#*=} "* ]]; then
            missing+=("${item#*=}")
        fi
    done
    if [[ $lacks_rust ]]; then
        say "Rust $(oldest_rust) or later is needed: $cargo_here"
        ! can_ask || apt_update
        mapfile -t rust < <(rust_packages)
        ((${#rust[@]})) || die "$(why_no_rust_packages)"
        missing+=("${rust[@]}")
    fi
    ((${#missing[@]} == 0)) || apt_install "${missing[@]}"
    [[ -z $lacks_rust ]] || use_cargo || die "Rust was installed, but $cargo_here"
}

# what_building_lacks: false, after printing why and what brings it, where this workspace cannot be built here.
what_building_lacks() {
    local lacking=() packages=()
    if ! use_cargo; then
        lacking+=("Rust $(oldest_rust) or later is needed: $cargo_here.")
        mapfile -t packages < <(rust_packages)
        ((${#packages[@]})) || lacking+=("$(why_no_rust_packages).")
    fi
    if ! command -v cc >/dev/null; then
        lacking+=("A linker is needed: there is no cc.")
        packages+=(g++)
    fi
    ((${#lacking[@]})) || return 0
    ((${#packages[@]} == 0)) || lacking+=("On Debian, as root: apt-get install --no-install-recommends ${packages[*]}.")
    echo "${lacking[*]}"
    return 1
}
