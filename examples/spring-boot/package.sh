#!/bin/sh
# What Gradle or Maven would do: compile src into build/libs/hello-1.0.jar. The jar is committed, as the classic
# Dockerfile adds a jar that was built before it.
set -eu
cd "$(dirname "$0")"
mkdir -p build/classes build/libs
javac --release 17 -d build/classes $(find src -name '*.java')
# One date for every entry: the same source gives the same jar.
jar --create --date 2026-01-01T00:00:00Z --file build/libs/hello-1.0.jar --main-class com.example.Application -C build/classes .
