#!/bin/sh
# Healthy: the meters' truth file has grown to something.
exec test -s "${STATE:-/var/lib/ohmesh}/truth.jsonl"
