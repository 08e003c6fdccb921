# shellcheck shell=bash
# How ./check runs its steps, which it sources this for. A step prints `skip NAME: REASON` and lines
# of totals like the test programs do; one that prints no totals counts as one test.
#
# It also runs in bash 3.2, which macOS has.

logs=build/log
filter=
step_names=()
step_commands=()

have() {
    command -v "$1" >/dev/null
}

processors() {
    nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || getconf NPROCESSORS_ONLN
}

# skip NAME REASON: all a step does that cannot run here
skip() {
    echo "skip $1: $2"
    echo "0 passed, 0 failed, 1 skipped"
}

# step NAME COMMAND…: only noted; what runs depends on the filter
step() {
    if [[ "$1" == *"$filter"* ]]; then
        step_names+=("$1")
        step_commands+=("${*:2}")
    fi
}

passed=0 failed=0 skipped=0
skips=()

# The verbose output of ctest has the number of the test in front of each line.
totals_of() {
    tr -d '\r' <"$1" |
        sed -nE 's/^([0-9]+: )?([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\2 \3 \4/p'
}

skips_of() {
    sed -nE 's/^([0-9]+: )?skip (.+: .+)$/\2/p' "$1"
}

# What the test programs tell of their failures, each FAIL with the indented lines below it, then
# the end of the log.
show_failure() {
    awk '{ line = $0; sub(/^[0-9]+: /, "", line) }
         line ~ /^FAIL / { failing = 1; print "    " line; next }
         line !~ /^    / { failing = 0 }
         failing && ++lines <= 60 { print "    " line }' "$1"
    echo "    … the end of $1:"
    tail -n 40 "$1" | sed 's/^/    /'
}

# Tells that a long step is alive, terminal or not.
print_dots() {
    while sleep 5 >/dev/null 2>&1 && kill -0 $$; do
        printf '.'
    done
}

ticker=
stop_dots() {
    if [ -n "$ticker" ]; then
        kill "$ticker" 2>/dev/null || true
        wait "$ticker" 2>/dev/null || true
        ticker=
    fi
}
trap stop_dots EXIT

now() {
    echo "${EPOCHREALTIME:-$(date +%s)}"
}

# Sets cpu to the processor time of all that has ended, in seconds. Not in a subshell, which would
# have children of its own.
measure_cpu() {
    times >"$logs/times"
    cpu=$(awk -F '[ms ]+' 'NR == 2 { print 60 * ($1 + $3) + $2 + $4 }' "$logs/times")
}

# run_step NUMBER NAME COMMAND
run_step() {
    local log status=0 started cpu cpu_before p=0 f=0 s=0 a b c line
    log=$logs/$(sed -E 's/[^a-z0-9]+/-/g' <<<"$2").log
    printf '[%2d/%2d] %s … ' "$1" "${#step_names[@]}" "$2"
    started=$(now)
    measure_cpu
    cpu_before=$cpu
    print_dots &
    ticker=$!
    echo "check: $2; $(date -u +%F); $(uname -srm)" >"$log"
    # Not in a condition, where set -e would mean nothing inside.
    set +e
    (
        set -e
        $3
    ) >>"$log" 2>&1 </dev/null
    status=$?
    set -e
    stop_dots

    while read -r a b c; do
        p=$((p + a)) f=$((f + b)) s=$((s + c))
    done < <(totals_of "$log")
    while read -r line; do
        skips+=("[$2] $line")
    done < <(skips_of "$log")
    if [ $status -ne 0 ] && [ $f -eq 0 ]; then
        f=1
    elif [ $((p + f + s)) -eq 0 ]; then
        p=1
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))

    line="$p passed"
    [ $f -eq 0 ] || line+=", $f failed"
    [ $s -eq 0 ] || line+=", $s skipped"
    local seconds
    measure_cpu
    seconds=$(awk "BEGIN { printf \"%.1f s, cpu %.1f\", $(now) - $started,
                          $cpu - $cpu_before }")
    if [ $status -eq 0 ] && [ $((p + f)) -eq 0 ]; then
        echo "skipped"
    elif [ $status -eq 0 ] && [ $f -eq 0 ]; then
        echo "ok $seconds s ($line)"
    else
        echo "FAILED $seconds s ($line)"
        show_failure "$log"
    fi
}

# Runs what was noted; fails when one of them did.
run_steps() {
    local i line
    mkdir -p "$logs"
    for i in "${!step_names[@]}"; do
        run_step $((i + 1)) "${step_names[i]}" "${step_commands[i]}"
    done

    if [ ${#skips[@]} -gt 0 ]; then
        echo "skipped:"
        for line in "${skips[@]}"; do
            echo "    $line"
        done
    fi
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}
