#!/bin/sh
echo "the app works"
