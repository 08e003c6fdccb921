/* Boost.Fiber's side of the benchmarks: its round robin, its condition variables, its default way
 * to launch, stacks from its pool where they are used again and from malloc in the crowds. */
#include "../bench.h"

#include <boost/fiber/all.hpp>
#include <chrono>
#include <memory>
#include <vector>

namespace fibers = boost::fibers;
namespace this_fiber = boost::this_fiber;
using std::chrono::nanoseconds;

enum { BATCH = 100, STACK = 64 * 1024, CROWD_STACK = 16 * 1024 };

static long width, turns;

/* Switches. */

static int give_turn()
{
    this_fiber::yield();
    return 0;
}

static void yield_flat()
{
    for (long i = 0; i < turns; i++)
        this_fiber::yield();
}

static void yield_deep()
{
    for (long i = 0; i < turns; i++)
        bench_deep_3(give_turn);
}

static void yield_touched()
{
    bench_use_stack();
    for (long i = 0; i < turns; i++)
        bench_touch_3(give_turn);
}

static int wide(void (*fn)(), long size)
{
    fibers::fixedsize_stack stacks(STACK);
    std::vector<fibers::fiber> all;
    width = size;
    turns = bench_count / width;
    for (long i = 0; i < width; i++)
        all.emplace_back(std::allocator_arg, stacks, fn);
    bench_started_ns = bench_clock();
    for (auto &fiber : all)
        fiber.join();
    return 0;
}

static int run_yield_2(void *)
{
    return wide(yield_flat, 2);
}

static int run_yield_1000(void *)
{
    return wide(yield_flat, 1000);
}

static int run_yield_deep(void *)
{
    return wide(yield_deep, 1000);
}

static int run_yield_deep_10k(void *)
{
    return wide(yield_touched, 10000);
}

/* Births and ends. */

static void end()
{
}

static int run_spawn_end(void *)
{
    fibers::pooled_fixedsize_stack stacks(STACK);
    for (long i = 0; i < bench_count; i += BATCH) {
        for (int k = 0; k < BATCH; k++)
            fibers::fiber(std::allocator_arg, stacks, end).detach();
        this_fiber::yield();
    }
    return 0;
}

static int run_spawn_join(void *)
{
    fibers::pooled_fixedsize_stack stacks(STACK);
    for (long i = 0; i < bench_count; i++)
        fibers::fiber(std::allocator_arg, stacks, end).join();
    return 0;
}

/* Park and wake. */

struct gate {
    fibers::mutex mutex;
    fibers::condition_variable changed;
    bool open = false;

    void wake()
    {
        std::unique_lock<fibers::mutex> lock(mutex);
        open = true;
        changed.notify_one();
    }

    void park()
    {
        std::unique_lock<fibers::mutex> lock(mutex);
        changed.wait(lock, [this] { return open; });
        open = false;
    }

    void park_until(std::chrono::steady_clock::time_point until)
    {
        std::unique_lock<fibers::mutex> lock(mutex);
        changed.wait_until(lock, until, [this] { return open; });
        open = false;
    }
};

static std::unique_ptr<gate[]> gates;
static gate *here;
static std::chrono::steady_clock::time_point limit;

static int block()
{
    here->park();
    return 0;
}

static void park_flat(long self)
{
    for (long i = 0; i < turns; i++) {
        gates[1 - self].wake();
        gates[self].park();
    }
    gates[1 - self].wake();
}

static void park_deadline(long self)
{
    for (long i = 0; i < turns; i++) {
        gates[1 - self].wake();
        gates[self].park_until(limit);
    }
    gates[1 - self].wake();
}

static void park_deep(long self)
{
    for (long i = 0; i < turns; i++) {
        gates[1 - self].wake();
        here = &gates[self];
        bench_deep_3(block);
    }
    gates[1 - self].wake();
}

static void park_touched(long self)
{
    bench_use_stack();
    for (long i = 0; i < turns; i++) {
        here = &gates[self];
        bench_touch_3(block);
        gates[(self + 1) % width].wake();
    }
}

static int around(void (*fn)(long), long size, long each)
{
    fibers::fixedsize_stack stacks(STACK);
    std::vector<fibers::fiber> all;
    width = size;
    turns = each;
    gates.reset(new gate[size]);
    for (long i = 0; i < size; i++)
        all.emplace_back(std::allocator_arg, stacks, fn, i);
    if (size > 2)
        this_fiber::yield();
    bench_started_ns = bench_clock();
    if (size > 2)
        gates[0].wake();
    for (auto &fiber : all)
        fiber.join();
    return 0;
}

static int run_park_wake(void *)
{
    return around(park_flat, 2, bench_count / 2);
}

static int run_park_deadline(void *)
{
    limit = std::chrono::steady_clock::now() + std::chrono::hours(1);
    return around(park_deadline, 2, bench_count / 2);
}

static int run_park_deep(void *)
{
    return around(park_deep, 2, bench_count / 2);
}

static int run_park_deep_10k(void *)
{
    return around(park_touched, 10000, bench_count / 10000);
}

/* Crowds. */

static int run_timer_100k(void *)
{
    const long size = 100000;
    fibers::fixedsize_stack stacks(CROWD_STACK);
    auto now = std::chrono::steady_clock::now();
    uint64_t seed = 1;
    for (long i = 0; i < size; i++)
        fibers::fiber(std::allocator_arg, stacks, [until = now + nanoseconds(bench_far_ns(&seed))] {
            this_fiber::sleep_until(until);
        }).detach();
    this_fiber::yield();
    limit = now + std::chrono::seconds(1800);
    around(park_deadline, 2, bench_count / 2);
    bench_ended_ns = bench_clock();
    return 0;
}

static int run_parked_100k(void *)
{
    const long size = 100000;
    fibers::fixedsize_stack stacks(CROWD_STACK);
    fibers::mutex mutex;
    fibers::condition_variable opened;
    std::vector<fibers::fiber> all;
    bool open = false;
    all.reserve(size);
    size_t before = bench_memory();
    bench_started_ns = bench_clock();
    for (long i = 0; i < size; i++)
        all.emplace_back(std::allocator_arg, stacks, [&] {
            std::unique_lock<fibers::mutex> lock(mutex);
            opened.wait(lock, [&] { return open; });
        });
    this_fiber::yield();
    bench_bytes = (double)(bench_memory() - before) / (double)size - sizeof(fibers::fiber);
    open = true;
    opened.notify_all();
    for (auto &fiber : all)
        fiber.join();
    bench_count = size;
    return 0;
}

static int run_sleepers_100k(void *)
{
    fibers::fixedsize_stack stacks(CROWD_STACK);
    fibers::mutex mutex;
    fibers::condition_variable ended;
    uint64_t seed = 1;
    long asleep = bench_count;
    for (long i = 0; i < bench_count; i++) {
        fibers::fiber(std::allocator_arg, stacks, [&, nap = nanoseconds(bench_nap_ns(&seed))] {
            this_fiber::sleep_for(nap);
            if (--asleep == 0)
                ended.notify_one();
        }).detach();
        if (i % BATCH == 0)
            this_fiber::yield();
    }
    std::unique_lock<fibers::mutex> lock(mutex);
    ended.wait(lock, [&] { return asleep == 0; });
    return 0;
}

/* Items between fibers. */

static int run_chan(void *)
{
    fibers::unbuffered_channel<uint64_t> items;
    fibers::fiber sender([&] {
        for (long i = 0; i < bench_count; i++)
            items.push((uint64_t)i);
    });
    uint64_t item;
    bench_started_ns = bench_clock();
    for (long i = 0; i < bench_count; i++)
        items.pop(item);
    bench_ended_ns = bench_clock();
    sender.join();
    return 0;
}

static int run_chan_buffered(void *)
{
    fibers::buffered_channel<uint64_t> items(16);
    uint64_t item = 0;
    for (long i = 0; i < bench_count; i++) {
        items.push(item);
        items.pop(item);
    }
    return 0;
}

static int run_mutex(void *)
{
    fibers::mutex mutex;
    for (long i = 0; i < bench_count; i++) {
        mutex.lock();
        mutex.unlock();
    }
    return 0;
}

static int run_wake_late(void *)
{
    for (long i = 0; i < bench_count; i++) {
        uint64_t began = bench_clock();
        this_fiber::sleep_for(nanoseconds(BENCH_NAP_NS));
        bench_nap_note(i, began);
    }
    bench_nap_median();
    return 0;
}

static const struct bench BENCHES[] = {
    {"yield_2", run_yield_2},
    {"yield_1000", run_yield_1000},
    {"yield_deep", run_yield_deep},
    {"yield_deep_10k", run_yield_deep_10k},
    {"spawn_end", run_spawn_end},
    {"spawn_join", run_spawn_join},
    {"park_wake", run_park_wake},
    {"park_deadline", run_park_deadline},
    {"park_deep", run_park_deep},
    {"park_deep_10k", run_park_deep_10k},
    {"chan", run_chan},
    {"chan_buffered", run_chan_buffered},
    {"mutex", run_mutex},
    {"timer_100k", run_timer_100k},
    {"parked_100k", run_parked_100k},
    {"sleepers_100k", run_sleepers_100k},
    {"wake_late", run_wake_late},
};

/* What is still asleep after the timers must not keep the process. */
static void inside(int (*run)(void *arg))
{
    run(nullptr);
    if (bench_ended_ns) {
        printf("ns %.3f\n", (double)(bench_ended_ns - bench_started_ns) / (double)bench_count);
        fflush(stdout);
        _Exit(0);
    }
}

BENCH_MAIN(BENCHES, inside)
