// The same as consumer.c, in C++11.
#include <coir.h>
#include <cstdio>
#include <vector>

struct sleeper {
    int ms;
    coir_fiber fiber;
};

static int parent(void *)
{
    std::vector<sleeper> sleepers = {{30, {}}, {10, {}}, {20, {}}};
    for (auto &one : sleepers) {
        auto body = [](void *arg) {
            int ms = static_cast<sleeper *>(arg)->ms;
            coir_sleep(COIR_MS(ms));
            std::printf("slept %d ms\n", ms);
            return ms;
        };
        if (coir_spawn(&one.fiber, body, &one, nullptr) < 0) {
            return -1;
        }
    }
    int sum = 0;
    for (auto &one : sleepers) {
        int result = 0;
        coir_join(one.fiber, &result, COIR_NEVER);
        sum += result;
    }
    std::printf("joined %d at %d ms\n", sum, static_cast<int>(coir_now().ns / COIR_MS(1)));
    return sum;
}

int main()
{
    coir_sched_opts opts = {};
    opts.clock = COIR_CLOCK_VIRTUAL;
    int result = 0;
    return coir_run(parent, nullptr, &opts, &result) == 0 && result == 60 ? 0 : 1;
}
