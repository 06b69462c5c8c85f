#!/bin/sh
# Prints the time that everything made from these sources carries, in seconds since 1970: that of the changelog's last
# entry, so that it is the same on every machine and without git.
set -eu
date --date="$(sed -n 's/^ -- .*>  //p' "$(dirname "$0")/debian/changelog" | head -n 1)" +%s
