/* What the worlds over a POSIX kernel have in common: the clock, the one question about readiness,
 * and all operations. */
#ifndef CR_POSIX_H
#define CR_POSIX_H

#include "world.h"

struct timespec;

CR_HIDDEN uint64_t cr_posix_now(struct cr_world *world);
/* Asks the kernel what of `mask` a descriptor is ready for, with HUP and ERR; or an error. */
CR_HIDDEN int cr_posix_ask(int fd, int mask);
CR_HIDDEN int cr_posix_ready(struct cr_world *world, int fd, int mask);
CR_HIDDEN int cr_posix_adopt(struct cr_world *world, int fd);
CR_HIDDEN int64_t cr_ops_start(struct cr_world *world, struct cr_op *op);

/* Where no operation is ever pending there is nothing to cancel. */
CR_HIDDEN void cr_posix_cancel(struct cr_world *world, struct cr_op *op);

/* Where closing a number ends its registration. */
CR_HIDDEN int cr_posix_renew(struct cr_world *world, enum cr_renewal step);

/* The time left until `until`, NULL forever. */
CR_HIDDEN struct timespec *cr_posix_left(uint64_t until, struct timespec *left);

CR_HIDDEN short cr_posix_poll_mask(int mask);
CR_HIDDEN int cr_posix_mask(short poll_mask);

/* How many descriptors the process has open. */
CR_HIDDEN int cr_posix_count_open(void);

/* How many bytes can be read; 0 where the kernel does not say. */
CR_HIDDEN size_t cr_posix_readable_bytes(int fd);

#endif
