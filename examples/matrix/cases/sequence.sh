test "$(seq 3 | tail -n 1)" = 3
