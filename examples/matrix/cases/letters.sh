test "$(echo drydock | tr a-z A-Z)" = DRYDOCK
