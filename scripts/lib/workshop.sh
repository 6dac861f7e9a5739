# shellcheck shell=bash disable=SC2034,SC2154 # Variables of, and for, whoever sources this.
# Workshops: fresh folders, which only their owner may enter, in which files are made ready before they are renamed into
# their places. To be sourced after manifest.sh.

# Makes one in the folder $1 and prints its path. Its name holds $2, where that names a folder which is to be made in $1:
# so two runs in one folder like /tmp, for different prefixes, do not take away each other's.
workshop() {
    mktemp -d "$1/.${2:+$2.}pinshim.XXXXXX" || fail "$1 cannot be written to; as root, or with a --prefix of your own?"
}

# This run's, in which all is made ready, and the one beside the file that is being put in its place.
stage=
beside=
trap 'rm -rf -- ${stage:+"$stage"} ${beside:+"$beside"}' EXIT

# Removes those that a killed run left in the folder $1, for the folder $2 in it where one is named. Says in $cleaned that
# there was one.
cleaned=
remove_workshops() {
    local left
    for left in "${1%/}/.${2:+$2.}pinshim."??????; do
        if [ -L "$left" ] || [ ! -d "$left" ] || [ "$left" = "$stage" ]; then continue; fi
        look_at "$left"
        if [ "$owner" -eq "$EUID" ] && ((0$mode % 01000 == 0700)); then
            rm -rf -- "$left"
            cleaned=yes
        fi
    done
}

# Where files for a folder are made ready: in it, on the same file system. For the hook one folder further up, as
# libvirt may run whatever lies in hooks/qemu.d.
place_of_workshop() {
    if [ "$1" = "$destdir$hooks" ]; then above "$1"; else printf %s "$1"; fi
}

# All that killed runs may have left, for the files that are known and those that are to come.
clean_up() {
    local folder path
    for folder in "$destdir$home" "${@/#/$destdir}"; do
        remove_workshops "$(place_of_workshop "$folder")"
    done
    path=$destdir$home
    while [ "$path" != / ]; do
        remove_workshops "$(above "$path")" "${path##*/}"
        path=$(above "$path")
    done
}
