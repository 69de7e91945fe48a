#!/bin/sh
case "${1:-}" in
  --version) echo "greet @VERSION@" ;;
  "") echo "usage: greet NAME" >&2; exit 2 ;;
  *) echo "Hello, $1!" ;;
esac
