#!/bin/sh
set -eu
greet=$1
test "$("$greet" Ada)" = "Hello, Ada!"
if "$greet" 2>/dev/null; then echo "no name, and yet it passed" >&2; exit 1; fi
echo "2 checks passed"
