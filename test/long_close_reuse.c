/* A million times: a descriptor is closed while fibers wait for it and read it, and its number is
 * at once another pipe's. No fiber stays behind, and no byte comes into the wrong hands: each pipe
 * carries nothing but the number of its cycle. */
#define TEST_SECONDS 300
#include "fds.h"

enum { PLACES = 4, READERS_EACH = 3, NUMBER_FIRST = 300, CYCLES = 1000 * 1000 };

/* A number, and what is there now. */
struct place {
    int fd, writer;
    uint64_t cycle;
    coir_fiber readers[READERS_EACH];
};

static struct place places[PLACES];
static bool done;
static long took, refused; /* calls that gave bytes; calls that the close ended */

static uint64_t random_state = 88172645463325252u;

static uint32_t pick(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

/* Waits, reads, or waits and then reads. Whatever comes is of the pipe that was there at the call.
 * */
static void take(struct place *place)
{
    uint64_t cycle = place->cycle, got = 0;
    uint32_t how = pick(3);
    ssize_t result = 0;
    if (how != 0) {
        result = coir_wait_fd(place->fd, COIR_IN, COIR_NEVER);
        if (result == COIR_IN)
            CHECK_EQ(place->cycle, cycle);
    }
    if (result == COIR_IN && how == 2)
        result = coir_read(place->fd, &got, sizeof got, COIR_TRY);
    else if (how == 0)
        result = coir_read(place->fd, &got, sizeof got, COIR_NEVER);
    if (result == sizeof got) {
        CHECK_EQ(got, cycle);
        took++;
    } else if (result == -EBADF) {
        CHECK(place->cycle != cycle || done);
        refused++;
    } else {
        CHECK(result == COIR_IN || result == COIR_TIMED_OUT); /* another one has read it */
    }
}

static int reader(void *arg)
{
    while (!done) {
        take(arg);
        if (pick(4) == 0)
            coir_yield();
    }
    return 0;
}

static void put(struct place *place, uint32_t times)
{
    while (times-- > 0)
        CHECK_EQ(write(place->writer, &place->cycle, sizeof place->cycle), sizeof place->cycle);
}

static void place_open(struct place *place)
{
    struct fds_pair pipe = fds_pipe(0);
    CHECK_EQ(fcntl(place->fd, F_GETFD), -1);
    CHECK_EQ(dup2(pipe.in, place->fd), place->fd);
    close(pipe.in);
    place->writer = pipe.out;
    place->cycle++;
    if (pick(2))
        CHECK_EQ(coir_adopt(place->fd), 0);
    put(place, pick(3));
}

/* Nobody is parked on the number once it is closed. */
static void place_close(struct place *place)
{
    CHECK_EQ(coir_close(place->fd), 0);
    for (int i = 0; i < READERS_EACH; i++) {
        const struct cr_fiber *fiber = inside_fiber(place->readers[i]);
        CHECK(!fiber || !fiber->wait);
    }
    close(place->writer);
}

static int cycles(void *arg)
{
    (void)arg;
    for (int i = 0; i < PLACES; i++) {
        places[i].fd = NUMBER_FIRST + i;
        place_open(&places[i]);
        for (int k = 0; k < READERS_EACH; k++)
            places[i].readers[k] = run_spawn(reader, &places[i]);
    }
    for (long n = 0; n < CYCLES; n++) {
        struct place *place = &places[pick(PLACES)];
        put(place, pick(3));
        for (uint32_t turns = pick(3); turns > 0; turns--)
            coir_yield(); /* to the readers, or to the loop, which takes in what was put */
        place_close(place);
        place_open(place);
    }
    done = true;
    for (int i = 0; i < PLACES; i++) {
        place_close(&places[i]);
        for (int k = 0; k < READERS_EACH; k++)
            run_join(places[i].readers[k]);
    }
    for (int i = 0; i < PLACES; i++)
        fds_check_nothing_left(places[i].fd);
    return 0;
}

/* proves: D5 */
TEST(test_close_and_reuse_a_million_times_without_a_hang_or_a_byte_in_the_wrong_hands)
{
    int before = fds_open();
    run_monotonic(cycles, NULL);
    CHECK_EQ(fds_open(), before);
    printf("%ld reads, %ld ended by the close\n", took, refused);
    CHECK(took > CYCLES / 10 && refused > CYCLES / 10);
}
