/* coir_local.h: values that each fiber has for itself. What coir.h says of all calls holds here
 * too. */
#ifndef COIR_LOCAL_H
#define COIR_LOCAL_H

#include "coir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The key of a value that each fiber has for itself; its address is what counts:
 *
 *     static const coir_local REQUEST = {.destroy = free};
 *
 * The members may be NULL. `destroy` is called with the value when its fiber ends (in the fiber,
 * after its function returned and before others see its result, the last set first), and by
 * coir_local_set with the value that it replaces. `inherit` runs in the spawning fiber, for
 * opts.inherit: it gets the spawner's value, and returns the new fiber's; if it parks, so does the
 * spawn. NULL: the new fiber gets the same pointer and does not destroy it; -EINVAL if it may
 * outlive the fiber that has set it. */
typedef struct coir_local {
    void (*destroy)(void *value);  /* gives the value back */
    void *(*inherit)(void *value); /* returns another fiber's value; NULL: that has none */
} coir_local;

/* Sets the running fiber's value of a key; NULL takes it away. Returns 0, -ENOMEM. */
COIR_API int coir_local_set(const coir_local *key, void *value);

/* The running fiber's value of a key; NULL when it has none, and outside fibers. */
COIR_API void *coir_local_get(const coir_local *key);

#ifdef __cplusplus
}
#endif
#endif
