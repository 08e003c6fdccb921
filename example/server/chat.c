/* A line chat: a line of one goes to all others.
 *
 * usage: chat [ADDRESS [IDLE_S [GRACE_S]]]
 *
 * Each member has two fibers: the handler reads its lines and puts them into the queues of the
 * others; `deliver` writes what is in its own. Putting never waits, so a slow reader holds up
 * nobody: one whose queue is full is sent away, as is one who says nothing for IDLE_S. */
#include "server.h"

#include <coir_buffer.h>
#include <coir_sync.h>
#include <string.h>

enum { LINE_MOST = 1024, QUEUE_SIZE = 16 * LINE_MOST };

struct member {
    int fd;
    coir_fiber reader;
    coir_event more; /* there are more lines to write, or no more will come */
    struct member *next;
    bool leaving; /* no more lines come; `deliver` writes the rest and ends */
    size_t length;
    char queue[QUEUE_SIZE];
};

static struct member *members;

static void put(struct member *to, const char *line, size_t length)
{
    if (to->length + length > sizeof to->queue) {
        coir_cancel(to->reader, COIR_CANCELLED);
        return;
    }
    memcpy(to->queue + to->length, line, length);
    to->length += length;
    coir_event_set(&to->more);
}

static int deliver(void *arg)
{
    struct member *self = arg;
    int result = 0;
    while (result == 0 && (self->length > 0 || !self->leaving)) {
        if (self->length == 0) {
            result = coir_event_take(&self->more, COIR_NEVER);
            continue;
        }
        ssize_t sent = coir_write(self->fd, self->queue, self->length, coir_after(server.idle_ns));
        if (sent < 0)
            return (int)sent;
        self->length -= (size_t)sent;
        memmove(self->queue, self->queue + sent, self->length);
    }
    return result;
}

/* Lines of any bytes: NUL is one like others. */
static void read_lines(struct member *self)
{
    char memory[LINE_MOST], *line;
    ssize_t length;
    coir_reader in;
    coir_reader_init(&in, self->fd, memory, sizeof memory);
    while (coir_reader_await(&in, coir_after(server.idle_ns)) > 0 &&
           (length = coir_reader_until(&in, "\n", 1, &line, coir_after(server.idle_ns))) > 0) {
        if (length > 1 && line[length - 2] == '\r')
            line[--length - 1] = '\n';
        for (struct member *to = members; to; to = to->next)
            if (to != self)
                put(to, line, (size_t)length);
    }
}

/* A writer that fails fails the scope, which ends the reader. */
static int chat(int fd, void *arg)
{
    struct member self = {.fd = fd, .reader = coir_self(), .next = members}, **at = &members;
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    int result = coir_spawn(NULL, deliver, &self, NULL);
    if (result == 0) {
        members = &self;
        read_lines(&self);
        while (*at != &self)
            at = &(*at)->next;
        *at = self.next;
        self.leaving = true;
        coir_event_set(&self.more);
    }
    return coir_scope_end(&scope, result);
}

int main(int argc, char **argv)
{
    server.handler = chat;
    return server_main(argc, argv, NULL);
}
