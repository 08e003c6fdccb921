/* The event loop without fibers: each wait reports what is ready, until it is served. */
#include <coir_loop.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void show(coir_loop *loop, const char *when, int64_t length_ns)
{
    struct coir_loop_event events[8];
    coir_time until = coir_loop_after(length_ns);
    int count = coir_loop_wait(loop, events, 8, until);
    printf("%s: %d event%s", when, count, count == 1 ? "" : "s");
    if (count == 0)
        printf(", %s", coir_loop_now().ns < until.ns ? "too early" : "not early");
    for (int i = 0; i < count; i++) {
        const char *name = events[i].user;
        printf(", %s%s%s%s", name, events[i].flags & COIR_IN ? " readable" : "",
               events[i].flags & COIR_OUT ? " writable" : "",
               events[i].flags & COIR_LOOP_WAKE ? " woken" : "");
        if (events[i].flags & COIR_IN)
            printf(", %zu bytes", events[i].bytes);
        if (events[i].flags & COIR_HUP)
            printf(", end of file");
    }
    puts("");
}

int main(void)
{
    char reader[] = "reader", writer[] = "writer", bell[] = "bell", bytes[4];
    coir_loop *loop;
    int ends[2];
    if (coir_loop_open(&loop, COIR_WORLD_DEFAULT) < 0)
        return 1;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return 1;
    if (coir_loop_add_read(loop, ends[0], reader) < 0 || coir_loop_add_wake(loop, bell) < 0)
        return 1;
    show(loop, "idle for 40 ms", COIR_MS(40));
    if (write(ends[1], "ping", 4) != 4)
        return 1;
    show(loop, "after a write", COIR_SEC(1));
    show(loop, "not read yet", COIR_SEC(1));
    if (read(ends[0], bytes, 4) != 4)
        return 1;
    coir_loop_add_write(loop, ends[1], writer);
    show(loop, "a socket with room", COIR_SEC(1));
    coir_loop_del_write(loop, ends[1]);
    coir_loop_wake(loop);
    show(loop, "woken before the wait", COIR_SEC(1));
    close(ends[1]);
    show(loop, "the peer has closed", COIR_SEC(1));
    coir_loop_close(loop);
    close(ends[0]);
    return 0;
}
