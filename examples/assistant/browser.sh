#!/bin/sh
# browser: Debian's Chromium without a window, asked over its debugging protocol. Usage: browser.sh PORT PROFILE_FOLDER
set -eu
# Chromium refuses its sandbox to root.
[ "$(id -u)" -ne 0 ] || set -- "$@" --no-sandbox
port=$1 profile=$2
shift 2
exec chromium --headless=new --remote-debugging-port="$port" --user-data-dir="$profile" \
    --disable-gpu --disable-software-rasterizer --in-process-gpu --renderer-process-limit=1 \
    --disable-extensions --disable-sync --disable-background-networking --disable-component-update \
    --disable-domain-reliability --disable-features=OptimizationHints,MediaRouter \
    --disable-breakpad --no-first-run --no-default-browser-check --no-pings --mute-audio "$@" about:blank
