# shellcheck shell=bash
# Where Debian's packages come from. To be sourced after needs.sh.

# The mirror that apt uses here, or PINSHIM_MIRROR. One of apt's two kinds of file is usually not there.
mirror() {
    local found=${PINSHIM_MIRROR:-}
    [ -n "$found" ] || found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' | grep -m1 'debian/\?$') || true
    [ -n "$found" ] || die "apt's files name no Debian mirror; give one as PINSHIM_MIRROR"
    echo "$found"
}
