/* Every wait takes a deadline as its last argument: an absolute time, so that a whole conversation
 * can share one. Here a reader gives a slow writer 25 ms in all. */
#include <coir_io.h>

#include <errno.h>
#include <stdio.h>

static int ends[2];

static int write_slowly(void *arg)
{
    int result = 0;
    (void)arg;
    for (const char *word = "abcdef"; *word && result >= 0; word++) {
        result = coir_sleep(COIR_MS(10));
        if (result == 0)
            result = (int)coir_write(ends[1], word, 1, COIR_NEVER);
    }
    coir_close(ends[1]);
    return result;
}

static int read_in_time(void *arg)
{
    char byte;
    ssize_t result;
    (void)arg;
    if (coir_pipe(ends) < 0)
        return -EMFILE;
    if (coir_spawn(NULL, write_slowly, NULL, NULL) < 0)
        coir_close(ends[1]);
    coir_time until = coir_after(COIR_MS(25));
    while ((result = coir_read(ends[0], &byte, 1, until)) == 1)
        printf("got %c\n", byte);
    printf("%s at %d ms\n", coir_error_name((int)result), (int)(coir_now().ns / 1000000));
    while ((result = coir_read(ends[0], &byte, 1, COIR_NEVER)) == 1)
        printf("got %c, without a deadline\n", byte);
    printf("end of file at %d ms\n", (int)(coir_now().ns / 1000000));
    coir_close(ends[0]);
    return (int)result;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(read_in_time, NULL, &opts, NULL) < 0;
}
