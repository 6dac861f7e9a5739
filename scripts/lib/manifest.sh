# shellcheck shell=bash disable=SC2034,SC2154 # Variables of, and for, whoever sources this.
# What earlier runs of scripts/install have written: PREFIX/lib/pinshim/manifest. To be sourced after trust.sh, with
# $destdir, $prefix, $libdir, $sysconfdir, $hooks and $fish set.
#
# A line for each file, "SUM PATH", and for each folder that was made, "- PATH". While files are put in their places
# there is also manifest.new, with all that this run and those before it may have written: a file may then have several
# lines.

home=$prefix/lib/pinshim
manifest=$destdir$home/manifest
# The checksums that a file of ours may have, each between spaces; the folders that were made.
declare -A sums=() folders=()

# A manifest says which files are removed. So it must be a plain file that nobody but root and the caller can write to.
read_manifest() {
    local file=$1 line number=0
    [ -e "$file" ] || [ -L "$file" ] || return 0
    if [ -L "$file" ] || [ ! -f "$file" ]; then fail "$file is in the way: it is no plain file"; fi
    look_at "$file"
    is_trusted_owner || fail "$file belongs to $(user_name "$owner"), and is not believed"
    ! is_writable_by_others "$file" || fail "$file can be written to by $writers, and is not believed"
    [ "$size" -le 65536 ] || fail "$file has $size bytes; this script writes no manifest of more than 65536"
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        read_line "$line" || fail "$file, line $number: this script installs no such thing here, nothing was done (--prefix, --libdir and --sysconfdir must be those of the installation): $(printf %q "$line")"
    done <"$file"
}

read_line() {
    [[ $1 =~ ^([0-9a-f]{64}|-)\ (/[A-Za-z0-9_./+@~-]+)$ ]] || return 1
    local sum=${BASH_REMATCH[1]} path=${BASH_REMATCH[2]}
    [[ $path/ != */./* && $path/ != */../* && $path/ != *//* ]] || return 1
    if [ "$sum" = - ]; then
        can_be_our_folder "$path" || return 1
        folders[$path]=made
    else
        can_be_our_file "$path" || return 1
        sums[$path]+=" $sum "
    fi
}

# Whether this script, with the folders it was given, could have written a file of that name.
can_be_our_file() {
    case ${1##*/} in
    *pinshim* | qemu-pinned | qemu-pinned.1) ;;
    *) return 1 ;;
    esac
    local folder
    for folder in "$prefix" "$libdir" "$sysconfdir/pinshim" "$hooks" "$fish"; do
        [[ $1 != "$folder"/* ]] || return 0
    done
    return 1
}

# The same of a folder: one of those, below them or above them.
can_be_our_folder() {
    local folder
    for folder in "$prefix" "$libdir" "$sysconfdir/pinshim" "$hooks" "$fish"; do
        [[ $1/ != "$folder"/* && $folder/ != "$1"/* ]] || return 0
    done
    return 1
}

sum_of() {
    local sum
    sum=$(sha256sum <"$1")
    printf %s "${sum%% *}"
}

# Whether what is at a path is as this script left it.
is_ours() {
    local file=$destdir$1
    [ -n "${sums[$1]-}" ] && [ -f "$file" ] && [ ! -L "$file" ] || return 1
    # Not read through where it cannot be ours.
    look_at "$file"
    [ "$size" -le $((64 << 20)) ] || return 1
    [[ ${sums[$1]} == *" $(sum_of "$file") "* ]]
}

# The lines of a manifest, with the sums of the array that is named.
write_manifest() {
    local -n of=$1
    local path sum folder
    for path in "${!of[@]}"; do
        for sum in ${of[$path]}; do printf '%s %s\n' "$sum" "$path"; done
    done | sort -u
    for folder in "${!folders[@]}"; do
        printf -- '- %s\n' "$folder"
    done | sort
}
