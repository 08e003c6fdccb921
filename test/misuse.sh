#!/bin/bash
# What is wrong does not compile, and its right twin does: each row of the table, as C99 and as
# C++11, with each compiler that is installed. A row is `wrong | right`, the body of a function.
# A number in the place of a pointer, or the other way round, is what compilers warn of by default.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

# compiles LANGUAGE COMPILER BODY
compiles() {
    local language=c standard=c99 source=$folder/$2.c
    if [ "$1" = c++ ]; then
        language=c++ standard=c++11
    fi
    cat >"$source" <<END
#include <coir_buffer.h>
#include <coir_loop.h>
#include <coir_net.h>
#include <coir_post.h>
int body(void *arg);
int use(int fd, char *buf, size_t size, coir_fiber fiber, coir_time until, coir_scope *scope);
int use(int fd, char *buf, size_t size, coir_fiber fiber, coir_time until, coir_scope *scope)
{
    int result = 0;
    coir_scope_ref ref;
    coir_loop *loop = NULL;
    (void)fd, (void)buf, (void)size, (void)fiber, (void)until, (void)scope, (void)ref, (void)loop;
    $3
    return result;
}
END
    "$2" -x "$language" -std=$standard -Werror=unused-result -Werror=int-conversion \
        -Iinclude -S -o /dev/null "$source" >/dev/null 2>&1
}

# row LANGUAGE COMPILER NUMBER WRONG RIGHT
row() {
    local name="misuse_$3_as_$1_by_$2"
    if ! compiles "$1" "$2" "$5"; then
        echo "FAIL $name: the right one does not compile: $5"
    elif compiles "$1" "$2" "$4"; then
        echo "FAIL $name: the wrong one compiles: $4"
    else
        echo "ok $name: $4"
    fi
}

table() {
    grep -v '^ *$' <<'END'
coir_join(fiber, &result, COIR_MS(10)); | coir_join(fiber, &result, coir_after(COIR_MS(10)));
coir_join(fiber, &result, 0); | coir_join(fiber, &result, COIR_TRY);
coir_join(fiber, &result, UINT64_MAX); | coir_join(fiber, &result, COIR_NEVER);
coir_join(fiber, until, &result); | coir_join(fiber, &result, until);
coir_join(until, &result, until); | coir_join(coir_self(), &result, until);
coir_join(*scope, &result, until); | coir_join(fiber, &result, until);
coir_read(fd, buf, until, size); | coir_read(fd, buf, size, until);
coir_read(fd, buf, size, size); | coir_read(fd, buf, size, until);
coir_read(fd, buf, size, COIR_SEC(1)); | coir_read(fd, buf, size, coir_after(COIR_SEC(1)));
coir_write(fd, buf, until, size); | coir_write(fd, buf, size, until);
coir_wait_fd(fd, until, COIR_IN); | coir_wait_fd(fd, COIR_IN, until);
coir_sleep(coir_after(COIR_SEC(1))); | coir_sleep(COIR_SEC(1));
coir_sleep(coir_now()); | coir_sleep(coir_left(until));
coir_sleep(COIR_NEVER); | coir_sleep(0);
coir_park(COIR_MS(5)); | coir_park(coir_after(COIR_MS(5)));
until = COIR_SEC(1); | until = coir_after(COIR_SEC(1));
until = coir_now() + COIR_SEC(1); | until = coir_after(COIR_SEC(1));
result = until < coir_now(); | result = coir_left(until) == 0;
coir_after(until); | coir_after(coir_left(until));
coir_since(COIR_SEC(1)); | coir_since(until);
coir_scope_open(scope, COIR_SEC(1), 0); | coir_scope_open(scope, coir_after(COIR_SEC(1)), 0);
coir_scope_open(scope, 0, 0); | coir_scope_open(scope, COIR_NEVER, 0);
coir_scope_open(scope, COIR_SHIELD, until); | coir_scope_open(scope, until, COIR_SHIELD);
coir_scope_open(*scope, until, 0); | coir_scope_open(scope, until, 0);
result = coir_scope_open(scope, until, 0); | coir_scope_open(scope, until, 0);
result = coir_scope_end(scope); | result = coir_scope_end(scope, result);
coir_scope_end(scope, result); | return coir_scope_end(scope, result);
coir_scope_cancel(fiber, 0); | coir_scope_cancel(scope, 0);
coir_scope_cancel(ref, 0); | coir_scope_cancel(coir_scope_find(ref), 0);
coir_cancel(scope, 0); | coir_cancel(fiber, 0);
coir_cancel(fiber); | coir_cancel(fiber, 0);
coir_cancel(ref, 0); | coir_cancel(fiber, 0);
coir_finish(fiber, &result, 0); | coir_finish(fiber, 0, &result);
coir_race(fiber, 1, &result, until); | coir_race(&fiber, 1, &result, until);
coir_race(&fiber, until, &result, 1); | coir_race(&fiber, 1, &result, until);
coir_spawn(fiber, body, NULL, NULL); | coir_spawn(&fiber, body, NULL, NULL);
coir_accept(fd, NULL, until, NULL); | coir_accept(fd, NULL, NULL, until);
coir_net_dial("127.0.0.1:1", until, NULL); | coir_net_dial("127.0.0.1:1", NULL, until);
coir_loop_wait(loop, NULL, 1, COIR_MS(1)); | coir_loop_wait(loop, NULL, 1, coir_loop_after(1));
coir_loop_wait(loop, NULL, until, 1); | coir_loop_wait(loop, NULL, 1, until);
END
}

# rows LANGUAGE COMPILER
rows() {
    local number=0 wrong right
    if ! command -v "$2" >/dev/null; then
        echo "skip misuse_by_$2: $2 is not installed"
        return
    fi
    while IFS='|' read -r wrong right; do
        number=$((number + 1))
        row "$1" "$2" $number "$wrong" "$right"
    done < <(table)
}

for compiler in gcc:c clang:c g++:c++ clang++:c++; do
    rows "${compiler#*:}" "${compiler%:*}" >"$folder/$compiler.log" &
done
wait
cat "$folder"/*.log
results() {
    cat "$folder"/*.log | grep -c "^$1" || true
}
echo "$(results ok) passed, $(results FAIL) failed, $(results skip) skipped"
test "$(results FAIL)" -eq 0
