#!/bin/sh
# usage: healthy.sh URL    exit 0 when it answers 200
exec python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=4)' "$1"
