/* What the sanitizers must know: AddressSanitizer and ThreadSanitizer of every switch of stacks,
 * LeakSanitizer where fibers keep their pointers, valgrind where stacks are (six instructions that
 * do nothing outside of it). Without a sanitizer all else is empty.
 *
 * Use: leave, then the switch, then arrive on the side that was switched to. */
#ifndef CR_SAN_H
#define CR_SAN_H

#include "base.h"

#if defined(__SANITIZE_ADDRESS__)
#define CR_SAN_ADDRESS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CR_SAN_ADDRESS 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define CR_SAN_THREAD 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CR_SAN_THREAD 1
#endif
#endif

#ifndef CR_SAN_ADDRESS
#define CR_SAN_ADDRESS 0
#endif
#ifndef CR_SAN_THREAD
#define CR_SAN_THREAD 0
#endif

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define CR_SAN_STACK(low, high) ((void)VALGRIND_STACK_REGISTER(low, high))
#endif
#endif
#ifndef CR_SAN_STACK
#define CR_SAN_STACK(low, high) ((void)0)
#endif

#if CR_SAN_ADDRESS

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>

struct cr_san {
    void *fake_stack;
    const void *low;
    size_t size;
};

CR_INLINE void cr_san_init(struct cr_san *san, const char *low, size_t size)
{
    san->fake_stack = NULL;
    san->low = low;
    san->size = size;
    __asan_unpoison_memory_region(low, size);
}

/* For the loop, which runs on the thread's own stack. */
static inline void cr_san_init_thread(struct cr_san *san)
{
    pthread_attr_t attr;
    void *low = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &low, &size);
        pthread_attr_destroy(&attr);
    }
    san->fake_stack = NULL;
    san->low = low;
    san->size = size;
}

CR_INLINE void cr_san_leave(struct cr_san *from, const struct cr_san *to)
{
    __sanitizer_start_switch_fiber(&from->fake_stack, to->low, to->size);
}

CR_INLINE void cr_san_leave_for_good(const struct cr_san *to)
{
    __sanitizer_start_switch_fiber(NULL, to->low, to->size);
}

CR_INLINE void cr_san_arrive(struct cr_san *here)
{
    __sanitizer_finish_switch_fiber(here->fake_stack, NULL, NULL);
}

CR_INLINE void cr_san_root(const char *low, size_t size)
{
    __lsan_register_root_region(low, size);
}

CR_INLINE void cr_san_unroot(const char *low, size_t size)
{
    __lsan_unregister_root_region(low, size);
}

CR_INLINE void cr_san_forget(const char *low, size_t size)
{
    __asan_unpoison_memory_region(low, size);
}

#elif CR_SAN_THREAD

#include <sanitizer/tsan_interface.h>

struct cr_san {
    void *context;
};

/* Of the fiber that this thread has just left for good: it cannot end in itself. */
extern CR_HIDDEN __thread void *cr_san_left;

CR_INLINE void cr_san_init(struct cr_san *san, const char *low, size_t size)
{
    (void)low;
    (void)size;
    san->context = __tsan_create_fiber(0);
}

CR_INLINE void cr_san_init_thread(struct cr_san *san)
{
    san->context = __tsan_get_current_fiber();
}

CR_INLINE void cr_san_leave(struct cr_san *from, const struct cr_san *to)
{
    (void)from;
    __tsan_switch_to_fiber(to->context, 0);
}

CR_INLINE void cr_san_leave_for_good(const struct cr_san *to)
{
    cr_san_left = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->context, 0);
}

CR_INLINE void cr_san_arrive(struct cr_san *here)
{
    (void)here;
    if (cr_san_left)
        __tsan_destroy_fiber(cr_san_left);
    cr_san_left = NULL;
}

#define cr_san_root(low, size) ((void)(low), (void)(size))
#define cr_san_unroot(low, size) ((void)(low), (void)(size))
#define cr_san_forget(low, size) ((void)0)

#else

struct cr_san {
    char none[1];
};

#define cr_san_init(san, low, size) ((void)(low), (void)(size))
#define cr_san_init_thread(san) ((void)0)
#define cr_san_leave(from, to) ((void)0)
#define cr_san_leave_for_good(to) ((void)0)
#define cr_san_arrive(here) ((void)0)
#define cr_san_root(low, size) ((void)(low), (void)(size))
#define cr_san_unroot(low, size) ((void)(low), (void)(size))
#define cr_san_forget(low, size) ((void)0)

#endif
#endif
